"""A killed and resumed training run ends in the weights of an uninterrupted one."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.training.corpus import DOMAINS, Batches, WindowStream
from benchmarks.training.model import Shape
from benchmarks.training.train import PROBE, Run, Settings

SHAPE = Shape(vocabulary=64, hidden=16, width=16, layers=2, experts=4, heads=2, positions=16, dropout=0.1)


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    """A folder of random token files, each of a few documents that end in token 0."""
    folder = tmp_path / "tokens"
    folder.mkdir()
    random = np.random.default_rng(0)
    sizes = {}
    for domain in DOMAINS:
        for split in ("train", "val"):
            text = random.integers(1, 64, 700).astype(np.uint16)
            text[::97] = 0
            np.save(folder / f"{domain}.{split}.npy", text)
            sizes[f"{domain}.{split}"] = {"tokens": 700, "bytes": 2100}
    (folder / "sizes.json").write_text(json.dumps(sizes))
    return folder


def run(tokens: Path, out: Path, stop: int | None = None) -> Run:
    out.mkdir(exist_ok=True)
    settings = Settings(
        tokens,
        out,
        steps=14,
        rows=5,
        length=16,
        shape=SHAPE,
        warmup=3,
        log_every=5,
        evaluate_every=7,
        save_every=4,
    )
    settings.stop = stop
    trained = Run(settings)
    trained.train()
    return trained


def test_a_resumed_run_ends_in_the_same_weights(tokens: Path, tmp_path: Path) -> None:
    straight = run(tokens, tmp_path / "straight")
    run(tokens, tmp_path / "killed", stop=6)
    resumed = run(tokens, tmp_path / "killed")
    assert resumed.step == straight.step == 14
    for name, tensor in straight.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


def test_work_after_the_last_checkpoint_is_repeated(
    tokens: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = run(tokens, tmp_path / "straight")
    with monkeypatch.context() as patch:
        patch.setattr(Run, "evaluate", lambda self: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            run(tokens, tmp_path / "killed")  # at step 7, after the checkpoint of step 4
    resumed = run(tokens, tmp_path / "killed")
    for name, tensor in straight.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name
    assert not list((tmp_path / "killed").glob("*.tmp"))


def test_a_stream_gives_every_window_once_an_epoch() -> None:
    text = np.arange(1, 401, dtype=np.uint16)
    text[[99, 249]] = 0
    stream = WindowStream(text, length=10, separator=0, seed=1)
    first = stream.take(39)
    values = first[first > 0]
    assert len(np.unique(values)) == len(values)
    assert stream.epoch == 1 or stream.position == 39


def test_batches_keep_the_mixture() -> None:
    tokens = {name: np.full(1000, index + 1, dtype=np.uint16) for index, name in enumerate(DOMAINS)}
    batches = Batches(tokens, {"books": 0.7, "code": 0.2, "math": 0.1}, rows=4, length=9, separator=0, seed=0)
    rows = np.concatenate([batches.take()[:, 0] for _ in range(25)])
    assert np.bincount(rows)[1:].tolist() == [70, 20, 10]


def test_a_budget_in_seconds_and_a_start_from_other_weights(tokens: Path, tmp_path: Path) -> None:
    first = run(tokens, tmp_path / "first")
    (tmp_path / "second").mkdir()
    settings = Settings(
        tokens, tmp_path / "second", seconds=0.01, rows=2, length=16, shape=SHAPE, decay_from=0.0
    )
    settings.start = tmp_path / "first" / "latest.pt"
    second = Run(settings)
    assert torch.equal(second.model.head, first.model.head)
    second.train()
    assert second.step == second.total == PROBE  # the budget is spent once it is known
    assert not torch.equal(second.model.head, first.model.head)


def test_a_share_below_one_row_is_served_now_and_then() -> None:
    tokens = {name: np.full(1000, index + 1, dtype=np.uint16) for index, name in enumerate(DOMAINS)}
    batches = Batches(tokens, {"books": 0.78, "code": 0.17, "math": 0.05}, 2, 9, separator=0, seed=0)
    drawn = [batches.take() for _ in range(50)]
    assert all(len(batch) == 2 for batch in drawn)
    assert np.bincount(np.concatenate(drawn)[:, 0])[1:] == pytest.approx([78, 17, 5], abs=1)
