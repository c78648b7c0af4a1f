"""The quantizer object: formats by precision name, laid out in blobs."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import TYPE_CHECKING

from hobbit.api.quantizer import LOSSLESS12, NATIVE
from hobbit.blob import BlobField, BlobLayout, TensorSpec
from hobbit.errors import ConfigError, nearest
from hobbit_quantizers.formats import Format, NativeFormat
from hobbit_quantizers.lossless12 import STRAYS, Lossless12Format

if TYPE_CHECKING:
    import torch

_NATIVE_FORMAT = NativeFormat()


class BlobQuantizer:
    """Meets the `Quantizer` Protocol. Matrices take the precision's format; vectors (biases) stay native.

    What loses nothing, every one has; `formats` are its own. `strays`: of so many weights lossless12 has
    room for one that has no code. Raises ConfigError if that is no number of weights.
    """

    def __init__(self, name: str, formats: Mapping[str, Format], strays: int = STRAYS) -> None:
        if strays < 1:
            raise ConfigError(f"quantizer.strays={strays} is no number of weights; give 1 or more")
        self.name = name
        self._formats: dict[str, Format] = {
            NATIVE: _NATIVE_FORMAT,
            LOSSLESS12: Lossless12Format(strays),
            **formats,
        }

    def layout(self, tensors: Mapping[str, TensorSpec], precision: str) -> BlobLayout:
        """See `Quantizer`. The checkpoint's dtype by its own name ("bfloat16") is "native" too."""
        if any(spec.dtype == precision for spec in tensors.values()):
            precision = NATIVE
        if precision not in self._formats:
            raise ConfigError(
                f"quantizer={self.name} has no precision {precision!r}{nearest(precision, self._formats)}"
            )
        parts = tuple(
            (name, part, part_spec)
            for name, spec in tensors.items()
            for part, part_spec in self._format(precision, spec).parts(spec)
        )
        return BlobLayout.pack(precision, tuple(tensors.items()), parts)

    def encode(self, tensors: Mapping[str, torch.Tensor], precision: str) -> torch.Tensor:
        """See `Quantizer`. Padding bytes are zero, so equal experts make equal blobs."""
        import torch

        specs = {name: _spec(tensor) for name, tensor in tensors.items()}
        layout = self.layout(specs, precision)
        blob = torch.zeros(layout.nbytes, dtype=torch.uint8, device=next(iter(tensors.values())).device)
        fields = iter(layout.fields)
        with torch.no_grad():
            for name, tensor in tensors.items():
                for part in self._format(layout.precision, specs[name]).encode(tensor):
                    _view(blob, next(fields)).copy_(part)
        return blob

    def decode(self, blob: torch.Tensor, layout: BlobLayout) -> dict[str, torch.Tensor]:
        """See `Quantizer`."""
        specs = dict(layout.tensors)
        return {
            name: self._format(layout.precision, specs[name]).decode(
                [_view(blob, f) for f in fields], specs[name]
            )
            for name, fields in groupby(layout.fields, key=lambda field: field.tensor)
        }

    def _format(self, precision: str, spec: TensorSpec) -> Format:
        matrix = len(spec.shape) == 2 and spec.shape[0] > 1
        return self._formats[precision] if matrix else _NATIVE_FORMAT


def _spec(tensor: torch.Tensor) -> TensorSpec:
    return TensorSpec(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))


def _view(blob: torch.Tensor, field: BlobField) -> torch.Tensor:
    """The bytes of one field, shaped and typed; no copy."""
    import torch

    flat = blob[field.offset : field.offset + field.spec.nbytes]
    dtype: torch.dtype = getattr(torch, field.spec.dtype)
    return flat.view(dtype).view(field.spec.shape)
