"""Reasons: one sentence on why a figure is not the paper's, made of nothing but measured figures."""

from __future__ import annotations

from benchmarks.reproduction.figures import Figures

Names = tuple[str, str]
"""Who is compared: ours and the baseline."""


def faster(names: Names, ours: Figures, base: Figures, published: float) -> str:
    """Why decoding is not `published` times as fast: who waits for what, and what the ratio would take."""
    both = f"{names[1]} {spent(base)}; {names[0]} {spent(ours)}"
    speedup = base.seconds / ours.seconds
    busy, time = _busy(ours), _per_token(base.seconds, base)
    if speedup < published and time / busy < published:
        return f"{both}; its other {busy:.0f} ms cap the ratio at {time / busy:.2f}x."
    if speedup < published:
        return f"{both}; {published:g}x leaves it {time / published - busy:.0f} ms to wait."
    waits = published * _per_token(ours.seconds, ours) - _busy(base)
    if waits < 0:
        return f"{both}; at {published:g}x {names[1]} would take less time than it computes."
    return f"{both}; at {published:g}x {names[1]} would wait {waits:.0f} ms."


def prefilled(names: Names, ours: Figures, base: Figures) -> str:
    """Why prefill is not as much shorter: bytes and waiting of both, a prompt."""
    return f"{names[1]} {_prompted(base)}; {names[0]} {_prompted(ours)}."


def rated(ours: Figures, published: float) -> str:
    """Why decoding is not at `published` tokens a second."""
    return f"Ours {spent(ours)}; {published:g} tok/s are {1e3 / published:.0f} ms a token."


def spent(figures: Figures) -> str:
    """Where the time of a token goes."""
    nbytes = figures.nbytes / figures.tokens / 1e9
    waits, whole = _per_token(figures.stall, figures), _per_token(figures.seconds, figures)
    text = f"waits {waits:.0f} of {whole:.0f} ms a token, for {nbytes:.2g} GB"
    text += f" ({100 * figures.hit_ratio:.0f} % of demands at hand or coming"
    if figures.hosted:
        text += f", {100 * figures.hosted / figures.selections:.0f} % on the CPU"
    return f"{text})"


def _prompted(figures: Figures) -> str:
    text = f"waits {figures.stall:.0f} of {figures.seconds:.0f} s for {figures.nbytes / 1e9:.0f} GB"
    if figures.hosted:
        text += f", {100 * figures.hosted / figures.selections:.0f} % on the CPU"
    return text


def _busy(figures: Figures) -> float:
    """Milliseconds a token that are not stall."""
    return _per_token(figures.seconds - figures.stall, figures)


def _per_token(seconds: float, figures: Figures) -> float:
    return 1e3 * seconds / figures.tokens
