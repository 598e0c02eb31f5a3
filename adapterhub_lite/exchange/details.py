"""What other libraries' files do not say, or only sometimes: kind, languages, task, trained over.

The user's word comes first, then what the folder states; nothing is guessed from a name.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from adapterhub_lite.adapter import Kind, LanguageUse, Role, Source
from adapterhub_lite.errors import UsageError


@dataclass(frozen=True, slots=True)
class Details:
    """Facts on an adapter that comes in; `None` and `()` mean: not said.

    Args:
        languages: with their roles, tags normalised.
        over: refs of the adapters that were frozen underneath in training, bottom first.
        seen: refs of the language adapters that training cycled through.
        labels: of the head, in order, where the files do not name them.
        task_type: the head's task type, where the files do not say.
        source: where the folder came from.
    """

    kind: Kind | None = None
    languages: tuple[LanguageUse, ...] = ()
    task: str | None = None
    dataset: str | None = None
    over: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    task_type: str | None = None
    licence: str | None = None
    authors: tuple[str, ...] = ()
    citation: str | None = None
    source: Source | None = None

    def or_else(self, stated: Details) -> Details:
        """Return these details, with what they leave open taken from `stated`."""
        empty = {f.name for f in fields(self) if getattr(self, f.name) in (None, ())}
        return replace(self, **{name: getattr(stated, name) for name in empty})

    def check(self, where: str) -> None:
        """Raise `UsageError` where something that the manifest needs is not said."""
        if self.kind is None:
            raise UsageError(
                f"{where} does not say what kind of adapter it is",
                hint="`--kind language --lang sw`, `--kind bilingual --source en --target sw` or "
                "`--kind task --task ner --source en`",
            )
        roles = {use.role for use in self.languages}
        missing = [f"`{option}`" for option, there in self._needed(roles) if not there]
        if missing:
            raise UsageError(
                f"{where}: a {self.kind} adapter needs {' and '.join(missing)}",
                hint="nothing is guessed from a name; say it",
            )

    def _needed(self, roles: set[Role]) -> list[tuple[str, bool]]:
        if self.kind is Kind.LANGUAGE:
            return [("--lang", Role.LANGUAGE in roles)]
        if self.kind is Kind.BILINGUAL:
            return [("--source", Role.SOURCE in roles), ("--target", Role.TARGET in roles)]
        needed = [("--source", Role.SOURCE in roles)]
        return [*needed, ("--task", bool(self.task))] if self.kind is Kind.TASK else needed
