"""Measure how much each layer of the bundled model minds the loss of a token's second expert.

    S_l = mean over tokens of sum_d g_d^2 (E2 - E1)_d^2,   g = dLoss/dy_l

y_l [T, d] is the output of layer l's experts, E1 and E2 those of a token's first and second expert, and the
loss the summed cross-entropy of the text: AdapMoE's diagonal Fisher (arXiv 2408.10284), normalised as we read
it. The text is that of the train traces, all domains alike. The first token of a text is left out: attention
rests on it, its term is a thousand times any other's, and it is never decoded.
Writes conf/router/adaptive_gating_calibrated.yaml.

python -m benchmarks.tuning.sensitivity
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from hobbit.config.compose import compose
from hobbit.engine.anatomy import MoELayer, find_layers
from hobbit.engine.checkpoint import load_checkpoint
from hobbit.engine.maths import ExpertMaths
from hobbit.engine.weights import expert_tensors
from hobbit.trace import Trace, bundled_trace
from hobbit.trace.bundled import DOMAINS

FILE = Path(__file__).parents[2] / "conf" / "router" / "adaptive_gating_calibrated.yaml"

HEAD = """\
# AdapMoE's gating with the sensitivities of the bundled model's layers
# Found by benchmarks.tuning.sensitivity on {tokens} tokens of the train traces; the greatest is
# {spread:.1f} times the least. The threshold is calibrated on the same traces when a run starts.
defaults:
  - adaptive_gating
  - _self_

sensitivities: [
"""


def main() -> None:
    model, _ = load_checkpoint(compose([]).model.location, dtype="float32")
    model.requires_grad_(False)
    texts = [text for domain in DOMAINS for text in texts_of(bundled_trace(domain, "train"))]
    tokens = sum(text.shape[1] - 1 for text in texts)
    values = (sum(sensitivities(model, text) for text in texts) / tokens).tolist()
    lines = [", ".join(f"{value:.4g}" for value in values[i : i + 8]) for i in range(0, len(values), 8)]
    head = HEAD.format(tokens=tokens, spread=max(values) / min(values))
    FILE.write_text(head + "".join(f"  {line},\n" for line in lines) + "]\n", encoding="utf-8")
    print(FILE.read_text(encoding="utf-8"), end="")


def texts_of(trace: Trace) -> Iterator[torch.Tensor]:
    """The token ids of each sequence, [1, T]."""
    bounds = [*trace.sequence_starts.tolist(), trace.tokens]
    for start, stop in pairwise(bounds):
        yield torch.from_numpy(trace.token_ids[start:stop]).long()[None]


def sensitivities(model: PreTrainedModel, ids: torch.Tensor) -> torch.Tensor:
    """Sums over all tokens but the first of `ids` [1, T] of each layer's sum_d g_d^2 (E2 - E1)_d^2, [L]."""
    layers = find_layers(model)
    embeddings = model.get_input_embeddings()(ids).requires_grad_()
    with calls(layers) as caught:
        logits = model(inputs_embeds=embeddings).logits
        cross_entropy(logits[0, :-1], ids[0, 1:], reduction="sum").backward()
    sums = []
    for layer, (state, chosen, output) in zip(layers, caught, strict=True):
        assert output.grad is not None
        apart = expert_outputs(layer, state, chosen[:, 1]) - expert_outputs(layer, state, chosen[:, 0])
        sums.append((output.grad[1:] ** 2 * apart[1:] ** 2).sum())
    return torch.stack(sums)


@contextmanager
def calls(
    layers: tuple[MoELayer, ...],
) -> Iterator[list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]]:
    """Input [T, d], choices by falling weight [T, K] and output [T, d] of each layer that has run."""
    caught: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def catch(experts: nn.Module, given: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        output.retain_grad()
        state, index, weights = given
        order = weights.argsort(dim=1, descending=True)
        caught.append((state.detach(), index.gather(1, order), output))

    handles = [layer.experts.register_forward_hook(catch) for layer in layers]
    try:
        yield caught
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def expert_outputs(layer: MoELayer, state: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Output [T, d] of the one expert that each token chose, [T], not weighted."""
    maths = ExpertMaths(layer)
    outputs = torch.zeros_like(state)
    for expert in chosen.unique().tolist():
        tokens = (chosen == expert).nonzero()[:, 0]
        outputs[tokens] = maths(state[tokens], expert_tensors(layer, expert))
    return outputs


if __name__ == "__main__":
    main()
