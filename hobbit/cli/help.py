"""The text of --help, made from the registry and the YAML files."""

from __future__ import annotations

from hobbit.config.catalogue import GROUPS, POLICY, choices
from hobbit.config.schema import HobbitConfig, QualityOptions
from hobbit.registry import Option, options_of
from hobbit.setup import MemoryOptions

INTRODUCTION = """\
hobbit: run Mixture-of-Experts models whose experts do not fit on the device, and compare offloading policies.

usage: hobbit [TASK] [GROUP=NAME ...] [OPTION=VALUE ...] [--json] [FLAGS OF HYDRA]

examples:
  hobbit policy=hobbit device=orin                  the bundled model under HOBBIT on a simulated Orin
  hobbit policy=hobbit prompt="Is 2+2=4, or {5}?"   text arrives as the shell passes it
  hobbit policy=lru cache.low_share=0.2 --cfg job   what would run, with every option
  hobbit -m policy=lru,lfu,hobbit device=rtx4090    one run for each
  hobbit model=path/to/checkpoint memory.device=12GB
  hobbit plugins                                    every component with its options, provider and status"""

CLOSING = """\
flags of Hydra: --cfg job, --multirun (-m), --info, --resolve; all of them: --hydra-help
exit codes: 0; 2 for an error that you can mend (one line on stderr); 130 after Ctrl-C"""

_SECTIONS = {"memory": MemoryOptions, "quality": QualityOptions}


def help_text() -> str:
    """The whole text: what it does, examples, the names in every group, the options with their defaults."""
    groups = [_group(group) for group in (POLICY, *(group for group in GROUPS if group != POLICY))]
    return "\n\n".join([INTRODUCTION, *groups, _options(), CLOSING])


def _group(group: str) -> str:
    names = choices(group)
    width = max(map(len, names), default=0)
    return "\n".join([f"{group}=", *(f"  {name:{width}}  {line}" for name, line in names.items())])


def _options() -> str:
    """Plain options, then those of the two sections that every run has."""
    own = [option for option in options_of(HobbitConfig) if option.name not in (*GROUPS, *_SECTIONS)]
    nested = [
        Option(f"{section}.{name}", type_, default)
        for section, schema in _SECTIONS.items()
        for name, type_, default in options_of(schema)
    ]
    return "\n".join(["options:", *(f"  {option}" for option in [*own, *nested])])
