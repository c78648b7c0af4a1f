"""Whatever a user may get wrong: one line on stderr, exit code 2, and nothing else anywhere."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from hobbit.cli.main import main
from hobbit.trace import write_trace
from tests.conftest import CommandLine
from tests.engine.models import tiny_model
from tests.engine.texts import save_checkpoint
from tests.trace.samples import small_trace


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that the cases name: a tiny checkpoint and broken ones, texts, traces."""
    root = tmp_path_factory.mktemp("files")
    save_checkpoint(root / "tiny", tiny_model(), shard="100KB")
    for name in ("lacking", "truncated"):
        folder = save_checkpoint(root / name, tiny_model(), shard="100KB")
        shard = sorted(folder.glob("*.safetensors"))[1]
        if name == "lacking":
            shard.unlink()
        else:
            shard.write_bytes(shard.read_bytes()[:-100])
    save_checkpoint(root / "dense", LlamaForCausalLM(_dense()))
    (root / "empty").mkdir()
    (root / "prompt.txt").write_text("abc")
    (root / "blank.txt").write_text(" \n\n")
    (root / "latin.txt").write_bytes(b"caf\xe9")
    write_trace(small_trace(), root / "small.npz")
    _newer(root / "small.npz", root / "newer.npz")
    (root / "cut.npz").write_bytes((root / "small.npz").read_bytes()[:500])
    return root


def _dense() -> LlamaConfig:
    return LlamaConfig(
        vocab_size=97, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )


def _newer(known: Path, newer: Path) -> None:
    with zipfile.ZipFile(known) as old, zipfile.ZipFile(newer, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "header.json":
                data = json.dumps(json.loads(data) | {"version": 99}).encode()
            new.writestr(name, data)


@pytest.fixture
def refusal(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], str]:
    """`refusal(words)` runs words (FILES: the folder of files; no blanks) and returns the line on stderr."""
    monkeypatch.chdir(tmp_path)
    before = sorted(files.rglob("*"))

    def run(words: str) -> str:
        code = main([word.replace("FILES", str(files)) for word in words.split()])
        out, err = capsys.readouterr()
        assert (code, out) == (2, "")
        assert err.startswith("hobbit: error: ") and err.count("\n") == 1 and err.endswith("\n")
        assert sorted(files.rglob("*")) == before and not list(tmp_path.iterdir())
        return err.removeprefix("hobbit: error: ").rstrip()

    return run


NAMES = [
    ("policy=hobit", "no policy is called 'hobit'; did you mean 'hobbit'?"),
    ("device=orinn", "no device is called 'orinn'; did you mean 'orin'?"),
    ("loader=mixed_precison", "no loader is called 'mixed_precison'; did you mean 'mixed_precision'?"),
    ("policy=hobbit simulate", "the task comes first: hobbit simulate ..., or task=simulate anywhere"),
    ("task=simulat", "no task is called 'simulat'; did you mean 'simulate'?"),
    ("geometry=mixtral", "no geometry is called 'mixtral'; did you mean 'mixtral_8x7b'?"),
    ("max_new_token=3", "no option is called 'max_new_token'; did you mean 'max_new_tokens'?"),
    ("policy=hobbit prefetcher.dept=2", "no option is called 'prefetcher.dept'; did you mean 'depth'?"),
    ("compare=[lru,beladi]", "compare: no policy is called 'beladi'; did you mean 'belady'?"),
    ("quality.domains=[bookz]", "quality.domains: no domain is called 'bookz'; did you mean 'books'?"),
    ("evaluate task.domains=[math]", "task.domains: no domain is called 'math'; did you mean 'maths'?"),
    ("model=no/such/folder", "model='no/such/folder' is no known model, no folder and no hub id"),
    ("simulate device=orin task.trace=FILES/no.npz", "trace FILES/no.npz cannot be read: No such file"),
    ("simulate device=orin task.trace=bookz", "no bundled trace has domain 'bookz'; did you mean 'books'?"),
    ("simulate device=orin task.trace=books.tran", "no bundled trace has part 'tran'; did you mean 'train'?"),
]

NUMBERS = [
    ("max_new_tokens=0", "max_new_tokens=0 generates nothing"),
    ("temperature=-1", "temperature=-1.0 is no temperature"),
    ("temperature=nan", "temperature=nan is no temperature"),
    ("threads=-1", "threads=-1 is negative"),
    ("seed=-1", "seed=-1 is out of range"),
    ("quality.tokens=0", "quality.tokens=0 measures nothing"),
    ("quality.domains=[]", "quality.domains is empty"),
    ("evaluate task.tokens=0", "task.tokens=0 measures nothing"),
    ("simulate device=orin task.sequences=0", "task.prompt_tokens, task.decode_tokens and task.sequences"),
]

OUT = [
    ("out=nowhere/report.json", "out='nowhere/report.json' cannot be written: No such file or directory"),
    ("out=FILES", "out='FILES' cannot be written: it is a folder"),
    ("out=/proc/report.json", "out='/proc/report.json' cannot be written"),
    ("record", "task=record needs a file to write; give out=FILE.npz"),
    ("record out=nowhere/a.npz", "out='nowhere/a.npz' cannot be written"),
]

PROMPTS = [
    ("prompt=a prompt_file=FILES/prompt.txt", "prompt and prompt_file are both given"),
    ("prompt_file=FILES/none.txt", "prompt_file='FILES/none.txt' cannot be read: No such file"),
    ("prompt_file=FILES/empty", "prompt_file='FILES/empty' cannot be read: Is a directory"),
    ("prompt_file=FILES/latin.txt", "prompt_file='FILES/latin.txt' cannot be read: it is not UTF-8 text"),
    ("task=record out=FILES/x.npz task.lines=true prompt_file=FILES/blank.txt", "the prompt has no line"),
    (f"prompt={'a' * 600}", "600 prompt tokens and max_new_tokens=64 exceed the model's context of 512"),
    ("prompt=", "the prompt has 0 tokens; give it at least one character"),
    ("quality.tokens=999999", "quality.tokens=999999 exceeds the bundled books text; ask for at most "),
]

MODELS = [
    ("model=FILES/empty", "model=FILES/empty has no config.json"),
    ("model=FILES/dense", "model=FILES/dense: LlamaForCausalLM is not a mixture of experts"),
    ("model=FILES/lacking", "model=FILES/lacking: it lacks the shard model-00002-of-"),
    ("model=FILES/truncated", "model=FILES/truncated: model-00002-of-"),
]

SETUPS = [
    ("memory.device=-3GB", "memory.device='-3GB' is not a size"),
    ("memory.device=abc", "memory.device='abc' is not a size"),
    ("memory.device=0", "memory.device='0' is no memory at all"),
    ("memory.context=-1", "memory.context=-1 is negative"),
    ("memory.device=1KB", "memory.device=1 kB cannot hold the "),
    ("memory.device=200KB", "memory.device=200 kB leaves "),
    ("precision.high=int3", "'int3'"),
    ("policy=hobbit loader.t1=2", "loader.t1=2.0 lies outside [0, 1]"),
    ("policy=hobbit quantizer.group_size=16 prefetcher.depth=0", "prefetcher.depth=0 looks nowhere"),
    ("policy=hobbit quantizer.group_size=16 cache.w_lru=2", "cache weights w_lru + w_lfu + w_lhu + w_fld"),
    ("policy=lru cache.low_share=2", "cache.low_share=2.0 is not a share"),
    ("geometry=phi_moe", "geometry=phi_moe has 32 layers of 16 experts, top-2, the model 4 of 8, top-2"),
    ("policy=hobbit quantizer.group_size=0", "group_size=0"),
]

TRACES = [
    ("task.trace=FILES/cut.npz", "trace FILES/cut.npz is not a trace or is damaged"),
    ("task.trace=FILES/newer.npz", "trace FILES/newer.npz cannot be used: its version 99 is newer than 1"),
    ("task.trace=FILES/prompt.txt", "trace FILES/prompt.txt is not a trace or is damaged"),
    ("task.trace=FILES", "trace FILES cannot be read: Is a directory"),
    ("task.trace=FILES/small.npz", "FILES/small.npz is the routing of 4 layers of 8 experts, top-2"),
    ("model=FILES/tiny", "task=simulate loads no model; give geometry=NAME instead of model="),
    ("device=cpu", "task=simulate needs a virtual clock; device=cpu has none"),
]


def _check(line: str, message: str, files: Path) -> None:
    assert message.replace("FILES", str(files)) in line


@pytest.mark.parametrize(("words", "message"), NAMES + NUMBERS + OUT + MODELS)
def test_before_anything_runs(words: str, message: str, refusal: Callable[[str], str], files: Path) -> None:
    _check(refusal(words), message, files)


@pytest.mark.parametrize(("words", "message"), PROMPTS + SETUPS)
def test_with_a_model(words: str, message: str, refusal: Callable[[str], str], files: Path) -> None:
    given = "" if "prompt" in words else "prompt=abc"
    _check(refusal(f"model=FILES/tiny device=rtx4090 {given} {words}"), message, files)


@pytest.mark.parametrize(("words", "message"), TRACES)
def test_traces(words: str, message: str, refusal: Callable[[str], str], files: Path) -> None:
    _check(refusal(f"simulate device=orin policy=hobbit {words}"), message, files)


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is here")
def test_cuda_where_there_is_none(refusal: Callable[[str], str]) -> None:
    line = refusal("model=FILES/tiny prompt=abc device=cuda")
    assert line == "device=cuda: no CUDA device is visible; use device=cpu or device=auto"


def test_a_prompt_that_is_no_text(refusal: Callable[[str], str]) -> None:
    assert "is not UTF-8 text" in refusal("model=FILES/tiny prompt=caf\udce9")


def test_a_geometry_counts_on_simulated_devices_only(refusal: Callable[[str], str]) -> None:
    line = refusal("model=FILES/tiny prompt=abc device=cpu geometry=phi_moe")
    assert line.startswith("geometry=phi_moe counts on simulated devices only")


def test_a_whole_process(files: Path, tmp_path: Path, command_line: CommandLine) -> None:
    words = [f"model={files / 'tiny'}", "device=rtx4090", "prompt=", "out=report.json", "output=json"]
    done = command_line(*words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "hobbit: error: the prompt has 0 tokens; give it at least one character\n"
    assert not list(tmp_path.iterdir())
