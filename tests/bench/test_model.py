"""Synthetic models and their experts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hobbit.api import BlobLayout, Context, ExpertKey, Quantizer, Records
from hobbit.bench.drive import drive, static_cache
from hobbit.bench.experts import DISTINCT, SyntheticExperts, filled_model
from hobbit.bench.model import synthetic_model
from hobbit.engine.anatomy import find_layers
from hobbit.engine.geometry import measure_geometry
from hobbit.errors import ConfigError
from hobbit.host_plan import HostRequest
from hobbit.plugins import discover
from hobbit.registry import Registry
from tests.bench.small import small

CPU = torch.device("cpu")


@pytest.mark.parametrize(("name", "experts", "top_k"), [("mixtral_8x7b", 8, 2), ("qwen3_30b_a3b", 16, 4)])
def test_a_model_has_its_geometry_and_no_experts(name: str, experts: int, top_k: int) -> None:
    geometry = small(name, 2, experts, top_k)
    model = synthetic_model(geometry, CPU, positions=32)
    layers = find_layers(model)
    measured = measure_geometry(model, layers, name)
    assert (measured.shape, measured.hidden, measured.ffn) == (geometry.shape, geometry.hidden, geometry.ffn)
    assert (measured.heads, measured.kv_heads) == (geometry.heads, geometry.kv_heads)
    held = sum(p.untyped_storage().nbytes() for layer in layers for p in layer.experts.parameters())
    assert held == 2 * 2 * 2  # one bfloat16 for each of two matrices in two layers


def test_activations_stay_finite() -> None:
    model = filled_model(small(layers=8), CPU, CPU, positions=32)
    with torch.no_grad():
        logits = model(torch.arange(32)[None]).logits
    assert torch.isfinite(logits).all() and logits.std() > 0


def test_every_step_is_timed() -> None:
    timed = drive(filled_model(small(), CPU, CPU, positions=32), prompt=8, tokens=3)
    assert len(timed.token_ns) == 3 and min(timed.prefill_ns, *timed.token_ns) > 0
    assert timed.tokens_per_second == pytest.approx(3e9 / timed.decode_ns)


def test_a_static_cache_is_used_again() -> None:
    model = filled_model(small(), CPU, CPU, positions=32)
    cache = static_cache(model, 12)
    for _ in range(2):
        drive(model, prompt=8, tokens=3, cache=cache)
        assert int(cache.get_seq_length()) == 11  # the last token is not fed back


def test_a_geometry_that_cannot_be_built() -> None:
    with pytest.raises(ConfigError, match="shared experts"):
        synthetic_model(replace(small(), shared_ffn=64), CPU, positions=8)


def test_experts_are_made_once_a_precision() -> None:
    geometry = small()
    experts = SyntheticExperts(geometry, CPU, pin=False)
    quantizer, native, low = _quanto(experts)
    first = experts.source(quantizer, [native], HostRequest())
    held = experts.nbytes
    both = experts.source(quantizer, [native, low], HostRequest())
    assert held == 24 * native.nbytes and experts.nbytes == 24 * (native.nbytes + low.nbytes)
    for flat in (0, 5, 23):
        layer, expert = divmod(flat, geometry.experts)
        drawn = experts.drawn(flat % DISTINCT)
        blob = both.blob(ExpertKey(layer, expert, 0))
        assert blob.data_ptr() == first.blob(ExpertKey(layer, expert, 0)).data_ptr()
        for name, tensor in quantizer.decode(blob, native).items():
            assert torch.equal(tensor, drawn[name])
        for name, tensor in quantizer.decode(both.blob(ExpertKey(layer, expert, 1)), low).items():
            assert (tensor - drawn[name]).abs().max() < 0.02  # a step of 4 bits over six deviations


def _quanto(experts: SyntheticExperts) -> tuple[Quantizer, BlobLayout, BlobLayout]:
    registry: Registry = discover().registry
    geometry = small()
    context = Context(geometry, ("native", "int4"), (), Records(geometry.shape))
    quantizer = registry.get("quantizer", "quanto")().build(context)
    return quantizer, quantizer.layout(experts.specs(), "native"), quantizer.layout(experts.specs(), "int4")
