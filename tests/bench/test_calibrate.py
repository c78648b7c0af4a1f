"""task=calibrate: a profile that simulated devices take, and both clocks side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hobbit.bench.machine import Rates
from hobbit.bench.profile import Entry, overhead_us, profile_of, yaml_of
from hobbit.bench.routing import bench_routing
from hobbit.bench.simulated import simulated_token_ms
from hobbit.cli.main import main
from hobbit.config.compose import compose
from hobbit.errors import ConfigError
from hobbit.trace import bundled_trace
from tests.bench.small import WORDS, small

RATES = Rates(50.0, 10.0, 3000.0, 800.0, 60.0, 2.0)


def test_a_machine_becomes_a_profile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "here.yaml"
    words = ["task.layers=3", "task.prompt=8", "task.tokens=4", "task.repeats=1"]
    policies = "task.policies=[lru,hobbit]"
    code = main(["calibrate", "device=cpu", *WORDS, *words, policies, f"out={out}", "--json"])
    shown, err = capsys.readouterr()
    assert (code, err) == (0, "")
    found = json.loads(shown)
    assert found["failures"] == [] and [row["policy"] for row in found["agreement"]] == ["lru", "hobbit"]
    assert all(row["measured_ms"] > 0 and row["simulated_ms"] > 0 for row in found["agreement"])
    device = compose([f"device={out}", "policy=lru"]).setup().device
    values = {line["option"]: line["value"] for line in found["profile"]}
    assert device.simulated and device.high == "native" and device.low == "int4"
    for option in ("memory_gb_s", "link_gb_s", "layer_overhead_us"):
        assert getattr(device, option) == pytest.approx(float(values[option]), rel=0.01)
    assert main(["simulate", f"device={out}", "policy=lru", *WORDS, "compare=[]"]) == 0
    assert "simulated clock" in capsys.readouterr().out


def test_a_profile_reads_back_as_it_was_written(tmp_path: Path) -> None:
    entries = profile_of(RATES, "Card: 1", 80 * 10**9, ("native", "int4"), 2.0, 120.0)
    path = tmp_path / "card.yaml"
    path.write_text(yaml_of(entries, "Card, measured"))
    device = compose([f"device={path}", "device.link_gb_s=25"]).setup().device
    assert device.label == "Card: 1 (simulated)" and device.memory == "80000000000B"
    assert getattr(device, "disk_gb_s") == 2.0 and getattr(device, "link_gb_s") == 25  # noqa: B009


@pytest.mark.parametrize("rates", [RATES, Rates(25.0, 0.0, 1000.0, 100.0, 30.0, 1.0)])
def test_the_overhead_makes_the_resident_token_come_out(rates: Rates, tmp_path: Path) -> None:
    geometry = small(layers=4)
    token_ms = 2.5
    layer_us = overhead_us(token_ms * 1e6, geometry, rates)
    path = tmp_path / "machine.yaml"
    path.write_text(yaml_of(profile_of(rates, "M", 10**9, ("native", "int4"), None, layer_us), "M"))
    setup = compose([f"device={path}", "policy=all_resident"]).setup()
    routing = bench_routing(bundled_trace("books"), "books", geometry.shape, 8, 8, bundled=True)
    assert simulated_token_ms(setup, geometry, routing, 16) == pytest.approx(token_ms, rel=0.01)


@pytest.mark.parametrize(
    ("text", "message"),
    [("- a\n", "holds no options"), ("zzz: 1\n", "device.zzz"), ("a: [1\n", "cannot be read as a profile")],
)
def test_files_that_are_no_profiles(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        compose([f"device={path}"])


def test_bad_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "device=cpu", *WORDS]) == 2
    assert "give out=FILE.yaml" in capsys.readouterr().err
    assert main(["simulate", "device=/nowhere/here.yaml"]) == 2
    assert "cannot be read as a profile: No such file" in capsys.readouterr().err


def test_entries_are_written_with_their_sources() -> None:
    text = yaml_of({"link_gb_s": Entry(55.25, "measured"), "unified": Entry(False, "")}, "A card")
    assert text == "# A card\ndefaults: [sim, _self_]\nlink_gb_s: 55.25  # measured\nunified: false\n"
