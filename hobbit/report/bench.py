"""BenchReport: policies and other engines on one machine, in one call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.table import Table

from hobbit.report.report import Report, Section
from hobbit.report.tables import empty_table
from hobbit.sizes import format_size

if TYPE_CHECKING:
    from hobbit.bench.row import BenchResult, PolicyRow

PART_WORDS = {
    "model": "attention, norms, router, head",
    "experts": "experts on the device",
    "copies": "waiting for copies",
    "host": "waiting for host experts",
    "runtime": "the runtime itself",
}


@dataclass(frozen=True, slots=True)
class BenchReport(Report):
    """Times are live. `shape` and `routing` say in words what ran, `machine` where."""

    task: ClassVar[str] = "bench"
    machine: str
    shape: str
    routing: str
    lengths: str
    result: BenchResult

    def heading(self) -> Iterable[tuple[str, str]]:
        """Machine, model, routing, measured bandwidths, what preparing took."""
        yield "machine", self.machine
        yield "model", f"synthetic, {self.shape}"
        yield "routing", f"{'synthetic, ' if self.scene.synthetic else 'replayed, '}{self.routing}"
        yield "lengths", self.lengths
        yield "clock", "live, wall time; medians after a warm-up"
        rates = self.result.rates
        measured = (("link", "link_gb_s"), ("host experts", "host_gb_s"), ("device memory", "memory_gb_s"))
        yield "measured", ", ".join(f"{what} {rates[name]:.4g} GB/s" for what, name in measured)
        setup = ", ".join(f"{what} {seconds:.1f} s" for what, seconds in self.result.setup_s.items())
        yield "set-up", setup

    def sections(self) -> Iterable[Section]:
        """Speeds, traffic, memory, parts of a token, peers, failures."""
        result = self.result
        if result.rows:
            yield Section("speed (live)", _speeds(result.rows))
            yield Section("selections in decode, % of all, hits included", _shares(result.rows))
            yield Section("a decoded token: bytes, shares of measured bandwidths", _traffic(result.rows))
            yield Section("device memory", _memory(result.rows))
        if any(row.split for row in result.rows):
            yield Section("ms per token by part, with barriers between parts", _parts(result.rows))
        if result.peers:
            yield Section("other engines, same call (live)", _peers(result))
        if result.failures:
            yield Section("not measured", _failures(result))


def _speeds(rows: Iterable[PolicyRow]) -> Table:
    table = _by_policy(
        "outputs", ">decode\ntok/s", ">ms a\ntoken", ">±\n%", ">prefill\ntok/s", ">floor\nms",
        ">effi-\nciency", ">runs",
    )  # fmt: skip
    for row in rows:
        table.add_row(
            _lines(row), row.loss, f"{row.decode_tokens_per_s:.4g}", f"{row.token_ms:.4g}",
            f"{100 * row.spread:.0f}", f"{row.prefill_tokens_per_s:.4g}", _number(row.floor_ms, ".3g"),
            _number(row.efficiency, ".2f"), str(row.repeats),
        )  # fmt: skip
    return table


def _shares(rows: Iterable[PolicyRow]) -> Table:
    table = _by_policy(
        ">found\nthere", ">high", ">low", ">skipped", ">on the\nhost", ">decided\nhigh/low/skip"
    )
    for row in rows:
        shares = row.shares
        decided = (
            "" if shares.decided is None else " / ".join(f"{100 * share:.1f}" for share in shares.decided)
        )
        figures = (row.hit_ratio, shares.high, shares.low, shares.skipped, shares.host)
        table.add_row(_lines(row), *(f"{100 * figure:.1f}" for figure in figures), decided)
    return table


def _traffic(rows: Iterable[PolicyRow]) -> Table:
    table = _by_policy(">copied", ">of these\nused", ">read by\nthe host", ">link\n%", ">host\n%")
    for row in rows:
        table.add_row(
            _lines(row), format_size(row.moved), format_size(row.copied), format_size(row.hosted),
            f"{100 * row.link_share:.0f}", f"{100 * row.host_share:.0f}",
        )  # fmt: skip
    return table


def _memory(rows: Iterable[PolicyRow]) -> Table:
    table = _by_policy(">budget", ">planned", ">peak", ">slots", "within")
    for row in rows:
        peak = "n/a" if row.peak_bytes is None else format_size(row.peak_bytes)
        within = "" if row.peak_bytes is None else ("yes" if row.peak_bytes <= row.budget else "NO")
        slots = "\n".join(f"{count} {precision}" for precision, count in row.slots.items())
        table.add_row(_lines(row), format_size(row.budget), format_size(row.planned), peak, slots, within)
    return table


def _parts(rows: Iterable[PolicyRow]) -> Table:
    heads = (words.replace(" ", "\n") for words in PART_WORDS.values())
    table = _by_policy(*(f">{head}" for head in heads), ">sum", ">undis-\nturbed")
    for row in rows:
        if row.split is not None:
            figures = (*(row.split.parts[part] for part in PART_WORDS), row.split.total, row.token_ms)
            table.add_row(_lines(row), *(f"{figure:.3g}" for figure in figures))
    return table


def _by_policy(*columns: str) -> Table:
    """An empty table of figures by policy, whose name gives way to them where there is little room."""
    table = empty_table("policy", *columns)
    table.columns[0].no_wrap, table.columns[0].overflow = False, "fold"
    return table


def _lines(row: PolicyRow) -> str:
    """The entry with each of its own options in a line: a long one would leave no room for figures."""
    preset, _, options = row.policy.partition(":")
    return "\n  ".join([preset, *filter(None, options.split(","))])


def _peers(result: BenchResult) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False)
    for name in ("engine", "decode\ntok/s", "prefill\ntok/s"):
        table.add_column(name, justify="left" if name == "engine" else "right", no_wrap=True)
    table.add_column("how")
    for peer in result.peers:
        table.add_row(
            peer.peer, _number(peer.decode_tokens_per_s), _number(peer.prefill_tokens_per_s), peer.how
        )
    return table


def _failures(result: BenchResult) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False)
    table.add_column("what", no_wrap=True)
    table.add_column("why")
    for failure in result.failures:
        table.add_row(failure.name, failure.reason)
    return table


def _number(value: float | None, form: str = ".4g") -> str:
    return "n/a" if value is None else format(value, form)
