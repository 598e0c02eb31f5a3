"""The public functions take a home and a base in every form that people have them in."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import adapterhub_lite as ahl
from adapterhub_lite.errors import BaseMismatchError, HomeError, UsageError

ROOT = Path(__file__).resolve().parent.parent
BASE, STACK, TEXT = "e5-mmt-6", "stack(gv, pos-en)", "Ta ny paitchyn lhaih shenn lioaryn."
FOLDER = ROOT / "bases" / BASE

TEXTS = {"en": "none", "gv": "none"}

Call = Callable[[Any], Any]
CALLS: dict[str, Call] = {
    "attach": lambda home: ahl.attach(BASE, STACK, home=home).names,
    "evaluate": lambda home: ahl.evaluate(STACK, ROOT / "none.conllu", language="gv", home=home),
    "load_base": lambda home: ahl.load_base(BASE, home=home).identity,
    "merge": lambda home: ahl.merge("average(gv, no-such)", name="m", home=home),
    "new_adapter": lambda home: (
        ahl.new_adapter(ahl.load_base(BASE, home=ROOT), kind="language", home=home).ref
    ),
    "predict": lambda home: ahl.predict([TEXT], composition=STACK, home=home),
    "resolve": lambda home: ahl.resolve("en", "gv", task="pos", home=home).composition,
    "train_bilingual": lambda home: ahl.train_bilingual("en", "gv", text=TEXTS, home=home),
    "train_language": lambda home: ahl.train_language("gv", [ROOT / "none.txt"], home=home),
    "train_task": lambda home: ahl.train_task("pos", train="none", source="en", home=home),
}
"""A call of every public function that takes a home; some of them get no further than the home."""

ANSWERING = ("attach", "load_base", "new_adapter", "predict", "resolve")


def test_every_public_function_with_a_home_is_tried() -> None:
    functions = {name: getattr(ahl, name) for name in ahl.__all__}
    assert set(CALLS) == {
        name
        for name, function in functions.items()
        if inspect.isfunction(function) and "home" in inspect.signature(function).parameters
    }


@pytest.mark.parametrize("name", ANSWERING)
def test_a_home_is_a_home_a_folder_or_the_nearest(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("AHL_HOME", raising=False)
    answers = [CALLS[name](home) for home in (ahl.Home.find(ROOT), ROOT, str(ROOT), None)]
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("home", [42, ["home"], object])
def test_another_kind_of_home_is_a_usage_error(name: str, home: Any) -> None:
    with pytest.raises(UsageError, match="a home is a `Home` or the path of its folder, found"):
        CALLS[name](home)


@pytest.mark.parametrize("name", CALLS)
def test_a_folder_without_a_home_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="holds no registry"):
        CALLS[name](str(tmp_path))


@pytest.fixture(scope="module")
def own() -> tuple[Any, Any]:
    """A model and its tokenizer, loaded with transformers by a user."""
    model = transformers.AutoModelForMaskedLM.from_pretrained(FOLDER, dtype=torch.float32)
    return model, transformers.AutoTokenizer.from_pretrained(FOLDER)


WITH_BASE: dict[str, Call] = {
    "attach": lambda base: ahl.attach(base, STACK, home=ROOT),
    "load_base": lambda base: ahl.load_base(base, home=ROOT),
    "predict a composition": lambda base: ahl.predict(
        [TEXT], composition=STACK, base=base, home=ROOT
    ),
    "predict a request": lambda base: ahl.predict(
        [TEXT], source="en", target="gv", task="pos", base=base, home=ROOT
    ),
    "train_task": lambda base: ahl.train_task(
        "pos", train="none", source="en", base=base, home=ROOT
    ),
}


@pytest.mark.parametrize("call", WITH_BASE.values(), ids=WITH_BASE)
@pytest.mark.parametrize("kind", ["model", "module", 42])
def test_another_kind_of_base_is_a_usage_error(
    own: tuple[Any, Any], call: Call, kind: object
) -> None:
    base = {"model": own[0], "module": torch.nn.Linear(2, 2)}.get(str(kind), kind)
    with pytest.raises(UsageError) as caught:
        call(base)
    assert type(base).__name__ in caught.value.message
    assert len(caught.value.message) < 200, "no model is printed"
    assert ("wrap(model, tokenizer)" in str(caught.value.hint)) == (kind != 42)


def test_a_model_of_ones_own_is_wrapped(own: tuple[Any, Any]) -> None:
    """The same weights, so the same adapters fit and the same labels come out."""
    base = ahl.wrap(*own)
    assert base.identity.name == BASE
    assert base.identity.fingerprint == ahl.load_base(BASE, home=ROOT).identity.fingerprint
    with ahl.attach(base, STACK, home=ROOT) as attachment:
        wrapped = ahl.predict([TEXT], attachment=attachment)
    assert wrapped == ahl.predict([TEXT], composition=STACK, home=ROOT)
    assert base.model is own[0]


def test_other_weights_are_refused_after_wrapping() -> None:
    model = transformers.AutoModelForMaskedLM.from_pretrained(FOLDER)
    with torch.no_grad():
        next(model.base_model.encoder.parameters()).add_(0.1)
    base = ahl.wrap(model, transformers.AutoTokenizer.from_pretrained(FOLDER), name="mine")
    with pytest.raises(BaseMismatchError):
        ahl.attach(base, STACK, home=ROOT)


def test_only_models_and_tokenizers_are_wrapped(own: tuple[Any, Any]) -> None:
    model, tokenizer = own
    with pytest.raises(UsageError, match="takes a model of transformers, found a `Linear`"):
        ahl.wrap(torch.nn.Linear(2, 2), tokenizer)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="takes the model's tokenizer, found a `str`"):
        ahl.wrap(model, BASE)  # type: ignore[arg-type]
