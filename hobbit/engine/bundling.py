"""Bundling: a checkpoint made into a bundle, whatever interrupts it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xxhash import xxh3_64, xxh3_64_intdigest

from hobbit import __version__
from hobbit.engine.conversion import Counter, Encoding, convert_experts, recheck
from hobbit.engine.reader import CheckpointReader
from hobbit.errors import BundleError, ConfigError
from hobbit.files import whole_file
from hobbit.sizes import format_size
from hobbit.store.bundle import BlobFile, BundleIndex, BundleLevel
from hobbit.store.bundle.blob_writer import BlobWriter, blob_files
from hobbit.store.bundle.copied import copied_files
from hobbit.store.bundle.journal import Journal
from hobbit.store.bundle.level import stride_of
from hobbit.store.bundle.partial import PartialBundle, partial_of
from hobbit.store.bundle.tensor_writer import Planned, header_of, split, write_tensors

_CHUNK = 2**24


@dataclass(frozen=True, slots=True)
class Bundling:
    """One conversion: `reader` into the folder `out`, `model` being the name that the bundle gives it.

    `quantizer` and `options` are the component's, for whoever decodes the blobs.
    """

    reader: CheckpointReader
    encoding: Encoding
    out: Path
    model: str
    quantizer: str
    options: Mapping[str, Any]

    @property
    def rows(self) -> int:
        """L x E."""
        return self.reader.shape.layers * self.reader.shape.experts

    @property
    def nbytes(self) -> int:
        """Bytes of all blobs, which is what progress counts."""
        return self.rows * self.encoding.expert_bytes

    def run(self, counter: Counter) -> BundleIndex:
        """Write the bundle, or what a call before left undone.

        Raises:
            BundleError: if `out` is taken, was begun otherwise, or the disk is full or fails; what was
                written stays, and the next call goes on with it.
            ConfigError: if the disk has not the room, or the folder for `out` is not there.
            ModelError: if the checkpoint is damaged.
        """
        try:
            self._check_space()
            with PartialBundle(self.out, self._plan()) as partial:
                index = self._write(partial, counter)
                partial.finish()
        except OSError as error:
            raise BundleError(
                f"out={self.out}: {error.strerror or error}; what was written stays in "
                f"{partial_of(self.out)}, and the same command goes on from there"
            ) from None
        return index

    def _write(self, partial: PartialBundle, counter: Counter) -> BundleIndex:
        levels = self._write_experts(partial, counter)
        sums = self._write_weights(partial.data) | self._copy(partial.data)
        files = copied_files(self.reader.folder)
        index = BundleIndex(
            model=self.model,
            shape=self.reader.shape,
            tensors=tuple(self.reader.specs().items()),
            levels=levels,
            weights=tuple(name for name in sums if name not in files),
            files=files,
            source={"dtype": str(self.reader.dtype).removeprefix("torch."), "hobbit": __version__},
            sums=sums,
        )
        index.write(partial.data)
        return index

    def _write_experts(self, partial: PartialBundle, counter: Counter) -> tuple[BundleLevel, ...]:
        layouts = self.encoding.layouts
        files = [blob_files(layout.precision, self.rows, layout.nbytes) for layout in layouts]
        with ExitStack() as stack:
            journal = Journal(partial.journal, len(layouts))
            stack.callback(journal.close)
            writers = []
            for layout, held in zip(layouts, files, strict=True):
                writers.append(BlobWriter(partial.data, held, layout.nbytes))
                stack.callback(writers[-1].close)
            recheck(writers, journal)
            counter.keep(len(journal.rows) * self.encoding.expert_bytes)
            convert_experts(self.reader, self.encoding, writers, journal, counter)
            return tuple(self._level(level, held, journal) for level, held in enumerate(files))

    def _level(self, level: int, files: tuple[BlobFile, ...], journal: Journal) -> BundleLevel:
        layout = self.encoding.layouts[level]
        checksums = tuple(row[level] for row in journal.rows)
        return BundleLevel(
            layout, self.quantizer, dict(self.options), stride_of(layout.nbytes), files, checksums
        )

    def _weight_files(self) -> dict[str, list[Planned]]:
        planned = (Planned(n, tuple(t.shape), t.dtype) for n, t in self.reader.meta_weights().items())
        return {f"weights-{number:05d}.safetensors": part for number, part in enumerate(split(planned))}

    def _write_weights(self, data: Path) -> dict[str, int]:
        """The tensors that are no experts'; files that are whole already are only summed. Sums by name."""
        sums = {}
        for name, part in self._weight_files().items():
            if _is_whole(data / name, part):
                sums[name] = sum_of(data / name)
            else:
                tensors = self.reader.weights({tensor.name for tensor in part})
                sums[name] = write_tensors(data / name, part, (tensor for _, tensor in tensors))
        return sums

    def _copy(self, data: Path) -> dict[str, int]:
        sums = {}
        for name in copied_files(self.reader.folder):
            content = (self.reader.folder / name).read_bytes()
            (data / name).parent.mkdir(exist_ok=True)
            with whole_file(data / name, durable=True) as file:
                file.write(content)
            sums[name] = xxh3_64_intdigest(content)
        return sums

    def _plan(self) -> dict[str, Any]:
        """What a call that goes on with this one must agree with."""
        folder = self.reader.folder
        sources = {*self.reader.files, *(folder / name for name in copied_files(folder))}
        stats = {file.name: file.stat() for file in sorted(sources)}
        return {
            "hobbit": __version__,
            "model": self.model,
            "precisions": [layout.precision for layout in self.encoding.layouts],
            "blob_bytes": [layout.nbytes for layout in self.encoding.layouts],
            "quantizer": self.quantizer,
            "options": dict(self.options),
            "source": {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()},
        }

    def _check_space(self) -> None:
        """Raise ConfigError if the disk has not the room for what is still to be written."""
        parent, partial = self.out.parent, partial_of(self.out)
        if not parent.is_dir():
            raise ConfigError(
                f"out={self.out}: the folder {parent} does not exist; create it, or choose another"
            )
        strides = sum(stride_of(layout.nbytes) for layout in self.encoding.layouts)
        weights = sum(t.nbytes for t in self.reader.meta_weights().values())
        there = sum(file.stat().st_size for file in partial.rglob("*") if file.is_file())
        needed, free = self.rows * strides + weights - there, shutil.disk_usage(parent).free
        if needed > free:
            raise ConfigError(
                f"out={self.out} takes {format_size(needed)} more, its disk has {format_size(free)} free: "
                f"{format_size(needed - free)} are missing; free as much, or choose another disk"
            )


def sum_of(file: Path) -> int:
    """xxh3_64 of a file's bytes. Raises OSError."""
    digest = xxh3_64()
    with file.open("rb", buffering=0) as opened:
        while chunk := opened.read(_CHUNK):
            digest.update(chunk)
    return digest.intdigest()


def _is_whole(file: Path, part: list[Planned]) -> bool:
    """True if a call before wrote the file: it took its name only once all was on the disk."""
    if not file.is_file():
        return False
    header = header_of(part)
    with file.open("rb") as opened:
        begins = opened.read(len(header)) == header
    return begins and file.stat().st_size == len(header) + sum(tensor.nbytes for tensor in part)
