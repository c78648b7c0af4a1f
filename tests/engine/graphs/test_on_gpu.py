"""Decode steps from CUDA graphs, on the real hardware: what the model gives without them, to the bit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hobbit_devices.cuda import CudaDevice
from hobbit_paper.stacked_gate import StackedGateComponent

from hobbit.engine.graphs import CudaTape
from tests.engine.models import FAMILIES, tiny_model
from tests.engine.runs import Policy, prompts, running

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is visible"),
]


SYNCHRONISING = {"phimoe"}
"""Families whose own steps ask the device for a value: nothing is recorded, everything else holds."""


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_graphs_change_no_bit_and_no_count(family: str, batch: int) -> None:
    ids, mask = (tensor.cuda() for tensor in prompts(batch, 16))
    logits, counts = [], []
    for graphs in (False, True):
        policy = Policy(prefetcher=StackedGateComponent(), device=CudaDevice())
        with running(tiny_model(family), policy, 12) as run:
            if graphs:  # alone: fused norms may change last bits
                run.attachment.record_steps(CudaTape(run.model.device))
            for _ in range(2):
                out = run.model.generate(
                    ids, attention_mask=mask, max_new_tokens=8, do_sample=False, disable_compile=True,
                    cache_implementation="static", output_logits=True, return_dict_in_generate=True,
                )  # fmt: skip
            logits.append(torch.stack(out.logits))
            counts.append(replace(run.assembly.metrics.decode, stall_ns=0, time_ns=0))
            assert run.attachment.static_cache is graphs
            failed = any("recording one failed" in note for note in run.attachment.notes)
            assert failed == (graphs and family in SYNCHRONISING)
    assert torch.equal(*logits)
    assert counts[0] == counts[1]


def test_steps_are_played_before_what_runs_beside() -> None:
    device = torch.device("cuda", torch.cuda.current_device())
    outside, values = torch.cuda.current_stream(), torch.zeros(2**22, device=device)
    tape = CudaTape(device)
    for _ in range(20):
        values += 1
        with tape.playing():
            assert torch.cuda.current_stream().priority < outside.priority
            values *= 2
        values -= 2 * values - 1
    assert torch.cuda.current_stream() == outside
    state = 0
    for _ in range(20):
        state = 1 - 2 * (state + 1)
    assert values.unique().tolist() == [float(state)]


def test_a_step_that_fails_leaves_the_stream_as_it_was() -> None:
    outside = torch.cuda.current_stream()
    with pytest.raises(KeyError), CudaTape(torch.device("cuda", torch.cuda.current_device())).playing():
        raise KeyError
    assert torch.cuda.current_stream() == outside
