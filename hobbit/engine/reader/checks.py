"""What can be said of a checkpoint before a single weight is read."""

from __future__ import annotations

import torch

from hobbit.engine.reader.plan import Plan
from hobbit.engine.reader.recipe import Recipe
from hobbit.engine.reader.shards import Shards
from hobbit.engine.reader.skeleton import Skeleton
from hobbit.errors import ModelError

PLAIN = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
"""Dtypes that a weight may be stored in without being quantised."""


def check_plan(plan: Plan, skeleton: Skeleton, shards: Shards) -> None:
    """Raise ModelError unless the files hold what the model needs, in shapes and dtypes that fit."""
    missing = plan.missing
    if missing:
        raise ModelError(f"it lacks {len(missing)} weights, such as {missing[0]}; copy it again")
    state = skeleton.model.state_dict()
    stacks = {
        f"{layer.name}.{name}": layer.expert_count for layer in skeleton.layers for name in layer.traits.names
    }
    for recipe in plan.recipes.values():
        _check_dtype(recipe, state[recipe.target], shards)
        if recipe.target in stacks:
            _check_experts(recipe, stacks[recipe.target], shards)
        if recipe.converter is None:
            _check_shape(recipe, state[recipe.target], shards)


def _check_dtype(recipe: Recipe, parameter: torch.Tensor, shards: Shards) -> None:
    if recipe.dtype is None or not parameter.is_floating_point():
        return
    for name in recipe.names:
        stored = shards[name].dtype
        if stored not in PLAIN:
            raise ModelError(
                f"{name} is stored as {str(stored).removeprefix('torch.')} where its config.json asks for "
                f"{str(recipe.dtype).removeprefix('torch.')} and speaks of no quantisation that is known here"
            )


def _check_experts(recipe: Recipe, experts: int, shards: Shards) -> None:
    for pattern, names in recipe.sources.items():
        if recipe.one_a_piece(pattern):
            found = len(names)
        else:
            found = shards[names[0]].shape[0] if shards[names[0]].shape else 0
        if found != experts:
            raise ModelError(
                f"its files hold {found} experts for {recipe.target} ({names[0]} ...), its config.json asks "
                f"for {experts}"
            )
        _check_alike(names, shards)


def _check_alike(names: list[str], shards: Shards) -> None:
    first = shards[names[0]].shape
    for name in names:
        if shards[name].shape != first:
            raise ModelError(
                f"{name} has the shape {list(shards[name].shape)}, {names[0]} has {list(first)}; experts of "
                "different sizes are not supported"
            )


def _check_shape(recipe: Recipe, parameter: torch.Tensor, shards: Shards) -> None:
    name = recipe.names[0]
    shape, expected = shards[name].shape, tuple(parameter.shape)
    if shape != expected:
        raise ModelError(f"{name} has the shape {list(shape)}, its config.json asks for {list(expected)}")
