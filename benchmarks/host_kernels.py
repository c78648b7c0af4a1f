"""Time experts on this machine's host: the compiled kernel beside torch.

    python -m benchmarks.host_kernels [THREADS ...] [--tokens N ...] [--only WORD] [--cached]

Each call gets another blob, on huge pages, of more than all caches hold; figures are medians. GB/s (of the
blob) and G/s (weights) count the weights once, however many tokens share them. With `--cached` all calls get
the same blob, of an expert so small that a core's own cache holds it. Threads are bound as those of
device=cuda are (default: all physical cores but two). The last column is torch's time over the compiled
kernel's: where it falls below 1, torch should take over, and hobbit_devices/host_kernels/few_tokens.py says
where it does.
"""

from __future__ import annotations

import argparse
import mmap
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from math import prod
from statistics import median
from time import perf_counter_ns

import torch
from hobbit_devices.host_cores import physical_cores, settle_on, team
from hobbit_devices.host_kernels.compiled_ffn import CompiledFfn
from hobbit_devices.host_kernels.host_kernels import HostKernels
from hobbit_devices.host_kernels.host_team import HostTeam
from hobbit_devices.host_kernels.loading import load
from hobbit_devices.host_lane import HostLane
from hobbit_devices.kernels.formats import ExpertFormat
from hobbit_devices.torch_ffn import TorchFfn

from benchmarks.kernels.blobs import layout_of, quantizer_of, random_slots
from benchmarks.kernels.cases import MIXTRAL, QWEN3
from hobbit.api import BlobLayout, Geometry

GEOMETRIES = (MIXTRAL, QWEN3)
PRECISIONS = ("native", "lossless12", "int8", "int4", "int2")
SMALL = Geometry(name="small", hidden=512, ffn=256)
TOKENS = (1, 2, 4, 8, 16, 32, 64)
COLD = 1 << 30
"""Bytes of the blobs that calls take in turn."""

ENOUGH_NS, FEWEST, MOST = 4 * 10**8, 4, 60
"""A figure's calls: for so many nanoseconds, but no fewer and no more than that."""

HUGE = 2 << 20

Ffn = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], None]


def main(words: list[str]) -> int:
    """Run it; 2 where nothing can be compiled."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.host_kernels")
    parser.add_argument("threads", nargs="*", type=int, default=[0], help="0: all physical cores but two")
    parser.add_argument("--tokens", nargs="+", type=int, default=TOKENS, help="tokens that share an expert")
    parser.add_argument(
        "--only", default="", help="cases whose label has this word, such as 'mixtral' or 'int4'"
    )
    parser.add_argument("--cached", action="store_true", help="one small expert, from the cache")
    options = parser.parse_args(words)
    kernels, reason = load()
    if kernels is None:
        print(f"benchmarks.host_kernels: {reason}", file=sys.stderr)
        return 2
    print(f"torch {torch.__version__}, {len(physical_cores())} physical cores")
    cold = 0 if options.cached else COLD
    for geometry in (SMALL,) if options.cached else GEOMETRIES:
        for precision in PRECISIONS:
            label = f"{geometry.name} {geometry.dtype if precision == 'native' else precision}"
            if options.only in label:
                counts = options.threads, options.tokens
                for line in measure(kernels, geometry, precision, label, *counts, cold):
                    print(line, flush=True)
    return 0


def measure(
    kernels: HostKernels,
    geometry: Geometry,
    precision: str,
    label: str,
    threads: Sequence[int],
    tokens: Sequence[int],
    cold: int = COLD,
) -> list[str]:
    """The lines on one expert of a model: a row for each number of threads and tokens."""
    layout = layout_of(geometry, precision)
    blobs = _blobs(layout, cold)
    by_torch = TorchFfn(layout, quantizer_of(geometry, precision))
    lines = [f"{label}, {layout.nbytes / 1e6:.1f} MB an expert; torch: {by_torch.name}"]
    for count in threads:
        cores = team(count, physical_cores())
        lane = HostLane(threaded=True, settle=lambda cores=cores: settle_on(cores))  # type: ignore[misc]
        hosts = HostTeam(kernels, cores)
        compiled = CompiledFfn(kernels, ExpertFormat.of(layout), hosts)
        for number in tokens:
            ours, theirs = (_median_ns(ffn, geometry, number, blobs, lane) for ffn in (compiled, by_torch))
            lines.append(
                f"  {len(cores):3} threads {number:3} tokens: compiled {_in_words(ours, layout)}, "
                f"torch {_in_words(theirs, layout)}, {theirs / ours:5.2f} x"
            )
        lane.close()
        hosts.close()
    return lines


def _in_words(ns: float, layout: BlobLayout) -> str:
    weights = sum(prod(spec.shape) for _, spec in layout.tensors)
    return f"{ns / 1e6:8.3f} ms {layout.nbytes / ns:6.1f} GB/s {weights / ns:5.1f} G/s"


def _median_ns(ffn: Ffn, geometry: Geometry, tokens: int, blobs: torch.Tensor, lane: HostLane) -> float:
    """Nanoseconds of one call on the lane's thread and cores, the first left out."""
    x = torch.randn(tokens, geometry.hidden).to(getattr(torch, geometry.dtype))
    out = torch.empty(x.shape)
    took: list[int] = []

    def work() -> None:
        while len(took) <= FEWEST or (sum(took) < ENOUGH_NS and len(took) <= MOST):
            start = perf_counter_ns()
            ffn(x, blobs[len(took) % len(blobs)], out)
            took.append(perf_counter_ns() - start)

    lane.start(work, nullcontext())
    lane.join()
    return median(took[1:])


def _blobs(layout: BlobLayout, cold: int) -> torch.Tensor:
    """uint8 [n, nbytes] on huge pages, as the store's locked memory lies: one random expert, many times."""
    count = max(1, -(-cold // layout.nbytes))
    area = mmap.mmap(-1, count * layout.nbytes + HUGE)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):
            area.madvise(mmap.MADV_HUGEPAGE)
    start = -torch.frombuffer(area, dtype=torch.uint8).data_ptr() % HUGE
    pool = torch.frombuffer(area, dtype=torch.uint8, count=count * layout.nbytes, offset=start)
    return pool.view(count, layout.nbytes).copy_(random_slots(layout, 1, seed=1, device="cpu"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
