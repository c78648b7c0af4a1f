"""The device that is here: cuda, else mps, else cpu."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import ClassVar

from hobbit.api import Context, Device, DeviceComponent, Effect, hookimpl
from hobbit.plugins import discover


@dataclass
class AutoDevice(DeviceComponent):
    """Whatever is here: cuda, else mps, else cpu; decided when the run starts."""

    name: ClassVar[str] = "auto"
    effect: ClassVar[Effect] = Effect.HINT

    def resolve(self) -> DeviceComponent:
        """The real device, with every option that was set on this one; imports torch."""
        chosen = discover().registry.get(self.kind, _present())()
        for option in fields(DeviceComponent):
            value = getattr(self, option.name)
            if value != option.default:
                setattr(chosen, option.name, value)
        assert isinstance(chosen, DeviceComponent)
        return chosen

    def capacity_bytes(self) -> int:
        """That of the real device."""
        return self.resolve().capacity_bytes()

    def build(self, context: Context) -> Device:
        """The real device."""
        return self.resolve().build(context)


def _present() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


@hookimpl
def hobbit_devices() -> Iterable[type[DeviceComponent]]:
    """Registered like any other device, through an entry point."""
    return [AutoDevice]
