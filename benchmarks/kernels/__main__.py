"""Check and time the expert kernels on the GPU that is there.

    python -m benchmarks.kernels [--only WORD] [--out FILE.json] [--no-prefill]

First every format and shape is compared with float64, then batch-1 calls are timed in graphs that rotate
over more than 2 GB of slots, with all candidates of block sizes, then grouped products. Shares are of the
bandwidth of a device-to-device copy, measured in the same run. Last comes what a launch costs the host.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from hobbit_devices.kernels import available

from benchmarks.kernels.cases import CASES


def main(words: list[str]) -> int:
    """Run it; 1 if a result is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels")
    parser.add_argument("--only", default="", help="cases whose label has this word")
    parser.add_argument("--out", default="kernels.json", help="where all figures go")
    parser.add_argument("--no-prefill", action="store_true", help="leave out the grouped products")
    options = parser.parse_args(words)
    reason = available()
    if reason is not None:
        print(
            f"benchmarks.kernels: {reason}; run it on a machine with an NVIDIA GPU and Triton",
            file=sys.stderr,
        )
        return 2
    from benchmarks.kernels import decode, in_place, prefill
    from benchmarks.kernels.compiling import compile_all
    from benchmarks.kernels.correctness import check
    from benchmarks.kernels.slots import Bench
    from benchmarks.kernels.timing import copy_bandwidth, read_bandwidth

    start = time.perf_counter()
    cases = tuple(case for case in CASES if options.only in case.label)
    compiled = compile_all(cases, grouped=not options.no_prefill)
    print(f"{compiled} kernels compiled in {time.perf_counter() - start:.0f} s", flush=True)
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "copy_gb_s": copy_bandwidth() / 1e9,
        "read_gb_s": read_bandwidth() / 1e9,
        "decode": [],
        "prefill": [],
        "in_place": [],
        "errors": {},
    }
    print(f"{result['device']}: copy {result['copy_gb_s']:.0f} GB/s, read {result['read_gb_s']:.0f} GB/s")
    wrong = False
    for case in cases:
        bench = Bench(case)
        try:
            result["errors"][case.label] = check(bench)
        except RuntimeError as failure:
            wrong = True
            result["errors"][case.label] = str(failure)
            print(f"WRONG {failure}", flush=True)
        row = decode.measure(bench, result["copy_gb_s"] * 1e9)
        result["decode"].append(row)
        _print_decode(row, result["errors"][case.label])
        if (place := in_place.measure(bench)) is not None:
            result["in_place"].append(place)
            _print_in_place(place)
        if not options.no_prefill:
            rows = prefill.measure(bench)
            result["prefill"] += rows
            _print_prefill(rows)
        del bench
        torch.cuda.empty_cache()
        Path(options.out).write_text(json.dumps(result, indent=1), encoding="utf-8")
    print("Host microseconds a launch, through Triton's binder and past it:")
    for row in result["decode"]:
        _print_launches(row)
    print(f"{time.perf_counter() - start:.0f} s in all; every figure in {options.out}")
    return int(wrong)


def _print_decode(row: dict[str, Any], errors: dict[str, float] | str) -> None:
    bar = "faster than bf16" if row["bar"] is None else f"{row['bar']:.0%}"
    table, best = row["default"], row["best"]
    worst = f"{max(errors.values()):.1e}" if isinstance(errors, dict) else "WRONG"
    print(
        f"{row['case']:22} table {table['us']:7.1f} us {table['gb_s']:5.0f} GB/s {table['share']:4.0%} | "
        f"best {best['us']:7.1f} us {best['share']:4.0%} | bar {bar} | error {worst}"
    )
    for name in ("up", "down"):
        tried = row["tried"][name]
        shown = tried[:3] + tried[-1:]
        print(
            f"    {name:4} "
            + ", ".join(f"n{t['n']} k{t['k']} w{t['warps']} s{t['stages']}: {t['us']:.1f}" for t in shown),
            flush=True,
        )


def _print_in_place(row: dict[str, Any]) -> None:
    shares = (
        f"{share} {row[share]['us']:.0f} us {row[share]['gb_s']:.1f} GB/s" for share in ("whole", "half")
    )
    beside = row["beside"]
    print(
        f"    one expert in place, in host memory: {', '.join(shares)}; half beside one of the device: both "
        f"{beside['us']:.0f} us, the device's over at {beside['ran_us']:.0f}",
        flush=True,
    )


def _print_launches(row: dict[str, Any]) -> None:
    jit, direct = row["launch"]["jit"], row["launch"]["direct"]
    times = (f"{name} {jit[name]:5.1f} -> {direct[name]:4.1f}" for name in jit)
    print(f"    {row['case']:22} {', '.join(times)}")


def _print_prefill(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        torch_us = f" torch {row['torch_us']:.0f}" if "torch_us" in row else ""
        print(
            f"    T={row['tokens']:<5} {row['us']:8.0f} us, best {row['best_us']:8.0f} ({row['best']}, "
            f"{row['tflops']:.0f} TFLOP/s){torch_us}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
