"""With every expert resident a step is one recording, and the runtime hears of it all the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hobbit_baselines.resident import ResidentComponent
from transformers import StaticCache

from hobbit.trace import TraceHeader, TraceRecorder
from tests.engine.graphs.operator_tape import OperatorTape
from tests.engine.graphs.settling import SettlingCpu, SettlingTorchDevice, WarmResident
from tests.engine.models import tiny_model
from tests.engine.runs import Policy, Run, prompts, running

TOKENS = 6
POLICY = Policy(cache=WarmResident(), device=SettlingCpu())


@torch.no_grad()
def _continue(run: Run, batch: int = 1) -> torch.Tensor:
    ids, mask = prompts(batch, 16)
    out = run.model.generate(
        ids, attention_mask=mask, max_new_tokens=TOKENS, do_sample=False, disable_compile=True,
        cache_implementation="static", output_logits=True, return_dict_in_generate=True,
    )  # fmt: skip
    run.attachment.settle()
    return torch.stack(out.logits)


@pytest.mark.parametrize("batch", [1, 3])
def test_one_recording_a_step_gives_the_same_logits(batch: int) -> None:
    tape = OperatorTape()
    with running(tiny_model(dtype=torch.float32), POLICY, 12) as run:
        expected = _continue(run, batch)
        run.attachment.record_steps(tape)
        torch.testing.assert_close(_continue(run, batch), expected, rtol=1e-4, atol=1e-4)
    assert tape.replays == TOKENS - 2


def test_the_runtime_hears_of_every_step_in_order() -> None:
    heard = []
    for tape in (None, OperatorTape()):
        with running(tiny_model(dtype=torch.float32), POLICY, 12) as run:
            if tape is not None:
                run.attachment.record_steps(tape)
            recorder = TraceRecorder(TraceHeader("", 4, 8, 2))
            run.attachment.listen(recorder)
            _continue(run)
            _continue(run)
            heard.append((recorder.trace(), run.assembly.metrics.decode))
    (plain, counts), (recorded, again) = heard
    assert (plain.token_ids == recorded.token_ids).all()
    assert (plain.experts == recorded.experts).all()
    clocks = {"stall_ns": 0, "time_ns": 0}
    assert replace(counts, **clocks) == replace(again, **clocks)


def test_the_runtime_hears_where_each_step_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[list[tuple[int, int]]] = []
    for tape in (None, OperatorTape()):
        with running(tiny_model(dtype=torch.float32), POLICY, 12) as run:
            if tape is not None:
                run.attachment.record_steps(tape)
            spans: list[tuple[int, int]] = []
            runtime, begin = run.assembly.runtime, run.assembly.runtime.begin_pass
            with monkeypatch.context() as patch:

                def noted(tokens: int, context: int, spans: Any = spans, begin: Any = begin) -> None:
                    spans.append((tokens, context))
                    begin(tokens, context)

                patch.setattr(runtime, "begin_pass", noted)
                _continue(run)
                heard.append(spans)
    assert heard[0] == heard[1]
    assert [context for _, context in heard[1]] == [0, *range(16, 16 + TOKENS - 1)]


def test_a_cache_with_too_few_slots_is_cut_at_the_experts() -> None:
    tape = OperatorTape()
    with running(tiny_model(dtype=torch.float32), Policy(device=SettlingCpu()), 12) as run:
        run.attachment.record_steps(tape)
        _continue(run)
        device = run.assembly.runtime.device
        assert isinstance(device, SettlingTorchDevice)
        assert device.asked == 0
    assert tape.replays == (TOKENS - 2) * 5


def test_a_batch_that_the_device_does_not_settle_is_cut_at_the_experts() -> None:
    tape = OperatorTape()
    with running(tiny_model(dtype=torch.float32), POLICY, 12) as run:
        device, residency = run.assembly.runtime.device, run.assembly.runtime.residency
        assert isinstance(device, SettlingTorchDevice)
        device.most = 2
        expected = _continue(run, 3)
        run.attachment.record_steps(tape)
        assert torch.equal(_continue(run, 3), expected)
        assert device.asked == 0 and residency.high_slots() is not None
        assert tape.replays == (TOKENS - 2) * 5
        _continue(run, 2)
        assert device.asked == 1
    assert tape.replays == (TOKENS - 2) * (5 + 1)


@torch.no_grad()
def test_a_step_is_recorded_anew_once_all_experts_have_come() -> None:
    tape = OperatorTape()
    policy = Policy(cache=ResidentComponent(), device=SettlingCpu())
    with running(tiny_model(dtype=torch.float32), policy, 12) as run:
        run.attachment.record_steps(tape)
        cache = StaticCache(config=run.model.config, max_cache_len=32)
        run.model(torch.tensor([[5]]), past_key_values=cache)
        for token in range(4):
            run.model(torch.tensor([[token]]), past_key_values=cache)
        assert tape.replays == 3 * 5
        residency = run.assembly.runtime.residency
        with run.attachment.serving(run.assembly.runtime):  # demands of passes beside the cache
            while residency.high_slots() is None:
                run.model(torch.randint(97, (1, 64)))
        before = tape.replays
        for token in range(4):
            run.model(torch.tensor([[token]]), past_key_values=cache)
        assert tape.replays == before + 3
