"""A bundle holds every expert as the quantizer encodes it, and every other tensor as the model has it."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from xxhash import xxh3_64_intdigest

from hobbit.blob import ALIGNMENT
from hobbit.engine import bundling as module
from hobbit.engine.anatomy import find_layers
from hobbit.engine.reader import CheckpointReader
from hobbit.engine.verification import find_damage
from hobbit.engine.weights import expert_tensors
from hobbit.errors import BundleError, ConfigError, ModelError
from hobbit.store.bundle import BundleIndex
from hobbit.store.bundle.blob_writer import blob_files
from hobbit.store.bundle.partial import PartialBundle
from hobbit.store.bundle.tensor_writer import split
from tests.engine.conversions import PRECISIONS, Counted, bundling, contents, convert, quantizer_of
from tests.engine.families import FAMILIES, tiny_checkpoint
from tests.engine.reader.checkpoints import edit, mxfp4_checkpoint


def blob(folder: Path, index: BundleIndex, level: int, row: int) -> bytes:
    file, start = index.levels[level].place(row)
    with (folder / file.name).open("rb") as opened:
        opened.seek(start)
        return opened.read(index.levels[level].nbytes)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_at_every_precision(family: str, tmp_path: Path) -> None:
    folder, out = tiny_checkpoint(family, tmp_path / "model"), tmp_path / "out"
    convert(folder, out)
    index = BundleIndex.read(out)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    layers = find_layers(model)
    with CheckpointReader(folder) as reader:
        quantizer = quantizer_of(reader, PRECISIONS)
    assert index.precisions == PRECISIONS
    for layer in layers:
        for expert in range(layer.expert_count):
            tensors, row = expert_tensors(layer, expert), index.row(layer.index, expert)
            for level, precision in enumerate(PRECISIONS):
                expected = quantizer.encode(tensors, precision).numpy().tobytes()
                assert blob(out, index, level, row) == expected
                assert index.levels[level].checksums[row] == xxh3_64_intdigest(expected)
    state = model.state_dict()
    experts = {f"{layer.name}.{name}" for layer in layers for name in layer.traits.names}
    held = {name: tensor for file in index.weights for name, tensor in load_file(out / file).items()}
    for name, tensor in held.items():
        assert tensor.dtype == state[name].dtype and torch.equal(tensor, state[name])
    assert held.keys() == state.keys() - experts - set(model.all_tied_weights_keys)
    assert not list(find_damage(out, index, Counted()))


def test_four_bit_experts_are_bundled_as_plain_weights(tmp_path: Path) -> None:
    folder = mxfp4_checkpoint(tmp_path / "model")
    index = convert(folder, tmp_path / "out", ["native", "int4"])
    assert dict(index.tensors)["down_proj"].dtype == "bfloat16"
    assert not list(find_damage(tmp_path / "out", index, Counted()))


class Made(NamedTuple):
    """A checkpoint and the bundle it makes undisturbed."""

    folder: Path
    out: Path
    index: BundleIndex


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = tmp_path_factory.mktemp("made")
    folder = tiny_checkpoint("mixtral", root / "model")
    (folder / "LICENSE").write_text("Do as you like.")
    (folder / "modeling.py").write_text("raise SystemExit")
    return Made(folder, root / "out", convert(folder, root / "out"))


def test_what_is_copied_is_untouched_and_no_code(made: Made) -> None:
    for name in (
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "LICENSE",
    ):
        assert name in made.index.files
        assert (made.out / name).read_bytes() == (made.folder / name).read_bytes()
    assert not (made.out / "modeling.py").exists() and not (made.out / "model.safetensors").exists()
    named = {file.name for level in made.index.levels for file in level.files}
    assert contents(made.out).keys() == {*made.index.files, *made.index.weights, *named, "hobbit.json"}


def test_tensors_in_blobs_are_aligned_and_padding_is_zero(made: Made) -> None:
    for number, level in enumerate(made.index.levels):
        assert all(field.offset % ALIGNMENT == 0 for field in level.layout.fields)
        file, start = level.place(5)
        whole = (made.out / file.name).read_bytes()[start : start + level.stride]
        assert whole[: level.nbytes] == blob(made.out, made.index, number, 5)
        assert not any(whole[level.nbytes :])


def test_files_are_split_and_come_back_whole(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "blob_files", partial(blob_files, most=2**16))
    monkeypatch.setattr(module, "split", partial(split, most=2**15))
    index = convert(made.folder, tmp_path / "out")
    assert len(index.weights) > 3 and all(len(level.files) > 1 for level in index.levels)
    assert [level.checksums for level in index.levels] == [level.checksums for level in made.index.levels]
    assert not list(find_damage(tmp_path / "out", BundleIndex.read(tmp_path / "out"), Counted()))


@contextmanager
def files_of_at_most(nbytes: int) -> Iterator[None]:
    """No file may grow beyond `nbytes`: what a write then meets is what a full disk gives it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("most", [100, 30_000, 500_000])
def test_a_disk_that_is_full_is_one_line_and_nothing_is_lost(most: int, made: Made, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with files_of_at_most(most), pytest.raises(BundleError) as caught:
        convert(made.folder, out)
    line = str(caught.value)
    assert line.startswith(
        f"out={out}: File too large; what was written stays in {out}.partial, and the same"
    )
    assert not out.exists() and "\n" not in line
    counted = Counted()
    convert(made.folder, out, counted=counted)
    assert contents(out) == contents(made.out) and not Path(f"{out}.partial").exists()
    assert (counted.kept > 0) == (most > 100)


def test_a_disk_that_is_too_small_is_found_out_before(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(
        ConfigError, match=r"takes 1\.\d+ MB more, its disk has 1 kB free: .* are missing; free"
    ):
        convert(made.folder, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(made: Made, tmp_path: Path) -> None:
    before = contents(made.out)
    with pytest.raises(BundleError, match="exists already and is not overwritten"):
        convert(made.folder, made.out)
    assert contents(made.out) == before
    foreign = tmp_path / "out.partial"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    with pytest.raises(BundleError, match="is in the way and was not written by hobbit"):
        convert(made.folder, tmp_path / "out")
    assert contents(foreign) == {"thesis.txt": b"mine"}
    with pytest.raises(ConfigError, match="does not exist; create it"):
        convert(made.folder, tmp_path / "nowhere" / "out")


def begun(made: Made, tmp_path: Path) -> tuple[Path, Path]:
    """A copy of the checkpoint, and a bundle of it that was begun."""
    folder, out = tmp_path / "model", tmp_path / "out"
    shutil.copytree(made.folder, folder)
    with files_of_at_most(500_000), pytest.raises(BundleError):
        convert(folder, out)
    return folder, out


def test_going_on_with_other_settings_or_weights_is_refused(made: Made, tmp_path: Path) -> None:
    folder, out = begun(made, tmp_path)
    with pytest.raises(BundleError, match=r"begun with other settings \((precisions|blob_bytes)="):
        convert(folder, out, ["native", "int4"])
    (folder / "model.safetensors").touch()
    with pytest.raises(BundleError, match="the checkpoint has changed since"):
        convert(folder, out)


def test_two_at_once_are_refused(made: Made, tmp_path: Path) -> None:
    folder, out = begun(made, tmp_path)
    with CheckpointReader(folder) as reader:
        work = bundling(reader, out)
        with PartialBundle(out, work._plan()), pytest.raises(BundleError, match="written by another process"):
            work.run(Counted())


def test_blobs_that_a_power_cut_lost_are_written_again(made: Made, tmp_path: Path) -> None:
    folder, out = begun(made, tmp_path)
    blobs = next(Path(f"{out}.partial").rglob("int8-00000.bin"))
    content = bytearray(blobs.read_bytes())
    content[made.index.levels[1].stride * 2 + 17] ^= 1
    blobs.write_bytes(content)
    counted = Counted()
    convert(folder, out, counted=counted)
    assert counted.kept == 2 * sum(level.nbytes for level in made.index.levels)
    assert counted.kept + counted.done == 32 * sum(level.nbytes for level in made.index.levels)
    assert contents(out) == contents(made.out)


def test_a_journal_that_was_torn_is_believed_up_to_there(made: Made, tmp_path: Path) -> None:
    folder, out = begun(made, tmp_path)
    journal = Path(f"{out}.partial") / "journal"
    journal.write_bytes(journal.read_bytes()[:-5] + b"\x00\xff")
    convert(folder, out)
    assert contents(out) == contents(made.out)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_refused(value: float, made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(made.folder, folder)
    name = "model.layers.2.block_sparse_moe.experts.5.w2.weight"
    edit(folder, lambda tensors: tensors[name].view(-1)[7].fill_(value) and None)
    with pytest.raises(ModelError, match="expert 5 of layer 2 has weights that are not finite: down_proj"):
        convert(folder, tmp_path / "out")
