"""Output: a report as text or JSON, on standard output or into a file that is whole or not there."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from textwrap import fill

from rich.console import Console

from hobbit.config.schema import Output
from hobbit.errors import ConfigError
from hobbit.files import check_writable, whole_file
from hobbit.report.report import Report

WIDTH = 80
"""Columns that every table of ours fits in; narrower terminals wrap lines rather than lose figures."""


def emit(report: Report, output: Output, out: str | None) -> None:
    """Write `report` to the file `out` (None: standard output).

    Raises:
        ConfigError: if the file cannot be written.
    """
    if out is not None:
        write_out(out, as_json(report) if output is Output.json else _as_text(report))
    elif output is Output.json:
        sys.stdout.write(as_json(report))
    else:
        console = Console()
        print_report(report, Console(width=max(WIDTH, console.width)))


def write_out(out: str, text: str) -> None:
    """Write the file that `out=` names. Raises ConfigError if it cannot be written."""
    try:
        with whole_file(Path(out)) as file:
            file.write(text.encode())
    except OSError as error:
        raise ConfigError(f"out={out!r} cannot be written: {error.strerror}") from None


def check_out(out: str | None) -> None:
    """Find out early what would be lost late. Raises ConfigError if `out` cannot be written."""
    if out is None:
        return
    try:
        check_writable(Path(out))
    except OSError as error:
        raise ConfigError(f"out={out!r} cannot be written: {error.strerror}; choose another file") from None


def as_json(report: Report) -> str:
    """One JSON object and a newline."""
    return json.dumps(report.to_json(), indent=2, ensure_ascii=False) + "\n"


def print_report(report: Report, console: Console) -> None:
    """Heading, tables, notes."""
    heading = list(report.heading())
    indent = max(len(label) for label, _ in heading) + 2
    for label, text in heading:
        _say(console, label.ljust(indent), text)
    for title, table in report.sections():
        console.print()
        console.print(title, style="bold", highlight=False, markup=False)
        console.print(table)
    if report.scene.notes:
        console.print()
    for note in report.scene.notes:
        _say(console, "note: ", note, "yellow")


def _say(console: Console, label: str, text: str, style: str | None = None) -> None:
    """A line; what does not fit goes on below the start of `text`."""
    indent = " " * len(label)
    folded = fill(
        text, console.width, initial_indent=label, subsequent_indent=indent, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
    console.print(folded, style=style, highlight=False, markup=False, soft_wrap=True)


def _as_text(report: Report) -> str:
    file = io.StringIO()
    file.write(report.preface())
    print_report(report, Console(file=file, width=WIDTH))
    return file.getvalue()
