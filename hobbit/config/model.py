"""Which checkpoint runs."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

PACKAGE = "pkg://"


@dataclass
class ModelOptions:
    """`path`: a folder with a Hugging Face checkpoint, a hub id ("org/name"), or "pkg://package/folder"."""

    path: str = "pkg://hobbit/bundled/model"

    @property
    def bundled(self) -> bool:
        """True if the checkpoint travels inside a Python package."""
        return self.path.startswith(PACKAGE)

    @property
    def location(self) -> str:
        """What `from_pretrained` takes: a folder, or a hub id."""
        if not self.bundled:
            return self.path
        package, _, folder = self.path.removeprefix(PACKAGE).partition("/")
        return str(files(package) / folder)

    @property
    def label(self) -> str:
        """How tables name the model."""
        return "the bundled model" if self.path == ModelOptions.path else self.path
