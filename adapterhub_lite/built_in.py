"""What comes with the package from the rooms above plugins, offered through the same hooks.

Methods and task types offer themselves in their own rooms.  Strategies and commands are imported
only when they are asked for: whoever attaches an adapter needs no command line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from adapterhub_lite.hookspecs import HOOKS, hookimpl

if TYPE_CHECKING:
    import click

    from adapterhub_lite.exchange.converter import Converter
    from adapterhub_lite.resolver.strategies import Strategy

AHL_HOOKS = HOOKS


@hookimpl
def ahl_strategies() -> Sequence[Strategy]:
    """Return the strategies of the resolver."""
    from adapterhub_lite.resolver import STRATEGIES

    return STRATEGIES


@hookimpl
def ahl_commands() -> Sequence[click.Command]:
    """Return the commands of the command line."""
    from adapterhub_lite.cli import main

    return list(main.built_in().values())


@hookimpl
def ahl_converters() -> Sequence[Converter]:
    """Return how the methods that come with the package are spelt in other libraries."""
    from adapterhub_lite.exchange.adapterhub_bottleneck import BottleneckConverter
    from adapterhub_lite.exchange.adapterhub_lora import LoRAConverter
    from adapterhub_lite.exchange.adapterhub_prefix import PrefixConverter

    ours = [BottleneckConverter(), LoRAConverter(), PrefixConverter()]
    return [*ours, *_peft_converters()]


def _peft_converters() -> list[Converter]:
    from adapterhub_lite.exchange.peft_lora import PeftLoRA
    from adapterhub_lite.exchange.peft_prefix import PeftPrefix

    return [PeftLoRA(), PeftPrefix()]
