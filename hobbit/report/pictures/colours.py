"""Colours that colour-blind readers tell apart (Okabe and Ito, "Color Universal Design", 2008)."""

from __future__ import annotations

ORANGE = "#E69F00"
SKY = "#56B4E9"
GREEN = "#009E73"
BLUE = "#0072B2"
VERMILLION = "#D55E00"
PURPLE = "#CC79A7"

INK = "#1f2933"
MUTED = "#616e7c"
FAINT = "#cbd2d9"
PAPER = "#ffffff"
BADGE = "#B34700"
"""Dark enough for white letters."""

LINES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, INK, "#8A6D00")
"""Of the lines of one picture, in order; more lines start again with another dash."""
