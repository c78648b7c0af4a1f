"""The timeline: every nanosecond accounted for, in the Trace Event Format, and legible as a picture."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest

from hobbit.api import DeviceReport
from hobbit.config.compose import compose
from hobbit.geometry import Geometry
from hobbit.report.heat import ExpertCounts, hit_ratios_of, uses_of
from hobbit.report.pictures.streams import enlarged, streams_picture
from hobbit.report.scene import Scene
from hobbit.report.timeline import KeepsTimeline, PassTimes, Timeline, Work
from hobbit.report.timeline_trace import TOKENS, chrome_trace
from hobbit.runtime import Metrics
from hobbit.tasks.replays import assembled
from hobbit.trace.replay import replay
from tests.report.legible import assert_legible, shown, words
from tests.trace.samples import small_trace

MODEL = Geometry(
    name="small",
    layers=4,
    experts=8,
    top_k=2,
    hidden=512,
    ffn=1024,
    vocab=512,
    heads=8,
    kv_heads=8,
    head_dim=64,
)
PROCESSOR = os.environ.get("HOBBIT_TRACE_PROCESSOR")


@dataclass
class Played:
    """What a replay leaves."""

    timeline: Timeline
    report: DeviceReport
    metrics: Metrics
    counts: ExpertCounts
    scene: Scene


def played(*words: str, budget: str = "28MB") -> Played:
    """The small trace, replayed with a log."""
    config = compose([*words, "device.timeline=true", f"memory.device={budget}"])
    trace = small_trace()
    times = PassTimes(lambda: assembly.runtime.device.now_ns())
    counts = ExpertCounts(trace.header.shape)
    with assembled(trace, config.setup(), MODEL, 32, observers=[times, counts]) as assembly:
        replay(trace, assembly.runtime)
        device = assembly.runtime.device
        report = device.report()
        assert isinstance(device, KeepsTimeline)
        timeline = Timeline.of(device.timeline(), times.passes, report.busy_ns, assembly.precisions)
        return Played(timeline, report, assembly.metrics, counts, Scene.of(config, assembly, []))


@pytest.fixture(
    scope="module",
    params=[
        ("policy=hobbit", "device=orin", "prefetcher.depth=3"),
        ("policy=hobbit_cooperative", "device=rtx4090", "prefetcher=stacked_gate", "prefetcher.depth=3"),
        ("policy=moe_apex", "device=rtx4090", "device.host_memory=40MB", "prefetcher.depth=3"),
    ],
    ids=" ".join,
)
def one(request: pytest.FixtureRequest) -> Played:
    return played(*request.param)


def test_no_two_spans_of_a_stream_overlap(one: Played) -> None:
    for _, spans in groupby(one.timeline.spans, lambda span: span.stream):
        for before, after in pairwise(spans):
            assert before.start_ns <= before.end_ns <= after.start_ns


def test_the_spans_add_up_to_what_the_device_reports(one: Played) -> None:
    for stream, busy in one.report.busy_ns.items():
        spans = [span for span in one.timeline.on(stream) if span.work is not Work.WAIT]
        assert sum(span.end_ns - span.start_ns for span in spans) == busy
        assert sum(span.nbytes for span in spans) == one.report.moved_bytes.get(stream, 0)
    waits = [span for span in one.timeline.spans if span.work is Work.WAIT]
    assert sum(span.end_ns - span.start_ns for span in waits) == one.report.stall_ns > 0


def test_the_passes_are_those_of_the_trace(one: Played) -> None:
    passes = one.timeline.passes
    assert [(each.tokens, each.context) for each in passes][:2] == [(16, 0), (1, 16)]
    assert len(passes) == 22 and passes[-1].end_ns == one.report.now_ns
    assert all(a.end_ns <= b.start_ns for a, b in pairwise(passes))


def test_prefetches_and_demands_are_told_apart(one: Played) -> None:
    kinds = {span.work for span in one.timeline.spans}
    hosted = bool(one.timeline.on("host"))  # what is missing then runs there
    assert kinds == set(Work) - ({Work.DEMAND} if hosted else set())


def test_a_cut_keeps_what_reaches_into_it() -> None:
    timeline = played("policy=lru", "device=orin").timeline
    part = timeline.cut(timeline.passes[3:5])
    start, end = part.bounds
    assert (start, end) == (timeline.passes[3].start_ns, timeline.passes[4].end_ns)
    assert part.spans and all(span.end_ns > start and span.start_ns < end for span in part.spans)
    assert 0 < part.share("disk") <= 1 and part.share("host") == 0


def trace_of(one: Played) -> dict[str, Any]:
    """The file's content, as a reader of JSON finds it."""
    about = {"clock": one.scene.clock, "device": one.scene.device}
    content: dict[str, Any] = json.loads(json.dumps(chrome_trace(one.timeline, "hobbit", about)))
    return content


def test_the_file_is_in_the_trace_event_format(one: Played) -> None:
    content = trace_of(one)
    assert content["displayTimeUnit"] in ("ms", "ns")
    assert content["otherData"]["clock"] == "simulated clock"
    for event in content["traceEvents"]:
        assert isinstance(event["name"], str) and isinstance(event["args"], Mapping)
        assert isinstance(event["pid"], int) and isinstance(event["tid"], int)
        assert event["ph"] in ("M", "X")
        if event["ph"] == "X":
            assert isinstance(event["cat"], str)
            assert isinstance(event["ts"], int) and isinstance(event["dur"], int)
            assert event["ts"] >= 0 and event["dur"] >= 0


def test_metadata_name_the_process_and_every_thread(one: Played) -> None:
    events = trace_of(one)["traceEvents"]
    names = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert list(names.values()) == [TOKENS, *one.timeline.streams]
    assert [event["args"]["name"] for event in events if event["name"] == "process_name"] == ["hobbit"]
    ranks = [event["args"]["sort_index"] for event in events if event["name"] == "thread_sort_index"]
    assert ranks == sorted(ranks) and len(ranks) == len(names)
    assert {event["tid"] for event in events if event["ph"] == "X"} <= names.keys()


def test_complete_events_of_a_thread_are_monotonic_and_apart(one: Played) -> None:
    events = [event for event in trace_of(one)["traceEvents"] if event["ph"] == "X"]
    for _, thread in groupby(events, lambda event: event["tid"]):
        for before, after in pairwise(thread):
            assert before["ts"] + before["dur"] <= after["ts"]


def test_copies_say_what_they_move(one: Played) -> None:
    events = trace_of(one)["traceEvents"]
    copies = [event["args"] for event in events if event.get("cat") in ("prefetch", "copy on demand")]
    assert copies
    for args in copies:
        assert 0 <= args["layer"] < 4 and 0 <= args["expert"] < 8 and args["bytes"] > 0
        assert args["precision"] in one.scene.precisions and args["duration_ns"] > 0


@pytest.mark.skipif(not PROCESSOR, reason="HOBBIT_TRACE_PROCESSOR names no trace_processor")
def test_perfetto_reads_the_file(one: Played, tmp_path: Path) -> None:
    (tmp_path / "timeline.json").write_text(json.dumps(trace_of(one)))
    query = (
        "select count(*) as n from slice union all "
        "select ifnull(sum(value), 0) from stats where severity in ('error', 'data_loss');"
    )
    (tmp_path / "query.sql").write_text(query)
    assert PROCESSOR is not None
    command = [PROCESSOR, "-q", str(tmp_path / "query.sql"), str(tmp_path / "timeline.json")]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    slices = len(one.timeline.spans) + len(one.timeline.passes)
    assert [int(word) for word in found if word.isdigit()] == [slices, 0]


def test_the_picture_is_legible_and_says_what_it_shows(one: Played) -> None:
    part = one.timeline.cut(one.timeline.passes[6:9])
    figure = shown(streams_picture(part, "hobbit", one.scene))
    assert_legible(figure)
    seen = words(figure)
    for stream in part.streams:
        assert stream in seen
    for text in ("simulated clock", "geometry small", "token 21", "expert", "waiting"):
        assert text in seen
    start, end = enlarged(part)
    assert part.bounds[0] <= start < end <= part.bounds[1]


def test_generated_routing_is_marked(one: Played) -> None:
    picture = streams_picture(one.timeline, "hobbit", replace(one.scene, synthetic=True))
    assert picture.badge == "synthetic routing"


def test_counts_of_experts_add_up_to_the_metrics(one: Played) -> None:
    counts, decode = one.counts, one.metrics.decode
    assert counts.selections.sum() == decode.selections
    assert (counts.hits.sum(), counts.misses.sum()) == (sum(decode.hits), sum(decode.misses))
    for uses in uses_of(counts):
        assert sum(uses) == pytest.approx(1.0)
    ratios = [ratio for row in hit_ratios_of(counts) for ratio in row]
    assert len(ratios) == 32 and all(ratio is None or 0 <= ratio <= 1 for ratio in ratios)
