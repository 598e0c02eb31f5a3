"""Make the tables of facts about languages in `adapterhub_lite/facts/data`.

    python -m venv build && build/bin/pip install qwanqwa==1.2.1 lang2vec==1.1.2 langcodes numpy
    build/bin/python starter/make_facts.py

Both packages are needed here only: one takes seconds and 400 MB to load, the other drags numpy
along.  Their data files are read directly.  One file a licence; `NOTICE.md` beside them says whose
they are and `docs/languages.md` what is in them.
"""

from __future__ import annotations

import gzip
import json
import textwrap
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import langcodes
from langcodes.data_dicts import MACROLANGUAGES

DATA = Path(__file__).parent.parent / "adapterhub_lite" / "facts" / "data"

NO_FAMILIES = {
    "arti1236", "book1242", "mixe1287", "pidg1258", "sign1238", "spee1234", "unat1236", "uncl1493",
    "deaf1237",
}  # fmt: skip
"""Nodes of Glottolog that collect languages without saying that they are related."""

REPRESENTATIVES = {"no": "nb", "ak": "tw", "man": "mnk", "mn": "khk"}
"""The language that stands for a macrolanguage, where CLDR names none or two."""

RETIRED = {"bh"}
"""Codes that CLDR lists with the macrolanguages and that mean something else now."""

Node = dict[str, Any]


def package(name: str) -> Path:
    """Return the folder of an installed package, without importing it."""
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def languoids(folder: Path) -> dict[str, Node]:
    """Return every languoid of qq by its id."""
    with gzip.open(folder / "db.json.gz", "rt", encoding="utf-8") as file:
        entities = json.load(file)["entities"]
    return {node["id"]: node for node in entities.values() if node["__class__"] == "Languoid"}


def tag_of(code: str) -> str | None:
    """Return the normal BCP 47 tag of an ISO 639-3 code, unless the code gave way to another."""
    if not langcodes.tag_is_valid(code):
        return None
    tag = langcodes.standardize_tag(code)
    current = "-" not in tag and langcodes.Language.get(tag).to_alpha3() == code
    return tag if current else None


def current_tag(code: str | None) -> str | None:
    """Return the tag that an ISO 639-3 code is spelt as now."""
    tag = langcodes.standardize_tag(code) if code and langcodes.tag_is_valid(code) else ""
    return tag if tag and "-" not in tag else None


def representatives() -> dict[str, str]:
    """Return the tag that stands for each macrolanguage, by CLDR's table in langcodes."""
    found = {}
    for member in MACROLANGUAGES:
        tag = langcodes.standardize_tag(member)
        macro = langcodes.standardize_tag(member, macro=True)
        if macro != tag and macro not in RETIRED and "-" not in macro:
            found[macro] = tag
    return found | REPRESENTATIVES


def tree(nodes: dict[str, Node]) -> dict[str | None, list[str]]:
    """Return the languages and families that have a language below, by parent, sorted by name."""
    below: dict[str | None, set[str]] = defaultdict(set)
    for key, node in nodes.items():
        if not (node["glottocode"] and coded(node)):
            continue
        child = key
        while (parent := parent_of(nodes, child)) is not None:
            below[parent].add(child)
            child = parent
        below[None].add(child)
    order = {k: sorted(v, key=lambda c: (nodes[c]["name"], c)) for k, v in below.items()}
    return dict(order)


def parent_of(nodes: dict[str, Node], key: str) -> str | None:
    """Return the parent that is a relative."""
    for parent in nodes[key]["relations"].get("parent", ()):
        target = str(parent["target_id"])
        if nodes[target]["glottocode"] not in NO_FAMILIES:
            return target
    return None


def coded(node: Node) -> str | None:
    """Return the tag of a languoid that is one language; Glottolog takes some macrolanguages so."""
    code = node["iso_639_3"]
    one = node["scope"] != "M" or node["level"] == "language"
    return tag_of(code) if code and one else None


def glottolog(nodes: dict[str, Node]) -> Iterator[str]:
    """Yield the tree, depth first: depth, name; for a language also codes and place."""
    below, stands = tree(nodes), {tag: macro for macro, tag in representatives().items()}

    def walk(key: str, depth: int) -> Iterator[str]:
        node = nodes[key]
        tag = coded(node)
        cells = [str(depth), node["name"]]
        if tag is not None:
            cells += [node["iso_639_3"], tag if tag != node["iso_639_3"] else ""]
            cells += [macrolanguage(tag, stands), node["glottocode"], *place(node)]
        yield "\t".join(cells).rstrip("\t")
        for child in below.get(key, ()):
            yield from walk(child, depth + 1)

    for root in below[None]:
        yield from walk(root, 0)


def macrolanguage(tag: str, stands: dict[str, str]) -> str:
    """Return a language's macrolanguage, with `=` before it where the language stands for it."""
    if tag in stands:
        return f"={stands[tag]}"
    macro = MACROLANGUAGES.get(tag, "")
    return macro if macro not in RETIRED else ""


def place(node: Node) -> tuple[str, str]:
    """Return latitude and longitude in degrees, to about a kilometre."""
    if node["latitude"] is None:
        return "", ""
    return f"{node['latitude']:.2f}", f"{node['longitude']:.2f}"


def scripts(nodes: dict[str, Node]) -> Iterator[str]:
    """Yield scripts, with the tags of the languages written in them, canonical scripts first."""
    written: dict[str, list[str]] = defaultdict(list)
    for node in nodes.values():
        code = node["iso_639_3"]
        tag = tag_of(code) if code else None
        uses = node["relations"].get("uses_script", ())
        if tag and uses:
            written[" ".join(in_order(uses))].append(tag)
    for codes, tags in sorted(written.items()):
        yield f"{codes}\t{' '.join(sorted(set(tags)))}"


def in_order(uses: list[dict[str, Any]]) -> list[str]:
    """Return script codes: those marked canonical if any are, else all."""
    marked = [use for use in uses if use["metadata"].get("is_canonical")]
    return [str(use["target_id"]).partition(":")[2].title() for use in marked or uses]


def names(nodes: dict[str, Node], folder: Path) -> Iterator[str]:
    """Yield tags with English names that the tree does not have, those marked canonical first."""
    more: dict[str, dict[str, None]] = defaultdict(dict)
    with zipfile.ZipFile(folder / "names.zip") as archive:
        for key, node in nodes.items():
            tag = current_tag(node["iso_639_3"])
            if tag is None:
                continue
            own = node["name"] if node["glottocode"] and coded(node) else None
            entries = json.loads(archive.read(f"{key}.json"))
            english = [e for e in entries if e["bcp_47_code"] == "en"]
            english.sort(key=lambda e: (not e["is_canonical"], "(" in e["name"], e["name"]))
            plain = (e["name"].partition(" (")[0] for e in [{"name": node["name"]}, *english])
            more[tag].update(dict.fromkeys(n for n in plain if n != own and "," not in n))
    for tag, found in sorted(more.items()):
        if found:
            yield "\t".join([tag, *found])


def syntax(folder: Path) -> bytes:
    """Return URIEL's 103 predicted syntax features: 13 bytes, and the codes that share them."""
    import numpy as np

    with np.load(folder / "feature_predictions.npz") as file:
        columns = [i for i, name in enumerate(file["feats"]) if name.startswith("S_")]
        values, codes = file["data"][:, columns, 0], file["langs"]
    assert set(np.unique(values)) <= {0.0, 1.0}
    shared: dict[bytes, list[str]] = defaultdict(list)
    for code, row in zip(codes, np.packbits(values.astype(bool), axis=1), strict=True):
        shared[row.tobytes()].append(str(code))
    return b"".join(
        bits + len(codes).to_bytes(2, "big") + "".join(sorted(codes)).encode()
        for bits, codes in sorted(shared.items())
    )


def plain_codes() -> Iterator[str]:
    """Yield the codes that langcodes leaves as they are, also when it looks for macrolanguages."""
    for count in (2, 3):
        for code in map("".join, product(ascii_lowercase, repeat=count)):
            if code != "und" and langcodes.tag_is_valid(code):
                kept = langcodes.standardize_tag(code), langcodes.standardize_tag(code, macro=True)
                if kept == (code, code):
                    yield code


def write(name: str, content: bytes) -> None:
    """Write a file that is the same for the same content."""
    path = DATA / name
    path.write_bytes(gzip.compress(content, compresslevel=9, mtime=0))
    print(f"{path.stat().st_size:>8}  {name}")


def main() -> None:
    """Write the files."""
    folder = package("qq") / "data"
    nodes = languoids(folder)
    write("glottolog.tsv.gz", "\n".join(glottolog(nodes)).encode())
    write("scripts.tsv.gz", "\n".join(scripts(nodes)).encode())
    write("names.tsv.gz", "\n".join(names(nodes, folder)).encode())
    write("syntax.bin.gz", syntax(package("lang2vec") / "data"))
    (DATA / "plain_codes.txt").write_text(textwrap.fill(" ".join(plain_codes()), 99) + "\n")


if __name__ == "__main__":
    main()
