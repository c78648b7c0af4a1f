"""From command-line words to typed components, through Hydra."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import cast

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from hobbit.config.catalogue import POLICY, POLICY_GROUPS, conf_root
from hobbit.config.failures import translated
from hobbit.config.schema import HobbitConfig
from hobbit.config.store import register
from hobbit.config.text import unmask
from hobbit.config.words import to_overrides
from hobbit.errors import ConfigError, nearest

CONFIG_NAME = "config"
HYDRA_VERSION = "1.3"


def compose(words: Sequence[str]) -> HobbitConfig:
    """The configuration that `words` ask for, as on the command line (`["policy=hobbit", "prompt=Hi, you"]`).

    Raises:
        ConfigError: one line that names what does not exist or does not fit.
    """
    return compose_overrides(to_overrides(words))


def compose_overrides(overrides: Sequence[str]) -> HobbitConfig:
    """The same from Hydra overrides, such as tasks are given."""
    register()
    with translated(), _apart(), initialize_config_dir(str(conf_root()), version_base=HYDRA_VERSION):
        return typed(hydra_compose(CONFIG_NAME, list(overrides)))


@contextmanager
def _apart() -> Iterator[None]:
    """Set a Hydra aside that runs already, as in a job of a sweep: there can be only one."""
    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = running


def policy_of(overrides: Sequence[str]) -> str:
    """The name of the preset that was asked for; "on_demand" is what runs without one."""
    chosen = [word.partition("=")[2] for word in overrides if word.startswith(f"+{POLICY}=")]
    return chosen[-1] if chosen else "on_demand"


def with_policy(overrides: Sequence[str], policy: str) -> HobbitConfig:
    """The same run under another preset: what chose or tuned the old policy's components is dropped.

    Precision and quantizer stay as the user set them; what the old preset chose there is not carried over.
    """
    kept = [word for word in overrides if word.lstrip("+~").split("=")[0].split(".")[0] not in POLICY_GROUPS]
    kept = [word for word in kept if not word.startswith(f"+{POLICY}=")]
    return compose_overrides([*kept, *to_overrides([f"{POLICY}={policy}"])])


def typed(config: DictConfig) -> HobbitConfig:
    """Component instances from a composed config.

    Raises:
        ConfigError: for a key that no component has; `+cache.zzz=1` gets past Hydra's own check.
    """
    with translated():
        _check_fields(config, "")
        result = cast(HobbitConfig, OmegaConf.to_object(config))
        unmask(result)
        return result


def _check_fields(node: DictConfig, path: str) -> None:
    schema = OmegaConf.get_type(node)
    if schema is None or not is_dataclass(schema):
        return
    known = [option.name for option in fields(schema)]
    for key in map(str, node):
        if key not in known:
            raise ConfigError(f"no option is called {f'{path}{key}'!r}{nearest(key, known)}")
        if OmegaConf.is_dict(node._get_node(key)):
            _check_fields(cast(DictConfig, node[key]), f"{path}{key}.")
