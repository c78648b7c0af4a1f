"""Every component that is registered keeps the contract of its seam."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hobbit.api import Component
from hobbit.plugins import discover
from hobbit.testing import check_component

COMPONENTS = [entry.component for entry in discover().registry]


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: f"{component.kind}/{component.name}")
def test_contract(component: type[Component]) -> None:
    check_component(component)


def test_discovery_has_no_problems() -> None:
    assert not discover().problems


def test_every_seam_has_a_component() -> None:
    kinds = {component.kind for component in COMPONENTS}
    assert kinds == {"loader", "prefetcher", "cache", "quantizer", "device", "router", "batcher"}


def test_listing_imports_no_torch() -> None:
    listing = "import sys; from hobbit.plugins import discover; discover(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", listing], check=False).returncode == 0
