"""Facts about languages: what the tables say of languages that everybody can look up."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.resources import files
from itertools import product
from string import ascii_lowercase

import langcodes
import pytest

from adapterhub_lite import facts


def test_there_are_thousands_and_the_files_are_small() -> None:
    assert len(facts.tags()) > 7800
    data = files("adapterhub_lite.facts") / "data"
    sizes = {item.name: len(item.read_bytes()) for item in data.iterdir()}
    assert "NOTICE.md" in sizes
    assert sum(sizes.values()) < 330_000


def test_a_language_that_glottolog_describes() -> None:
    """Glottolog's page of Manx: https://glottolog.org/resource/languoid/id/manx1243"""
    manx = facts.about("gv")
    assert manx is not None
    assert (manx.name, manx.code, manx.glottocode) == ("Manx", "glv", "manx1243")
    assert manx.place == pytest.approx((54.26, -4.45), abs=0.1)
    assert manx.families[0] == "Indo-European"
    assert {"Celtic", "Insular Celtic", "Goidelic"} <= set(manx.families)
    assert facts.scripts("gv") == ("Latn",)


@pytest.mark.parametrize(
    ("macro", "individual"),
    [  # CLDR's individual languages of macrolanguages
        ("zh", "cmn"), ("sw", "swh"), ("ar", "arb"), ("fa", "pes"), ("no", "nb"), ("et", "ekk"),
        ("lv", "lvs"), ("ku", "kmr"), ("qu", "quz"), ("ms", "zsm"), ("mg", "plt"), ("sq", "als"),
    ],
)  # fmt: skip
def test_one_language_stands_for_a_macrolanguage(macro: str, individual: str) -> None:
    found = facts.about(macro)
    assert found is not None
    assert found == facts.about(individual)
    assert len(found.path) > 1
    assert individual in facts.members(macro)


@pytest.mark.parametrize(
    ("tag", "macro"), [("yue", "zh"), ("quy", "qu"), ("hr", "sh"), ("sr-Latn", "sh"), ("gv", "gv")]
)
def test_macrolanguages_of_iso_639(tag: str, macro: str) -> None:
    assert facts.macrolanguage(tag) == macro


def test_isolates_and_collections_have_no_family() -> None:
    """Basque is an isolate; that both are sign languages makes no two languages related."""
    for tag in ("eu", "eo"):
        found = facts.about(tag)
        assert found is not None
        assert not found.families or found.families[0] != "Artificial Language"
    one, other = facts.about("ase"), facts.about("bfi")
    assert one is not None
    assert other is not None
    assert not set(one.families) & set(other.families)


@pytest.mark.parametrize("tag", ["nah", "xyz", "und", "mul"])
def test_what_has_no_facts_is_none(tag: str) -> None:
    assert facts.about(tag) is None
    assert facts.syntax(tag) is None
    assert facts.near_in_tree(tag, 5) == ()


@pytest.mark.parametrize(
    ("tag", "scripts"),
    [("sr-Latn", ("Latn",)), ("zh-TW", ("Hant",)), ("ru", ("Cyrl",)), ("pt-BR", ("Latn",))],
)
def test_scripts_of_tags(tag: str, scripts: tuple[str, ...]) -> None:
    assert facts.scripts(tag) == scripts


def test_scripts_agree_with_cldr_for_most_languages() -> None:
    """CLDR's likely scripts, through langcodes, are another source than the table."""
    both = [tag for tag in facts.tags() if len(tag) == 2 and facts.scripts(tag)]
    likely = {tag: langcodes.Language.get(tag).maximize().script for tag in both}
    assert len(both) > 150
    agree = sum(likely[tag] in facts.scripts(tag) for tag in both)
    assert agree / len(both) > 0.95


def test_nearest_in_the_tree_come_first() -> None:
    near = facts.near_in_tree("gv", 6)
    assert near[0] == "gv"
    assert {"ga", "gd"} <= set(near)


def test_every_tag_in_the_table_is_in_normal_form() -> None:
    wrong = [tag for tag in facts.tags() if langcodes.standardize_tag(tag) != tag]
    assert not wrong


def test_plain_codes_are_what_langcodes_leaves_as_it_is() -> None:
    """All of two and three letters: the table must say neither more nor less than langcodes."""
    spelt = ("".join(letters) for n in (2, 3) for letters in product(ascii_lowercase, repeat=n))
    kept = {
        code
        for code in spelt
        if langcodes.tag_is_valid(code) and langcodes.standardize_tag(code, macro=True) == code
    }
    assert facts.plain_codes() == kept - {"und"}


LOAD = """
import json, time, gzip, importlib.resources
from adapterhub_lite import facts
best = {}
for name in ("_tree", "_scripts", "_syntax"):
    taken = []
    for _ in range(5):
        getattr(facts, name).cache_clear()
        start = time.process_time()
        getattr(facts, name)()
        taken.append(time.process_time() - start)
    best[name] = min(taken)
print(json.dumps(best))
"""


def test_the_table_loads_in_50_ms() -> None:
    run = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=True)
    assert sum(json.loads(run.stdout).values()) < 0.05
