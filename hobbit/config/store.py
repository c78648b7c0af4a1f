"""Hydra's ConfigStore, filled with every schema: components as `kind/name`, tasks, bases for YAML files."""

from __future__ import annotations

from functools import lru_cache

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from hobbit.api import Geometry
from hobbit.config.model import ModelOptions
from hobbit.config.schema import HobbitConfig
from hobbit.config.tasks import TASKS
from hobbit.config.workload import Workload
from hobbit.plugins import discover
from hobbit.setup import PrecisionOptions, TransferOptions

OWN_GEOMETRY = Geometry(name="own", source="the checkpoint's config.json")
"""Stands for the live model's own geometry, which the engine reads from the checkpoint."""


class PluginConfigPaths(SearchPathPlugin):
    """The `pkg://` folders of plugins. Registered by hand: `hydra_plugins` misses editable installs."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append them in the order of discovery, after our own folder."""
        for provider, path in discover().config_paths:
            search_path.append(provider, path)


@lru_cache(maxsize=1)
def register() -> None:
    """Fill the store, once a process."""
    store = ConfigStore.instance()
    store.store(name="base_config", node=HobbitConfig)
    store.store(group="model", name="base_model", node=ModelOptions)
    store.store(group="geometry", name="base_geometry", node=Geometry)
    store.store(group="geometry", name="own", node=OWN_GEOMETRY)
    store.store(group="transfers", name="base_transfers", node=TransferOptions)
    store.store(group="precision", name="base_precision", node=PrecisionOptions)
    store.store(group="workload", name="base_workload", node=Workload)
    for name, task in TASKS.items():
        store.store(group="task", name=name, node=task)
    for entry in discover().registry:
        component = entry.component
        store.store(group=component.kind, name=component.name, node=component, provider=entry.provider)
    Plugins.instance().register(PluginConfigPaths)
