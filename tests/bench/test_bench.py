"""task=bench on the CPU: the figures that do not depend on its speed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hobbit.assembly import assemble
from hobbit.bench.routing import first_layers
from hobbit.cli.main import main
from hobbit.config.compose import compose
from hobbit.trace import bundled_trace
from hobbit.trace.cut import cut
from hobbit.trace.replay import replay
from tests.bench.small import WORDS, small

LENGTHS = ["task.prompt=16", "bench.tokens=6", "bench.repeats=2", "bench.split=3"]
Report = Callable[..., dict[str, Any]]


@pytest.fixture
def bench(capsys: pytest.CaptureFixture[str]) -> Report:
    """`bench(*words)` runs the task in this process on a small geometry and reads its JSON."""

    def call(*words: str) -> dict[str, Any]:
        code = main(["bench", "device=cpu", *WORDS, "bench.layers=3", *LENGTHS, *words, "--json"])
        out, err = capsys.readouterr()
        assert (code, err) == (0, "")
        found: dict[str, Any] = json.loads(out)
        return found

    return call


def test_policies_beside_each_other(bench: Report, tmp_path: Path) -> None:
    picture = tmp_path / "token.png"
    policies = "bench.policies=[lru,hobbit,on_demand,'lru:loader=fiddler']"
    found = bench(policies, "bench.fraction=0.75", f"bench.picture={picture}", "device.unified=false")
    result = found["result"]
    assert result["failures"] == []
    rows = {row["policy"]: row for row in result["rows"]}
    assert list(rows) == ["all_resident", "lru", "hobbit", "on_demand", "lru:loader=fiddler"]
    for row in rows.values():
        shares = row["shares"]
        assert shares["high"] + shares["low"] + shares["skipped"] == pytest.approx(1)
        assert row["repeats"] == 2 and row["decode_tokens_per_s"] > 0
        parts = row["split"]["by_layer"]
        assert len(parts) == 4 and all(len(layer) == 5 for layer in parts)
        assert row["floor_ms"] >= rows["all_resident"]["token_ms"]
    native = 3 * 64 * 128 * 2
    resident, lru, hobbit, on_demand = (rows[name] for name in ("all_resident", "lru", "hobbit", "on_demand"))
    assert resident["hit_ratio"] == 1 and resident["moved"] == 0 and resident["efficiency"] == 1
    assert lru["slots"] == {"native": 18} and lru["loss"] == "lossless"
    assert lru["moved"] == lru["copied"] == pytest.approx((1 - lru["hit_ratio"]) * 6 * native)
    assert on_demand["hit_ratio"] == 0 and on_demand["copied"] == 6 * native
    assert hobbit["loss"] == "lossy" and hobbit["slots"]["int4"] > 0
    assert hobbit["shares"]["decided"] == pytest.approx([0.67, 0.30, 0.03], abs=1 / 36)  # one selection
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_outputs_are_held_against_the_models_own_weights(bench: Report) -> None:
    high = "'lru:precision.high={}'"
    policies = f"[lru,{high.format('lossless12')},{high.format('int4')}]"
    rows = bench(f"bench.policies={policies}", "bench.fraction=0.5", "bench.split=0")["result"]["rows"]
    assert [row["loss"] for row in rows] == ["lossless"] * 3 + ["lossy"]
    native, packed = rows[1:3]
    assert native["planned"] == packed["planned"]
    assert packed["slots"]["lossless12"] > native["slots"]["native"]


def test_the_runtime_sees_the_recorded_routing(bench: Report) -> None:
    row = bench("bench.policies=[lru]", "bench.fraction=0.5")["result"]["rows"][1]
    trace = first_layers(cut(bundled_trace("books"), 16, 6), 3)
    config = compose(["policy=lru", "device=rtx4090", "precision=native", *WORDS])
    config.memory.device = f"{row['planned']}B"
    with_lru = assemble(config.setup(), small(), tokens=22)
    replay(first_layers(cut(bundled_trace("books"), 16, 6), 3), with_lru.runtime)  # the warm-up's part
    before = with_lru.metrics.decode.hits[0], with_lru.metrics.decode.demands
    for _ in range(2):
        replay(trace, with_lru.runtime)
    decode = with_lru.metrics.decode
    hits, demands = decode.hits[0] - before[0], decode.demands - before[1]
    assert row["hit_ratio"] == pytest.approx(hits / demands)


def test_generated_routing_is_marked(bench: Report) -> None:
    words = ["geometry=qwen3_30b_a3b", "geometry.experts=16", "geometry.top_k=4", "bench.policies=[lru]"]
    found = bench(*words, *WORDS)
    assert found["synthetic"] and "generated" in found["routing"]
    assert [row["policy"] for row in found["result"]["rows"]] == ["all_resident", "lru"]


def test_what_does_not_fit_costs_the_others_nothing(bench: Report) -> None:
    result = bench("bench.policies=[lru,belady]", "bench.fraction=0.05")["result"]
    assert [row["policy"] for row in result["rows"]] == ["all_resident"]
    assert [failure["name"] for failure in result["failures"]] == ["lru", "belady"]
    assert "plus one staging slot" in result["failures"][0]["reason"]


def test_tables(capsys: pytest.CaptureFixture[str]) -> None:
    long = "'hobbit_cooperative:cache=multidim_tuned,precision.high=lossless12'"
    policies = f"bench.policies=[hobbit_cooperative,{long}]"
    assert main(["bench", "device=cpu", *WORDS, "bench.layers=3", *LENGTHS, policies]) == 0
    shown = capsys.readouterr().out
    assert "replayed, books, its first 3 layers" in shown and "live, wall time" in shown
    assert "…" not in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["device=orin"], "device=sim is simulated: try device=cuda"),
        (["bench.policies=[lruu]"], "no policy is called 'lruu'"),
        (["bench.peers=[vllm]"], "no peer is called 'vllm'"),
        (["bench.fraction=0"], "task.fraction=0.0 is no share"),
        (["bench.layers=33"], "mixtral_8x7b has 32"),
        (["bench.tokens=0"], "must be above 0"),
        (["geometry=deepseek_v2_lite"], "which the bench cannot build"),
        (["model=org/name"], "makes its own model"),
        (["bench.trace=sonnets"], "no bundled trace has domain 'sonnets'"),
    ],
)
def test_bad_options(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    device = [] if "device=orin" in words else ["device=cpu"]
    assert main(["bench", *device, *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.count("\n") == 1
