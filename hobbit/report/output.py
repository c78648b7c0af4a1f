"""Output: a report as text or JSON, on standard output or into a file that is whole or not there."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from tempfile import NamedTemporaryFile

from rich.console import Console

from hobbit.config.schema import Output
from hobbit.errors import ConfigError
from hobbit.report.run_report import RunReport
from hobbit.report.tables import print_report


def emit(report: RunReport, output: Output, out: str | None) -> None:
    """Write `report` to the file `out` (None: standard output).

    Raises:
        ConfigError: if the file cannot be written.
    """
    if out is None:
        if output is Output.json:
            sys.stdout.write(_json(report))
        else:
            print_report(report, Console())
        return
    write_whole(Path(out), _json(report) if output is Output.json else _text(report))


def write_whole(path: Path, text: str) -> None:
    """Write aside, then rename: an interrupted write leaves what was there before.

    Raises:
        ConfigError: if the file cannot be written.
    """
    try:
        with NamedTemporaryFile(
            "w", dir=path.parent, prefix=f".{path.name}.", delete=False, encoding="utf-8"
        ) as aside:
            aside.write(text)
        Path(aside.name).replace(path)
    except OSError as error:
        raise ConfigError(f"out={str(path)!r} cannot be written: {error.strerror}") from None


def _json(report: RunReport) -> str:
    return json.dumps(report.to_json(), indent=2, ensure_ascii=False) + "\n"


def _text(report: RunReport) -> str:
    console = Console(file=io.StringIO(), width=110)
    console.print(report.prompt + report.text + "\n", markup=False, highlight=False)
    print_report(report, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()
