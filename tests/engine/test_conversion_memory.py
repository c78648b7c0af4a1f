"""A conversion takes the memory of a few experts, whatever the checkpoint's size."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, MixtralConfig

from tests.engine.conversions import convert
from tests.engine.families import tiny_checkpoint

LEVELS = ("native", "int4", "int2")
CONFIG = MixtralConfig(
    vocab_size=97, hidden_size=512, intermediate_size=1344, num_attention_heads=4, num_key_value_heads=2,
    num_hidden_layers=8, num_local_experts=8,
)  # fmt: skip


def anonymous() -> int:
    """Bytes of this process's memory that no file holds."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def growth(folder: Path, out: Path) -> int:
    """Bytes that RssAnon grew by at its highest during a conversion."""
    before, samples, over = anonymous(), [0], threading.Event()

    def sample() -> None:
        while not over.wait(0.001):
            samples.append(anonymous())

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    convert(folder, out, LEVELS)
    over.set()
    thread.join()
    return max(samples) - before


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="/proc is not here")
def test_memory_is_that_of_a_few_experts(tmp_path: Path) -> None:
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(CONFIG, dtype=torch.bfloat16).save_pretrained(tmp_path / "model")
    checkpoint = sum(file.stat().st_size for file in (tmp_path / "model").glob("*.safetensors"))
    convert(
        tiny_checkpoint("mixtral", tmp_path / "tiny"), tmp_path / "tiny.out", LEVELS
    )  # imports all it takes
    receive, send = os.pipe()
    child = os.fork()  # what this process has freed and not given back is not there to be used again
    if child == 0:
        torch.set_num_threads(1)
        os.write(send, str(growth(tmp_path / "model", tmp_path / "out")).encode())
        os._exit(0)
    os.close(send)
    grown = int(os.read(receive, 99) or b"-1")
    os.waitpid(child, 0)
    assert checkpoint > 260e6
    assert 0 < grown < checkpoint / 2
