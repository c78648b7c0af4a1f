"""Bundles run from the disk within two budgets: the same tokens, honest books, one line when a disk fails."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from hobbit.config.compose import compose
from hobbit.engine.anatomy import find_layers
from hobbit.engine.checkpoint import load_checkpoint
from hobbit.engine.geometry import measure_geometry
from hobbit.engine.opening import open_model
from hobbit.engine.origin import BundleOrigin, CheckpointOrigin, origin_of
from hobbit.engine.session import Session, open_session
from hobbit.errors import BudgetError, ConfigError, ModelError, StoreError
from hobbit.store import MemoryStore, TieredStore
from hobbit.store.bundle import BundleIndex
from tests.engine.bundles import tiny_bundle
from tests.engine.families import FAMILIES, tiny_checkpoint
from tests.engine.runs import continue_greedily, prompts
from tests.engine.sessions import session_of
from tests.engine.texts import letters

TOKENS = 8


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint("olmoe", tmp_path_factory.mktemp("checkpoint"), shard="200KB")


@pytest.fixture(scope="module")
def bundle(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(checkpoint, tmp_path_factory.mktemp("bundle") / "olmoe")


@pytest.fixture(scope="module")
def expected(checkpoint: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """What transformers itself says."""
    return continue_greedily(load_checkpoint(checkpoint)[0], *prompts(2, 24), TOKENS)


def host(model: PreTrainedModel, share: float) -> str:
    """A host budget for a share of the experts."""
    geometry = measure_geometry(model, find_layers(model), "tiny")
    experts = int(share * geometry.layers * geometry.experts)
    return f"memory.host={experts * geometry.expert_values * geometry.item_bytes}"


def same(found: tuple[torch.Tensor, ...], expected: tuple[torch.Tensor, ...]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_runs_from_its_bundle(family: str, tmp_path: Path) -> None:
    folder = tiny_checkpoint(family, tmp_path / "checkpoint", shard="200KB")
    model, _ = open_model(tiny_bundle(folder, tmp_path / "bundle", ("native",)))
    ids, mask = prompts(2, 24)
    whole = continue_greedily(load_checkpoint(folder)[0], ids, mask, TOKENS)
    with session_of(model, "hobbit_lossless", 0.25, 2, host(model, 0.25)) as session:
        assert same(continue_greedily(model, ids, mask, TOKENS), whole)
        assert isinstance(session.assembly.source, TieredStore)


@pytest.mark.parametrize(
    ("device", "shelf", "store"),
    [(0.25, 0.25, TieredStore), (0.5, 2.0, MemoryStore), (1.0, 2.0, TieredStore)],
)
def test_a_model_of_twice_the_budget_and_more_says_what_the_whole_one_says(
    bundle: Path, expected: tuple[torch.Tensor, torch.Tensor], device: float, shelf: float, store: type
) -> None:
    model, _ = open_model(bundle)
    with session_of(model, "lru", device, 2, host(model, shelf)) as session:
        assert isinstance(session.assembly.source, store)
        assert same(continue_greedily(model, *prompts(2, 24), TOKENS), expected)
        report, metrics = session.assembly.report(), session.assembly.metrics
        missed = metrics.prefill.bytes + metrics.decode.bytes
        if shelf < 1:
            assert 0 < report.moved_bytes["disk"] < missed  # some come from the host
            assert any("page cache" in note for note in session.notes)
            rows = {what for what, _, _ in session.assembly.host.describe()}  # type: ignore[union-attr]
            assert rows == {"host budget", "experts, host", "passing through"}


def test_what_the_kernel_reads_is_what_the_report_says(bundle: Path) -> None:
    counters = Path("/proc/self/io")
    origin = origin_of(open_model(bundle)[0])
    assert isinstance(origin, BundleOrigin)
    if not counters.exists():
        pytest.skip("no /proc/self/io")

    def read_bytes() -> int:
        lines = counters.read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))

    model, _ = open_model(bundle)
    with session_of(model, "on_demand", 0.25, 2, host(model, 0.25)) as session:
        if any("no direct reads" in note for note in session.notes):
            pytest.skip("this file system has no direct reads")
        before, reported = read_bytes(), session.assembly.report().moved_bytes["disk"]
        continue_greedily(model, *prompts(2, 24), TOKENS)
        moved = session.assembly.report().moved_bytes["disk"] - reported
        assert read_bytes() - before == pytest.approx(moved, rel=0.02)


def test_two_precisions_come_from_the_disk(bundle: Path) -> None:
    found = []
    for shelf in ("auto", "200kB"):
        model, _ = open_model(bundle)
        words = ("precision.low=int4", f"memory.host={shelf}")
        with session_of(model, "hobbit", 0.25, 2, *words) as session:
            found.append(continue_greedily(model, *prompts(2, 24), TOKENS))
            assert session.assembly.precisions == ("native", "int4")
    assert same(*found)


def test_a_lacking_precision_names_those_there_are(bundle: Path) -> None:
    model, _ = open_model(bundle)
    with pytest.raises(ConfigError, match=r"no experts at precision 'int8', only at native, int4"):
        session_of(model, "hobbit", 0.25, 2, "precision.low=int8")


def test_a_precision_of_another_form_names_its_quantizer(bundle: Path) -> None:
    model, _ = open_model(bundle)
    with pytest.raises(ConfigError, match=r"int4 experts .* another form .* quantizer=quanto"):
        session_of(model, "hobbit", 0.25, 2, "precision.low=int4", "quantizer.group_size=32")


def test_a_host_budget_that_nothing_passes_through_is_one_line(bundle: Path) -> None:
    model, _ = open_model(bundle)
    with pytest.raises(BudgetError, match=r"memory.host=1 kB cannot hold .* at least 1MB") as raised:
        session_of(model, "hobbit_lossless", 0.25, 2, "memory.host=1kB")
    assert "\n" not in str(raised.value)


def test_a_device_budget_that_holds_no_layer_is_one_line(bundle: Path) -> None:
    model, _ = open_model(bundle)
    with pytest.raises(BudgetError, match=r"memory.device=.* one layer's top-4"):
        session_of(model, "hobbit_lossless", 0.01, 2)


def test_a_checkpoint_beyond_the_host_is_sent_to_convert(checkpoint: Path) -> None:
    model, _ = open_model(checkpoint, streamed=0)
    assert isinstance(origin_of(model), CheckpointOrigin)
    with pytest.raises(BudgetError, match=rf"task=convert model={checkpoint} precisions=\[native\] out="):
        session_of(model, "hobbit_lossless", 0.25, 2, host(model, 0.5))


def break_files(session: Session) -> Callable[[], None]:
    """Make every read of the session's bundle fail; what is returned mends it."""
    source = session.assembly.source
    assert isinstance(source, TieredStore)
    files = list(source._disk._files.values())
    good = [file._fd for file in files]
    for file in files:
        file._fd = os.open("/", os.O_RDONLY)  # to read a folder fails

    def mend() -> None:
        for file, fd in zip(files, good, strict=True):
            os.close(file._fd)
            file._fd = fd

    return mend


@pytest.mark.parametrize("in_place", ["0", "256KiB"])
@pytest.mark.parametrize("policy", ["on_demand", "hobbit_lossless"])
def test_a_disk_that_fails_in_the_middle_is_one_line_and_the_session_goes_on(
    bundle: Path, expected: tuple[torch.Tensor, torch.Tensor], policy: str, in_place: str
) -> None:
    model, _ = open_model(bundle)
    words = (host(model, 0.25), f"device.in_place={in_place}")
    with session_of(model, policy, 0.25, 2, *words) as session:
        continue_greedily(model, *prompts(2, 24), 2)
        mend = break_files(session)
        for _ in range(2):
            with pytest.raises(StoreError, match=r"expert \d+ of .* cannot be read .* twice") as raised:
                continue_greedily(model, *prompts(2, 24), TOKENS)
            assert "\n" not in str(raised.value)
        mend()
        assert same(continue_greedily(model, *prompts(2, 24), TOKENS), expected)


def test_damage_is_found_when_the_expert_is_wanted(
    checkpoint: Path, tmp_path: Path, expected: tuple[torch.Tensor, torch.Tensor]
) -> None:
    folder = tiny_bundle(checkpoint, tmp_path / "damaged", ("native",))
    index = BundleIndex.read(folder)
    path = folder / index.levels[0].files[0].name
    whole = path.read_bytes()
    with path.open("r+b") as file:
        for row in range(16):  # every expert of the first layer
            file.seek(row * index.levels[0].stride + 100)
            file.write(b"damage")
    model, _ = open_model(folder)
    with session_of(model, "on_demand", 0.25, 2, host(model, 0.25)):
        with pytest.raises(StoreError, match=r"layer 0 .*checksum does not match, twice"):
            continue_greedily(model, *prompts(2, 24), TOKENS)
        path.write_bytes(whole)
        assert same(continue_greedily(model, *prompts(2, 24), TOKENS), expected)


def test_a_file_cut_short_is_found_before_and_while_it_runs(checkpoint: Path, tmp_path: Path) -> None:
    folder = tiny_bundle(checkpoint, tmp_path / "cut", ("native",))
    index = BundleIndex.read(folder)
    path = folder / index.levels[0].files[0].name
    model, _ = open_model(folder)
    with session_of(model, "on_demand", 0.25, 2, host(model, 0.25)):
        os.truncate(path, index.levels[0].stride)
        with pytest.raises(StoreError, match="the file ends at byte"):
            continue_greedily(model, *prompts(2, 24), TOKENS)
    with pytest.raises(ModelError, match=r"native\S*.bin has \d+ bytes where its blobs take"):
        open_model(folder)


def test_a_model_in_memory_says_that_it_cannot_leave_it(checkpoint: Path) -> None:
    model, _ = load_checkpoint(checkpoint)
    setup = compose(["policy=lru", "device=cpu", "memory.host=200kB"]).setup()
    with pytest.raises(BudgetError, match=r"memory.host=200kB cannot hold .* in memory already"):
        open_session(model, letters(), setup, name="tiny", tokens=64)
