"""BundleIndex: what `hobbit.json` says of a bundle. Read, checked against the folder, written; no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hobbit.blob import TensorSpec
from hobbit.errors import BundleError
from hobbit.files import whole_file
from hobbit.store.bundle.json_form import from_json, to_json
from hobbit.store.bundle.level import BundleLevel
from hobbit.types import RoutingShape

INDEX = "hobbit.json"


@dataclass(frozen=True, slots=True)
class BundleIndex:
    """A model of `shape` whose experts lie at each of `levels`; `model` is its name, for tables.

    `tensors` are one expert's, decoded, in blob order. `weights` are safetensors files with every other
    tensor, under the names of the model's parameters; `files` those copied untouched (config, tokenizer,
    licence); `sums` is xxh3_64 of each of both. All names are relative to the folder. `source` says what was
    converted: "dtype" is that of the model's weights.
    """

    model: str
    shape: RoutingShape
    tensors: tuple[tuple[str, TensorSpec], ...]
    levels: tuple[BundleLevel, ...]
    weights: tuple[str, ...]
    files: tuple[str, ...]
    source: dict[str, str] = field(default_factory=dict)
    sums: dict[str, int] = field(default_factory=dict)

    def row(self, layer: int, expert: int) -> int:
        """The row of an expert in every level."""
        return layer * self.shape.experts + expert

    def level(self, precision: str) -> BundleLevel | None:
        """The level of that precision; the checkpoint's dtype by its own name is "native" too."""
        if any(spec.dtype == precision for _, spec in self.tensors):
            precision = "native"
        return next((level for level in self.levels if level.precision == precision), None)

    @property
    def precisions(self) -> tuple[str, ...]:
        """The precisions that the bundle holds."""
        return tuple(level.precision for level in self.levels)

    @staticmethod
    def is_bundle(folder: Path | str) -> bool:
        """True if the folder claims to be a bundle."""
        return (Path(folder) / INDEX).is_file()

    @staticmethod
    def read(folder: Path | str) -> BundleIndex:
        """The index of the bundle in `folder`, every file that it names being there in its full size.

        Raises:
            BundleError: if it cannot be read, is malformed, of a newer version, names a path outside the
                folder, or if a file is missing or of the wrong size.
        """
        folder = Path(folder)
        try:
            index = from_json(json.loads((folder / INDEX).read_bytes()))
            _check_files(index, folder)
        except OSError as error:
            raise BundleError(f"bundle {folder}: {INDEX} cannot be read: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            raise BundleError(f"bundle {folder}: {INDEX} is not JSON or is damaged ({error})") from None
        except BundleError as error:
            raise BundleError(f"bundle {folder}: {error}") from None
        return index

    def write(self, folder: Path | str) -> None:
        """Write the index into `folder`: aside, flushed to the disk, then renamed. Raises OSError."""
        with whole_file(Path(folder) / INDEX, durable=True) as file:
            file.write(json.dumps(to_json(self), indent=1, ensure_ascii=False).encode() + b"\n")


def _check_files(index: BundleIndex, folder: Path) -> None:
    for name, expected in _named(index):
        file = folder / name
        if not file.is_file():
            raise BundleError(f"{name} is missing; copy the bundle again, or convert again")
        size = file.stat().st_size
        if expected is not None and size != expected:
            raise BundleError(
                f"{name} has {size} bytes where its blobs take {expected}; copy the bundle again, or convert "
                "again"
            )


def _named(index: BundleIndex) -> Iterator[tuple[str, int | None]]:
    """Every file that the index names, with its size where the index knows it."""
    for level in index.levels:
        for file in level.files:
            yield file.name, file.rows * level.stride
    for name in (*index.weights, *index.files):
        yield name, None
