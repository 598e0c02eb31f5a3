"""The Hub: push adapters and whole stacks to it, and pull them from it.

    pushing    registry -> staging (exactly the files that are sent) -> one commit
    pulling    listing at one commit -> download -> hashes and headers -> registry

Nothing that a repository says is believed before it was checked, and nothing of it is executed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adapterhub_lite.hub.pulling import Pulled, pull
    from adapterhub_lite.hub.pushing import Pushed, push
    from adapterhub_lite.hub.stacks import PulledStack, pull_stack, push_stack

__all__ = ["Pulled", "PulledStack", "Pushed", "pull", "pull_stack", "push", "push_stack"]

_PLACES = {
    "Pulled": "pulling",
    "PulledStack": "stacks",
    "Pushed": "pushing",
    "pull": "pulling",
    "pull_stack": "stacks",
    "push": "pushing",
    "push_stack": "stacks",
}


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
