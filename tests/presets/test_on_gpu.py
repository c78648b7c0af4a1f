"""The presets on a real GPU: lossless ones agree with transformers' own run there, quality with the CPU's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from hobbit.cli.main import main
from hobbit.config.compose import compose
from hobbit.engine.checkpoint import load_checkpoint
from hobbit.engine.session import open_session
from tests.engine.runs import continue_greedily

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is visible"),
]

PROMPT, GENERATED = 64, 32


def prompt() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(2, 4096, (1, PROMPT), generator=torch.Generator().manual_seed(1))
    return ids, torch.ones_like(ids)


@pytest.mark.parametrize("budget", ["12MB", "20MB", "60MB"])
@pytest.mark.parametrize(
    "preset", ["on_demand", "lru", "lfu", "mixtral_offloading", "hobbit_lossless", "accelerate"]
)
def test_lossless_presets_agree_with_transformers_on_the_same_device(preset: str, budget: str) -> None:
    config = compose([f"policy={preset}", "device=cuda", "precision=native", f"memory.device={budget}"])
    model, tokenizer = load_checkpoint(config.model.location)
    ids, mask = (tensor.cuda() for tensor in prompt())
    expected = continue_greedily(model.cuda(), ids, mask, GENERATED)
    with open_session(
        model.cpu(), tokenizer, config.setup(), name="bundled", tokens=PROMPT + GENERATED
    ) as session:
        served = continue_greedily(model, ids, mask, GENERATED)
        assert session.assembly.metrics.decode.tokens == GENERATED - 1
    assert torch.equal(expected[0], served[0])
    torch.testing.assert_close(served[1], expected[1], rtol=2e-2, atol=2e-2)


def test_hobbits_divergence_is_the_cpus_within_a_tenth(tmp_path: Path) -> None:
    divergence = {}
    for device in ("cpu", "cuda"):
        report = tmp_path / f"{device}.json"
        words = ["evaluate", "policy=hobbit", f"device={device}", "memory.device=14MB", "precision.low=int2"]
        assert main([*words, "task.tokens=128", "output=json", f"out={report}"]) == 0
        divergence[device] = json.loads(report.read_text())["quality"]["overall"]["mean_kl"]
    assert divergence["cuda"] == pytest.approx(divergence["cpu"], rel=0.1)
