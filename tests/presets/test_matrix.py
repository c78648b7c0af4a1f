"""Every preset composes with every device, every geometry and task=run."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from itertools import cycle
from pathlib import Path

import pytest

from hobbit.api import DeviceComponent, Geometry, PastRequest
from hobbit.cli.main import main
from hobbit.config.catalogue import choices
from hobbit.config.compose import compose
from hobbit.errors import BudgetError
from hobbit.setup import Setup
from hobbit.tasks.replays import replay_setup
from hobbit.trace import RoutingStatistics, Trace, generate
from hobbit.trace.past import past_requests
from tests.engine.models import tiny_model
from tests.engine.texts import save_checkpoint

PRESETS, DEVICES, GEOMETRIES = choices("policy"), choices("device"), choices("geometry")
SIMULATED = [name for name in DEVICES if name not in ("auto", "cpu", "cuda", "mps")]
PROMPT, GENERATED = 2, 1
STATISTICS = RoutingStatistics((0.3,), (0.5,), 0.7, (0.9, 0.8, 0.8, 0.8))


@cache
def setup_of(preset: str) -> Setup:
    return compose([f"policy={preset}", "device=sim"]).setup()


@cache
def device_of(name: str) -> DeviceComponent:
    return compose([f"device={name}"]).device


@cache
def geometry_of(name: str) -> Geometry:
    return compose([f"geometry={name}"]).geometry


@cache
def trace_of(geometry: str, seed: int = 0) -> Trace:
    """One short sequence of a reference model's shape."""
    return generate(geometry_of(geometry).shape, STATISTICS, ((PROMPT, GENERATED),), seed)


@cache
def past_of(geometry: str) -> tuple[PastRequest, ...]:
    return tuple(past_requests(trace_of(geometry, seed=1)))


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("device", SIMULATED)
@pytest.mark.parametrize("preset", PRESETS)
def test_a_simulation_decodes_or_says_what_memory_it_lacks(preset: str, device: str, geometry: str) -> None:
    setup = replace(setup_of(preset), device=device_of(device))
    trace = trace_of(geometry)
    try:
        measures, _ = replay_setup(trace, setup, geometry_of(geometry), 16, lambda: past_of(geometry))
    except BudgetError as error:
        complaint = str(error)
    else:
        complaint = None
        assert measures.decode_tokens == GENERATED
        assert measures.decode_tokens_per_s > 0
    assert complaint is None or ("\n" not in complaint and "give" in complaint)


@pytest.mark.parametrize(("preset", "device"), list(zip(PRESETS, cycle(SIMULATED))))
def test_task_run_continues_a_prompt_with_the_bundled_model(preset: str, device: str, tmp_path: Path) -> None:
    assert run(tmp_path, f"policy={preset}", f"device={device}") == 3


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("model") / "tiny", tiny_model())


@pytest.mark.parametrize("preset", PRESETS)
def test_task_run_works_live_on_the_cpu(preset: str, tiny: Path, tmp_path: Path) -> None:
    words = [f"model={tiny}", "memory.device=600kB", "quantizer.group_size=16", "prompt=abcdef"]
    assert run(tmp_path, f"policy={preset}", "device=cpu", *words) == 3


def run(folder: Path, *words: str) -> int:
    """Tokens that task=run gave."""
    report = folder / "report.json"
    quick = ["max_new_tokens=3", "quality.enabled=false", "compare=[]", "output=json", f"out={report}"]
    assert main([*words, *quick]) == 0
    return len(json.loads(report.read_text())["token_ids"])
