"""Plan: which tensors of the files make which tensors of the model, by transformers' own conversions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from copy import deepcopy
from typing import Any

import torch
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import (
    WeightConverter,
    WeightRenaming,
    dot_natural_key,
    rename_source_key,
)

from hobbit.engine.reader.recipe import Recipe
from hobbit.engine.reader.skeleton import Skeleton


class Plan:
    """The recipe of every tensor of a skeleton's model that some of `names` make.

    `recipes` are found by their first target, `by_target` by each. `ignored` are names that the model has no
    place for, beyond those its family is known to leave unread.
    """

    def __init__(self, skeleton: Skeleton, names: Iterable[str]) -> None:
        self._skeleton = skeleton
        self._model: Any = skeleton.model  # much of what follows has no annotations
        self._state: dict[str, torch.Tensor] = self._model.state_dict()
        mapping = get_model_conversion_mapping(self._model, None, skeleton.quantizer)
        self._renamings = [entry for entry in mapping if isinstance(entry, WeightRenaming)]
        self._converters = [entry for entry in mapping if isinstance(entry, WeightConverter)]
        self._by_pattern = {p: entry for entry in self._converters for p in entry.source_patterns}
        self.recipes: dict[str, Recipe] = {}
        unread: list[str] = []
        # transformers' own order: experts come by number, and a renaming that waits for another meets it.
        for name in sorted(names, key=dot_natural_key):
            if not self._assign(name):
                unread.append(name)
        self.by_target = {target: recipe for recipe in self.recipes.values() for target in recipe.targets}
        self.ignored = tuple(name for name in unread if not self._known_to_be_unread(name))

    @property
    def made(self) -> set[str]:
        """The tensors of the model that come from the files."""
        return set(self.by_target)

    @property
    def missing(self) -> list[str]:
        """Tensors of the model that no file holds, tied ones left out whose partner is there."""
        made = self.made
        tied: dict[str, str] = self._model.all_tied_weights_keys
        served = {partner for pair in tied.items() if made.intersection(pair) for partner in pair}
        absent = sorted(self._state.keys() - made - served)
        return [name for name in absent if not _matches(self._model._keys_to_ignore_on_load_missing, name)]

    def _assign(self, name: str) -> bool:
        """Find the recipe that `name` belongs to; False if the model has no place for it."""
        target, pattern = self._renamed(name, self._renamings, self._converters)
        if target not in self._state and name in self._state:
            target, pattern = self._renamed(name, [], [])  # already named as in the model
        if target not in self._state:
            return False
        recipe = self.recipes.get(target)
        if recipe is None:
            recipe = self.recipes[target] = self._recipe(target, pattern)
        recipe.sources.setdefault(pattern or name, []).append(name)
        return True

    def _renamed(self, name: str, renamings: list[Any], converters: list[Any]) -> tuple[str, str | None]:
        return rename_source_key(name, renamings, converters, self._model.base_model_prefix, self._state)

    def _recipe(self, target: str, pattern: str | None) -> Recipe:
        converter = None if pattern is None else deepcopy(self._by_pattern[pattern])
        quantised = converter is not None and any(
            getattr(op, "hf_quantizer", None) for op in converter.operations
        )
        parameter = self._state[target]
        dtype = (
            self._skeleton.dtype_of(target, parameter) if parameter.is_floating_point() else parameter.dtype
        )
        return Recipe(target, converter, None if quantised else dtype)

    def _known_to_be_unread(self, name: str) -> bool:
        return _matches(self._model._keys_to_ignore_on_load_unexpected, name) or "rotary_emb.inv_freq" in name


def _matches(patterns: Iterable[str] | None, name: str) -> bool:
    return any(re.search(pattern, name) for pattern in patterns or ())
