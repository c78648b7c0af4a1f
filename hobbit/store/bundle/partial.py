"""PartialBundle: a bundle under way, beside the place it will take once it is whole."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from hobbit.errors import BundleError
from hobbit.files import sync_folder, whole_file
from hobbit.store.bundle.blob_writer import FOLDER

PLAN = "plan.json"
JOURNAL = "journal"
DATA = "bundle"
_LOCK = "lock"


def partial_of(out: Path) -> Path:
    """Where what will be `out` is written."""
    return out.with_name(f"{out.name}.partial")


class PartialBundle:
    """Holds `folder`, "OUT.partial", for one process: `data` in it becomes OUT, `plan` says of what.

    A second call with the same plan goes on with what is there. Use it as a context manager.

    Raises:
        BundleError: if `out` exists, the folder is another's or was begun with another plan, or a second
            process writes to it.
        OSError: if nothing can be written there.
    """

    def __init__(self, out: Path, plan: Mapping[str, Any]) -> None:
        self.out, self.folder = out, partial_of(out)
        self.data = self.folder / DATA
        _refuse_taken(out, self.folder)
        _refuse_foreign(self.folder)
        self.folder.mkdir(exist_ok=True)
        self._lock = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._begin(plan)
        except BaseException:
            os.close(self._lock)
            raise

    @property
    def journal(self) -> Path:
        """The file that says which rows are written."""
        return self.folder / JOURNAL

    def finish(self) -> None:
        """Give the whole bundle its name; what it took to make it goes."""
        for folder in (self.data / FOLDER, self.data):
            sync_folder(folder)
        _refuse_taken(self.out, None)
        self.data.rename(self.out)
        sync_folder(self.out.parent)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> PartialBundle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lock)

    def _begin(self, plan: Mapping[str, Any]) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BundleError(f"{self.folder} is being written by another process; wait for it") from None
        file = self.folder / PLAN
        if file.is_file():
            _compare(json.loads(file.read_bytes()), json.loads(json.dumps(plan)), self.folder)
        else:
            with whole_file(file, durable=True) as new:
                new.write(json.dumps(plan, indent=1).encode())
        (self.data / FOLDER).mkdir(parents=True, exist_ok=True)
        for leftover in [*self.folder.glob(".*.tmp"), *self.data.rglob(".*.tmp")]:
            leftover.unlink()  # of a write that a kill cut short


def _refuse_taken(out: Path, partial: Path | None) -> None:
    if not (out.exists() or out.is_symlink()):
        return
    if partial is not None and (partial / PLAN).is_file() and not (partial / DATA).exists():
        shutil.rmtree(partial)  # the bundle took its name, and a kill came before the rest was cleared
    raise BundleError(f"{out} exists already and is not overwritten; choose another name, or remove it")


def _refuse_foreign(folder: Path) -> None:
    """A folder of that name that is none of ours is left alone."""
    if not folder.exists() or (folder.is_dir() and (folder / PLAN).is_file()):
        return
    ours = folder.is_dir() and all(
        file.name == _LOCK or file.match(f".{PLAN}.*.tmp") for file in folder.iterdir()
    )
    if not ours:
        raise BundleError(
            f"{folder} is in the way and was not written by hobbit; move it, or choose another name"
        )


def _compare(begun: Mapping[str, Any], asked: Mapping[str, Any], folder: Path) -> None:
    for key in asked.keys() | begun.keys():
        if begun.get(key) != asked.get(key):
            was, now = _short(begun.get(key)), _short(asked.get(key))
            detail = (
                "the checkpoint has changed since" if key == "source" else f"{key}={was}, now it is {now}"
            )
            raise BundleError(
                f"{folder} was begun with other settings ({detail}); go on with those, or remove it"
            )


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
