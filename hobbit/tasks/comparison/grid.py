"""The grid: names checked and configurations resolved before anything runs, one spec a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import product

from hobbit.api import DeviceComponent, Geometry
from hobbit.api.quantizer import LOSSLESS, NATIVE
from hobbit.config.catalogue import POLICY, choices
from hobbit.config.compose import compose_overrides
from hobbit.config.model import ModelOptions
from hobbit.config.schema import HobbitConfig
from hobbit.config.tasks import CompareTask
from hobbit.errors import ConfigError
from hobbit.tasks.checks import check_names
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
    policies = _names(POLICY, task.policies, overrides, tuple(choices(POLICY)))
    devices = _names("device", task.devices, overrides, DEVICES)
    geometries = _names("geometry", task.geometries, overrides, GEOMETRIES)

    @cache
    def composed(policy: str, device: str, geometry: str) -> HobbitConfig:
        return compose_overrides([*rest, f"device={device}", f"geometry={geometry}", f"+{POLICY}={policy}"])

    # Device and geometry do not depend on the policy: composing each once is enough.
    by_policy = {name: composed(name, devices[0], geometries[0]) for name in policies}
    by_device = {name: composed(policies[0], name, geometries[0]).setup().device for name in devices}
    by_geometry = {name: composed(policies[0], devices[0], name).geometry for name in geometries}
    _check(config, by_device, by_geometry)
    shared = digest(*shared_values(config, tuple(task.traces), task.live))
    specs = []
    for device, geometry, policy in product(devices, geometries, policies):
        high = by_device[device].high if config.precision.high == _AUTO else config.precision.high
        resolved = replace(
            _at(high, by_policy[policy]), device=by_device[device], geometry=by_geometry[geometry]
        )
        specs += _row(policy, device, geometry, resolved, task, high, tuple(rest), shared)
    return specs


def _check(
    config: HobbitConfig, devices: Mapping[str, DeviceComponent], geometries: Mapping[str, Geometry]
) -> None:
    """Whatever can be said before anything runs."""
    task = config.task
    assert isinstance(task, CompareTask)
    if not task.traces:
        raise ConfigError("task.traces is empty; give files, or of books, code and maths")
    for name, device in devices.items():
        if not device.simulated:
            raise ConfigError(
                f"task=compare needs a virtual clock; device={name} has none: try devices=[orin]"
            )
    waiting = config.workload.queue().waiting
    if waiting > 1 and task.live:
        raise ConfigError(
            f"task.live=true runs one request at a time, not workload.waiting={waiting}; leave one out"
        )
    for geometry in geometries.values():
        check_lengths(tuple(task.traces), geometry.shape, config.workload.lengths(), config.seed, waiting)


def _row(
    policy: str,
    device: str,
    geometry: str,
    config: HobbitConfig,
    task: CompareTask,
    high: str,
    words: tuple[str, ...],
    shared: str,
) -> list[CellSpec]:
    """The cells of one policy on one device and geometry."""
    lengths = config.workload.lengths()
    unit = digest(shared, *own_values(policy, config))
    return [
        CellSpec(
            policy=policy,
            device=device,
            geometry=geometry,
            lengths=pair,
            config=config,
            traces=tuple(task.traces),
            longest=max(map(sum, lengths)),
            high=high,
            words=words,
            live=task.live,
            comparison=shared,
            unit=unit,
            key=digest(unit, pair),
        )
        for pair in lengths
    ]


def _key(word: str) -> str:
    return word.lstrip("+~").partition("=")[0]


def _names(group: str, asked: Sequence[str], overrides: Sequence[str], default: Sequence[str]) -> list[str]:
    """The names that were asked for in a list, else by `group=`, else the default; each once."""
    known = choices(group)
    chosen = [word.partition("=")[2] for word in overrides if _key(word) == group]
    names = list(dict.fromkeys(asked or chosen[-1:] or default))
    check_names(group, names, known)
    return names


def _at(high: str, config: HobbitConfig) -> HobbitConfig:
    """`config` at the high precision that all share; a preset that brings one of its own keeps it.

    The checkpoint's own weights are none of its own: where all run quantised, so does who asks for them.
    """
    own = config.precision.high
    shared = own in LOSSLESS and high not in LOSSLESS
    if own not in (_AUTO, NATIVE) and not shared:
        return config
    return replace(config, precision=replace(config.precision, high=high))
