"""Bits per byte of the three validation files, with plain transformers in float32.

Whole file, non-overlapping 512-token windows, no BOS: the mean loss of positions 2..512, times tokens, over
UTF-8 bytes and ln 2.

python -m benchmarks.training.bits_per_byte --model hobbit/bundled/model --corpus CORPUS
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from benchmarks.training.corpus import DOMAINS, read_text
from benchmarks.training.export import to_mixtral
from benchmarks.training.model import Model, Shape

WINDOW = 512


def load(path: Path) -> PreTrainedModel:
    """Load an exported checkpoint (a folder) or a training checkpoint (a file) in float32, eager experts."""
    model: PreTrainedModel
    if path.is_dir():
        model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager")
    else:
        trained = Model(Shape())
        trained.load_state_dict(torch.load(path, map_location="cpu")["model"])
        model = to_mixtral(trained)
        model.set_attn_implementation("eager")
    model.set_experts_implementation("eager")
    model.eval()  # type: ignore[no-untyped-call]
    return model


@torch.no_grad()
def window_losses(model: PreTrainedModel, ids: Tensor, rows: int) -> Tensor:
    """Return the losses in nats of positions 2.. of every window, the last one shorter; ids is [tokens]."""
    whole = len(ids) // WINDOW * WINDOW
    batches = list(torch.split(ids[:whole].view(-1, WINDOW), rows))
    if len(ids) - whole > 1:
        batches.append(ids[None, whole:])
    losses = []
    for batch in batches:
        logits = model(batch.to(model.device)).logits[:, :-1].float()
        loss = torch.nn.functional.cross_entropy(
            logits.transpose(1, 2), batch[:, 1:].to(model.device), reduction="none"
        )
        losses.append(loss.flatten().double().cpu())
    return torch.cat(losses)


def bits_per_byte(model: PreTrainedModel, ids: Tensor, size: int, rows: int = 16) -> float:
    """Return bits per byte of a text of `size` bytes and tokens `ids`."""
    return float(window_losses(model, ids, rows).mean()) * len(ids) / size / math.log(2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model", type=Path, required=True, help="checkpoint folder, or training checkpoint file"
    )
    parser.add_argument("--tokenizer", type=Path, help="defaults to --model")
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(arguments.tokenizer or arguments.model)
    model = load(arguments.model).to(arguments.device)
    for domain in DOMAINS:
        text = read_text(arguments.corpus, domain, "val")
        ids = torch.tensor(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
        print(f"{domain} {bits_per_byte(model, ids, len(text.encode())):.4f}", flush=True)


if __name__ == "__main__":
    main()
