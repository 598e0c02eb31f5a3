"""Methods that come with the package, offered through the same hook that plugins use."""

from __future__ import annotations

from collections.abc import Sequence

from adapterhub_lite.families import BUILT_IN, Family
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.methods.base import Method
from adapterhub_lite.modular import FAMILIES


@hookimpl
def ahl_methods() -> Sequence[Method]:
    """Return bottleneck, lora, prefix and xmod."""
    from adapterhub_lite.methods.bottleneck import Bottleneck
    from adapterhub_lite.methods.lora import LoRA
    from adapterhub_lite.methods.prefix import Prefix
    from adapterhub_lite.methods.xmod import Xmod

    return [Bottleneck(), LoRA(), Prefix(), Xmod()]


@hookimpl
def ahl_families() -> Sequence[Family]:
    """Return the anatomy rows that come with the package."""
    return (*BUILT_IN, *FAMILIES)
