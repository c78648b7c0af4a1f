"""The JSON of a bundle's index, both ways; whatever does not fit is refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, TypeVar

from hobbit.blob import ALIGNMENT, ITEM_BYTES, WEIGHT_DTYPES, BlobField, BlobLayout, TensorSpec
from hobbit.errors import BundleError
from hobbit.store.bundle.level import PAGE, BlobFile, BundleLevel, stride_of
from hobbit.types import RoutingShape

if TYPE_CHECKING:
    from hobbit.store.bundle.index import BundleIndex

FORMAT = "hobbit-bundle"
VERSION = 1

T = TypeVar("T")


def to_json(index: BundleIndex) -> dict[str, Any]:
    """Plain values, ready for `json.dumps`."""
    shape = index.shape
    return {
        "format": FORMAT,
        "version": VERSION,
        "model": index.model,
        "shape": {"layers": shape.layers, "experts": shape.experts, "top_k": shape.top_k},
        "tensors": [{"name": name, **_spec_json(spec)} for name, spec in index.tensors],
        "levels": [_level_json(level) for level in index.levels],
        "weights": list(index.weights),
        "files": list(index.files),
        "sums": {name: f"{checksum:016x}" for name, checksum in index.sums.items()},
        "source": index.source,
    }


def from_json(values: Any) -> BundleIndex:
    """The index that `values` describe.

    Raises:
        BundleError: if they are not a bundle's, of a newer version, or a field is missing or malformed.
    """
    from hobbit.store.bundle.index import BundleIndex

    _check_version(values)
    sizes = _get(values, "shape", dict)
    shape = RoutingShape(*(_number(sizes, key) for key in ("layers", "experts", "top_k")))
    tensors = tuple((_get(entry, "name", str), _weights(entry)) for entry in _get(values, "tensors", list))
    source = _get(values, "source", dict)
    return BundleIndex(
        model=_get(values, "model", str),
        shape=shape,
        tensors=tensors,
        levels=tuple(_level(entry, tensors, shape) for entry in _get(values, "levels", list)),
        weights=_paths(values, "weights"),
        files=_paths(values, "files"),
        source={str(key): str(value) for key, value in source.items()},
        sums={str(name): _checksum(text) for name, text in _get(values, "sums", dict).items()},
    )


def _check_version(values: Any) -> None:
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise BundleError(f"its index does not say {FORMAT!r}; it was not written by hobbit")
    version = values.get("version")
    if not isinstance(version, int) or version < 1:
        raise BundleError(f"its version {version!r} is not a number; convert it again")
    if version > VERSION:
        raise BundleError(
            f"its version {version} is newer than {VERSION}, the last this hobbit reads; upgrade hobbit"
        )


def _level_json(level: BundleLevel) -> dict[str, Any]:
    return {
        "precision": level.precision,
        "quantizer": level.quantizer,
        "options": dict(level.options),
        "nbytes": level.nbytes,
        "stride": level.stride,
        "fields": [
            {"tensor": field.tensor, "part": field.part, **_spec_json(field.spec), "offset": field.offset}
            for field in level.layout.fields
        ],
        "files": [{"name": file.name, "rows": file.rows} for file in level.files],
        "checksums": [f"{checksum:016x}" for checksum in level.checksums],
    }


def _level(entry: Any, tensors: tuple[tuple[str, TensorSpec], ...], shape: RoutingShape) -> BundleLevel:
    precision, nbytes = _get(entry, "precision", str), _number(entry, "nbytes")
    fields = tuple(_field(field, nbytes) for field in _get(entry, "fields", list))
    level = BundleLevel(
        layout=BlobLayout(precision, tensors, fields, nbytes),
        quantizer=_get(entry, "quantizer", str),
        options=_get(entry, "options", dict),
        stride=_number(entry, "stride"),
        files=_files(_get(entry, "files", list)),
        checksums=tuple(map(_checksum, _get(entry, "checksums", list))),
    )
    rows = shape.layers * shape.experts
    if level.stride != stride_of(nbytes):
        raise BundleError(
            f"its {precision} blobs of {nbytes} bytes lie {level.stride} bytes apart; that is not the next "
            f"multiple of {PAGE}"
        )
    if len(level.checksums) != rows or sum(file.rows for file in level.files) != rows:
        raise BundleError(
            f"its {precision} level has {len(level.checksums)} checksums and files of "
            f"{sum(file.rows for file in level.files)} blobs, the model {rows} experts"
        )
    return level


def _field(entry: Any, nbytes: int) -> BlobField:
    offset = _get(entry, "offset", int)
    field = BlobField(_get(entry, "tensor", str), _get(entry, "part", str), _spec(entry), offset)
    if offset < 0 or offset % ALIGNMENT or offset + field.spec.nbytes > nbytes:
        raise BundleError(
            f"its index puts {field.tensor}.{field.part} at byte {offset} of a blob of {nbytes}: outside "
            f"or not a multiple of {ALIGNMENT}"
        )
    return field


def _files(entries: list[Any]) -> tuple[BlobFile, ...]:
    files: list[BlobFile] = []
    for entry in entries:
        first = files[-1].first + files[-1].rows if files else 0
        files.append(BlobFile(_inside(_get(entry, "name", str)), first, _number(entry, "rows")))
    return tuple(files)


def _paths(values: Any, key: str) -> tuple[str, ...]:
    return tuple(_inside(_of(name, str, key)) for name in _get(values, key, list))


def _inside(name: str) -> str:
    """`name`, if it stays in the folder whatever the system's idea of a path is."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or PureWindowsPath(name).anchor or ".." in PureWindowsPath(name).parts:
        raise BundleError(f"it names the path {name!r}, which lies outside the bundle; do not trust it")
    return name


def _spec_json(spec: TensorSpec) -> dict[str, Any]:
    return {"shape": list(spec.shape), "dtype": spec.dtype}


def _spec(entry: Any) -> TensorSpec:
    shape, dtype = _get(entry, "shape", list), _get(entry, "dtype", str)
    if dtype not in ITEM_BYTES or not all(type(size) is int and size > 0 for size in shape):
        raise BundleError(f"its index describes a tensor {shape} of dtype {dtype!r}, which no blob can hold")
    return TensorSpec(tuple(shape), dtype)


def _weights(entry: Any) -> TensorSpec:
    spec = _spec(entry)
    if spec.dtype not in WEIGHT_DTYPES:
        raise BundleError(f"its index describes experts of dtype {spec.dtype!r}, which no model runs with")
    return spec


def _checksum(text: Any) -> int:
    return _parsed(text, lambda: int(_of(text, str, "checksums"), 16), "checksums")


def _number(values: Any, key: str) -> int:
    """A positive whole number."""
    number = _get(values, key, int)
    if number < 1:
        raise BundleError(f"its index says {key}={number}, which is less than 1; convert it again")
    return number


def _get(values: Any, key: str, kind: type[T]) -> T:
    if not isinstance(values, dict) or key not in values:
        raise BundleError(f"its index lacks {key}; convert it again")
    return _of(values[key], kind, key)


def _of(value: Any, kind: type[T], key: str) -> T:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise BundleError(f"its index says {key}={value!r}, which is of the wrong type; convert it again")
    return value


def _parsed(value: Any, parse: Callable[[], T], key: str) -> T:
    try:
        return parse()
    except ValueError:
        raise BundleError(f"its index says {key}={value!r}, which is malformed; convert it again") from None
