"""What is asked of the resolver, in normal form: the rest compares plain strings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adapterhub_lite import languages
from adapterhub_lite.errors import UsageError, near

POLICIES: dict[str, str] = {
    "bilingual": "a pair's bilingual adapter comes first, whatever the task was trained over",
    "matched": "a bilingual adapter under a task adapter trained over something else comes after "
    "monolingual adapters",
    "scores": "what has a recorded score on this task and target comes before what has none",
}
"""Policy by name, and what it changes in the order of preferences."""


@dataclass(frozen=True, slots=True)
class Request:
    """Labels in `source`, users in `target`, a task; the rest narrows what may be chosen.

    Raises:
        LanguageTagError: `source` or `target` is no registered tag.
        UsageError: an empty task or an unknown policy.
    """

    source: str
    target: str
    task: str
    base: str | None = None
    dataset: str | None = None
    method: str | None = None
    licences: tuple[str, ...] = ()
    offline: bool = False
    policy: str = "bilingual"

    def __post_init__(self) -> None:
        for side in ("source", "target"):
            object.__setattr__(self, side, languages.normalise(getattr(self, side)))
        object.__setattr__(self, "task", self.task.strip())
        licences = {name.strip().lower() for name in self.licences}
        object.__setattr__(self, "licences", tuple(sorted(licences)))
        if not self.task:
            raise UsageError("a request needs a task", hint="for example `--task pos`")
        if self.policy not in POLICIES:
            raise UsageError(
                f"there is no policy `{self.policy}`", hint=near(self.policy, POLICIES)
            )

    @property
    def pair(self) -> str:
        """The pair as messages show it."""
        return f"{self.source} -> {self.target}"

    @property
    def sources(self) -> tuple[str, ...]:
        """The source's tag, and its macrolanguage's where that is another."""
        return _with_macro(self.source)

    @property
    def targets(self) -> tuple[str, ...]:
        """The target's tag, and its macrolanguage's where that is another."""
        return _with_macro(self.target)

    def to_json(self) -> dict[str, Any]:
        """Return the request as JSON values, every field written out."""
        return {
            "source": self.source,
            "target": self.target,
            "task": self.task,
            "base": self.base,
            "dataset": self.dataset,
            "method": self.method,
            "licences": list(self.licences),
            "offline": self.offline,
            "policy": self.policy,
        }


def _with_macro(tag: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((tag, languages.macro(tag))))
