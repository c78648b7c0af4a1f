"""Headings: the lines above the tables, which say what the figures speak of."""

from __future__ import annotations

from collections.abc import Iterable

from hobbit.report.scene import Scene

Lines = Iterable[tuple[str, str]]


def speeds(scene: Scene) -> Lines:
    """Whose seconds and bytes the tables count."""
    if scene.simulated:
        yield "speeds", f"simulated clock: {scene.device}, geometry {scene.geometry}"
    else:
        yield "speeds", f"live on {scene.device}"


def policy(scene: Scene) -> Lines:
    """The components, the loader's options (its thresholds decide quality), and what outputs are worth."""
    yield "policy", ", ".join(f"{kind} {name}" for kind, name in scene.policy.items())
    options = scene.options["loader"]
    if options:
        yield "loader", ", ".join(f"{name} {_shown(value)}" for name, value in options.items())
    yield "outputs", scene.loss


def origin(scene: Scene, trace: str) -> str:
    """Where the routing of a replay comes from."""
    if scene.synthetic:
        return f"synthetic, generated with the statistics of {trace}"
    return f"recorded, {trace} of {scene.model}"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
