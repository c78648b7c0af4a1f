"""The text of --help, made from the registry and the YAML files."""

from __future__ import annotations

from textwrap import wrap

from hobbit.config.catalogue import GROUPS, POLICY, choices
from hobbit.config.schema import HobbitConfig, QualityOptions
from hobbit.config.tasks import TASKS
from hobbit.registry import options_of
from hobbit.setup import MemoryOptions

INTRODUCTION = """\
hobbit: run Mixture-of-Experts models whose experts do not fit on the device, and compare offloading policies.

usage: hobbit [TASK] [GROUP=NAME ...] [OPTION=VALUE ...] [--json] [FLAGS OF HYDRA]

examples:
  hobbit policy=hobbit device=orin                  the bundled model under HOBBIT on a simulated Orin
  hobbit policy=hobbit prompt="Is 2+2=4, or {5}?"   text arrives as the shell passes it
  hobbit policy=hobbit cache.low_share=0.2 --cfg job  what would run, with every option
  hobbit -m policy=lru,lfu,hobbit device=rtx4090    one run for each
  hobbit model=path/to/checkpoint memory.device=12GB
  hobbit compare devices=[orin,rtx4090]             every preset, side by side, into a folder
  hobbit timeline policy=hobbit device=orin out=t.json  what every stream does, as a picture and for Perfetto
  hobbit bench device=cuda bench.layers=8           policies timed on real hardware, on a synthetic model
  hobbit plugins                                    every component with its options, provider and status"""

CLOSING = """\
flags of Hydra: --cfg job, --multirun (-m), --info, --resolve; all of them: --hydra-help
exit codes: 0; 2 for an error that you can mend (one line on stderr); 130 after Ctrl-C"""

WIDTH = 108

_SECTIONS = {"": HobbitConfig, "memory.": MemoryOptions, "quality.": QualityOptions}
"""The options that every run has beside those of its groups, by the prefix of their keys."""


def help_text() -> str:
    """The whole text: what it does, examples, the names in every group, the options with their defaults."""
    groups = [_group(group) for group in (POLICY, *(group for group in GROUPS if group != POLICY))]
    sections = [_section(prefix, schema) for prefix, schema in _SECTIONS.items()]
    tasks = [_section("task.", task, f" for task={name}") for name, task in TASKS.items() if options_of(task)]
    return "\n\n".join([INTRODUCTION, *groups, *sections, *tasks, CLOSING])


def _group(group: str) -> str:
    names = choices(group)
    width = max(map(len, names), default=0)
    return "\n".join([f"{group}=", *(f"  {name:{width}}  {line}" for name, line in names.items())])


def _section(prefix: str, schema: type, where: str = "") -> str:
    """The options of a section with their types and defaults, under what its docstring says of them."""
    meaning = wrap(" ".join((schema.__doc__ or "").split()), WIDTH)
    elsewhere = {*GROUPS, *(key.removesuffix(".") for key in _SECTIONS)}
    own = [option for option in options_of(schema) if prefix + option.name not in elsewhere]
    title = f"options of {prefix[:-1]}{where}" if prefix else "options"
    return "\n".join([title, *meaning, *(f"  {prefix}{option}" for option in own)])
