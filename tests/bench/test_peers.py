"""Other engines: some run here, some are not installed, and a llama-bench stands in that checks its words."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hobbit.bench.clock import Backend
from hobbit.bench.drive import drive
from hobbit.bench.peers import run_peer
from hobbit.bench.peers.gguf_file import write_gguf
from hobbit.bench.peers.peer import PeerCase, TracedRouters
from hobbit.bench.routing import bench_routing
from hobbit.bench.run import Plan
from hobbit.engine.anatomy import find_layers
from hobbit.errors import ConfigError
from hobbit.geometry import Geometry
from hobbit.trace import bundled_trace
from tests.bench.small import small

FAKE = """#!{python}
import json, pathlib, sys
words = dict(zip(sys.argv[1::2], sys.argv[2::2]))
assert pathlib.Path(words["-m"]).read_bytes()[:4] == b"GGUF", words
assert [words[key] for key in ("-p", "-n", "-ngl", "-o", "-r")] == ["8", "4", "0", "json", "2"], words
speeds = {{"8": 100.0 + int(words["-ncmoe"]), "4": 10.0 + int(words["-ncmoe"])}}
prefill = {{"build_commit": "abc", "n_prompt": 8, "n_gen": 0, "avg_ts": speeds["8"]}}
print(json.dumps([prefill, {{"n_prompt": 0, "n_gen": 4, "avg_ts": speeds["4"]}}]))
"""


def case(geometry: Geometry | None = None, fraction: float = 0.5) -> PeerCase:
    geometry = geometry or small(layers=4)
    routing = bench_routing(bundled_trace("books"), "books", geometry.shape, 8, 4, bundled=True)
    plan = Plan(prompt=8, tokens=4, repeats=2)
    return PeerCase(geometry, routing.trace, Backend(torch.device("cpu")), plan, fraction)


def test_transformers_runs_with_all_its_weights() -> None:
    row = run_peer("transformers", case())
    assert row.decode_tokens_per_s and row.prefill_tokens_per_s
    assert "all weights on the device" in row.how


def test_accelerate_is_scaled_to_all_layers() -> None:
    pytest.importorskip("accelerate")
    row = run_peer("accelerate", case())
    assert row.decode_tokens_per_s and "2 layers" in row.how and "scaled to 4 layers" in row.how


@pytest.mark.parametrize(
    ("name", "words"), [("policylang", "moe-policylang"), ("llama_bench", "no llama-bench on PATH")]
)
def test_what_is_not_installed_says_so(name: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    row = run_peer(name, case())
    assert row.decode_tokens_per_s is None and row.how.startswith("not installed") and words in row.how


def test_routers_answer_with_the_trace() -> None:
    chosen = case()
    model = chosen.model(torch.device("cpu"))
    seen: list[np.ndarray] = []
    layer = find_layers(model)[1]
    layer.experts.register_forward_pre_hook(lambda module, args: seen.append(args[1].numpy()))
    routers = TracedRouters(model, chosen.trace)
    for _ in range(2):
        drive(model, 8, 4)
    routers.remove()
    np.testing.assert_array_equal(np.concatenate(seen[:5]), chosen.trace.experts[:, 1])
    np.testing.assert_array_equal(np.concatenate(seen[5:]), chosen.trace.experts[:, 1])
    drive(model, 8, 4)
    assert not np.array_equal(np.concatenate(seen[10:]), chosen.trace.experts[:, 1])


def test_llama_bench_gets_a_model_and_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gguf")
    _install(tmp_path, FAKE.format(python=sys.executable), monkeypatch)
    row = run_peer("llama_bench", case(fraction=0.25))
    assert (row.decode_tokens_per_s, row.prefill_tokens_per_s) == (
        13.0,
        103.0,
    )  # 3 of 4 layers stay on the host
    assert "-ncmoe 3" in row.how and "build abc" in row.how


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("#!/bin/sh\necho no such backend >&2\nexit 3\n", "exit code 3: no such backend"),
        ("#!/bin/sh\necho '| model | t/s |'\n", "printed no JSON"),
        ("#!/bin/sh\necho '[]'\n", "printed no results"),
        ('#!/bin/sh\necho \'[{"n_prompt": 512, "n_gen": 0, "avg_ts": 1}]\'\n', "no test of n_gen=4"),
    ],
)
def test_a_llama_bench_that_fails(
    script: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gguf")
    _install(tmp_path, script, monkeypatch)
    with pytest.raises(ConfigError, match=message):
        run_peer("llama_bench", case())


@pytest.mark.parametrize(("name", "architecture"), [("mixtral_8x7b", "llama"), ("qwen3_30b_a3b", "qwen3moe")])
def test_the_gguf_file_reads_back(name: str, architecture: str, tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    geometry = small(name, layers=2)
    write_gguf(geometry, tmp_path / "model.gguf", 64)
    reader = gguf.GGUFReader(tmp_path / "model.gguf")
    field = {key: value.contents() for key, value in reader.fields.items()}
    assert field["general.architecture"] == architecture
    expected = {"block_count": 2, "expert_count": 8, "expert_used_count": 2, "embedding_length": 64}
    assert {key: field[f"{architecture}.{key}"] for key in expected} == expected
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    assert list(tensors["blk.1.ffn_gate_exps.weight"].shape) == [64, 128, 8]  # GGUF counts columns first
    assert list(tensors["blk.1.ffn_down_exps.weight"].shape) == [128, 64, 8]
    values = tensors["blk.0.attn_q.weight"].data
    assert values.dtype == np.float16 and np.isfinite(values).all() and values.std() > 0
    assert sum(tensor.n_elements for tensor in reader.tensors) == _values(geometry, architecture)


def _values(geometry: Geometry, architecture: str) -> int:
    experts = geometry.layers * geometry.experts * geometry.expert_values
    heads = 2 * geometry.layers * geometry.head_dim if architecture == "qwen3moe" else 0
    return geometry.non_expert_bytes // geometry.item_bytes + experts + heads


def _install(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "llama-bench"
    program.write_text(script)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
