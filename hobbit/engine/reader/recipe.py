"""Recipe: how one conversion of transformers makes tensors of the model from tensors in the files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.core_model_loading import WeightConverter

from hobbit.errors import ModelError

Read = Callable[[str, int | None], torch.Tensor]
"""Reads a tensor of the files by name, or one row of a stack of them."""

_E8M0_NAN = 255
"""The one value of an exponent-only scale that is no number."""


@dataclass(slots=True)
class Recipe:
    """Makes `target` (and what else the converter yields) of `sources`: names in the files by pattern.

    Names are in transformers' natural order, which is that of the experts. `converter` is None where a tensor
    is only renamed. Sources are cast to `dtype` as they are read (None: left as stored, to be dequantised).
    """

    target: str
    converter: WeightConverter | None
    dtype: torch.dtype | None
    sources: dict[str, list[str]] = field(default_factory=dict)

    @property
    def targets(self) -> tuple[str, ...]:
        """The tensors of the model that it yields."""
        if self.converter is None:
            return (self.target,)
        first, *others = self.converter.target_patterns
        return (self.target, *(self.target.replace(first, other) for other in others))

    @property
    def names(self) -> list[str]:
        """Every tensor that it reads."""
        return [name for names in self.sources.values() for name in names]

    def one_a_piece(self, pattern: str) -> bool:
        """True if each name under `pattern` is one expert's, false if one tensor holds all experts."""
        return self.converter is not None and "*" in pattern

    def whole(self, read: Read, model: PreTrainedModel) -> Mapping[str, torch.Tensor]:
        """The tensors of the model, whole."""
        return self._convert(
            {key: [read(n, None) for n in names] for key, names in self.sources.items()}, model
        )

    def slice(self, expert: int, read: Read, model: PreTrainedModel) -> Mapping[str, torch.Tensor]:
        """The same with one expert's part alone, every tensor [1, ...]; so must be the experts of `model`."""
        taken = {
            pattern: [read(names[expert], None) if self.one_a_piece(pattern) else read(names[0], expert)]
            for pattern, names in self.sources.items()
        }
        return self._convert(taken, model)

    def _convert(
        self, taken: dict[str, list[torch.Tensor]], model: PreTrainedModel
    ) -> Mapping[str, torch.Tensor]:
        for pattern in taken:
            if self.dtype is None:
                _check_scales(pattern, taken[pattern], self.sources[pattern][0])
            else:
                taken[pattern] = [tensor.to(self.dtype) for tensor in taken[pattern]]
        if self.converter is None:
            return {self.target: next(iter(taken.values()))[0]}
        for pattern, tensors in taken.items():
            for name, tensor in zip(self.sources[pattern], tensors, strict=False):
                collected: Any = (
                    tensor  # a future while loading, the tensor itself while saving: both are taken
                )
                self.converter.add_tensor(self.target, name, pattern, collected)
        taken.clear()  # so that each step of the conversion can free what the one before it made
        made = self.converter.convert(self.target, model=model, config=model.config)
        return {name: value[0] if isinstance(value, list) else value for name, value in made.items()}

    def _hand_over(self, taken: dict[str, list[torch.Tensor]], converter: WeightConverter) -> None:
        for pattern, tensors in taken.items():
            for name, tensor in zip(self.sources[pattern], tensors, strict=False):
                collected: Any = (
                    tensor  # a future while loading, the tensor itself while saving: both are taken
                )
                converter.add_tensor(self.target, name, pattern, collected)


def _check_scales(pattern: str, tensors: list[torch.Tensor], name: str) -> None:
    """Raise ModelError for a scale that is no number: everything it scales would be none either."""
    if "scale" not in pattern:
        return
    for tensor in tensors:
        bad = tensor == _E8M0_NAN if tensor.dtype == torch.uint8 else ~torch.isfinite(tensor.float())
        if bool(bad.any()):
            raise ModelError(f"the scales in {name} are not all finite; the file is damaged, copy it again")
