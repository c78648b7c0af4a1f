"""task=record: run prompts under the chosen policy and keep their routing as a trace."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hobbit.config.schema import HobbitConfig, Output
from hobbit.config.tasks import RecordTask
from hobbit.engine.session import Session
from hobbit.errors import ConfigError
from hobbit.report.output import emit
from hobbit.report.progress import Progress
from hobbit.report.recording import RecordingReport
from hobbit.report.scene import Scene
from hobbit.tasks.checks import check_options, refuse_oracle
from hobbit.tasks.inputs import prompts_of
from hobbit.tasks.live import Live, prepare, trace_of
from hobbit.trace import Trace, measure, write_trace
from hobbit.trace.fingerprint import fingerprint_of


def run(config: HobbitConfig, overrides: Sequence[str]) -> int:
    """Run the task; returns the exit code. Raises HobbitError for whatever the user can mend."""
    task = config.task
    assert isinstance(task, RecordTask)
    if config.out is None:
        raise ConfigError("task=record needs a file to write; give out=FILE.npz")
    check_options(config)
    refuse_oracle(config, "record under another")
    prompts = prompts_of(config, task.lines)
    with Progress() as progress:
        live = prepare(config, overrides, prompts, progress)
        progress.stage("encoding the experts")
        with live.open() as session:
            texts = _generate(live, session, progress)
            trace = _labelled(trace_of(session), live, task)
            write_trace(trace, config.out)
            report = _report(live, session, trace, texts)
    emit(report, config.output, None)
    return 0


def _generate(live: Live, session: Session, progress: Progress) -> list[str]:
    """Continue every prompt, each a sequence of its own; the texts."""
    progress.clear()
    texts = []
    for prompt in live.prompts:
        texts.append(prompt + live.generate(session, prompt, None).text)
        if live.config.output is Output.text:
            sys.stdout.write(f"{texts[-1]}\n\n")
    return texts


def _labelled(trace: Trace, live: Live, task: RecordTask) -> Trace:
    """The trace with what is known of its origin in its header."""
    folder, config = Path(live.config.model.location), live.config
    header = replace(
        trace.header,
        domain=task.domain,
        part=task.part,
        fingerprint=fingerprint_of(folder) if folder.is_dir() else "",
        details={
            "temperature": config.temperature,
            "policy": {part.kind: part.name for part in (config.loader, config.router)},
        },
    )
    return replace(trace, header=header)


def _report(live: Live, session: Session, trace: Trace, texts: Sequence[str]) -> RecordingReport:
    out = str(live.config.out)
    notes = [*live.calibration.notes, *session.notes]
    scene = Scene.of(live.config, session.assembly, notes)
    if scene.lossy:
        notes.append(f"the policy is {scene.loss}: another policy might route the same prompts otherwise")
    return RecordingReport(
        scene=replace(scene, notes=tuple(notes)),
        path=out,
        sequences=trace.sequences,
        tokens=trace.tokens,
        prompt_tokens=sum(map(len, live.prompt_ids)),
        nbytes=Path(out).stat().st_size,
        texts=tuple(texts),
        statistics=measure(trace) if trace.tokens > trace.sequences else None,
    )
