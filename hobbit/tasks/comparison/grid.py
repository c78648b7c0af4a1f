"""The grid: names checked and configurations resolved before anything runs, one spec a cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from hobbit.api import DeviceComponent
from hobbit.api.quantizer import NATIVE
from hobbit.config.catalogue import POLICY, choices
from hobbit.config.compose import compose_overrides
from hobbit.config.model import ModelOptions
from hobbit.config.schema import HobbitConfig
from hobbit.config.tasks import CompareTask
from hobbit.config.workload import Lengths
from hobbit.errors import ConfigError, nearest
from hobbit.tasks.comparison.routing import check_lengths
from hobbit.tasks.comparison.spec import CellSpec, digest, own_values, shared_values

DEVICES = ("orin", "rtx4090")
GEOMETRIES = ("mixtral_8x7b", "phi_moe")
"""What is compared on unless something is named: HOBBIT's two platforms and two models."""

_AUTO = "auto"
_AXES = (POLICY, "device", "geometry")


def make_grid(config: HobbitConfig, overrides: Sequence[str]) -> list[CellSpec]:
    """Every cell that `config` asks for, device by device, geometry by geometry, policy by policy.

    Raises:
        ConfigError: for a name that does not exist, a device without a virtual clock, a model of one's own,
            or options that do not fit.
    """
    task = config.task
    assert isinstance(task, CompareTask)
    if config.model.path != ModelOptions.path:
        raise ConfigError(
            f"task=compare runs the bundled model or none, not model={config.model.path}: record the routing "
            "of yours with task=record, then give task.traces=[FILE.npz] and geometries=[NAME]"
        )
    rest = [word for word in overrides if _key(word) not in _AXES]
    names = [
        _names(POLICY, task.policies, overrides, tuple(choices(POLICY))),
        _names("device", task.devices, overrides, DEVICES),
        _names("geometry", task.geometries, overrides, GEOMETRIES),
    ]
    policies = {name: compose_overrides([*rest, f"+{POLICY}={name}"]) for name in names[0]}
    devices = {name: _device(rest, name) for name in names[1]}
    geometries = {name: compose_overrides([*rest, f"geometry={name}"]).geometry for name in names[2]}
    lengths = config.workload.lengths()
    for sizes in geometries.values():
        check_lengths(tuple(task.traces), sizes.shape, lengths, config.seed)
    shared = digest(*shared_values(config, tuple(task.traces), task.live))
    specs = []
    for device, geometry, policy in product(devices, geometries, policies):
        high = devices[device].high if config.precision.high == _AUTO else config.precision.high
        resolved = replace(_at(high, policies[policy]), device=devices[device], geometry=geometries[geometry])
        row = CellSpec(
            policy, device, geometry, Lengths(0, 0), resolved, tuple(task.traces),
            longest=max(map(sum, lengths)), high=high, words=tuple(rest), live=task.live, comparison=shared,
            unit=digest(shared, *own_values(policy, resolved)), key="",
        )  # fmt: skip
        specs += [replace(row, lengths=pair, key=digest(row.unit, pair)) for pair in lengths]
    return specs


def _key(word: str) -> str:
    return word.lstrip("+~").partition("=")[0]


def _names(group: str, asked: Sequence[str], overrides: Sequence[str], default: Sequence[str]) -> list[str]:
    """The names that were asked for in a list, else by `group=`, else the default; each once."""
    known = choices(group)
    chosen = [word.partition("=")[2] for word in overrides if _key(word) == group]
    names = list(dict.fromkeys(asked or chosen[-1:] or default))
    for name in names:
        if name not in known:
            raise ConfigError(f"no {group} is called {name!r}{nearest(name, known)}")
    return names


def _device(overrides: Sequence[str], name: str) -> DeviceComponent:
    device = compose_overrides([*overrides, f"device={name}"]).setup().device
    if not device.simulated:
        raise ConfigError(f"task=compare needs a virtual clock; device={name} has none: try devices=[orin]")
    return device


def _at(high: str, config: HobbitConfig) -> HobbitConfig:
    """`config` at the high precision that all share; a preset that brings its own quantised one keeps it."""
    if config.precision.high not in (_AUTO, NATIVE):
        return config
    return replace(config, precision=replace(config.precision, high=high))
