"""The presets on a real GPU: lossless ones agree to the bit, others as rounding lets them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
import torch

from hobbit.cli.main import main
from hobbit.config.compose import compose
from hobbit.engine.checkpoint import load_checkpoint
from hobbit.engine.session import Session, open_session
from tests.engine.runs import continue_greedily
from tests.presets.rounding import rounding_error

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is visible"),
]

PROMPT, GENERATED = 64, 32


def prompt() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(2, 4096, (1, PROMPT), generator=torch.Generator().manual_seed(1))
    return ids, torch.ones_like(ids)


@contextmanager
def serving(preset: str, budget: str, *options: str) -> Iterator[Session]:
    """The bundled model on the GPU under a preset."""
    words = [f"policy={preset}", "device=cuda", "precision=native", f"memory.device={budget}", *options]
    config = compose(words)
    model, tokenizer = load_checkpoint(config.model.location)
    with open_session(model, tokenizer, config.setup(), name="bundled", tokens=PROMPT + GENERATED) as session:
        assert not any("no fused kernels" in note for note in session.notes)
        yield session


def served(preset: str, budget: str, *options: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and logits of a prompt continued greedily under a preset."""
    ids, mask = (tensor.cuda() for tensor in prompt())
    with serving(preset, budget, *options) as session:
        out = continue_greedily(session.model, ids, mask, GENERATED)
        assert session.assembly.metrics.decode.tokens == GENERATED - 1
    return out


@cache
def resident() -> tuple[torch.Tensor, torch.Tensor]:
    """The same with every expert on the device: the same kernels, nothing to move."""
    return served("all_resident", "60MB")


def test_hobbits_divergence_is_the_cpus_within_a_tenth(tmp_path: Path) -> None:
    """The first, since it takes minutes: other workers run the rest meanwhile. Fewer tokens tell less."""
    divergence = {}
    for device in ("cpu", "cuda"):
        report = tmp_path / f"{device}.json"
        words = ["evaluate", "policy=hobbit", f"device={device}", "memory.device=20MB", "precision.low=int2"]
        assert main([*words, "task.tokens=512", "output=json", f"out={report}"]) == 0
        divergence[device] = json.loads(report.read_text())["quality"]["overall"]["mean_kl"]
    assert divergence["cuda"] == pytest.approx(divergence["cpu"], rel=0.1)


@pytest.mark.parametrize("preset", ["all_resident", "freetoken", "llama_cpp"])
def test_engine_and_host_are_as_near_to_float32_as_transformers(preset: str) -> None:
    model, _ = load_checkpoint(compose([]).model.location)
    with serving(preset, "14MB") as session:
        ours = rounding_error(session.model)
        assert (session.assembly.metrics.decode.hosted > 0) == (preset != "all_resident")
    assert ours <= 3 * rounding_error(model.cuda())


@pytest.mark.parametrize("budget", ["12MB", "20MB", "60MB"])
@pytest.mark.parametrize(
    "preset",
    ["on_demand", "lru", "lfu", "mixtral_offloading", "hobbit_lossless", "accelerate", "moe_infinity"],
)
def test_lossless_presets_are_the_resident_engine_to_the_bit(preset: str, budget: str) -> None:
    ids, logits = served(preset, budget)
    assert torch.equal(ids, resident()[0])
    assert torch.equal(logits, resident()[1])


@pytest.mark.parametrize(
    "preset", ["hobbit", "hobbit_balanced", "hobbit_cooperative", "hobbit_shared", "shared"]
)
def test_two_runs_give_the_same_bits(preset: str) -> None:
    first, second = (served(preset, "14MB", "precision.low=int4", "deterministic=true") for _ in range(2))
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])


def test_slots_take_what_the_plan_gives_them() -> None:
    """What a run has beside its budget is what transformers needs for activations."""
    config = compose(["policy=lru", "device=cuda", "precision=native", "memory.device=20MB"])
    model, tokenizer = load_checkpoint(config.model.location)
    ids, mask = (tensor.cuda() for tensor in prompt())
    model.cuda()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    continue_greedily(model, ids, mask, GENERATED)
    activations = torch.cuda.max_memory_allocated() - before
    model.cpu()
    torch.cuda.empty_cache()
    idle = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    with open_session(model, tokenizer, config.setup(), name="bundled", tokens=PROMPT + GENERATED):
        continue_greedily(model, ids, mask, GENERATED)
    assert torch.cuda.max_memory_allocated() - idle <= 20 * 10**6 + 2 * activations + 2**20
