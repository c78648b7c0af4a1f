"""Calibrate HOBBIT's thresholds for the bundled model: 67 % of selections high, 30 % low, 3 % skipped.

The thresholds are quantiles of the unimportance of every selection in the decode passes of the train
traces, all domains together. A resident high copy also serves a low decision, so that what a run *serves*
is higher than what it *decides*: both are printed.

python -m benchmarks.tuning.thresholds
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hobbit_paper.thresholds import calibrate_thresholds

from hobbit.config.compose import compose
from hobbit.tasks.replays import replay_setup
from hobbit.trace import bundled_trace, selection_scores
from hobbit.trace.bundled import DOMAINS, PARTS

SHARES = (0.67, 0.30)
"""High and low; the rest is skipped (HOBBIT, section 3.2, on Mixtral-8x7B)."""

DEVICES = ("orin", "rtx4090")


def main() -> None:
    scores = {part: [_scores(domain, part) for domain in DOMAINS] for part in PARTS}
    t1, t2 = (round(t, 4) for t in calibrate_thresholds(np.concatenate(scores["train"]), *SHARES))
    print(f"t1: {t1}\nt2: {t2}\n\ndecided, of all selections (high / low / skipped)")
    for part in PARTS:
        for domain, values in zip(
            (*DOMAINS, "all"), (*scores[part], np.concatenate(scores[part])), strict=True
        ):
            print(f"  {part:5} {domain:5}  {_words(_classes(values, t1, t2))}")
    for device in DEVICES:
        print(f"\nserved under policy=hobbit on {device} (high / low / skipped)")
        for domain in DOMAINS:
            print(f"  test  {domain:5}  {_words(_served(domain, device, t1, t2))}")


def _scores(domain: str, part: str) -> npt.NDArray[np.float64]:
    return selection_scores(bundled_trace(domain, part), decode_only=True)


def _classes(scores: npt.NDArray[np.float64], t1: float, t2: float) -> tuple[float, ...]:
    high, kept = float((scores <= t1).mean()), float((scores <= t2).mean())
    return high, kept - high, 1 - kept


def _served(domain: str, device: str, t1: float, t2: float) -> tuple[float, ...]:
    config = compose(["policy=hobbit", f"device={device}", f"loader.t1={t1}", f"loader.t2={t2}"])
    measures, _ = replay_setup(bundled_trace(domain), config.setup(), config.geometry, 256)
    return *measures.served, measures.skipped


def _words(shares: tuple[float, ...]) -> str:
    return " / ".join(f"{100 * share:.1f}" for share in shares)


if __name__ == "__main__":
    main()
