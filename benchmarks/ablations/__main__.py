"""Replay every ablation and write docs/ablations.md: `python -m benchmarks.ablations`.

Two minutes on two cores.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

from benchmarks.ablations.cases import DEVICES, GROUPS, LENGTHS, Group, run_of
from benchmarks.reproduction.claims import NAMES
from benchmarks.reproduction.figures import Outcome
from benchmarks.reproduction.page import markdown
from benchmarks.reproduction.runs import Outcomes, measure_all

PAGE = Path(__file__).parents[2] / "docs" / "ablations.md"

INTRO = f"""\
# Ablations

HOBBIT with one thing changed at a time, on the simulated Orin and RTX 4090 with Mixtral's geometry. Generated
by `python -m benchmarks.ablations`; `make bench` runs the same cases and keeps their figures as `extra_info`.
The routing is recorded: a prompt of {LENGTHS.prompt} tokens and {LENGTHS.decode} generated, from each of the
test traces of books, code and maths. The penalty is that of a decoded token: a high miss counts 1, a low one
B_low / B_high. Hits are demands that found a copy at hand or on its way. The
[papers' figures](reproduction.md) have a page of their own.
"""

HEAD = ("tok/s", "penalty", "hits %", "GB/token")


def render(outcomes: Outcomes) -> str:
    """The whole page."""
    return "\n".join([INTRO, *(_group(group, outcomes) for group in GROUPS)])


def _group(group: Group, outcomes: Outcomes) -> str:
    columns = (f"{NAMES[device]} {what}" for device, what in product(DEVICES, HEAD))
    rows = [
        (name, *(cell for device in DEVICES for cell in _cells(outcomes[run_of(words, device)])))
        for name, words in group.cases.items()
    ]
    return f"## {group.name.capitalize()}\n\n{group.text}\n\n{markdown([('case', *columns), *rows])}"


def _cells(outcome: Outcome) -> Iterator[str]:
    decode = outcome.decode
    if outcome.error:
        yield from ("n/a" for _ in HEAD)
        return
    yield f"{decode.rate:.3g}"
    yield f"{decode.penalty / decode.tokens:.2f}"
    yield f"{100 * decode.hit_ratio:.1f}"
    yield f"{decode.nbytes / decode.tokens / 1e9:.3g}"


def main() -> None:
    cases = (words for group in GROUPS for words in group.cases.values())
    outcomes = measure_all(run_of(words, device) for words, device in product(cases, DEVICES))
    PAGE.write_text(render(outcomes), encoding="utf-8")


if __name__ == "__main__":
    main()
