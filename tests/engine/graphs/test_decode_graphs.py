"""Recorded decode steps give what the model itself gives, and are recorded only where they can be."""

from __future__ import annotations

import gc
import inspect
import weakref
from dataclasses import replace

import pytest
import torch
from hobbit_paper.stacked_gate import StackedGateComponent
from transformers import PreTrainedModel, StaticCache

from hobbit.trace import TraceHeader, TraceRecorder
from tests.engine.graphs.operator_tape import OperatorTape
from tests.engine.models import FAMILIES, tiny_model
from tests.engine.runs import Policy, prompts, running

TOKENS = 6


@torch.no_grad()
def _continue(model: PreTrainedModel, batch: int, implementation: str | None = "static") -> torch.Tensor:
    ids, mask = prompts(batch, 16)
    out = model.generate(
        ids, attention_mask=mask, max_new_tokens=TOKENS, do_sample=False, disable_compile=True,
        cache_implementation=implementation, output_logits=True, return_dict_in_generate=True,
    )  # fmt: skip
    return torch.stack(out.logits)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_recorded_steps_give_the_same_logits(family: str, batch: int) -> None:
    expected = _continue(tiny_model(family), batch)
    tape = OperatorTape()
    with running(tiny_model(family), Policy(prefetcher=StackedGateComponent()), 12) as run:
        run.attachment.record_steps(tape)
        layers = len(run.attachment.layers)
        for _ in range(2):  # the second run brings a KV cache of its own
            assert torch.equal(_continue(run.model, batch), expected)
    # Of the new tokens one comes from prefill, and one warms up.
    assert tape.replays == 2 * (TOKENS - 2) * (layers + 1)
    assert tape.plays == 2 * (TOKENS - 2)


def test_the_runtime_hears_the_same_of_recorded_steps() -> None:
    heard = []
    for tape in (None, OperatorTape()):
        with running(tiny_model(), Policy(prefetcher=StackedGateComponent()), 12) as run:
            if tape is not None:
                run.attachment.record_steps(tape)
            run.attachment.catch_logits()
            recorder = TraceRecorder(TraceHeader("", 4, 8, 2, depth=3))
            run.attachment.listen(recorder)
            _continue(run.model, 1)
            heard.append((recorder.trace(), run.assembly.metrics.decode))
    (plain, counts), (recorded, again) = heard
    assert (plain.token_ids == recorded.token_ids).all()
    assert (plain.experts == recorded.experts).all()
    assert (plain.logits == recorded.logits).all()
    assert (plain.lookahead == recorded.lookahead).all()
    clocks = {"stall_ns": 0, "time_ns": 0}
    assert replace(counts, **clocks) == replace(again, **clocks)


def test_growing_caches_run_as_they_are() -> None:
    expected = _continue(tiny_model(), 1, None)
    tape = OperatorTape()
    with running(tiny_model(), Policy(), 12) as run:
        run.attachment.record_steps(tape)
        assert torch.equal(_continue(run.model, 1, None), expected)
    assert tape.replays == 0


def test_a_step_that_cannot_be_recorded_runs_and_says_why() -> None:
    model = tiny_model()
    expected = _continue(tiny_model(), 1)
    tape = OperatorTape()
    with running(model, Policy(), 12) as run:
        run.attachment.record_steps(tape)
        # A model that looks at a value on the host in the middle of a step.
        hook = model.model.norm.register_forward_hook(lambda *_: float(_[2].sum()) and None)
        assert torch.equal(_continue(model, 1), expected)
        hook.remove()
        assert any("not permitted" in note for note in run.attachment.notes)
    assert tape.replays == 0


def test_detaching_gives_the_models_own_forward_back() -> None:
    model = tiny_model()
    before = inspect.signature(model.forward)
    with running(model, Policy(), 12) as run:
        run.attachment.record_steps(OperatorTape())
        assert inspect.signature(model.forward) == before
        assert "forward" in vars(model)
    assert "forward" not in vars(model)


def test_a_recording_is_given_up_when_its_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    tape = OperatorTape()
    ids = torch.tensor([[5]])
    with running(model, Policy(), 12) as run, torch.no_grad():
        run.attachment.record_steps(tape)
        for _ in range(2):
            cache = StaticCache(config=model.config, max_cache_len=16)
            model(torch.arange(4)[None], past_key_values=cache)
            logits = [model(ids, past_key_values=cache).logits.clone() for _ in range(3)]
            assert not torch.equal(logits[1], logits[2])
    assert tape.replays == 2 * 2 * 5


def test_what_a_recording_held_is_free_at_once() -> None:
    """Not once Python looks for cycles: the memory is wanted for what comes next."""
    model = tiny_model()
    ids = torch.tensor([[5]])
    with running(model, Policy(), 12) as run, torch.no_grad():
        run.attachment.record_steps(OperatorTape())
        cache = StaticCache(config=model.config, max_cache_len=16)
        model(torch.arange(4)[None], past_key_values=cache)
        for _ in range(3):
            recorded = weakref.ref(model(ids, past_key_values=cache).logits)
        assert recorded() is not None, "it lies where the next step writes"
        gc.collect()
        gc.disable()
        try:
            model(ids, past_key_values=StaticCache(config=model.config, max_cache_len=16))
            assert recorded() is None
        finally:
            gc.enable()
