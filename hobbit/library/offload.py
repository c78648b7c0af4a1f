"""Offload: the handle of a model whose experts hobbit serves, found as `model.hobbit`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hobbit.engine.session import Session
from hobbit.engine.weights import has_weights
from hobbit.library.stats import Stats

ATTRIBUTE = "hobbit"
"""Where a model keeps its handle."""


class Offload:
    """What serves a model's experts, until it is closed; as a context manager it gives the model.

    `policy` is the preset's name, `notes` what the user should know of this run, `tokenizer` the
    checkpoint's (None where `attach` was given none).
    """

    def __init__(self, policy: str, session: Session, notes: Sequence[str], attached: bool) -> None:
        self.policy = policy
        self.model: PreTrainedModel = session.model
        self.tokenizer: PreTrainedTokenizerBase | None = session.tokenizer
        self.notes = (*notes, *session.notes)
        self._session = session
        self._attached = attached
        self._last: Stats | None = None
        trunk = session.attachment.layers[0].trunk
        self._batches = trunk.register_forward_pre_hook(self._hear_batch, prepend=True, with_kwargs=True)
        setattr(self.model, ATTRIBUTE, self)

    @property
    def closed(self) -> bool:
        """True once `close` or `detach` was called."""
        return self._last is not None

    def stats(self) -> Stats:
        """What was done so far, or until the handle was closed."""
        if self._last is not None:
            return self._last
        self._session.attachment.settle()
        return Stats.of(self.policy, self._session.assembly)

    def detach(self) -> bool:
        """Release everything and make the model whole again, experts and all, where it was before.

        Returns False if a loaded model's experts are nowhere in memory in their own dtype: calling the model
        then raises an error. A second call does nothing.
        """
        return self._end(restore=True) and has_weights(self._session.attachment.layers)

    def close(self) -> None:
        """Release everything. A model that was attached is whole again; one that was loaded stays empty."""
        self._end(restore=self._attached)

    def __enter__(self) -> PreTrainedModel:
        return self.model

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _end(self, restore: bool) -> bool:
        if self._last is None:
            self._last = self.stats()
            self._batches.remove()
            delattr(self.model, ATTRIBUTE)
        return self._session.close(restore)

    def _hear_batch(self, trunk: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Tell the counts how many sequences come, before they hear of the pass: so a batch decodes too."""
        given = (*args[:1], kwargs.get("input_ids"), kwargs.get("inputs_embeds"))
        batch = next((len(tensor) for tensor in given if tensor is not None), 1)
        self._session.assembly.runtime.batch = batch
