"""Measure every bar in one call: `python -m benchmarks.proof [out=FOLDER] [OPTION=VALUE ...]`.

Options are those of task=bench and count for every model (`device=cpu geometry.hidden=64` tries it without a
GPU). Rows are printed as they come; one that fails is marked and does not stop the others. The folder gets
proof.json, proof.md and, where matplotlib is, a picture for each model of where a token's time goes.
"""

from __future__ import annotations

import gc
import json
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter

import torch

from benchmarks.proof.cases import CASES, Case
from benchmarks.proof.page import judged, page_of, verdict
from hobbit.bench.row import Failure, PeerRow, PolicyRow
from hobbit.config.compose import compose_overrides
from hobbit.config.words import to_overrides
from hobbit.errors import ConfigError
from hobbit.report.bench import BenchReport
from hobbit.report.pictures.token_time import token_time_picture
from hobbit.tasks.workbench import Workbench, check_bench

DEFAULTS = ("task=bench", "device=cuda", "bench.fraction=0.5", "bench.tokens=64", "bench.seconds=12")
"""A row of half a second a token would take minutes: `seconds` cuts it short."""


def main(words: Sequence[str], cases: Mapping[str, Case] = CASES) -> int:
    """Run it; 0 even where bars are missed: the page says so."""
    started = perf_counter()
    folder = Path(next((word[4:] for word in words if word.startswith("out=")), "proof"))
    folder.mkdir(parents=True, exist_ok=True)
    own = [word for word in words if not word.startswith("out=")]
    reports: dict[str, BenchReport] = {}
    for name, case in cases.items():
        print(f"== {name}", flush=True)
        try:
            reports[name] = _measure(case, own)
        # One model that breaks must not cost the other one's figures.
        except Exception:
            traceback.print_exc()
            continue
        _keep(reports, folder, perf_counter() - started)
        _draw(name, reports[name], folder)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    for bar, found in judged({name: report.result for name, report in reports.items()}):
        value = "" if found is None else f"{found[0]:.4g} {bar.unit} ({found[1]})"
        print(f"{verdict(bar, found):24} {bar.what}: bar {bar.bar:g}; {value}")
    return 0 if reports else 1


def _measure(case: Case, words: Sequence[str]) -> BenchReport:
    given = {word.partition("=")[0] for word in words}
    every = [word for word in (*DEFAULTS, *case.words) if word.partition("=")[0] not in given]
    overrides = to_overrides([*every, *words])
    config = compose_overrides(overrides)
    check_bench(config)
    bench = Workbench.of(config, overrides, _stage)
    bench.tell = _tell
    bench.run_policies(case.policies)
    bench.run_peers(case.peers)
    return bench.report()


def _stage(what: str) -> None:
    print(f"   {what}", file=sys.stderr, flush=True)


def _tell(row: PolicyRow | PeerRow | Failure) -> None:
    if isinstance(row, Failure):
        print(f"{row.name}: NOT MEASURED: {row.reason}\n{row.trace}", flush=True)
        return
    name = row.policy if isinstance(row, PolicyRow) else row.peer
    speeds = (row.decode_tokens_per_s, row.prefill_tokens_per_s)
    shown = [f"{name}: decode {speeds[0]:.4g}, prefill {speeds[1]:.4g} tok/s" if None not in speeds else name]
    if isinstance(row, PolicyRow):
        shown.append(f"found {100 * row.hit_ratio:.1f} %, moved {row.moved / 1e6:.4g} MB a token")
        if row.efficiency is not None:
            shown.append(f"efficiency {row.efficiency:.3f}")
        if row.split is not None:
            shown.append(" ".join(f"{part} {ms:.3g}" for part, ms in row.split.parts.items()) + " ms")
    else:
        shown.append(row.how)
    print("; ".join(shown), flush=True)


def _keep(reports: dict[str, BenchReport], folder: Path, seconds: float) -> None:
    """Write what there is so far."""
    values = {name: report.to_json() for name, report in reports.items()}
    bars = [
        {
            "what": bar.what,
            "bar": bar.bar,
            "beyond": bar.beyond,
            "found": found,
            "verdict": verdict(bar, found),
        }
        for bar, found in judged({name: report.result for name, report in reports.items()})
    ]
    (folder / "proof.json").write_text(json.dumps({"bars": bars, "models": values}, indent=1) + "\n")
    (folder / "proof.md").write_text(page_of(reports, seconds))


def _draw(name: str, report: BenchReport, folder: Path) -> None:
    try:
        token_time_picture(report).write(folder / f"token-time-{name}.png")
    except ConfigError as error:
        print(f"no picture: {error}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
