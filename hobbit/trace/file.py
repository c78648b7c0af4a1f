"""Reading and writing trace files: a zip of .npy arrays and a JSON header (docs/trace-format.md)."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hobbit.errors import TraceError
from hobbit.files import whole_file
from hobbit.trace.bits import STORAGE, from_planes, to_planes
from hobbit.trace.header import TraceHeader
from hobbit.trace.trace import Trace

HEADER = "header.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same trace makes the same file
_PLAIN = ("token_ids", "pass_starts", "sequence_starts", "experts")
_PLANES = ("weights", "logits", "lookahead")
# What zipfile, zlib, json and numpy raise on bytes that are not what they should be.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, TypeError, MemoryError, OverflowError,
    NotImplementedError, RuntimeError, SyntaxError,
)  # fmt: skip


def write_trace(trace: Trace, path: Path | str) -> None:
    """Write `trace` to `path`, aside first and renamed, so that no reader sees half of it.

    Raises:
        TraceError: if the folder cannot be written to.
    """
    try:
        with whole_file(Path(path)) as file, zipfile.ZipFile(file, "w") as archive:
            _write_members(trace, archive)
    except OSError as error:
        raise TraceError(
            f"trace {path} cannot be written ({error.strerror}); choose another folder"
        ) from None


def read_trace(path: Path | str) -> Trace:
    """The trace in `path`.

    Raises:
        TraceError: if the file is missing, truncated, damaged, not a trace, or of a newer version.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            header = TraceHeader.from_json(json.loads(archive.read(HEADER)))
            return Trace(header, **_read_arrays(archive, header))
    except TraceError as error:
        raise TraceError(f"trace {path} cannot be used: {error}") from None
    except OSError as error:
        raise TraceError(f"trace {path} cannot be read: {error.strerror or error}") from None
    except _DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise TraceError(f"trace {path} is not a trace or is damaged ({reason}); record it again") from None


def _write_members(trace: Trace, archive: zipfile.ZipFile) -> None:
    def add(name: str, data: bytes) -> None:
        info = zipfile.ZipInfo(name, _EPOCH)
        info.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(info, data, compresslevel=9)

    add(HEADER, json.dumps(trace.header.to_json(), indent=1).encode())
    for name in (*_PLAIN, *_PLANES):
        array = getattr(trace, name)
        if array is not None:
            add(f"{name}.npy", _npy(to_planes(array) if name in _PLANES else array))


def _npy(array: npt.NDArray[Any]) -> bytes:
    """`array` as the bytes of an .npy file."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _read_arrays(archive: zipfile.ZipFile, header: TraceHeader) -> dict[str, npt.NDArray[Any]]:
    present = set(archive.namelist())
    storage = {"weights": np.dtype(np.float32)}
    arrays = {}
    for name in (*_PLAIN, *_PLANES):
        member = f"{name}.npy"
        if member not in present and name in ("logits", "lookahead"):
            continue
        with archive.open(member) as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
        if name in _PLANES:
            array = from_planes(array, storage.get(name, STORAGE[header.dtype]))
        arrays[name] = array
    return arrays
