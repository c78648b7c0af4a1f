"""Measure everything and write docs/reproduction.md with its JSON: `python -m benchmarks.reproduction`.

Ten minutes on two cores, most of them replays; `--page` only renders the JSON that is there.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from benchmarks.reproduction import caches, routing, speeds, techniques
from benchmarks.reproduction.page import render
from benchmarks.reproduction.results import Results
from benchmarks.reproduction.runs import measure_all
from hobbit.config.model import ModelOptions
from hobbit.trace.fingerprint import fingerprint_of

DOCS = Path(__file__).parents[2] / "docs"
PAGE, DATA = DOCS / "reproduction.md", DOCS / "reproduction.json"


def measure() -> Results:
    """Replays first, in parallel processes; then the model itself."""
    parts = (speeds, techniques, caches, routing)
    outcomes = measure_all(run for part in parts for run in part.runs())
    replays = (
        speeds.section(outcomes),
        techniques.section(outcomes),
        caches.section(outcomes, caches.ceilings()),
        routing.section(outcomes),
    )
    from benchmarks.reproduction import importance  # imports torch, which must not be forked

    behind = tuple({**asdict(run), **outcome.to_json()} for run, outcome in outcomes.items())
    model = f"SHA-256 {fingerprint_of(Path(ModelOptions().location))[:12]}"
    return Results(model, (*replays, importance.section()), behind)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", action="store_true", help="render the JSON that is there")
    if not parser.parse_args().page:
        measure().write(DATA)
    PAGE.write_text(render(Results.read(DATA)), encoding="utf-8")


if __name__ == "__main__":
    main()
