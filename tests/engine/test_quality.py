"""Quality: a lossless run scores exactly 0, a lossy one worse the more it loses."""

from __future__ import annotations

import pytest
import torch
from hobbit_paper.mixed_precision import MixedPrecisionComponent
from hobbit_quantizers.quanto import QuantoQuantizer

from hobbit.engine.quality import Passage, Quality, forecast, measure_quality, reference
from hobbit.engine.resident import ResidentServer
from tests.engine.models import tiny_model
from tests.engine.runs import Policy, prompts, running

IDS = prompts(1, 40)[0][0]
PASSAGES = {
    name: [Passage(tuple(IDS.roll(shift).tolist()), prefill=10)] for name, shift in (("a", 0), ("b", 7))
}


def score(policy: Policy, slots: int = 8) -> Quality:
    with running(tiny_model(), policy, slots) as run:
        known = reference(run.attachment, ResidentServer(run.live.tensors), PASSAGES)
        return measure_quality(run.model, PASSAGES, known)


def mixed(low: str, t1: float, t2: float) -> Policy:
    return Policy(MixedPrecisionComponent(t1=t1, t2=t2), quantizer=QuantoQuantizer(group_size=16), low=low)


def test_a_lossless_run_diverges_by_nothing() -> None:
    quality = score(Policy())
    assert quality.overall.tokens == 2 * 29
    assert set(quality.domains) == {"a", "b"}
    for found in (quality.overall, *quality.domains.values()):
        assert (found.mean_kl, found.p99_kl, found.prefill_kl, found.top1_agreement) == (0, 0, 0, 1)
        assert found.perplexity == found.reference_perplexity


def test_int8_as_the_high_precision_is_its_own_reference() -> None:
    assert score(Policy(quantizer=QuantoQuantizer(), high="int8")).overall.mean_kl == 0


def test_fewer_bits_and_more_skips_cost_more() -> None:
    costs = [
        score(policy).overall.mean_kl
        for policy in (mixed("int8", 0.3, 1.0), mixed("int4", 0.3, 1.0), mixed("int2", 0.3, 1.0))
    ]
    skipping = score(mixed("int4", 0.3, 0.3)).overall
    assert 0 < costs[0] < costs[1] < costs[2]
    assert skipping.mean_kl > costs[1]
    assert skipping.p99_kl > skipping.mean_kl
    assert skipping.top1_agreement < 1


def test_decode_equals_one_pass_but_for_rounding() -> None:
    model = tiny_model(dtype=torch.float32)
    passage = PASSAGES["a"][0]
    stepped = forecast(model, passage)
    whole = model(torch.tensor([passage.tokens])).logits[0].log_softmax(-1)
    assert torch.allclose(torch.cat([stepped.prefill, stepped.decode]), whole[:-1], atol=1e-3)
    assert stepped.decode.exp().sum(-1).tolist() == pytest.approx([1.0] * 29, abs=1e-4)
