"""Picture: a figure with its caption, drawn when it is written. Matplotlib is imported only then."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hobbit.errors import ConfigError
from hobbit.files import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Look = Mapping[str, Any]
"""Properties of a matplotlib patch."""

SOFTWARE = "hobbit"
"""What our PNG files say they were made by."""


@dataclass(frozen=True, slots=True)
class Picture:
    """`name` is the stem of its file. `subtitle` says whose clock, device and geometry these are.

    `badge` marks what a reader must not overlook (synthetic routing), `keys` explain the looks of bars,
    `notes` stand below. `size` is that of the drawing in inches; what surrounds it comes on top. `paint`
    draws into a figure with its margins set.
    """

    name: str
    title: str
    subtitle: str
    size: tuple[float, float]
    paint: Callable[[Figure], None]
    badge: str = ""
    keys: tuple[tuple[str, Look], ...] = ()
    notes: tuple[str, ...] = ()

    def render(self, kind: str = "png") -> bytes:
        """The file's bytes: `kind` "png" or "svg". The same picture gives the same bytes.

        Raises:
            ConfigError: if matplotlib is missing.
        """
        check_matplotlib()
        from hobbit.report.pictures.canvas import figure_of, style

        with style(), io.BytesIO() as file:
            figure_of(self).savefig(file, format=kind, metadata=self._metadata(kind))
            return file.getvalue()

    def write(self, path: Path) -> Path:
        """Write the file, of the kind that its suffix says; returns `path`.

        Raises:
            ConfigError: if matplotlib is missing, or the file cannot be written.
        """
        content = self.render(path.suffix.removeprefix("."))
        try:
            with whole_file(path) as file:
                file.write(content)
        except OSError as error:
            raise ConfigError(f"the picture {str(path)!r} cannot be written: {error.strerror}") from None
        return path

    def _metadata(self, kind: str) -> dict[str, str | None]:
        """What the file says of itself; no date, so that it can be made again."""
        maker: dict[str, str | None] = {"Title": self.title, "Description": self.subtitle}
        return maker | ({"Date": None, "Creator": SOFTWARE} if kind == "svg" else {"Software": SOFTWARE})


def check_matplotlib() -> None:
    """Raise ConfigError if pictures cannot be drawn; costs no import."""
    if find_spec("matplotlib") is None:
        raise ConfigError("pictures need matplotlib, which is missing: pip install 'hobbit-moe[pictures]'")
