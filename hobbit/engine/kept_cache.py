"""KeptCache: the KV cache of a conversation, kept from turn to turn."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from transformers import Cache, DynamicCache, PreTrainedModel, StaticCache


class KeptCache:
    """Holds the KV of the tokens that ran, so that a next prompt that begins with them costs only its rest.

    `length`: tokens of a cache that is allocated at once (None: it grows).
    """

    def __init__(self, model: PreTrainedModel, length: int | None) -> None:
        self._model = model
        self._length = length
        self._cache: Cache | None = None
        self._ids: list[int] = []

    def ready_for(self, ids: Sequence[int]) -> Cache:
        """The cache of what `ids` [T] begin with, at most T - 1 of them; what differs is dropped."""
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(self._ids, ids, strict=False)))
        self._keep(min(same, len(ids) - 1))
        if self._cache is None:
            config = self._model.config
            if self._length is None:
                self._cache = DynamicCache(config=config)
            else:
                self._cache = StaticCache(config=config, max_cache_len=self._length)
        return self._cache

    def ran(self, ids: Sequence[int]) -> None:
        """The sequence `ids` has run since, all of it or all but its last tokens."""
        assert self._cache is not None
        self._ids = list(ids[: int(self._cache.get_seq_length())])

    def forget(self) -> None:
        """Hold nothing."""
        self._cache, self._ids = None, []

    def _keep(self, count: int) -> None:
        """Drop all but the first `count` tokens; everything, where a cache cannot be cut."""
        if self._cache is None or count == len(self._ids):
            return
        try:
            if self._length is not None or not getattr(self._cache, "is_croppable", True):
                raise NotImplementedError
            self._cache.crop(count - len(self._ids))
            self._ids = self._ids[:count]
        # Full sliding windows and linear attention have no way back.
        except (RuntimeError, ValueError, AttributeError, NotImplementedError):
            self.forget()
