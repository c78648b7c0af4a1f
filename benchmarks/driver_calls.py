"""Time what the calls of a decode layer cost the thread that makes them, on the GPU that is there.

    python -m benchmarks.driver_calls [--out FILE.json]

First copies by the driver and by torch are compared with what was sent, from a thread of their own as well.
Then each call is timed alone, the queues being empty when it starts and short when it ends: microseconds of
the calling thread, medians over rounds. "load" is all that an urgent copy of an expert takes, slot marks and
books included; "new event" is what a mark would cost if its event were not used again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from threading import Thread
from time import perf_counter_ns

import torch
from hobbit_devices.bounce import BounceRing
from hobbit_devices.copy_queue import CopyQueue
from hobbit_devices.cuda_driver import CudaDriver
from hobbit_devices.cuda_streams import CudaStreams
from hobbit_devices.gpu_streams import GpuStreams
from hobbit_devices.slot_marks import SlotMarks
from hobbit_devices.transfer import Transfer

from hobbit.api import BlobLayout, Copy, ExpertKey, RoutingShape
from hobbit.store import MemoryStore

EXPERTS, NBYTES = 16, 9437184
"""Experts of Qwen3-30B-A3B's size."""

ABSENT = "no CUDA device is visible; run it on a machine with one"

CALLS, ROUNDS = 48, 15
"""Calls timed at once, few enough for the queue to take them all, and how often."""

Call = Callable[[], object]


def main(words: list[str]) -> int:
    """Run it; 1 if a copy is wrong, 2 without a GPU."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.driver_calls")
    parser.add_argument("--out", default="driver_calls.json", help="where all figures go")
    options = parser.parse_args(words)
    if not torch.cuda.is_available():
        print(
            "benchmarks.driver_calls: no CUDA device is visible; run it on a machine with one",
            file=sys.stderr,
        )
        return 2
    place = torch.device("cuda", torch.cuda.current_device())
    ways: dict[str, GpuStreams] = {
        "by the driver": CudaStreams(place, CudaDriver.find()),
        "by torch": CudaStreams(place),
    }
    wrong = [way for way, streams in ways.items() if not arrives(streams, place)]
    if wrong:
        print(f"wrong bytes arrive in copies {' and '.join(wrong)}")
        return 1
    found = {way: measure(streams, place) for way, streams in ways.items()}
    found["by torch"]["new event"] = timed(_new_event, ways["by torch"])
    result = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "microseconds": found}
    Path(options.out).write_text(json.dumps(result, indent=2), encoding="utf-8")
    print(f"{result['device']}, torch {torch.__version__}: microseconds of the calling thread")
    for name in dict.fromkeys(name for row in found.values() for name in row):
        shown = ", ".join(f"{row[name]:7.2f} {way}" for way, row in found.items() if name in row)
        print(f"  {name:14} {shown}")
    return 0


def arrives(streams: GpuStreams, place: torch.device, nbytes: int = NBYTES) -> bool:
    """Whether a copy has the right bytes, from this thread and from one that the driver does not know."""
    host = streams.pinned((nbytes,), torch.uint8)
    there = torch.empty(nbytes, dtype=torch.uint8, device=place)

    def copy() -> None:
        streams.copy(there, host)
        streams.join(streams.copied())

    def copy_beside() -> None:
        thread = Thread(target=copy)
        thread.start()
        thread.join()

    right = []
    for seed, call in enumerate((copy, copy_beside)):
        host.random_(generator=torch.Generator().manual_seed(seed))
        there.zero_()
        streams.finish()
        call()
        right.append(torch.equal(there.cpu(), host))
    return all(right)


def measure(streams: GpuStreams, place: torch.device, nbytes: int = NBYTES) -> dict[str, float]:
    """Microseconds of each call."""
    shape = RoutingShape(1, EXPERTS, 1)
    layout = BlobLayout("native", (), (), nbytes)
    store = MemoryStore((layout,), shape, pin=place.type == "cuda")
    keys = [ExpertKey(0, expert, 0) for expert in range(EXPERTS)]
    blobs = [store.row(key) for key in keys]
    slots = torch.empty((EXPERTS, nbytes), dtype=torch.uint8, device=place).unbind()
    few, there = streams.pinned((64,), torch.int32).zero_(), torch.zeros(64, dtype=torch.int32, device=place)
    queue, marks = CopyQueue(streams, store, 0, BounceRing(streams, nbytes)), SlotMarks(streams)
    number = 0

    def load() -> None:
        nonlocal number
        number = (number + 1) % EXPERTS
        copy = Copy(keys[number], number, True, nbytes)
        transfer = Transfer(copy, slots[number], urgent=True)
        marks.read([(0, number)])
        marks.write(transfer)
        queue.queue(transfer)

    copied, computed = streams.copied(), streams.computed()
    streams.finish()
    streams.join(copied)
    calls: dict[str, Call] = {
        "load": load,
        "copy": lambda: streams.copy(slots[0], blobs[0]),
        "copied": streams.copied,
        "computed": streams.computed,
        "hold": lambda: streams.hold(computed),
        "follow": lambda: streams.follow(copied),
        "passed": lambda: streams.passed(copied),
        "between_ns": lambda: streams.between_ns(copied, copied),
        "idle": streams.idle,
        "beside": lambda: beside(streams),
        "direct": lambda: streams.direct(blobs[0]),
        "upload": lambda: streams.upload(there, few),
        "download": lambda: streams.download(few, there),
    }
    if streams.maps:
        calls["count"] = lambda: streams.count(few[:1])
    try:
        return {name: timed(call, streams) for name, call in calls.items()}
    finally:
        queue.close()


def beside(streams: GpuStreams) -> None:
    """Go to the second compute queue and back."""
    with streams.beside():
        pass


def timed(call: Call, streams: GpuStreams) -> float:
    """Microseconds of one call, both queues being empty before each round."""
    rounds = []
    for _ in range(ROUNDS + 1):
        streams.join(streams.copied())
        streams.finish()
        start = perf_counter_ns()
        for _ in range(CALLS):
            call()
        rounds.append((perf_counter_ns() - start) / CALLS / 1e3)
    return median(rounds[1:])


def _new_event() -> None:
    torch.cuda.Event(enable_timing=True, blocking=True).record()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
