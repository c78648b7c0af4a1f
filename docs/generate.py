"""Write the generated pages: `python -m docs.generate`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from docs.pages.components import components_page
from docs.pages.hooks import hooks_page

FOLDER = Path(__file__).parent

PAGES: dict[str, Callable[[], str]] = {"hooks.md": hooks_page, "components.md": components_page}
"""What makes each generated page, by file name."""


def main() -> None:
    """Write every page."""
    for name, make in PAGES.items():
        (FOLDER / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
