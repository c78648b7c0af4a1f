"""Misses run on the host: llama.cpp's partial offload."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from hobbit.api import Context, Demand, Effect, LoaderComponent
from hobbit_baselines.host_split import HostSplit
from hobbit_baselines.on_demand import OnDemand


@dataclass
class HostComponent(LoaderComponent):
    """Whatever is not on the device runs on the host, and nothing is ever copied.

    Where memory is unified there is no other place to run: a miss is a page fault, and is loaded. Our
    reading of a prompt: it runs on the host as well, though llama.cpp copies weights for large batches.
    """

    name: ClassVar[str] = "host"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "llama.cpp, github.com/ggml-org/llama.cpp, options -ngl and --n-cpu-moe"

    def build(self, context: Context) -> Host | OnDemand:
        """The loader."""
        return OnDemand() if context.unified else Host()


class Host(HostSplit):
    """Copies nothing."""

    def hosted(self, misses: Sequence[Demand], hits: Sequence[Demand]) -> Sequence[Demand]:
        """All of them."""
        return misses
