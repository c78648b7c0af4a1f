"""A live run and the replay of its own trace agree on everything but the maths."""

from __future__ import annotations

import pytest
import torch

from hobbit.assembly import assemble
from hobbit.config.compose import compose
from hobbit.engine.checkpoint import load_checkpoint
from hobbit.engine.session import open_session
from hobbit.trace.replay import replay

RUNS = [
    ("on_demand", "orin"),
    ("lfu", "orin"),
    ("hobbit", "orin"),
    ("moe_apex", "orin"),
    ("lru", "rtx4090"),
    ("mixtral_offloading", "rtx4090"),
    ("hobbit_cooperative", "rtx4090"),
    ("hobbit_balanced", "rtx4090"),
    ("hobbit_shared", "rtx4090"),
    ("shared", "rtx4090"),
    ("fiddler", "rtx4090"),
    ("llama_cpp", "rtx4090"),
    ("llama_cpp", "orin"),
    ("accelerate", "rtx4090"),
    ("freetoken", "rtx4090"),
    ("adapmoe", "orin"),
    ("cache_conditional", "rtx4090"),
    ("pregated", "rtx4090"),
    ("dynaexq", "orin"),
]
TOKENS = 40


@pytest.mark.parametrize(("preset", "device"), RUNS)
@torch.no_grad()
def test_counts_bytes_and_virtual_time_agree(preset: str, device: str) -> None:
    config = compose([f"policy={preset}", f"device={device}"])
    model, tokenizer = load_checkpoint(config.model.location)
    options = {"tokens": TOKENS, "geometry": config.geometry}
    with open_session(model, tokenizer, config.setup(), name="bundled", record=True, **options) as session:
        for prompt in ("Question: Anna has 3 apples and buys 4 more.", "def add(a, b):"):
            ids = tokenizer(prompt, return_tensors="pt").input_ids
            model.generate(ids, max_new_tokens=8, do_sample=False)
        live, report = session.assembly.metrics, session.assembly.runtime.device.report()
        assert session.recorder is not None
        trace = session.recorder.trace()
    assembly = assemble(config.setup(), config.geometry, tokens=TOKENS)
    replay(trace, assembly.runtime)
    assert assembly.metrics.prefill == live.prefill
    assert assembly.metrics.decode == live.decode
    assert assembly.runtime.device.report() == report
