"""CheckpointReader: a checkpoint read piece by piece, each bit for bit as from_pretrained loads it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from copy import deepcopy
from pathlib import Path
from types import TracebackType

import torch
from torch import nn
from transformers import PreTrainedModel

from hobbit.blob import WEIGHT_DTYPES, TensorSpec
from hobbit.engine.anatomy import MoELayer
from hobbit.engine.reader.checks import PLAIN, check_plan
from hobbit.engine.reader.plan import Plan
from hobbit.engine.reader.recipe import Recipe
from hobbit.engine.reader.shards import Shards
from hobbit.engine.reader.skeleton import DEFAULT_DTYPE, Skeleton
from hobbit.errors import ModelError, first_line
from hobbit.types import RoutingShape


class CheckpointReader:
    """The model in `folder`: its skeleton, its experts one by one, and every other tensor one by one.

    At any time it holds the sources of one expert, or of one other tensor. `dtype` overrides the config's;
    `drop` tells the system to forget the files' pages once they are read. Not for several threads at once.
    Close it, or use it as a context manager.

    Raises:
        ModelError: if the checkpoint is incomplete, damaged, does not fit its config, is quantised in a way
            that cannot be undone, or is not a mixture of experts. Remote code is never run, pickled weights
            are never read.
    """

    def __init__(self, folder: Path | str, dtype: torch.dtype | None = None, drop: bool = False) -> None:
        self.folder = Path(folder)
        try:
            self._shards = Shards(self.folder, drop)
            try:
                self._open(dtype)
            except BaseException:
                self._shards.close()
                raise
        except ModelError as error:
            raise self._refusal(error) from None

    @property
    def model(self) -> PreTrainedModel:
        """The whole model on the meta device: shapes and dtypes, no weights."""
        return self._skeleton.model

    @property
    def layers(self) -> tuple[MoELayer, ...]:
        """The MoE layers of `model`."""
        return self._skeleton.layers

    @property
    def shape(self) -> RoutingShape:
        """L, E and K."""
        first = self.layers[0]
        return RoutingShape(len(self.layers), first.expert_count, first.top_k)

    @property
    def dtype(self) -> torch.dtype:
        """That of the model's weights, but for a few that their family keeps in float32."""
        return self._skeleton.dtype

    @property
    def files(self) -> list[Path]:
        """The weight files that are read."""
        return [file.path for file in self._shards.files]

    @property
    def ignored(self) -> tuple[str, ...]:
        """Tensors of the files that the model has no place for."""
        return self._plan.ignored

    @property
    def missing(self) -> frozenset[str]:
        """Tensors of the model that no file holds, because they are tied to one that does."""
        return frozenset(self.model.state_dict().keys() - self._plan.made)

    def specs(self) -> dict[str, TensorSpec]:
        """Name, shape and dtype of one expert's tensors, in blob order."""
        return dict(self._specs)

    def expert(self, layer: int, expert: int) -> dict[str, torch.Tensor]:
        """One expert of one MoE layer, as `expert_tensors` of a loaded model: in blob order, contiguous.

        Raises:
            ModelError: if the disk fails, a scale is no number, or the conversion does not go by experts.
        """
        recipes = self._recipes_of(self.layers[layer])
        try:
            made: dict[str, torch.Tensor] = {}
            for recipe in recipes.values():
                if recipe.target not in made:
                    made |= recipe.slice(expert, self._shards.read, self._single)
        except ModelError as error:
            raise self._refusal(error) from None
        except (ValueError, RuntimeError, KeyError, IndexError, AssertionError) as error:
            raise self._refusal(
                f"expert {expert} of layer {layer} cannot be converted ({first_line(error)})"
            ) from None
        return {name: self._piece(made, path, layer, expert) for name, path in self._paths(layer)}

    def weights(self, wanted: Collection[str] | None = None) -> Iterator[tuple[str, torch.Tensor]]:
        """Every tensor that is no expert's (and `wanted`), under its name in the model, in the model's order.

        Raises:
            ModelError: if the disk fails, a scale is no number, or a tensor does not fit the model.
        """
        state = self.model.state_dict()
        for recipe in self._others(state):
            if wanted is not None and not any(name in wanted for name in recipe.targets):
                continue
            try:
                made = recipe.whole(self._shards.read, self.model)
            except ModelError as error:
                raise self._refusal(error) from None
            except (ValueError, RuntimeError, KeyError, AssertionError) as error:
                raise self._refusal(f"{recipe.target} cannot be converted ({first_line(error)})") from None
            for name in recipe.targets:
                if made[name].shape != state[name].shape:
                    raise self._refusal(_misshapen(name, made[name], state[name]))
                if wanted is None or name in wanted:
                    yield name, made[name]

    def meta_weights(self) -> dict[str, torch.Tensor]:
        """What `weights` gives, in its order, on the meta device: shapes and dtypes alone."""
        state = self.model.state_dict()
        return {
            name: state[name].to(self._dtype_of(recipe, name, state[name]))
            for recipe in self._others(state)
            for name in recipe.targets
        }

    def close(self) -> None:
        """Close the files."""
        self._shards.close()

    def __enter__(self) -> CheckpointReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, dtype: torch.dtype | None) -> None:
        stored = (self._shards[name].dtype for name in self._shards.names)
        first = next((dtype for dtype in stored if dtype.is_floating_point), DEFAULT_DTYPE)
        self._skeleton = Skeleton.of(self.folder, dtype, first)
        self._plan = Plan(self._skeleton, self._shards.names)
        check_plan(self._plan, self._skeleton, self._shards)
        self._single = _with_one_expert(self._skeleton)
        self._specs = self._expert_specs()

    def _expert_specs(self) -> dict[str, TensorSpec]:
        specs: list[dict[str, TensorSpec]] = []
        for layer in self.layers:
            specs.append({})
            for name in layer.traits.names:
                parameter = layer.experts.get_parameter(name)
                dtype = str(self._skeleton.dtype_of(f"{layer.name}.{name}", parameter)).removeprefix("torch.")
                if dtype not in WEIGHT_DTYPES:
                    known = ", ".join(WEIGHT_DTYPES)
                    raise ModelError(f"its experts are {dtype}; load them as one of {known}")
                specs[-1][name] = TensorSpec(tuple(parameter.shape[1:]), dtype)
            if specs[-1] != specs[0]:
                raise ModelError("its layers hold experts of different sizes, which are not supported")
        return specs[0]

    def _paths(self, layer: int) -> list[tuple[str, str]]:
        """The experts' parameters of a layer: the name in the module, and in the model."""
        held = self.layers[layer]
        return [(name, f"{held.name}.{name}") for name in held.traits.names]

    def _recipes_of(self, layer: MoELayer) -> dict[str, Recipe]:
        """The recipe of every parameter that the layer's experts have."""
        by_target = self._plan.by_target
        return {name: by_target[f"{layer.name}.{name}"] for name in layer.traits.names}

    def _others(self, state: dict[str, torch.Tensor]) -> list[Recipe]:
        """The recipes that make no expert's parameters, each once, in the order of the model."""
        experts = {path for layer in range(len(self.layers)) for _, path in self._paths(layer)}
        found = (self._plan.by_target.get(name) for name in state if name not in experts)
        return list({recipe.target: recipe for recipe in found if recipe is not None}.values())

    def _dtype_of(self, recipe: Recipe, name: str, parameter: torch.Tensor) -> torch.dtype:
        """The dtype of what `weights` gives: as stored, for what a quantised model left as it was."""
        stored = self._shards[recipe.names[0]].dtype
        if recipe.dtype is None and len(recipe.names) == 1 and stored in PLAIN:
            return stored
        return self._skeleton.dtype_of(name, parameter)

    def _piece(self, made: dict[str, torch.Tensor], path: str, layer: int, expert: int) -> torch.Tensor:
        spec = self._specs[path.rpartition(".")[2]]
        tensor = made.get(path)
        if tensor is None or tensor.shape != (1, *spec.shape) or str(tensor.dtype) != f"torch.{spec.dtype}":
            found = "nothing" if tensor is None else f"{list(tensor.shape)} of {tensor.dtype}"
            raise self._refusal(
                f"expert {expert} of layer {layer} makes {found} of {path} where the model has "
                f"{list(spec.shape)} of {spec.dtype}; its family's conversion cannot be done by experts"
            )
        return tensor[0].contiguous()

    def _refusal(self, reason: object) -> ModelError:
        return ModelError(f"model={self.folder}: {reason}")


def _with_one_expert(skeleton: Skeleton) -> PreTrainedModel:
    """The model with one expert a layer: conversions that look at the shapes they lead to see a slice's."""
    single = deepcopy(skeleton.model)
    for layer in skeleton.layers:
        experts = single.get_submodule(layer.name)
        for name in layer.traits.names:
            held = experts.get_parameter(name)
            setattr(experts, name, nn.Parameter(held.data[:1], requires_grad=False))
    return single


def _misshapen(name: str, tensor: torch.Tensor, expected: torch.Tensor) -> str:
    return f"{name} has the shape {list(tensor.shape)}, its config.json asks for {list(expected.shape)}"
