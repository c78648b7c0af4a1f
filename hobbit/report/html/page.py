"""Page: sections under a title, as one HTML document."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from importlib.resources import files

from hobbit.report.html.elements import heading, paragraph


@dataclass(slots=True)
class Page:
    """`sections` are (title, HTML) in order; the contents name and link them."""

    title: str
    lead: str
    sections: list[tuple[str, str]] = field(default_factory=list)
    footer: str = ""

    def html(self) -> str:
        """The whole document; the same page gives the same text."""
        links = [f'<a href="#part-{i}">{escape(title)}</a>' for i, (title, _) in enumerate(self.sections)]
        parts = [
            f'<section id="part-{i}">{heading(2, title)}{content}</section>'
            for i, (title, content) in enumerate(self.sections)
        ]
        style = (files("hobbit.report.html") / "style.css").read_text(encoding="utf-8")
        return "\n".join(
            [
                "<!DOCTYPE html>",
                '<html lang="en"><head><meta charset="utf-8">',
                '<meta name="viewport" content="width=device-width, initial-scale=1">',
                '<link rel="icon" href="data:,">',  # else browsers ask the server for one
                f"<title>{escape(self.title)}</title><style>{style}</style></head><body>",
                f"<header>{heading(1, self.title)}{paragraph(self.lead, 'lead')}</header>",
                f"<nav>{''.join(links)}</nav>",
                *parts,
                f"<footer>{escape(self.footer)}</footer>",
                "</body></html>",
                "",
            ]
        )
