"""task=evaluate: the quality of a policy on held-out text, against the model at high precision."""

from __future__ import annotations

from collections.abc import Sequence

from hobbit.config.schema import HobbitConfig
from hobbit.config.tasks import EvaluateTask
from hobbit.report.budget import show_budget
from hobbit.report.evaluation import EvaluationReport
from hobbit.report.output import emit
from hobbit.report.progress import Progress
from hobbit.report.scene import Scene
from hobbit.tasks.checks import check_options, check_sample, refuse_oracle
from hobbit.tasks.inputs import prompt_of
from hobbit.tasks.live import measures_of, prepare
from hobbit.tasks.quality import sample_passages, sample_quality


def run(config: HobbitConfig, overrides: Sequence[str]) -> int:
    """Run the task, from an empty cache; returns the exit code. Raises HobbitError."""
    task = config.task
    assert isinstance(task, EvaluateTask)
    check_options(config)
    check_sample("task", task.tokens, task.domains)
    refuse_oracle(config, "evaluate another policy")
    with Progress() as progress:
        live = prepare(config, overrides, [prompt_of(config)], progress)
        passages = sample_passages(live, "task", task.domains, task.tokens)
        longest = max(len(passage.tokens) for given in passages.values() for passage in given)
        progress.stage("encoding the experts")
        with live.open(tokens=longest) as session:
            progress.clear()
            show_budget(session.assembly)
            quality = sample_quality(session, passages, progress)
            notes = [*live.calibration.notes, *session.notes]
            scene = Scene.of(live.config, session.assembly, notes)
            report = EvaluationReport(scene, measures_of(session), quality)
    emit(report, config.output, config.out)
    return 0
