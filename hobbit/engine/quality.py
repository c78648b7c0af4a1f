"""Quality: how far a run's next-token distributions are from the high-precision model's, in decode.

Teacher-forced one token at a time from the run's own cache state. The reference is decoded in the same way,
so that a lossless run scores a divergence of exactly 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp

import torch
from torch.nn.functional import log_softmax, nll_loss
from transformers import PreTrainedModel

from hobbit.engine.attachment import Attachment
from hobbit.engine.serving import LayerServer


@dataclass(frozen=True, slots=True)
class Passage:
    """A text to score: the first `prefill` of `tokens` are given at once, the rest one at a time."""

    tokens: tuple[int, ...]
    prefill: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """Log-probabilities of the next token, float32: `prefill` [prefill, V], `decode` [T - prefill - 1, V]."""

    prefill: torch.Tensor
    decode: torch.Tensor


@dataclass(frozen=True, slots=True)
class QualityScore:
    """KL(reference || run) in nats over `tokens` decoded positions, and what else tells the two apart."""

    tokens: int
    mean_kl: float
    p99_kl: float
    top1_agreement: float
    perplexity: float
    reference_perplexity: float
    prefill_kl: float


@dataclass(frozen=True, slots=True)
class Quality:
    """Scores by domain, and over all positions of all domains."""

    domains: Mapping[str, QualityScore]
    overall: QualityScore


@torch.no_grad()
def forecast(model: PreTrainedModel, passage: Passage) -> Forecast:
    """Run `passage` through the model as it is served now.

    Every position but the last predicts a token of the passage; those of the prefill are kept apart.
    """
    ids = torch.tensor([passage.tokens], device=model.device)
    out = model(ids[:, : passage.prefill], use_cache=True)
    prefill = log_softmax(out.logits[0].float(), dim=-1)
    rows = []
    for position in range(passage.prefill, len(passage.tokens) - 1):
        out = model(ids[:, position : position + 1], past_key_values=out.past_key_values, use_cache=True)
        rows.append(log_softmax(out.logits[0, -1].float(), dim=-1))
    return Forecast(prefill, torch.stack(rows) if rows else prefill[:0])


def reference(
    attachment: Attachment, server: LayerServer, passages: Mapping[str, Sequence[Passage]]
) -> dict[str, list[Forecast]]:
    """Forecasts with `server` (a `ResidentServer` of the run's high precision) in the runtime's place."""
    with attachment.serving(server):
        return {domain: [forecast(attachment.model, p) for p in given] for domain, given in passages.items()}


def measure_quality(
    model: PreTrainedModel,
    passages: Mapping[str, Sequence[Passage]],
    references: Mapping[str, Sequence[Forecast]],
) -> Quality:
    """Score the model as it is served now against `references` on the same passages, by domain."""
    parts = {
        domain: [
            _divergence(forecast(model, passage), known, passage)
            for passage, known in zip(given, references[domain], strict=True)
        ]
        for domain, given in passages.items()
    }
    everything = [part for group in parts.values() for part in group]
    return Quality({domain: _score(group) for domain, group in parts.items()}, _score(everything))


@dataclass(frozen=True, slots=True)
class _Divergence:
    """One passage's positions: divergences [n], agreement [n], losses of run and reference [n]."""

    kl: torch.Tensor
    agree: torch.Tensor
    loss: torch.Tensor
    reference_loss: torch.Tensor
    prefill_kl: torch.Tensor


def _divergence(run: Forecast, known: Forecast, passage: Passage) -> _Divergence:
    targets = torch.tensor(passage.tokens[passage.prefill + 1 :], device=run.decode.device)
    return _Divergence(
        kl=_kl(known.decode, run.decode),
        agree=(known.decode.argmax(-1) == run.decode.argmax(-1)).float(),
        loss=nll_loss(run.decode, targets, reduction="none"),
        reference_loss=nll_loss(known.decode, targets, reduction="none"),
        prefill_kl=_kl(known.prefill, run.prefill),
    )


def _kl(known: torch.Tensor, run: torch.Tensor) -> torch.Tensor:
    """KL(known || run) of each row of log-probabilities [n, V], in nats."""
    return (known.exp() * (known - run)).sum(dim=-1)


def _score(parts: Sequence[_Divergence]) -> QualityScore:
    kl = torch.cat([part.kl for part in parts])
    return QualityScore(
        tokens=len(kl),
        mean_kl=float(kl.mean()),
        p99_kl=float(kl.quantile(0.99)),
        top1_agreement=float(torch.cat([part.agree for part in parts]).mean()),
        perplexity=exp(float(torch.cat([part.loss for part in parts]).mean())),
        reference_perplexity=exp(float(torch.cat([part.reference_loss for part in parts]).mean())),
        prefill_kl=float(torch.cat([part.prefill_kl for part in parts]).mean()),
    )
