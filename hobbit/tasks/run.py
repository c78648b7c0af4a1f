"""task=run: continue a prompt, measure speed and quality, and replay the routing under other presets."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hobbit.api import Geometry
from hobbit.config.compose import with_policy
from hobbit.config.schema import HobbitConfig, Output
from hobbit.engine.generation import Generation, GenerationOptions, generate
from hobbit.engine.quality import Quality
from hobbit.engine.session import Session, open_session
from hobbit.report.measures import Measures, measure
from hobbit.report.output import emit
from hobbit.report.progress import Progress
from hobbit.report.run_report import Replayed, RunReport
from hobbit.setup import Setup
from hobbit.tasks.inputs import charged_geometry, load_model, prompt_of
from hobbit.tasks.quality import sample_quality
from hobbit.tasks.replays import replay_setup
from hobbit.trace import Trace
from hobbit.trace.replay import future_of


def run(config: HobbitConfig, overrides: Sequence[str]) -> int:
    """Run the task; returns the exit code. Raises HobbitError for whatever the user can mend."""
    prompt, setup = prompt_of(config), config.setup()
    geometry = charged_geometry(config, setup.device.simulated, overrides)
    streams = config.output is Output.text and config.out is None
    with Progress() as progress:
        progress.stage("loading the model")
        model, tokenizer = load_model(config)
        tokens = len(tokenizer(prompt)["input_ids"]) + config.max_new_tokens
        future = None
        if setup.cache.needs_future:
            progress.stage("first pass: recording the routing that the oracle will know")
            future = _future(config, setup, geometry, model, tokenizer, prompt, tokens)
        progress.stage("encoding the experts")
        with open_session(
            model, tokenizer, setup, name=config.model.label, tokens=tokens, geometry=geometry, record=True,
            future=future,
        ) as session:  # fmt: skip
            progress.clear()
            if streams:
                print(prompt, end="", flush=True)
            generation = _generate(config, session, prompt, stream=streams)
            if streams:
                print("\n", flush=True)
            measures, trace = _measures(session), _trace(session)
            quality = _quality(config, session, progress)
            replayed = _replays(config, setup, session, trace, overrides, progress)
            report = RunReport.of(config, session, generation, measures, quality, replayed, prompt)
    emit(report, config.output, config.out)
    return 0


def _generate(config: HobbitConfig, session: Session, prompt: str, stream: bool) -> Generation:
    options = GenerationOptions(
        max_new_tokens=config.max_new_tokens,
        sample=config.temperature > 0,
        temperature=config.temperature or 1.0,
        seed=config.seed,
        stop=() if config.stop is None else (config.stop,),
    )
    clock = session.assembly.runtime.device.now_ns
    return generate(session.model, session.tokenizer, prompt, options, clock, _write if stream else None)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _future(
    config: HobbitConfig,
    setup: Setup,
    geometry: Geometry | None,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: str,
    tokens: int,
) -> npt.NDArray[np.int64]:
    """What an oracle knows: the demands of the same run, recorded in a first pass that keeps nothing."""
    plain = with_policy([], "on_demand")
    first = deepcopy(setup)
    first.cache, first.prefetcher = plain.cache, plain.prefetcher
    with open_session(
        model, tokenizer, first, name=config.model.label, tokens=tokens, geometry=geometry, record=True
    ) as session:
        _generate(config, session, prompt, stream=False)
        return future_of(_trace(session))


def _measures(session: Session) -> Measures:
    assembly = session.assembly
    return measure(assembly.metrics, assembly.runtime.device.report(), assembly.context.blob_bytes)


def _trace(session: Session) -> Trace:
    assert session.recorder is not None
    return session.recorder.trace()


def _quality(config: HobbitConfig, session: Session, progress: Progress) -> Quality | None:
    """The quality sample, from the cache state that the run left; None where it is off or cannot be."""
    if not config.quality.enabled or session.assembly.context.future is not None:
        return None
    progress.stage("measuring quality")
    return sample_quality(session, config.quality.domains, config.quality.tokens, progress)


def _replays(
    config: HobbitConfig,
    setup: Setup,
    session: Session,
    trace: Trace,
    overrides: Sequence[str],
    progress: Progress,
) -> list[Replayed]:
    """The same routing under the presets of `compare`, where the clock is virtual."""
    if not setup.device.simulated:
        return []
    replayed = []
    for preset in config.compare:
        progress.stage(f"replaying the routing under {preset}")
        other = with_policy(overrides, preset).setup()
        geometry = session.assembly.context.geometry
        replayed.append(Replayed(preset, replay_setup(trace, other, geometry, session.assembly.plan.context)))
    return replayed
