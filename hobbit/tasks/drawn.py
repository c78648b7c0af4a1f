"""What tasks that draw have in common: a file named by `out`, and mostly pictures beside it."""

from __future__ import annotations

from pathlib import Path

from hobbit.config.schema import HobbitConfig
from hobbit.errors import ConfigError
from hobbit.report.output import check_out
from hobbit.report.pictures.picture import Picture, check_matplotlib

KINDS = (".png", ".svg")


def check_drawn(config: HobbitConfig, suffix: str) -> Path:
    """The file to write, with this suffix. Raises ConfigError if there is none, or nothing can be drawn."""
    task = config.task.name
    if config.out is None or Path(config.out).suffix != suffix:
        named = "" if config.out is None else f", not out={config.out}"
        raise ConfigError(f"task={task} writes a {suffix} file; give out={task}{suffix}{named}")
    check_matplotlib()
    return Path(config.out)


def check_beside(out: Path) -> None:
    """Raise ConfigError if a picture could not be written beside `out`."""
    for path in files_of(out):
        check_out(str(path))


def files_of(out: Path) -> list[Path]:
    """What is written: `out`, and the pictures beside it."""
    return [out, *(out.with_suffix(kind) for kind in KINDS)]


def write_beside(picture: Picture, out: Path) -> None:
    """Write the picture as PNG and SVG, named like `out`. Raises ConfigError if one cannot be written."""
    for kind in KINDS:
        picture.write(out.with_suffix(kind))
