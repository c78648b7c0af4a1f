"""task=calibrate: this machine as a profile of a simulated device, checked against the machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from hobbit.bench.machine import measure_disk
from hobbit.bench.profile import Entry, overhead_us, profile_of, yaml_of
from hobbit.bench.row import PolicyRow
from hobbit.bench.run import budgeted
from hobbit.bench.simulated import simulated_token_ms
from hobbit.config.compose import compose_overrides
from hobbit.config.schema import HobbitConfig
from hobbit.config.tasks import BenchTask
from hobbit.config.words import PROFILES, to_overrides
from hobbit.errors import ConfigError
from hobbit.report.calibration import Agreement, CalibrationReport, ProfileLine
from hobbit.report.output import emit, write_out
from hobbit.report.progress import Progress
from hobbit.tasks.workbench import REFERENCE, Workbench, check_bench

TWO_PRECISIONS = "hobbit"


def run(config: HobbitConfig, overrides: Sequence[str]) -> int:
    """Run the task; returns the exit code. Raises HobbitError for whatever the user can mend."""
    if config.out is None or Path(config.out).suffix not in PROFILES:
        raise ConfigError(f"task=calibrate writes a profile; give out=FILE.yaml, not out={config.out}")
    check_bench(config)
    with Progress() as progress:
        bench = Workbench.of(config, overrides, progress.stage)
        entries = _profile(bench, progress.stage)
        write_out(config.out, yaml_of(entries, f"{bench.bench.backend.label}, measured by task=calibrate"))
        agreement = _agreement(bench, config.out)
        report = _report(bench, entries, agreement, config.out)
    emit(report, config.output, None)
    return 0


def _profile(bench: Workbench, stage: Callable[[str], None]) -> dict[str, Entry]:
    """Everything resident, but asked for layer by layer as under any policy, tells a layer's overhead."""
    bench.bench.asks = True
    resident = bench.policy(REFERENCE)
    bench.bench.asks = False
    stage("measuring the disk")
    setup, rates = bench.setup, bench.bench.rates
    link = bench.bench.link(bench.budgeted(bench.configured(TWO_PRECISIONS))[0])
    if link is not None:
        rates = replace(rates, link_gb_s=link[0], link_latency_us=link[1])
    high = setup.device.high if setup.precision.high == "auto" else setup.precision.high
    low = setup.device.low if setup.precision.low == "auto" else setup.precision.low
    overhead = overhead_us(resident.token_ms * 1e6, bench.geometry, rates)
    disk = measure_disk(10**9 if bench.full_size else 10**7)
    return profile_of(rates, bench.bench.backend.label, _memory(bench), (high, low), disk, overhead)


def _memory(bench: Workbench) -> int:
    place = bench.bench.backend.place
    if place.type == "cuda":
        return int(torch.cuda.get_device_properties(place).total_memory)
    return bench.setup.device.capacity_bytes()


def _agreement(bench: Workbench, profile: str) -> tuple[Agreement, ...]:
    """Each policy measured, and simulated with the same memory on the same routing."""
    task = bench.config.task
    assert isinstance(task, BenchTask)
    asked = [entry for entry in task.policies if entry != REFERENCE]
    bench.run_policies(asked)
    rows = {row.policy: row for row in bench.rows}
    return tuple(_compared(bench, rows[entry], profile) for entry in asked if entry in rows)


def _compared(bench: Workbench, row: PolicyRow, profile: str) -> Agreement:
    config = bench.configured(row.policy)
    device = compose_overrides(to_overrides([f"device={profile}"])).device
    setup = budgeted(replace(config.setup(), device=device), row.planned)
    plan = bench.bench.plan
    simulated = simulated_token_ms(setup, bench.geometry, bench.bench.routing, plan.prompt + plan.tokens)
    return Agreement(row.policy, row.token_ms, simulated)


def _report(
    bench: Workbench, entries: Mapping[str, Entry], agreement: tuple[Agreement, ...], path: str
) -> CalibrationReport:
    report = bench.report()
    return CalibrationReport(
        report.scene,
        path,
        report.machine,
        report.shape,
        report.routing,
        report.lengths,
        tuple(ProfileLine(name, _shown(entry), entry.source) for name, entry in entries.items()),
        agreement,
        tuple(f"{failure.name}: {failure.reason}" for failure in report.result.failures),
    )


def _shown(entry: Entry) -> str:
    return f"{entry.value:.4g}" if isinstance(entry.value, float) else str(entry.value)
