"""Make a checkpoint larger than the budgets, convert it, run it, and run accelerate beside it.

    python -m benchmarks.offload [FOLDER] [--layers 10] [--tokens 16] [--policies lru hobbit_lossless]

needs about three times the experts' bytes of disk in FOLDER (default: a temporary folder); what it makes is
removed. Prints the figures of docs/benchmarks.md, "Offloading from disk", and says which bars they meet.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.offload.checkpoint import expert_bytes, write_checkpoint
from benchmarks.offload.process import Watched, watch
from hobbit.sizes import format_size

DEVICE, HOST, BOTH = "2GB", "2GB", "4GB"
"""memory.device, memory.host, and what the peer may hold of the weights: the same in all."""


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--layers", type=int, default=10)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--policies", nargs="+", default=["lru", "hobbit_lossless"])
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="offload-", dir=options.folder))
    try:
        measure(work, options.layers, options.tokens, options.policies)
    finally:
        shutil.rmtree(work)


def measure(work: Path, layers: int, tokens: int, policies: Sequence[str]) -> None:
    """All of it, in `work`."""
    checkpoint, bundle, offload = work / "checkpoint", work / "bundle", work / "offload"
    print(f"a checkpoint of {layers} layers, {format_size(expert_bytes(layers))} of experts")
    write_checkpoint(checkpoint, layers)
    words = ["task=convert", f"model={checkpoint}", "precisions=[native]", f"out={bundle}"]
    made = watch(["-m", "hobbit", *words])
    print(f"converted in {made.seconds:.0f} s")
    bar("peak memory of convert, GiB", made.peak / 2**30, "<=", 3.0)
    peer = watch(["-m", "benchmarks.offload.peer", *map(str, (checkpoint, offload, BOTH, tokens))])
    shutil.rmtree(offload)
    for policy in policies:
        ours = watch(["-m", "benchmarks.offload.ours", *map(str, (bundle, policy, DEVICE, HOST, tokens))])
        compare(policy, ours, peer)


def compare(policy: str, ours: Watched, peer: Watched) -> None:
    """Print our figures, the peer's, and the bars."""
    values, other = ours.values, peer.values
    print(f"policy {policy}: routing {values['routing']}, device hits {values['hit_ratio']:.2f}")
    speeds = {
        "hobbit": speed(values), "accelerate, cold": speed(other), "accelerate, warm": speed(other["warm"])
    }  # fmt: skip
    for name, tokens_per_s in speeds.items():
        print(f"  {name:<18} {tokens_per_s:.3f} tokens/s, {speeds['hobbit'] / tokens_per_s:.2f}x")
    seconds, moved = sum(values["seconds"]), values["disk"]
    token = format_size(moved / len(values["seconds"]))
    print(f"  hobbit read {token} a token; disk busy {values['disk_busy_s'] / seconds:.0%}")
    token = format_size(median(other["read_bytes"]))
    print(f"  accelerate read {token} a token, cold; it held {other['layers_in_memory']} layers in memory")
    print(f"  both say the same next tokens: {values['ids'] == other['ids']}")
    kernel = sum(values["read_bytes"])
    bar("peak memory of the run, GiB", ours.peak / 2**30, "<=", 6.0)
    bar("kernel's bytes over reported ones, off by", abs(kernel / moved - 1), "<=", 0.02)
    bar("bytes read over missed ones", kernel / values["missed"], "<=", 1.1)
    bar("bytes read over routed ones", kernel / values["routed"], "<=", 0.9)
    bar("speed over accelerate, cold", speeds["hobbit"] / speeds["accelerate, cold"], ">=", 3.0)
    print(f"  accelerate's peak memory: {peer.peak / 2**30:.2f} GiB")


def speed(values: dict[str, Any]) -> float:
    """Tokens a second, by the median token."""
    return float(1 / median(values["seconds"]))


def bar(what: str, value: float, sign: str, limit: float) -> None:
    """Print a figure beside what is asked of it."""
    met = value <= limit if sign == "<=" else value >= limit
    print(f"  {what:<44} {value:6.3f}  {sign} {limit:g}  {'met' if met else 'MISSED'}", flush=True)


if __name__ == "__main__":
    main()
