"""Methods whose plugin file is in the home but may not run yet: they resolve, and say so.

Resolving runs nothing of an adapter's, so a file that nobody has trusted (`trust.py`) is no reason
against an answer; it is one against attaching it.  What such a method would say of its configs is
not known, so only what the manifests say is compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from adapterhub_lite.errors import MethodError
from adapterhub_lite.methods.base import Flow, Method, MethodConfig, Site, Weights

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class StatedConfig(MethodConfig):
    """A config as a manifest states it, unchecked."""

    values: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Return the config of any values."""
        return cls(dict(values))

    def to_mapping(self) -> dict[str, Any]:
        """Return the values."""
        return dict(self.values)


class NotRun(Method):
    """Stands for a method until its plugin file may run."""

    Config = StatedConfig

    def __init__(self, name: str) -> None:
        self.name = name  # type: ignore[misc]  # one class stands for many methods

    def step(
        self,
        site: Site,  # noqa: ARG002  # the method's signature
        config: Any,  # noqa: ARG002
        weights: Weights,  # noqa: ARG002
        flow: Flow,  # noqa: ARG002
        state: Tensor,  # noqa: ARG002
    ) -> Tensor:
        """Refuse: the resolver never calls this, and nothing else is given such a method."""
        raise MethodError(f"method `{self.name}` may not run", hint="`ahl plugins trust`")
