"""The contract suite: what every component must keep, whoever wrote it.

    from hobbit.testing import check_component

    def test_my_policy():
        check_component(MyCacheComponent)

It needs no pytest: a broken contract raises ContractError, a device that is absent `unittest.SkipTest`.
"""

from __future__ import annotations

from hobbit.testing.contract import check_component
from hobbit.testing.requirement import ContractError
from hobbit.testing.scene import GEOMETRIES, Scene

__all__ = ["GEOMETRIES", "ContractError", "Scene", "check_component"]
