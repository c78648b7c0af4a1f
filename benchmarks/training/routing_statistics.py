"""How the bundled model routes, on a sample of each validation file; runs on a CPU.

python -m benchmarks.training.routing_statistics --model hobbit/bundled/model --corpus CORPUS \
    --out hobbit/bundled/model/routing_statistics.json
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedModel

from benchmarks.training.bits_per_byte import WINDOW, load
from benchmarks.training.corpus import DOMAINS, read_text

DEPTHS = (1, 2, 3)


@torch.no_grad()
def gate_inputs(model: PreTrainedModel, windows: Tensor) -> Tensor:
    """Return what each layer's router receives, [L, B, S, D]."""
    seen: list[Tensor] = []
    hooks = [
        layer.mlp.gate.register_forward_pre_hook(
            lambda _, args: seen.append(args[0].view(*windows.shape, -1))
        )
        for layer in model.model.layers
    ]
    try:
        model(windows)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(seen)


def repeats(choices: Tensor) -> list[float]:
    """Return per layer the share of tokens whose first choice is the previous one's; choices [L, B, S, 2]."""
    first = choices[..., 0]
    return (first[:, :, 1:] == first[:, :, :-1]).double().mean((1, 2)).tolist()


def look_ahead(inputs: Tensor, routers: Tensor, choices: Tensor, depth: int) -> dict[str, list[float]]:
    """Predict layer l + depth by its router on layer l's gate input, for every l.

    `first` is the share of tokens whose predicted first choice is the real one, `recall` the share of the
    real top-2 that is in the predicted top-2. inputs [L, B, S, D], routers [L, E, D], choices [L, B, S, 2].
    """
    logits = torch.einsum("lbsd,led->lbse", inputs[:-depth], routers[depth:])
    predicted, real = logits.topk(2).indices, choices[depth:]
    hits = (predicted[..., None] == real[..., None, :]).any(-2)
    return {
        "first": (predicted[..., 0] == real[..., 0]).double().mean((1, 2)).tolist(),
        "recall": hits.double().mean((1, 2, 3)).tolist(),
    }


def load_shares(choices: Tensor, experts: int) -> list[list[float]]:
    """Return each expert's share of all selections per layer, [L][E]."""
    counts = torch.stack([torch.bincount(layer.flatten(), minlength=experts) for layer in choices]).double()
    return (counts / counts.sum(1, keepdim=True)).tolist()


def spread(shares: list[float]) -> dict[str, float]:
    """Return least and greatest share and the entropy over its maximum (1: even)."""
    entropy = -sum(share * math.log(share) for share in shares if share) / math.log(len(shares))
    return {"min": min(shares), "max": max(shares), "entropy": entropy}


def statistics(model: PreTrainedModel, windows: Tensor) -> dict[str, Any]:
    """Return every statistic of one domain's windows [B, S]."""
    routers = torch.stack([layer.mlp.gate.weight.detach() for layer in model.model.layers])  # [L, E, D]
    inputs = gate_inputs(model, windows)
    choices = torch.einsum("lbsd,led->lbse", inputs, routers).topk(2).indices
    shares = load_shares(choices, routers.shape[1])
    return {
        "tokens": windows.numel(),
        "first_choice_repeats": repeats(choices),
        "look_ahead": {str(depth): look_ahead(inputs, routers, choices, depth) for depth in DEPTHS},
        "load": shares,
        "load_spread": [spread(layer) for layer in shares],
    }


def summary(domains: dict[str, Any]) -> dict[str, Any]:
    """Return means over domains and layers, and the repeats of the first, middle and last layer."""
    values = list(domains.values())
    mean = lambda numbers: sum(numbers) / len(numbers)  # noqa: E731
    layers = len(values[0]["load"])
    return {
        "first_choice_repeats": {
            str(layer): mean([v["first_choice_repeats"][layer] for v in values])
            for layer in (0, layers // 2 - 1, layers - 1)
        },
        "look_ahead": {
            str(depth): {
                kind: mean([mean(v["look_ahead"][str(depth)][kind]) for v in values])
                for kind in ("first", "recall")
            }
            for depth in DEPTHS
        },
        "load": {
            name: {
                "min": min(layer["min"] for layer in v["load_spread"]),
                "max": max(layer["max"] for layer in v["load_spread"]),
                "entropy": mean([layer["entropy"] for layer in v["load_spread"]]),
            }
            for name, v in domains.items()
        },
    }


def rounded(value: Any) -> Any:
    """Return the same structure with floats at four decimals."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--windows", type=int, default=16, help="512-token windows of each domain, evenly spaced"
    )
    arguments = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = load(arguments.model)
    domains = {}
    for domain in DOMAINS:
        text = read_text(arguments.corpus, domain, "val")
        ids = torch.tensor(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
        windows = ids[: len(ids) // WINDOW * WINDOW].view(-1, WINDOW)
        chosen = torch.linspace(0, len(windows) - 1, min(arguments.windows, len(windows))).long()
        domains[domain] = statistics(model, windows[chosen])
    report = rounded({"window": WINDOW, "summary": summary(domains), "domains": domains})
    arguments.out.write_text(json.dumps(report) + "\n")
    print(json.dumps(report["summary"], indent=1))


if __name__ == "__main__":
    main()
