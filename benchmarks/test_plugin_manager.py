"""What starting costs: discovering the installed plugins, and composing a configuration."""

from __future__ import annotations

from importlib.metadata import entry_points

from pytest_benchmark.fixture import BenchmarkFixture

from hobbit.api.markers import PROJECT
from hobbit.config.compose import compose
from hobbit.plugins import load


def test_plugin_manager(benchmark: BenchmarkFixture) -> None:
    """The modules are imported by then, as by every call but a process's first."""
    load(entry_points(group=PROJECT))
    found = benchmark(lambda: load(entry_points(group=PROJECT)))
    assert not found.problems


def test_compose(benchmark: BenchmarkFixture) -> None:
    benchmark.pedantic(compose, args=(["policy=hobbit", "device=orin"],), rounds=10, warmup_rounds=1)
