"""Tables: a run's report on a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, RenderableType
from rich.table import Table

from hobbit.report.measures import Measures
from hobbit.report.run_report import RunReport
from hobbit.sizes import format_size

SIMULATED = "simulated clock"
LIVE = "live"


def print_report(report: RunReport, console: Console) -> None:
    """Write the report: what it speaks of, budget, speed, replays and quality."""
    console.print(_headline(report), highlight=False, markup=False)
    for table in _tables(report):
        console.print()
        console.print(table)
    for note in report.notes:
        console.print(f"note: {note}", style="yellow", highlight=False, markup=False)


def _headline(report: RunReport) -> str:
    clock = f"speeds: {SIMULATED} of {report.device}, geometry {report.geometry}"
    if not report.simulated:
        clock = f"speeds: live on {report.device}"
    loss = "lossy" if report.lossy else "lossless"
    parts = ", ".join(f"{kind} {name}" for kind, name in report.policy.items())
    return (
        f"tokens and quality: live, {report.model}; {clock}\n"
        f"policy: {parts}; {loss} relative to {report.precisions[0]}"
    )


def _tables(report: RunReport) -> Iterable[RenderableType]:
    yield _memory(report)
    yield _run(report)
    if report.replayed:
        yield _replays(report)
    if report.quality is not None:
        yield _quality(report)


def _memory(report: RunReport) -> Table:
    table = Table(title="device memory", title_justify="left")
    table.add_column("what")
    table.add_column("size", justify="right")
    table.add_column("note")
    for what, nbytes, note in report.memory:
        table.add_row(what, format_size(nbytes), note)
    return table


def _run(report: RunReport) -> Table:
    clock = SIMULATED if report.simulated else LIVE
    table = Table(title=f"this run ({clock})", title_justify="left")
    table.add_column("measure")
    table.add_column("value", justify="right")
    for name, value in _rows(report.measures, report.precisions):
        table.add_row(name, value)
    return table


def _rows(m: Measures, precisions: tuple[str, ...]) -> Iterable[tuple[str, str]]:
    yield f"prefill of {m.prefill_tokens} tokens", f"{m.prefill_s:.3g} s"
    yield f"decode of {m.decode_tokens} tokens", f"{m.decode_tokens_per_s:.3g} tokens/s"
    yield "hit ratio", _percent(m.hit_ratio)
    if len(precisions) > 1:
        for name, ratio in zip(precisions, m.hit_ratios, strict=True):
            yield f"  at {name}", _percent(ratio)
    yield "bytes per token", format_size(m.bytes_per_token)
    yield "stall share of decode", _percent(m.stall_share)
    yield f"{m.transfer_stream} utilisation", _percent(m.transfer_utilisation)
    for name, share in zip(precisions, m.served, strict=True):
        yield f"selections served at {name}", _percent(share)
    yield "selections skipped", _percent(m.skipped)
    yield "selections run on the host", _percent(m.hosted)
    if m.prefetch_use is not None:
        yield "prefetched experts used", _percent(m.prefetch_use)


def _replays(report: RunReport) -> Table:
    table = Table(
        title=f"the same routing under other policies, all at {report.precisions[0]} ({SIMULATED})",
        title_justify="left",
    )
    for column in (
        "policy",
        "decode",
        "speed-up of this run",
        "prefill",
        "hit ratio",
        "bytes/token",
        "stall",
    ):
        table.add_column(column, justify="left" if column == "policy" else "right")
    table.add_row("this run", *_speed(report.measures, report.measures))
    for other in report.replayed:
        table.add_row(other.policy, *_speed(other.measures, report.measures))
    return table


def _speed(m: Measures, run: Measures) -> tuple[str, ...]:
    ratio = run.decode_tokens_per_s / m.decode_tokens_per_s if m.decode_tokens_per_s else 0.0
    return (
        f"{m.decode_tokens_per_s:.3g} tokens/s",
        f"{ratio:.2f}x" if ratio else "n/a",
        f"{m.prefill_s:.3g} s",
        _percent(m.hit_ratio),
        format_size(m.bytes_per_token),
        _percent(m.stall_share),
    )


def _quality(report: RunReport) -> Table:
    assert report.quality is not None
    table = Table(
        title=f"quality in decode against the model at {report.precisions[0]} (live)", title_justify="left"
    )
    columns = (
        "domain",
        "tokens",
        "mean KL",
        "p99 KL",
        "top-1 agreement",
        "perplexity",
        "reference",
        "prefill KL",
    )
    for column in columns:
        table.add_column(column, justify="left" if column == "domain" else "right")
    for domain, score in [*report.quality.domains.items(), ("all", report.quality.overall)]:
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


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
