"""task=run: continue a prompt, measure speed and quality, and replay the routing under other presets."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from hobbit.config.compose import with_policy
from hobbit.config.schema import HobbitConfig, Output
from hobbit.engine.generation import Generation
from hobbit.engine.quality import Passage
from hobbit.engine.session import Session
from hobbit.report.budget import show_budget
from hobbit.report.output import emit
from hobbit.report.progress import Progress
from hobbit.report.run_report import RunReport
from hobbit.report.scene import Scene
from hobbit.setup import Setup
from hobbit.tasks.chat import chat
from hobbit.tasks.checks import check_options, check_sample
from hobbit.tasks.inputs import prompt_of
from hobbit.tasks.live import Live, measures_of, prepare, trace_of
from hobbit.tasks.quality import sample_passages, sample_quality
from hobbit.tasks.replays import replay_others
from hobbit.tasks.roomier import roomier
from hobbit.trace.replay import future_of


def run(config: HobbitConfig, overrides: Sequence[str]) -> int:
    """Run the task; returns the exit code. Raises HobbitError for whatever the user can mend."""
    if config.chat:
        return chat(config, overrides)
    check_options(config)
    if config.quality.enabled:
        check_sample("quality", config.quality.tokens, config.quality.domains)
    prompt = prompt_of(config)
    with Progress() as progress:
        live = prepare(config, overrides, [prompt], progress)
        others = _others(live, overrides)
        passages = _passages(live)
        future = None
        if live.config.setup().needs_future:
            progress.stage("first pass: recording the routing that the oracle will know")
            live, future = _first_pass(live)
        progress.stage("encoding the experts")
        with live.open(future=future) as session:
            progress.clear()
            show_budget(session.assembly)
            generation = stream(live, session, prompt, config.output is Output.text and config.out is None)
            report = _report(live, session, generation, others, passages, progress)
    emit(report, config.output, config.out)
    return 0


def stream(live: Live, session: Session, prompt: str, shown: bool) -> Generation:
    """Continue `prompt`; both appear on standard output as they come, if they are to be `shown`."""
    if not shown:
        return live.generate(session, prompt, None)
    _write(prompt)
    generation = live.generate(session, prompt, _write)
    _write("\n\n")
    return generation


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _others(live: Live, overrides: Sequence[str]) -> dict[str, Setup]:
    """What the routing is replayed under, where the clock is virtual. Before the experts leave the model."""
    if not live.config.setup().device.simulated:
        return {}
    configs = {preset: with_policy(overrides, preset) for preset in live.config.compare}
    return {preset: live.calibration.fit(other, ()).setup() for preset, other in configs.items()}


def _passages(live: Live) -> Mapping[str, Sequence[Passage]]:
    """What quality is sampled on; nothing where that is off, or an oracle would not know it."""
    options = live.config.quality
    if not options.enabled or live.config.setup().needs_future:
        return {}
    return sample_passages(live, "quality", options.domains, options.tokens)


def _first_pass(live: Live) -> tuple[Live, npt.NDArray[np.int64]]:
    """What an oracle knows: the demands of the same run, recorded in a first pass that keeps nothing."""
    plain = with_policy([], "on_demand")
    first = replace(live.config.setup(), cache=plain.cache, prefetcher=plain.prefetcher)
    with live.open(first) as session:
        live.generate(session, live.prompts[0], None)
        return live.restored(session), future_of(trace_of(session))


def _report(
    live: Live,
    session: Session,
    generation: Generation,
    others: Mapping[str, Setup],
    passages: Mapping[str, Sequence[Passage]],
    progress: Progress,
) -> RunReport:
    """Measure what the run left behind: its own figures first, since quality adds to the counts."""
    measures, trace, assembly = measures_of(session), trace_of(session), session.assembly
    quality = sample_quality(session, passages, progress) if passages else None
    notes = [*live.calibration.notes, *session.notes]
    if (hint := roomier(live.config, assembly)) is not None:
        notes.append(hint)
    if live.config.quality.enabled and quality is None:
        notes.append("quality is not sampled: the oracle knows the routing of this run alone")
    replayed, failed = replay_others(
        trace, others, assembly.context.geometry, assembly.plan.context, progress, live.past
    )
    return RunReport(
        scene=Scene.of(live.config, assembly, [*notes, *failed]),
        prompt=live.prompts[0],
        prompt_tokens=len(generation.prompt_ids),
        text=generation.text,
        token_ids=tuple(generation.token_ids),
        measures=measures,
        quality=quality,
        replayed=tuple(replayed),
    )
