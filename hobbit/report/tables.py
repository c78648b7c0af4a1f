"""Tables of figures, at most 80 columns wide as long as names are no longer than ours.

Cells are never wrapped; a header may have its unit on a second line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

from hobbit.report.measures import Measures
from hobbit.report.scene import Scene
from hobbit.sizes import format_size

if TYPE_CHECKING:
    from hobbit.engine.quality import QualityScore

_UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0))
_MARGIN = 0.1  # a unit is too large if the largest value is less than this of it


def memory_table(scene: Scene) -> Table:
    """What the memory of device and host is spent on."""
    return budget_table(scene.memory)


def budget_table(rows: Iterable[tuple[str, int, str]]) -> Table:
    """Rows of a budget: what, bytes, a note."""
    table = empty_table("what", ">size", "note")
    for what, nbytes, note in rows:
        table.add_row(what, format_size(nbytes), note)
    return table


def measures_table(measures: Measures, precisions: Sequence[str]) -> Table:
    """One policy's figures, one a row."""
    table = empty_table("measure", ">value")
    for name, value in _rows(measures, precisions):
        table.add_row(name, value)
    return table


def replays_table(
    rows: Mapping[str, Measures], run: Measures, marks: Mapping[str, str] | None = None
) -> Table:
    """Policies on one routing, beside `run`, whose speed-ups are shown. `marks` are columns of one value.

    Of a queue, the experts that a layer demands in one batch are shown in the place of the stall share.
    """
    marks = marks or {}
    unit, factor = _unit(max(m.bytes_per_token for m in rows.values()))
    batches = run.batch_tokens > 1
    table = empty_table(
        "policy",
        *marks,
        ">decode\ntok/s",
        ">speed-up",
        ">prefill\ns",
        ">hits\n%",
        f">{unit} per\ntoken",
        ">experts\na batch" if batches else ">stall\n%",
    )
    for policy, m in rows.items():
        ratio = run.decode_tokens_per_s / m.decode_tokens_per_s if m.decode_tokens_per_s else 0.0
        table.add_row(
            policy,
            *marks.values(),
            f"{m.decode_tokens_per_s:.3g}",
            f"{ratio:.2f}x" if ratio else "n/a",
            f"{m.prefill_s:.3g}",
            _percent(m.hit_ratio),
            f"{m.bytes_per_token / factor:.3g}",
            f"{m.batch_experts:.3g}" if batches else _percent(m.stall_share),
        )
    return table


def quality_table(scores: Mapping[str, QualityScore]) -> Table:
    """How far the run is from the high-precision model, by domain."""
    table = empty_table(
        "domain", ">tokens", ">mean\nKL", ">p99\nKL", ">top-1\n%", ">perplexity", ">reference\nperplexity",
        ">prefill\nKL",
    )  # fmt: skip
    for domain, score in scores.items():
        table.add_row(
            domain,
            str(score.tokens),
            f"{score.mean_kl:.4f}",
            f"{score.p99_kl:.4f}",
            _percent(score.top1_agreement),
            f"{score.perplexity:.2f}",
            f"{score.reference_perplexity:.2f}",
            f"{score.prefill_kl:.4f}",
        )
    return table


def empty_table(*columns: str) -> Table:
    """An empty table; ">" before a column's name aligns it to the right."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    for column in columns:
        table.add_column(
            column.removeprefix(">"), justify="right" if column[0] == ">" else "left", no_wrap=True
        )
    return table


def _rows(m: Measures, precisions: Sequence[str]) -> Iterable[tuple[str, str]]:
    yield f"prefill of {m.prefill_tokens} tokens", f"{m.prefill_s:.3g} s"
    yield f"decode of {m.decode_tokens} tokens", f"{m.decode_tokens_per_s:.3g} tok/s"
    if m.batch_tokens > 1:
        yield "tokens a batch", f"{m.batch_tokens:.3g}"
        yield "experts a layer and batch", f"{m.batch_experts:.3g}"
    yield "hit ratio", f"{_percent(m.hit_ratio)} %"
    if len(precisions) > 1:
        for name, ratio in zip(precisions, m.hit_ratios, strict=True):
            yield f"  at {name}", f"{_percent(ratio)} %"
    yield "bytes per token", format_size(m.bytes_per_token)
    yield "stall share of decode", f"{_percent(m.stall_share)} %"
    yield f"{m.transfer_stream} utilisation", f"{_percent(m.transfer_utilisation)} %"
    for name, share in zip(precisions, m.served, strict=True):
        yield f"selections served at {name}", f"{_percent(share)} %"
    yield "selections skipped", f"{_percent(m.skipped)} %"
    yield "selections run on the host", f"{_percent(m.hosted)} %"
    if m.prefetch_use is not None:
        yield "prefetched experts used", f"{_percent(m.prefetch_use)} %"


def _unit(largest: float) -> tuple[str, float]:
    """The unit of a column, and its bytes."""
    return next((unit for unit in _UNITS if largest >= _MARGIN * unit[1]), _UNITS[-1])


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
