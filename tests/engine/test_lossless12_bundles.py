"""Bundles that hold bfloat16 in 12 bits: they run, hold what the checkpoint has, and say what they lack."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hobbit.engine.checkpoint import load_checkpoint
from hobbit.engine.opening import open_model
from hobbit.engine.origin import origin_of
from hobbit.engine.reader import CheckpointReader
from hobbit.engine.verification import find_damage
from hobbit.errors import ConfigError
from hobbit.store import MemoryStore, TieredStore
from hobbit.store.bundle import BundleIndex
from tests.engine.bundles import Uncounted, tiny_bundle
from tests.engine.families import tiny_checkpoint
from tests.engine.runs import continue_greedily, prompts
from tests.engine.sessions import session_of

LOSSLESS12 = "precision=lossless12"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint("olmoe", tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def bundle(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(checkpoint, tmp_path_factory.mktemp("bundle") / "olmoe", ("int4", "lossless12"))


def test_it_holds_the_checkpoints_own_weights(bundle: Path, checkpoint: Path) -> None:
    index = BundleIndex.read(bundle)
    assert index.precisions == ("int4", "lossless12")
    assert not list(find_damage(bundle, index, Uncounted()))
    with origin_of(open_model(bundle)[0]).reading() as read, CheckpointReader(checkpoint) as reader:
        for layer, expert in ((0, 0), (1, 5), (3, 15)):
            found, own = read(layer, expert), reader.expert(layer, expert)
            assert all(
                torch.equal(found[name].view(torch.int16), own[name].view(torch.int16)) for name in own
            )


@pytest.mark.parametrize(("host", "store"), [("auto", MemoryStore), ("400kB", TieredStore)])
def test_it_runs_as_the_whole_model_does(bundle: Path, checkpoint: Path, host: str, store: type) -> None:
    ids, mask = prompts(2, 24)
    expected = continue_greedily(load_checkpoint(checkpoint)[0], ids, mask, 8)
    model, _ = open_model(bundle)
    with session_of(model, "lru", 0.25, 2, LOSSLESS12, f"memory.host={host}") as session:
        found = continue_greedily(model, ids, mask, 8)
        assert isinstance(session.assembly.source, store)
        own, kept = CheckpointReader(checkpoint), session.live.native(2, 3)
        with own as reader:
            assert kept is not None
            assert all(torch.equal(kept[name], tensor) for name, tensor in reader.expert(2, 3).items())
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_of_two_forms_of_the_same_weights_the_one_that_is_there_is_named(
    bundle: Path, checkpoint: Path, tmp_path: Path
) -> None:
    native = tiny_bundle(checkpoint, tmp_path / "native", ("native",))
    for folder, asked, there in ((bundle, "native", "lossless12"), (native, "lossless12", "native")):
        model, _ = open_model(folder)
        with pytest.raises(
            ConfigError, match=rf"no experts at .*'{asked}'.* set precision.high={there}"
        ) as raised:
            session_of(model, "lru", 0.25, 2, f"precision.high={asked}")
        assert "\n" not in str(raised.value)
