"""`registry.db` from text, and text from `registry.db`.

    python starter/rebuild.py                 write registry.db anew from the two texts
    python starter/rebuild.py --from HOME     take over a home's records and weights into the tree

The texts are starter/registry.jsonl (the adapters that were trained here, as `Registry.dump` wrote
them) and adapterhub_lite/catalog/adapters.jsonl (facts about public ones).  They are what is
reviewed and merged; the database is made from them.  A test compares.
"""

from __future__ import annotations

import argparse
import json
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import adapterhub_lite as ahl
from adapterhub_lite import catalog, plugins
from adapterhub_lite import manifest as manifests
from adapterhub_lite.adapter import BaseIdentity, Score
from adapterhub_lite.registry import Registry

ROOT = Path(__file__).resolve().parent.parent
TEXT = ROOT / "starter" / "registry.jsonl"


def fill(registry: Registry, text: str) -> None:
    """Add everything that `Registry.dump` wrote to an empty registry."""
    records: dict[str, list[dict[str, Any]]] = {}
    for line in text.splitlines():
        kind, values = json.loads(line)
        records.setdefault(kind, []).append(values)
    for values in records.get("base", []):
        location, files = values.pop("location"), values.pop("files", None)
        registry.add_base(BaseIdentity(**values), location, files)
    names: dict[str, list[str]] = {}
    for values in records.get("name", []):
        if values["alias"]:
            names.setdefault(values["digest"], []).append(values["name"])
    for values in records.get("adapter", []):
        registry.add(
            manifests.from_json(values["manifest"]),
            name=values["name"],
            aliases=sorted(names.get(values["digest"], [])),
            remote=values["remote"],
            added=datetime.fromisoformat(values["added"]),
        )
    registry.record_scores(
        Score(**{**values, "when": datetime.fromisoformat(values["when"])})
        for values in records.get("score", [])
    )


def rebuild(path: Path, text: str) -> None:
    """Write the database at `path` anew."""
    for leftover in path.parent.glob(f"{path.name}*"):
        leftover.unlink()
    with Registry(f"sqlite:///{path}", create=True) as registry:
        fill(registry, text)
        catalog.load(registry, plugins.load(ROOT / "plugins", entry_points=False))


def take_over(home: ahl.Home) -> str:
    """Copy the objects of a home's first seed into the tree and return its records as text.

    The other seeds were trained to measure the spread; the tables in the docs have it.
    """
    left_out = {adapter.digest for adapter in home.registry.find(remote=True)}
    for adapter in home.registry.find(remote=False):
        training = adapter.manifest.training
        if training is not None and training.seed:
            left_out.add(adapter.digest)
            continue
        source = home.folder_of(adapter)
        target = ROOT / "objects" / source.relative_to(home.path / "objects")
        if not target.exists():
            shutil.copytree(source, target)
    lines = home.registry.dump().splitlines(keepends=True)
    return "".join(line for line in lines if not any(digest in line for digest in left_out))


def main() -> None:
    """Rebuild the database, from another home's records where one is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--from", dest="source", type=Path)
    arguments = parser.parse_args()
    if arguments.source is not None:
        TEXT.write_text(take_over(ahl.Home.find(arguments.source)), encoding="utf-8")
    rebuild(ROOT / "registry.db", TEXT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
