"""Importance, live on the bundled model: gate weights against outputs, skipping against replacing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from hobbit_paper.mixed_precision import MixedPrecisionComponent
from hobbit_paper.thresholds import calibrate_thresholds
from transformers import PreTrainedModel

from benchmarks.reproduction.claims import NORM, REPLACING, RTX4090, SKIPPING
from benchmarks.reproduction.row import Row
from benchmarks.reproduction.section import Section, Table
from hobbit.config.compose import compose
from hobbit.config.schema import QualityOptions
from hobbit.engine.anatomy import MoELayer, find_layers
from hobbit.engine.checkpoint import load_checkpoint
from hobbit.engine.maths import ExpertMaths
from hobbit.engine.weights import expert_tensors
from hobbit.report.cell import CellQuality
from hobbit.tasks.comparison.quality import live_quality
from hobbit.trace import bundled_trace, selection_scores
from hobbit.trace.bundled import DOMAINS

TEXT = """\
Live on the bundled model. The norm is that of the output as it enters the sum, times its gate weight, over
all selections of the test traces' texts; r is pooled over layers.
Skipping and replacing take the selections of the least importance (thresholds from the train traces) with no
cache, so that every decision shows; perplexity over 512 teacher-forced tokens of each domain, one at a time,
against the model in its own 16 bits."""

TOKENS = 512
SKIPPED, REPLACED = 0.10, 0.20


def section() -> Section:
    """Correlation first, then perplexities."""
    pooled, by_layer = correlations()
    because = f"The mean of the {len(by_layer)} layers' own r is {by_layer.mean():.3f}."
    rows = [Row.of(NORM, pooled, because)]
    found = {
        "10 % skipped": perplexities(1 - SKIPPED, 1 - SKIPPED, "int4"),
        "20 % at int4": perplexities(1 - REPLACED, 1.0, "int4"),
        "20 % at int2": perplexities(1 - REPLACED, 1.0, "int2"),
    }
    rows += [
        Row.of(SKIPPING, _rise(found["10 % skipped"]), _words(found["10 % skipped"])),
        Row.of(REPLACING, _rise(found["20 % at int4"]), _words(found["20 % at int4"])),
    ]
    return Section("Importance of experts", TEXT, tuple(rows), (_table(found),))


def correlations() -> tuple[float, np.ndarray]:
    """Pearson's r of gate weight and output norm, over all selections; and of each layer, [L]."""
    model, _ = load_checkpoint(compose([]).model.location, dtype="float32")
    layers = find_layers(model)
    weights, norms = (np.concatenate(parts, axis=1) for parts in zip(*_texts(model, layers), strict=True))
    by_layer = np.array([np.corrcoef(w, n)[0, 1] for w, n in zip(weights, norms, strict=True)])
    return float(np.corrcoef(weights.ravel(), norms.ravel())[0, 1]), by_layer


def _texts(model: PreTrainedModel, layers: tuple[MoELayer, ...]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Gate weights and output norms of each sequence of the test traces, [L, T * K]."""
    for domain in DOMAINS:
        trace = bundled_trace(domain)
        for ids in np.split(trace.token_ids, trace.sequence_starts[1:]):
            yield _norms(model, layers, torch.from_numpy(ids).long()[None])


@torch.inference_mode()
def _norms(
    model: PreTrainedModel, layers: tuple[MoELayer, ...], ids: torch.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    calls: list[tuple[torch.Tensor, ...]] = []
    handles = [
        layer.experts.register_forward_pre_hook(lambda _, given: calls.append(given)) for layer in layers
    ]
    try:
        model(ids)
    finally:
        for handle in handles:
            handle.remove()
    norms = [_weighted(layer, *call) for layer, call in zip(layers, calls, strict=True)]
    return np.stack([call[2].numpy().ravel() for call in calls]), np.stack(norms)


def _weighted(layer: MoELayer, state: torch.Tensor, index: torch.Tensor, weights: torch.Tensor) -> np.ndarray:
    """Norms [T * K] of the outputs times their weights, for `state` [T, d] and its choices [T, K]."""
    maths, norms = ExpertMaths(layer), torch.zeros_like(weights)
    for expert in np.unique(index.numpy()).tolist():
        tokens, rank = (index == expert).nonzero(as_tuple=True)
        norms[tokens, rank] = maths(state[tokens], expert_tensors(layer, expert)).norm(dim=1)
    found: np.ndarray = (norms * weights).numpy().ravel()
    return found


def perplexities(high: float, kept: float, low: str) -> CellQuality:
    """Quality with the share `high` of selections at high, the rest up to `kept` at `low`, others skipped."""
    scores = [selection_scores(bundled_trace(domain, "train"), decode_only=True) for domain in DOMAINS]
    t1, t2 = calibrate_thresholds(np.concatenate(scores), high, kept - high)
    config = compose(["policy=on_demand", f"device={RTX4090}", f"precision.low={low}"])
    loader = MixedPrecisionComponent(t1=t1, t2=1.0 if kept == 1 else t2)
    config = replace(config, loader=loader, quality=QualityOptions(tokens=TOKENS))
    return live_quality(config, config.setup().device.high, TOKENS)


def _rise(quality: CellQuality) -> float:
    return quality.perplexity / quality.reference_perplexity - 1


def _words(quality: CellQuality) -> str:
    return f"Perplexity {quality.perplexity:.3f} against {quality.reference_perplexity:.3f}."


def _table(found: dict[str, CellQuality]) -> Table:
    head = (
        "selections",
        "perplexity",
        "of the model",
        "change",
        "mean KL",
        "99th percentile",
        "top-1 agreement",
    )
    rows = (
        (
            name, f"{q.perplexity:.3f}", f"{q.reference_perplexity:.3f}", f"{100 * _rise(q):+.2f} %",
            f"{q.mean_kl:.5f}", f"{q.p99_kl:.5f}", f"{100 * q.top1_agreement:.2f} %",
        )
        for name, q in found.items()
    )  # fmt: skip
    return Table("The least important selections, skipped or replaced", (head, *rows))
