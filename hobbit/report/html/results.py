"""The page of a folder of results: comparisons, sweeps, and what tasks drew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hobbit import __version__
from hobbit.report.cell import Cell
from hobbit.report.comparison import Board, boards, by_lengths, failures
from hobbit.report.comparison_tables import LEGEND, board_texts, board_title
from hobbit.report.html.elements import bullets, heading, image, paragraph, table
from hobbit.report.html.gathered import Drawn, Gathered
from hobbit.report.html.page import Page
from hobbit.report.pictures import Picture
from hobbit.report.pictures.capacity import capacity_picture
from hobbit.report.pictures.draw import board_pictures

LEAD = (
    "Mixture-of-Experts models whose experts do not fit on the device, under offloading policies compared "
    "here. Every picture and table names its clock, device and geometry."
)


def page_of(gathered: Gathered) -> Page:
    """The page. Raises ConfigError if matplotlib is missing."""
    page = Page("Expert offloading, compared", LEAD, footer=f"hobbit {__version__}")
    for cells in gathered.comparisons:
        page.sections += _comparison(cells)
    for points in gathered.sweeps.values():
        page.sections.append((f"Cache size, {points[0].device}", _shown(capacity_picture("sweep", points))))
    page.sections += [(drawn.title, _drawn(drawn)) for drawn in gathered.drawn]
    return page


def _comparison(cells: Sequence[Cell]) -> Iterator[tuple[str, str]]:
    """A section for each device and geometry, the lengths apart, and what is to be said of all."""
    for board in boards(cells):
        yield f"{board.device}, {board.geometry}", _board(board, cells)
    apart = by_lengths(cells)
    if len(apart) > 1:
        yield (
            "Lengths apart",
            "".join(
                heading(3, f"Prompts of {prompt} tokens, {decode} decoded") + "".join(map(_titled, found))
                for prompt, decode, found in apart
            ),
        )
    failed, notes = failures(cells), _notes(cells)
    if failed:
        yield "Not measured", bullets(failed)
    if notes:
        yield "Notes", bullets(notes)


def _notes(cells: Sequence[Cell]) -> list[str]:
    """What is to be said of policies, those of which it is said first."""
    found: dict[str, list[str]] = {}
    for cell in cells:
        for note in cell.notes:
            found.setdefault(note, []).append(f"{cell.policy} on {cell.device} with {cell.geometry}")
    return [f"{', '.join(dict.fromkeys(whose))}: {note}" for note, whose in found.items()]


def _board(board: Board, cells: Sequence[Cell]) -> str:
    mark = [paragraph("Synthetic routing: no model made it, so that quality is n/a.", "mark")]
    parts = [paragraph(board_title(board), "small"), *(mark if board.synthetic else [])]
    parts += [_shown(picture) for picture in board_pictures(board, cells)]
    return "".join([*parts, table(*board_texts(board)), paragraph(LEGEND, "small")])


def _titled(board: Board) -> str:
    return paragraph(board_title(board), "small") + table(*board_texts(board))


def _shown(picture: Picture) -> str:
    return image(picture.render(), f"{picture.title}. {picture.subtitle}")


def _drawn(drawn: Drawn) -> str:
    return image(drawn.png, f"{drawn.title} ({drawn.name})")
