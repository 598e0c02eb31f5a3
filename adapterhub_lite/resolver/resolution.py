"""The answer to a request, as values: what to run, why, why nothing else, what would be better.

Words for people are made in `explain.py` and `refusal.py`; programs read `to_json()`, whose layout
is promised by `SCHEMA` and written out in `docs/resolution.schema.json`: a key may be added within
a number, never renamed or removed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adapterhub_lite.adapter import BaseIdentity
from adapterhub_lite.composition import Composition
from adapterhub_lite.relatedness import Relatedness
from adapterhub_lite.resolver.request import Request

SCHEMA = 1
"""Number of the layout that `to_json` returns."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One adapter of the answer: the slot it fills, and why this one.

    `hub_id`, `revision` and `status` are of its source, where it has one (`adapter.Source`).
    """

    slot: str
    ref: str
    digest: str
    reason: str
    remote: bool = False
    hub_id: str | None = None
    revision: str | None = None
    status: str | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """Something that a rule forbids: the adapter, or the stack it would have stood in.

    `strategy` and `others` are empty where the adapter alone is at fault.
    """

    ref: str
    slot: str
    rule: str
    reason: str
    strategy: str = ""
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Alternative:
    """A composition that holds all rules and lost, and to what."""

    composition: Composition
    strategy: str
    lost: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Missing:
    """What would lift the answer to a better strategy, and the commands that make it."""

    strategy: str
    what: str
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resolution:
    """The answer to a request.  `composition` refs are `name@digest`, ready to attach.

    `why` says what put this composition first; `alternatives` are in order, best first; `pulls`
    are the Hub ids of remote adapters that attaching will pull.  `relatives` are the
    related languages with a language adapter on this base, the nearest first, if looked up.
    `scheme` is what papers call the strategy with this method, where they do; `notes` say what else
    there is.
    """

    request: Request
    base: BaseIdentity
    composition: Composition
    strategy: str
    why: str
    choices: tuple[Choice, ...]
    rejections: tuple[Rejection, ...] = ()
    warnings: tuple[str, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    missing: tuple[Missing, ...] = ()
    pulls: tuple[str, ...] = ()
    relatives: tuple[Relatedness, ...] = ()
    scheme: str = ""
    notes: tuple[str, ...] = ()

    def explain(self, *, everything: bool = False) -> str:
        """Return the answer as text that a person reads in ten seconds, or all that there is."""
        from adapterhub_lite.resolver.explain import explain

        return explain(self, everything=everything)

    def to_json(self) -> dict[str, Any]:
        """Return the whole answer as JSON values.

            schema        1
            resolved      true
            request       source, target, task, base, dataset, method, licences, offline, policy
            base          name, revision, fingerprint, architecture
            composition   text, as `parse` reads it; refs are name@digest (12 letters)
            strategy      "bad-x", "bilingual", "target-ready", "same-language", "mad-x",
                          "built-in", "variant", "average", "half-source", "source-kept",
                          "no-language-adapter", "nearest-relative"; more may come
            scheme        "LT-SFT", ...: the strategy's name with this method, or ""
            why           what put it first
            choices       slot, ref, digest (whole), reason, remote, hub_id, revision, status
                          ("verified", "derived"); the last three may be null; bottom first
            rejections    ref, slot, rule, reason, strategy, others
            warnings      sentences
            alternatives  composition, strategy, lost, warnings; best first
            missing       strategy, what, commands; nearest first
            pulls         Hub ids
            relatives     tag, level, score and its terms (`Relatedness.to_json`); nearest first
            notes         sentences
            message       null

        A refusal has the same keys: `resolved` is false, `composition`, `strategy` and `why` are
        null, `base` is null where no base could be settled, and `message` says why.
        """
        return {
            "schema": SCHEMA,
            "resolved": True,
            "request": self.request.to_json(),
            "base": _base(self.base),
            "composition": str(self.composition),
            "strategy": self.strategy,
            "why": self.why,
            "choices": [_plain(choice) for choice in self.choices],
            "rejections": [_plain(rejection) for rejection in self.rejections],
            "warnings": list(self.warnings),
            "alternatives": [_plain(other) for other in self.alternatives],
            "missing": [_plain(missing) for missing in self.missing],
            "pulls": list(self.pulls),
            "relatives": [relative.to_json() for relative in self.relatives],
            "scheme": self.scheme,
            "notes": list(self.notes),
            "message": None,
        }


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing answers a request: what `NoResolutionError` carries."""

    request: Request
    message: str
    base: BaseIdentity | None = None
    rejections: tuple[Rejection, ...] = ()
    missing: tuple[Missing, ...] = ()

    def explain(self) -> str:
        """Return the refusal as text, hints included."""
        from adapterhub_lite.resolver.explain import hints

        return "\n".join([self.message, *(f"hint: {hint}" for hint in hints(self.missing))])

    def to_json(self) -> dict[str, Any]:
        """Return the refusal in the layout of `Resolution.to_json`."""
        return {
            "schema": SCHEMA,
            "resolved": False,
            "request": self.request.to_json(),
            "base": None if self.base is None else _base(self.base),
            "composition": None,
            "strategy": None,
            "why": None,
            "choices": [],
            "rejections": [_plain(rejection) for rejection in self.rejections],
            "warnings": [],
            "alternatives": [],
            "missing": [_plain(missing) for missing in self.missing],
            "pulls": [],
            "relatives": [],
            "scheme": "",
            "notes": [],
            "message": self.message,
        }


def _base(base: BaseIdentity) -> dict[str, Any]:
    return {
        "name": base.name,
        "revision": base.revision,
        "fingerprint": base.fingerprint,
        "architecture": base.architecture,
    }


def _plain(value: Choice | Rejection | Alternative | Missing) -> dict[str, Any]:
    """Return a value's fields by name, as JSON values."""
    fields = {name: getattr(value, name) for name in value.__slots__}
    return {name: _json(item) for name, item in fields.items()}


def _json(item: object) -> object:
    if isinstance(item, tuple):
        return list(item)
    return item if item is None or isinstance(item, str | bool) else str(item)
