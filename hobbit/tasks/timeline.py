"""task=timeline: a few decoded tokens as a Chrome trace and as a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from hobbit.api import Device
from hobbit.assembly import Assembly
from hobbit.config.compose import compose_overrides, policy_of
from hobbit.config.schema import HobbitConfig
from hobbit.config.tasks import TimelineTask
from hobbit.errors import ConfigError
from hobbit.report.output import emit, write_out
from hobbit.report.pictures.streams import streams_picture
from hobbit.report.progress import Progress
from hobbit.report.scene import Scene
from hobbit.report.timeline import KeepsTimeline, Pass, PassTimes, Timeline
from hobbit.report.timeline_report import TimelineReport, uses_of
from hobbit.report.timeline_trace import chrome_trace
from hobbit.tasks.drawn import check_beside, check_drawn, files_of, write_beside
from hobbit.tasks.recorded import Recorded, check_replay
from hobbit.tasks.replays import assembled
from hobbit.trace.replay import replay

SWITCH = "device.timeline=true"
"""The option of simulated devices that makes them keep a log."""


def run(config: HobbitConfig, overrides: Sequence[str]) -> int:
    """Run the task; returns the exit code. Raises HobbitError for whatever the user can mend."""
    task = config.task
    assert isinstance(task, TimelineTask)
    check_replay(config)
    out = check_drawn(config, ".json")
    check_beside(out)
    if task.tokens < 1 or task.skip < 0:
        raise ConfigError("task.tokens must be 1 or more, and task.skip 0 or more")
    config = compose_overrides([*overrides, SWITCH])
    with Progress() as progress:
        progress.stage("replaying the routing")
        recorded = Recorded.of(config, overrides)
        report = _draw(recorded.calibration.fit(config, overrides), overrides, recorded, out)
    emit(report, config.output, None)
    return 0


def _draw(config: HobbitConfig, overrides: Sequence[str], recorded: Recorded, out: Path) -> TimelineReport:
    """Replay the first sequence and write the files."""
    task = config.task
    assert isinstance(task, TimelineTask)
    times = PassTimes(lambda: assembly.runtime.device.now_ns())
    trace, first = recorded.trace, [0]
    with assembled(
        trace, config.setup(), config.geometry, recorded.context, observers=[times], sequences=first
    ) as assembly:
        replay(trace, assembly.runtime, first)
        shown = _shown(times.passes, task)
        timeline = _timeline_of(assembly, times.passes).cut(shown)
    scene = recorded.scene(config, assembly)
    policy = policy_of(overrides)
    events = chrome_trace(timeline, f"{policy} on {scene.device}", _about(scene, policy, task.trace))
    write_out(str(out), json.dumps(events, indent=1) + "\n")
    write_beside(streams_picture(timeline, policy, scene), out)
    start, end = timeline.bounds
    return TimelineReport(
        scene=scene,
        trace=task.trace,
        files=tuple(map(str, files_of(out))),
        tokens=len(shown),
        context=shown[0].context,
        seconds=(end - start) / 1e9,
        streams=uses_of(timeline),
    )


def _shown(passes: Sequence[Pass], task: TimelineTask) -> Sequence[Pass]:
    """The passes to draw. Raises ConfigError if there are not so many."""
    decode = [one for one in passes if one.context]
    shown = decode[task.skip : task.skip + task.tokens]
    if len(shown) < task.tokens:
        raise ConfigError(
            f"the first sequence decodes {len(decode)} tokens, which is fewer than task.skip={task.skip} and "
            f"task.tokens={task.tokens} ask for; lower them"
        )
    return shown


def _timeline_of(assembly: Assembly, passes: Sequence[Pass]) -> Timeline:
    """What the device logged. Raises ConfigError if it keeps no log."""
    device: Device = assembly.runtime.device
    if not isinstance(device, KeepsTimeline):
        raise ConfigError("this device keeps no timeline; choose another simulated one: device=orin")
    return Timeline.of(device.timeline(), passes, device.report().busy_ns, assembly.precisions)


def _about(scene: Scene, policy: str, trace: str) -> dict[str, str]:
    """What a reader of the trace must know."""
    return {
        "clock": scene.clock,
        "policy": policy,
        "device": scene.device,
        "geometry": scene.geometry,
        "routing": f"{'synthetic, ' if scene.synthetic else ''}{trace}",
        "outputs": scene.loss,
        "hobbit": scene.hobbit,
    }
