"""The page: nothing from outside, everything escaped, every image whole; and Chromium agrees."""

from __future__ import annotations

import re
import shutil
import subprocess
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hobbit.errors import ConfigError
from hobbit.report.cell import append_cell
from hobbit.report.html.gathered import gather
from hobbit.report.html.page import Page
from hobbit.report.html.results import page_of
from hobbit.tasks.report import write_page
from tests.report.test_cell import CELL
from tests.report.test_pictures import LOSSLESS, LOSSY

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)
CELLS = [
    *LOSSLESS[:2],
    LOSSY[0],
    *(replace(cell, geometry="phi_moe", synthetic=True, key=f"{cell.key}phi") for cell in LOSSLESS[:2]),
    replace(CELL, policy="dull", key="dull", measures=None, quality=None, error="<4 GB> & more are missing"),
]


class Reader(HTMLParser):
    """Tags that are open, those seen, and where things are loaded from."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in ("meta", "link", "img"):
            self.open.append(tag)
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a comparison, and things that are none."""
    folder = tmp_path_factory.mktemp("results")
    with (folder / "results.jsonl").open("ab") as file:
        for cell in CELLS:
            append_cell(file, cell)
        file.write(b'{"policy": "half')
    (folder / "comparison.md").write_text("# Comparison")
    (folder / "foreign.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


@pytest.fixture(scope="module")
def html(results: Path) -> str:
    return page_of(gather(results)).html()


def test_the_page_is_well_formed_and_loads_nothing_from_outside(html: str) -> None:
    reader = Reader()
    reader.feed(html)
    assert not reader.open and reader.seen[0] == "html"
    assert all(place.startswith(("data:", "#part-")) for place in reader.loaded)
    assert "script" not in reader.seen and "url(" not in html and "@import" not in html


def test_every_image_is_a_whole_png(html: str) -> None:
    images = re.findall(r'src="data:image/png;base64,([^"]*)" alt="([^"]+)"', html)
    assert len(images) == 3  # two speed-ups, one front: synthetic routing has no quality
    for data, alt in images:
        assert b64decode(data).endswith(b"IEND\xaeB`\x82")
        assert "simulated clock" in alt and "device orin" in alt


def test_it_has_the_tables_marks_failures_and_notes(html: str) -> None:
    for text in (
        '<th scope="row">hobbit ~</th>',
        "Synthetic routing: no model made it, so that quality is n/a.",
        "dull on orin with mixtral_8x7b (16+32): &lt;4 GB&gt; &amp; more are missing",
        "dull on orin with mixtral_8x7b: a note</li>",
        "prefers-color-scheme: dark",
    ):
        assert text in html
    assert "half" not in html


def test_titles_are_escaped() -> None:
    page = Page("<script>", "a & b", [("<b>", "<p>kept</p>")])
    assert "<script>" not in page.html() and "&lt;b&gt;" in page.html() and "<p>kept</p>" in page.html()


def test_an_empty_folder_and_one_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no results; make some with task=compare"):
        gather(tmp_path)
    with pytest.raises(ConfigError, match=r"cannot be read: No such file or directory"):
        gather(tmp_path / "none")


LOOK = """<script>addEventListener("load", () => {
  const images = [...document.images];
  document.title = images.every(i => i.complete && i.naturalWidth) ? "whole " + images.length : "broken";
})</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_chromium_shows_it_without_complaint(results: Path, tmp_path: Path) -> None:
    write_page(results, tmp_path / "report.html")
    page = tmp_path / "looked-at.html"
    page.write_text((tmp_path / "report.html").read_text().replace("</body>", f"{LOOK}</body>"))
    assert CHROMIUM is not None
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom",
        f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=10000", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert "<title>whole 3</title>" in done.stdout
    assert "CONSOLE" not in done.stderr
