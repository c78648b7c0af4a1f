"""Readback: one layer's routing, packed on the device and read on the host."""

from __future__ import annotations

import numpy as np
import torch

from hobbit.engine.readback import Readback

TOKENS, EXPERTS, TOP_K, DEPTH = 2, 8, 3, 2


def parts(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Experts, weights, logits and look-ahead."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(TOKENS, EXPERTS, generator=generator)
    weights, index = logits.softmax(dim=-1).topk(TOP_K)
    return index, weights, logits, torch.randn(DEPTH, TOKENS, EXPERTS, generator=generator)


def test_an_array_that_is_filled_again_gives_the_routing_that_it_holds_now() -> None:
    readback = Readback.pack(*parts(0))
    values = readback.packed.numpy()
    first = readback.routing(values).experts
    for seed in (0, 1):
        index, weights, logits, ahead = parts(seed)
        values[:] = Readback.pack(index, weights, logits, ahead).packed.numpy()
        routing = readback.routing(values)
        assert routing.experts.dtype == np.int64
        assert routing.logits is not None and routing.lookahead is not None
        for there, here in zip(
            (index, weights, logits, ahead),
            (routing.experts, routing.weights, routing.logits, routing.lookahead),
            strict=True,
        ):
            assert np.array_equal(there.numpy(), here)
    assert np.array_equal(first, parts(0)[0].numpy()), "experts are a copy: an earlier routing keeps its own"


def test_another_array_is_read_anew() -> None:
    readback = Readback.pack(*parts(0)[:2], None, None)
    readback.routing(readback.packed.numpy())
    other = Readback.pack(*parts(1)[:2], None, None).packed.numpy()
    routing = readback.routing(other)
    assert np.array_equal(routing.experts, parts(1)[0].numpy())
    assert routing.logits is None and routing.lookahead is None
