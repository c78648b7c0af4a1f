from dataclasses import dataclass
from typing import ClassVar

from hobbit.api import BlobLayout, Context, QuantizerComponent, TensorSpec, hookimpl
from hobbit.errors import ConfigError


@dataclass
class VerbatimComponent(QuantizerComponent):
    """Keeps experts as they are; the only precision is "native"."""

    name: ClassVar[str] = "verbatim"

    def build(self, context: Context) -> "Verbatim":
        return Verbatim()


class Verbatim:
    def layout(self, tensors, precision):
        if precision != "native":
            raise ConfigError(f"quantizer=verbatim has no precision {precision!r}; use native")
        parts = tuple((name, "data", spec) for name, spec in tensors.items())
        return BlobLayout.pack(precision, tuple(tensors.items()), parts)

    def encode(self, tensors, precision):
        import torch

        specs = {name: spec_of(tensor) for name, tensor in tensors.items()}
        layout = self.layout(specs, precision)
        device = next(iter(tensors.values())).device
        blob = torch.zeros(layout.nbytes, dtype=torch.uint8, device=device)
        for name, view in self.decode(blob, layout).items():
            view.copy_(tensors[name])
        return blob

    def decode(self, blob, layout):
        import torch

        return {
            field.tensor: blob[field.offset : field.offset + field.spec.nbytes]
            .view(getattr(torch, field.spec.dtype))
            .view(field.spec.shape)
            for field in layout.fields
        }


def spec_of(tensor):
    return TensorSpec(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))


@hookimpl
def hobbit_quantizers():
    return [VerbatimComponent]
