"""What a push leaves as it is: files and claims that this home merely cannot make.

Another home pushed the files of another library beside ours, and a card with the scores that it had
recorded.  Here the base may be missing, a plugin, or the Hub's answer of just now, and those scores
are not recorded.  None of that says anything about the repository.  So only what other weights
contradict is removed or rewritten; where this home cannot make what belongs to other weights, the
push is refused.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from adapterhub_lite import manifest as manifests
from adapterhub_lite.errors import HubError
from adapterhub_lite.foreign.reading import Reader
from adapterhub_lite.hub.commits import Change
from adapterhub_lite.hub.connection import Connection
from adapterhub_lite.hub.content import LARGEST_TEXT
from adapterhub_lite.hub.download import Download
from adapterhub_lite.hub.listing import Entry
from adapterhub_lite.hub.names import CARD, OF_PEERS
from adapterhub_lite.hub.staging import Staged

_CARDS = Reader(HubError)


@dataclass(frozen=True, slots=True)
class Part:
    """One adapter of a push.

    Args:
        below: its folder in the repository, with a slash at its end; empty at the root.
        lacking: why this home cannot make other libraries' files of it, though another might;
            `None` where they were made, or where there is no such form.
    """

    below: str
    lacking: str | None = None


def settle(
    change: Change, parts: Sequence[Part], connection: Connection
) -> tuple[Change, tuple[str, ...]]:
    """Return the change without what must stay, and notes on it.

    Raises:
        HubError: the repository has other libraries' files of other weights, and their successors
            cannot be made here.
    """
    staged = {item.path: item for item in change.send}
    kept: list[str] = []
    notes: list[str] = []
    for part in parts:
        stale = sorted(_of_peers(change.remove, part.below))
        if not stale:
            continue
        if part.below + manifests.WEIGHTS not in staged:  # the repository has these very weights
            kept += stale
            because = f", which this home cannot make now ({part.lacking})" if part.lacking else ""
            notes.append(f"left as they are: {_named(stale)}{because}; the weights are the same")
        elif part.lacking:
            raise HubError(
                f"`{change.parent.repo}` has {_named(stale)} of other weights, and this home "
                f"cannot make those of the new ones: {part.lacking}",
                hint="push from a home that has the base and the method's plugin "
                "(`ahl add FOLDER --name BASE`), or to another repository; nothing was changed",
                files=stale,
            )
    change = replace(change, remove=tuple(p for p in change.remove if p not in kept))
    same = all(part.below + manifests.WEIGHTS not in staged for part in parts)
    card = staged.get(CARD)
    if same and card is not None and (there := change.parent.files.get(CARD)) is not None:
        lost = _lost(there, card, change, connection)
        if lost:
            change = replace(change, send=tuple(i for i in change.send if i.path != CARD))
            notes.append(
                f"left as it is: `{CARD}`, which {lost}; the weights are the same, so that still "
                "holds (edit it there, or push from the home that measured it)"
            )
    return change, tuple(notes)


def _of_peers(paths: Sequence[str], below: str) -> Iterator[str]:
    for path in paths:
        folder, _, name = path.rpartition("/")
        if name in OF_PEERS and (f"{folder}/" if folder else "") == below:
            yield path


def _named(paths: Sequence[str]) -> str:
    return ", ".join(f"`{path}`" for path in paths)


def _lost(there: Entry, card: Staged, change: Change, connection: Connection) -> str | None:
    """Return what the card there says and the new one does not, in words; `None`: nothing."""
    if there.size > LARGEST_TEXT:
        return f"has {there.size} bytes, more than are read"
    with tempfile.TemporaryDirectory(prefix="ahl-push-") as folder:
        Download(connection, change.parent).into(Path(folder), (there,))
        try:
            before = _claims(_CARDS.front_matter_file(Path(folder) / CARD))
        except HubError as error:
            return f"cannot be compared ({error.message.rpartition(': ')[2]})"
    after = _claims(_CARDS.front_matter_file(card.place))
    missing = [claim for claim in before if claim not in after]
    if not missing:
        return None
    results = sum(claim[0] == "result" for claim in missing)
    words = [f"states `{claim[0]}: {claim[1]}`" for claim in missing if claim[0] != "result"]
    words += [f"has {results} results that are not recorded here"] if results else []
    return " and ".join(words)


def _claims(front: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return what a card claims: its library, its base, and every result."""
    claims = [
        (key, str(front[key]))
        for key in ("library_name", "base_model", "base_model_relation")
        if front.get(key) is not None
    ]
    return claims + [("result", *result) for result in _results(front.get("model-index"))]


def _results(index: Any) -> Iterator[tuple[str, ...]]:
    """Yield the results of a card's `model-index`: data, metric and value of each."""
    for model in index if isinstance(index, list) else ():
        results = model.get("results") if isinstance(model, dict) else None
        for result in results if isinstance(results, list) else ():
            if not isinstance(result, dict):
                continue
            metrics = result.get("metrics")
            data = str(sorted(_mapping(result.get("dataset")).items()))
            for metric in metrics if isinstance(metrics, list) else ():
                yield data, str(sorted(_mapping(metric).items()))


def _mapping(value: Any) -> Mapping[str, Any]:
    return {k: str(v) for k, v in value.items()} if isinstance(value, dict) else {}
