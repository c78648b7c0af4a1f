"""task=convert and task=verify as a user runs them, and whatever may be wrong with a bundle."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from hobbit.cli.main import main
from hobbit.cli.single import spelt_out
from hobbit.config.compose import compose
from hobbit.config.tasks import ConvertTask
from hobbit.store.bundle import BundleIndex
from tests.engine.conversions import contents
from tests.engine.families import tiny_checkpoint

PAGE = Path(__file__).parents[2] / "docs" / "bundles.md"
COMMANDS = [
    shlex.split(line)[1:] for line in re.findall(r"^    (hobbit .*)$", PAGE.read_text(), re.MULTILINE)
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint("qwen3_moe", tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def made(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "bundle"
    assert main(["convert", f"model={checkpoint}", "precisions=[bf16,int4]", f"out={out}"]) == 0
    return out


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    """A copy that may be spoilt."""
    return shutil.copytree(made, tmp_path / "bundle")


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(list(words)) == 2
    line = capsys.readouterr().err
    assert line.startswith("hobbit: error: ") and line.count("\n") == 1
    return line.removeprefix("hobbit: error: ").strip()


@pytest.mark.parametrize("words", COMMANDS, ids=shlex.join)
def test_the_commands_of_the_page_compose(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("path/to/checkpoint", "mixtral.bundle"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    config = compose(spelt_out(words))
    if isinstance(config.task, ConvertTask):
        assert config.task.precisions in (["bf16", "int4", "int2"], ["lossless12", "int4"])


def test_what_is_said_of_a_bundle(
    checkpoint: Path, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", f"model={made}"]) == 0
    shown, said = capsys.readouterr()
    assert "tiny: 3 MoE layers of 16 experts, top-3" in shown and not said
    assert re.search(r"^int4 +48 +[\d.]+ kB +[\d.]+ kB +0$", shown, re.MULTILINE)
    out = tmp_path / "again"
    words = ["convert", f"model={checkpoint}", "precisions=[native,int2]", f"out={out}", "output=json"]
    assert main([*words, "quantizer.group_size=32", "quantizer.optimizer=hqq"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [level["precision"] for level in report["levels"]] == ["native", "int2"]
    assert report["levels"][1]["options"] == {"group_size": 32, "optimizer": "hqq", "strays": 512}
    assert report["levels"][1]["bytes"] == sum(f.stat().st_size for f in out.glob("experts/int2-*"))
    assert (report["task"], report["damage"], report["path"]) == ("convert", [], str(out))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "task=convert needs a folder to write; give out=DIR"),
        ("out=OUT precisions=[]", "task.precisions is empty"),
        ("out=OUT precisions=[bf16,native]", "asks for native twice, the second time as native"),
        ("out=OUT precisions=[fp16]", "the checkpoint's experts are bfloat16, which fp16 would change"),
        ("out=OUT precisions=[int3]", "has no precision 'int3'"),
        ("out=OUT quantizer.group_size=48", "does not divide the 64 input columns"),
        ("out=OUT quantizer=none precisions=[int4]", "quantizer=none has no precision 'int4'"),
        ("out=OUT/none/there", "the folder OUT/none does not exist"),
        ("out=OUT model=BUNDLE", "model=BUNDLE is a bundle already"),
    ],
)
def test_what_cannot_be_converted(
    words: str, message: str, checkpoint: Path, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def named(text: str) -> str:
        return text.replace("OUT", str(tmp_path / "out")).replace("BUNDLE", str(made))

    given = named(words).split()
    model = [] if any(word.startswith("model=") for word in given) else [f"model={checkpoint}"]
    assert named(message) in refusal(capsys, "convert", *given, *model)
    assert not list(tmp_path.iterdir())


def test_an_out_that_exists(made: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(made)
    line = refusal(capsys, "convert", f"model={checkpoint}", f"out={made}")
    assert line == f"{made} exists already and is not overwritten; choose another name, or remove it"
    assert contents(made) == before


def _flip(file: Path, offset: int) -> None:
    content = bytearray(file.read_bytes())
    content[offset] ^= 1
    file.write_bytes(content)


def _reindex(bundle: Path, change: Callable[[BundleIndex], object]) -> None:
    values = json.loads((bundle / "hobbit.json").read_text())
    change(values)
    (bundle / "hobbit.json").write_text(json.dumps(values))


def test_a_damaged_blob_is_found(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    level = BundleIndex.read(bundle).levels[1]
    _flip(bundle / "experts/int4-00000.bin", level.stride * 19 + 100)
    assert main(["verify", f"model={bundle}"]) == 2
    shown, said = capsys.readouterr()
    assert re.search(r"experts/int4-00000\.bin +int4 +1 +3 +its checksum differs", shown)
    assert said.startswith(f"hobbit: error: bundle {bundle} is damaged: experts/int4-00000.bin, its checksum")


def test_padding_is_nobodys_business(bundle: Path) -> None:
    index = BundleIndex.read(bundle)
    level = index.levels[1]
    assert level.stride > level.nbytes
    _flip(bundle / "experts/int4-00000.bin", level.stride - 1)
    assert main(["verify", f"model={bundle}"]) == 0


def test_damaged_files_are_found(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _flip(bundle / "tokenizer.json", 50)
    _flip(bundle / "weights-00000.safetensors", 5000)
    assert main(["verify", f"model={bundle}", "output=json"]) == 2
    found = {entry["file"]: entry["what"] for entry in json.loads(capsys.readouterr().out)["damage"]}
    assert found == dict.fromkeys(("tokenizer.json", "weights-00000.safetensors"), "its checksum differs")
    whole = (bundle / "weights-00000.safetensors").read_bytes()
    (bundle / "weights-00000.safetensors").write_bytes(whole[:-10])
    assert "its checksum differs" in refusal(capsys, "verify", f"model={bundle}")


def test_scales_that_are_no_numbers(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from xxhash import xxh3_64_hexdigest

    level = BundleIndex.read(bundle).levels[1]
    field = next(
        field for field in level.layout.fields if (field.tensor, field.part) == ("down_proj", "scale")
    )
    file = bundle / "experts/int4-00000.bin"
    content = bytearray(file.read_bytes())
    content[field.offset : field.offset + 2] = b"\xc0\x7f"  # a NaN in bfloat16
    file.write_bytes(content)
    sound = xxh3_64_hexdigest(content[: level.nbytes])
    _reindex(bundle, lambda values: values["levels"][1]["checksums"].__setitem__(0, sound))  # type: ignore[index]
    assert "the scales of down_proj are not all finite" in refusal(capsys, "verify", f"model={bundle}")


def test_an_index_of_another_model(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = json.loads((bundle / "config.json").read_text())
    (bundle / "config.json").write_text(
        json.dumps(config | {"num_experts_per_tok": 2, "mlp_only_layers": []})
    )
    assert main(["verify", f"model={bundle}", "output=json"]) == 2
    damage = json.loads(capsys.readouterr().out)["damage"]
    assert any("config.json of RoutingShape(layers=4" in entry["what"] for entry in damage)
    assert any("weights of the model, such as" in entry["what"] for entry in damage)


def test_weights_that_are_missing(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = bundle / "weights-00000.safetensors"
    tensors = load_file(file)
    del tensors["model.norm.weight"]
    save_file(tensors, file)
    assert main(["verify", f"model={bundle}", "output=json"]) == 2
    said = [entry["what"] for entry in json.loads(capsys.readouterr().out)["damage"]]
    assert said == ["its checksum differs", "no file holds 1 weights of the model, such as model.norm.weight"]


def test_no_bundle_at_all(checkpoint: Path, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"model={checkpoint} is no bundle" in refusal(capsys, "verify", f"model={checkpoint}")
    assert "leave out= away" in refusal(capsys, "verify", f"model={bundle}", "out=x")
    _reindex(bundle, lambda values: values.update(version=9))  # type: ignore[attr-defined]
    assert "its version 9 is newer than 1" in refusal(capsys, "verify", f"model={bundle}")


def test_dtypes_other_than_the_checkpoints_are_kept_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny_checkpoint("olmoe", tmp_path / "model", torch.float16)
    words = ["convert", f"model={folder}", "precisions=[fp16]", f"out={tmp_path / 'out'}"]
    assert main(words) == 0
    index = BundleIndex.read(tmp_path / "out")
    assert index.precisions == ("native",) and index.source["dtype"] == "float16"
