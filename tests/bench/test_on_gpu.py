"""task=bench on a GPU, where there is one."""

from __future__ import annotations

import json

import pytest
import torch

from hobbit.cli.main import main
from tests.bench.small import SIZES

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

WIDER = [f"geometry.{name}={value}" for name, value in (SIZES | {"hidden": 256, "ffn": 512}).items()]
"""Kernels want matrices of some width."""


def test_a_bench_on_the_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    policies = "bench.policies=[lru,hobbit,hobbit_cooperative,'lru:loader=balanced']"
    words = ["bench.layers=3", "bench.prompt=16", "bench.tokens=16", "bench.repeats=2", "bench.split=4"]
    peers = "bench.peers=[transformers]"
    code = main(["bench", "device=cuda", *WIDER, *words, policies, peers, "bench.fraction=0.75", "--json"])
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    result = json.loads(out)["result"]
    assert result["failures"] == []
    for row in result["rows"]:
        assert row["peak_bytes"] <= row["budget"]
    lru = result["rows"][1]
    assert lru["moved"] > 0 and 0 < lru["hit_ratio"] < 1
