"""hobbit: mixed-precision expert offloading for Mixture-of-Experts models, and the bench for its policies.

`load` and `attach` give a transformers model whose experts do not fit on the device (docs/python-api.md).
They are imported when they are first used, since they need torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hobbit.library import Offload, Stats, attach, load

__all__ = ["Offload", "Stats", "__version__", "attach", "load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("hobbit.library"), name)
    raise AttributeError(f"module 'hobbit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
