"""Every ablation, replayed on simulated devices. What counts is in `extra_info`; the timing is incidental.

Where nothing is timed, and the benchmarks are but tried, the first case of every group does, on a few tokens.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.ablations.cases import DEVICES, GROUPS, run_of
from benchmarks.reproduction.figures import Outcome
from benchmarks.reproduction.runs import Run, measure_run
from hobbit.config.workload import Lengths


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a case and device."""
    option = metafunc.config.getoption
    tried = option("benchmark_disable") and not option("benchmark_enable")
    runs = {}
    for group in GROUPS:
        for name, words in list(group.cases.items())[: 1 if tried else None]:
            for device in DEVICES[: 1 if tried else None]:
                run = run_of(words, device)
                short = replace(run, lengths=Lengths(4, 4), traces=run.traces[:1])
                runs[f"{group.name}: {name}, {device}"] = short if tried else run
    metafunc.parametrize("run", list(runs.values()), ids=list(runs))


def test_ablation(benchmark: BenchmarkFixture, run: Run) -> None:
    outcome: Outcome = benchmark.pedantic(measure_run, args=(run,), rounds=1)  # type: ignore[no-untyped-call]
    assert not outcome.error
    decode = outcome.decode
    benchmark.extra_info.update(
        device=run.device,
        words=" ".join(run.words),
        tokens_per_s=decode.rate,
        miss_penalty=decode.penalty / decode.tokens,
        hit_ratio=decode.hit_ratio,
        bytes_per_token=decode.nbytes / decode.tokens,
        slots=outcome.slots,
    )
