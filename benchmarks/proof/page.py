"""The proof as a Markdown page: the bars, met and missed, and every row behind them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.proof.cases import BARS, Bar, Found, Results
from hobbit.bench.row import PeerRow, PolicyRow
from hobbit.bench.split import Split
from hobbit.report.bench import PART_WORDS, BenchReport
from hobbit.sizes import format_size


def judged(results: Results) -> list[tuple[Bar, Found]]:
    """Every bar with what was found."""
    return [(bar, bar.find(results)) for bar in BARS]


def verdict(bar: Bar, found: Found) -> str:
    """Met, missed, and by how much."""
    if found is None:
        return "not measured"
    if bar.beyond is not None and found[0] >= bar.beyond:
        return "met, and beyond"
    return "met" if found[0] >= bar.bar else f"missed ({found[0] / bar.bar:.2f} of it)"


def page_of(reports: Mapping[str, BenchReport], seconds: float) -> str:
    """The whole page."""
    results = {name: report.result for name, report in reports.items()}
    lines = ["# Proof of the CUDA engine", "", f"One call of {seconds:.0f} s, live, wall time.", ""]
    lines += _table(("what", "bar", "beyond", "measured", "by", "verdict"), _bars(results))
    for name, report in reports.items():
        lines += ["", f"## {name}", ""]
        lines += [f"* {label}: {text}" for label, text in report.heading()]
        lines += ["", *_table(_COLUMNS, map(_row, report.result.rows))]
        parts = [_parts(row, row.split) for row in report.result.rows if row.split is not None]
        heads = ("ms a token, with barriers", *PART_WORDS.values(), "sum", "undisturbed")
        lines += ["", *_table(heads, parts)]
        if report.result.peers:
            heads = ("engine", "decode tok/s", "prefill tok/s", "how")
            lines += ["", *_table(heads, map(_peer, report.result.peers))]
        lines += [f"* not measured: {failure.name}: {failure.reason}" for failure in report.result.failures]
        lines += [f"* note: {note}" for note in report.scene.notes]
    return "\n".join(lines) + "\n"


_COLUMNS = (
    "policy", "outputs", "decode tok/s", "ms a token", "± %", "prefill tok/s", "efficiency", "found there %",
    "high / low / skipped %", "host %", "decided %", "copied, used, host", "link / host %", "peak of budget",
)  # fmt: skip


def _bars(results: Results) -> Iterable[Sequence[str]]:
    for bar, found in judged(results):
        value, whose = ("", "") if found is None else (f"{found[0]:.4g} {bar.unit}", found[1])
        beyond = "" if bar.beyond is None else f"{bar.beyond:g}"
        yield bar.what, f"{bar.bar:g}", beyond, value, whose, verdict(bar, found)


def _row(row: PolicyRow) -> Sequence[str]:
    shares = row.shares
    decided = () if shares.decided is None else shares.decided
    peak = "n/a" if row.peak_bytes is None else format_size(row.peak_bytes)
    return (
        row.policy, row.loss, f"{row.decode_tokens_per_s:.4g}", f"{row.token_ms:.4g}",
        f"{100 * row.spread:.0f}", f"{row.prefill_tokens_per_s:.4g}",
        "" if row.efficiency is None else f"{row.efficiency:.3f}",
        f"{100 * row.hit_ratio:.1f}", _percents((shares.high, shares.low, shares.skipped)),
        f"{100 * shares.host:.1f}", _percents(decided),
        ", ".join(map(format_size, (row.moved, row.copied, row.hosted))),
        f"{100 * row.link_share:.0f} / {100 * row.host_share:.0f}", f"{peak} of {format_size(row.budget)}",
    )  # fmt: skip


def _parts(row: PolicyRow, split: Split) -> Sequence[str]:
    figures = [*(split.parts[part] for part in PART_WORDS), split.total, row.token_ms]
    return row.policy, *(f"{figure:.3g}" for figure in figures)


def _peer(row: PeerRow) -> Sequence[str]:
    speeds = (row.decode_tokens_per_s, row.prefill_tokens_per_s)
    return row.peer, *("n/a" if speed is None else f"{speed:.4g}" for speed in speeds), row.how


def _percents(shares: Iterable[float]) -> str:
    return " / ".join(f"{100 * share:.1f}" for share in shares)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]
