"""task=sweep: presets at several sizes of the expert cache, as JSON lines and as a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

from hobbit.api import HIGH
from hobbit.config.catalogue import POLICY, choices
from hobbit.config.compose import with_policy
from hobbit.config.schema import HobbitConfig
from hobbit.config.tasks import SweepTask
from hobbit.errors import ConfigError, HobbitError
from hobbit.report.output import emit, write_out
from hobbit.report.pictures.bounds import is_bound
from hobbit.report.pictures.capacity import capacity_picture
from hobbit.report.progress import Progress
from hobbit.report.scene import Scene
from hobbit.report.sweep import SweepPoint, SweepReport
from hobbit.tasks.checks import check_names
from hobbit.tasks.drawn import check_beside, check_drawn, files_of, write_beside
from hobbit.tasks.recorded import Recorded, check_replay
from hobbit.tasks.replays import assembled, replay_setup


def run(config: HobbitConfig, overrides: Sequence[str]) -> int:
    """Run the task; returns the exit code. Raises HobbitError for whatever the user can mend."""
    task = config.task
    assert isinstance(task, SweepTask)
    check_replay(config)
    out = check_drawn(config, ".jsonl")
    check_beside(out)
    _check(task)
    with Progress() as progress:
        progress.stage("preparing the routing")
        recorded = Recorded.of(config, overrides)
        report = _sweep(config, overrides, recorded, out, progress)
        write_out(str(out), "".join(json.dumps(point.to_json()) + "\n" for point in report.points))
        write_beside(capacity_picture("sweep", report.points), out)
    emit(report, config.output, None)
    return 0


def _check(task: SweepTask) -> None:
    if not task.policies or not task.shares:
        raise ConfigError("task.policies and task.shares must each have an entry")
    check_names(POLICY, task.policies, choices(POLICY), "task.policies: ")
    for share in task.shares:
        if not 0 < share <= 1:
            raise ConfigError(f"task.shares: {share} is no share of the experts; give more than 0, at most 1")


def _sweep(
    config: HobbitConfig, overrides: Sequence[str], recorded: Recorded, out: Path, progress: Progress
) -> SweepReport:
    task, calibration = config.task, recorded.calibration
    assert isinstance(task, SweepTask)
    policies = {name: calibration.fit(with_policy(overrides, name), ()) for name in task.policies}
    everything = _all_experts(overrides, recorded)
    points: list[SweepPoint] = []
    scenes: list[Scene] = []
    failed: list[str] = []
    for share, (name, one) in product(sorted(set(task.shares)), policies.items()):
        progress.stage(f"{name} at {100 * share:g} % of the experts")
        try:
            point, scene = _point(name, share, round(share * everything), one, recorded)
        except HobbitError as error:
            failed.append(f"{name} at {100 * share:g} %: {error}")
        else:
            points.append(point)
            scenes.append(scene)
    if not points:
        raise ConfigError(f"nothing could be replayed: {failed[0]}")
    scene = replace(scenes[-1], notes=(*calibration.notes, *failed))
    return SweepReport(scene, task.trace, tuple(map(str, files_of(out))), tuple(points))


def _all_experts(overrides: Sequence[str], recorded: Recorded) -> int:
    """Bytes of every expert at the high precision."""
    config = with_policy(overrides, "all_resident")
    geometry = config.geometry
    with assembled(recorded.trace, config.setup(), geometry, recorded.context) as assembly:
        return geometry.layers * geometry.experts * assembly.context.blob_bytes[HIGH]


def _point(
    policy: str, share: float, nbytes: int, config: HobbitConfig, recorded: Recorded
) -> tuple[SweepPoint, Scene]:
    """One replay, with `nbytes` for experts beside what else the device has to hold."""
    geometry, tokens = config.geometry, recorded.context
    budget = geometry.non_expert_bytes + tokens * geometry.kv_bytes_per_token + nbytes
    config = replace(config, memory=replace(config.memory, device=f"{budget}B", context=tokens))
    measures, assembly = replay_setup(recorded.trace, config.setup(), geometry, tokens)
    scene = recorded.scene(config, assembly)
    point = SweepPoint(
        policy=policy,
        device=scene.device,
        geometry=scene.geometry,
        clock=scene.clock,
        routing=recorded.trace.header.domain,
        synthetic=scene.synthetic,
        precision=scene.precisions[HIGH],
        lossless=not scene.lossy,
        bound=is_bound(policy),
        share=share,
        expert_bytes=nbytes,
        slots=assembly.plan.slots,
        hit_ratio=measures.hit_ratio,
        miss_penalty=measures.miss_penalty / measures.decode_tokens if measures.decode_tokens else 0.0,
        decode_tokens_per_s=measures.decode_tokens_per_s,
    )
    return point, scene
