"""The kit is tested with methods broken on purpose: the check meant for a fault catches it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite.testing import MethodSuite, load_method
from adapterhub_lite.testing.kit import Bases, small_batch, tiny_bases
from tests.testing import faulty
from tests.testing.sound import DecoderSuite, FusionSuite, Sound, SoundSuite

PAGE = Path(__file__).resolve().parents[2] / "docs" / "write-a-plugin.md"

HEAVY = "torch is imported at the top of the plugin"

FAULTS: dict[str, tuple[str, str]] = {
    "IgnoresASite": ("every_weight_matters", "no effect on the output"),
    "WeightWithoutEffect": ("every_weight_matters", "spare"),
    "WrongAtBirth": ("a_fresh_adapter_changes_nothing", "a fresh adapter changes the output"),
    "CutGradient": ("gradients_reach_all_own_weights_and_no_other", "no gradient reaches"),
    "WrongGradient": ("the_worked_example", r"gradient of `\w+` off"),
    "WrongScaling": ("the_worked_example", "output is off"),
    "ScalesTheBias": ("the_worked_example", "output is off"),
    "WritesInPlace": ("inputs_are_not_written_to", r"wrote into \['y'\]"),
    "UndoMissing": ("detach_restores_everything", "base weights changed"),
    "UndoInexact": ("detach_restores_everything", "base weights changed"),
    "LeavesAHook": ("detach_restores_everything", "hooks are left"),
    "RemembersTheFirst": ("nested_attachments_unwind", "no effect of its own"),
    "MixesRows": ("rows_equal_separate_runs", "not close"),
    "ForgetsWhatIsBelow": ("runs_of_two_in_both_orders", "is only"),
    "AlwaysFloat32": ("half_precision", "same dtype"),
    "DeadStart": ("a_few_steps_lower_the_loss", "the loss did not fall"),
    "Unseeded": ("same_seed_same_bytes", "differ"),
    "NeedsNumbersAtInit": ("save_and_load", "meta"),
    "CountsItsSites": ("tensors_that_do_not_fit_are_refused_by_name", "does not fit this model"),
    "TouchesLeftOutLayers": ("left_out_layers_have_no_weights", "left out"),
    "WrongMerge": ("merged_equals_unmerged", "not close"),
    "SumsInsteadOfAverages": ("the_mean_of_an_adapter_with_itself", "not close"),
    "ConfigWithoutJSON": ("the_config_is_frozen_and_survives_json", "not JSON serializable"),
    "ConfigNotFrozen": ("the_config_is_frozen_and_survives_json", "DID NOT RAISE"),
    "NoHelp": ("every_option_has_help", "has no help for"),
    "IgnoresAMember": ("every_member_matters", "member `second` has no effect"),
    "ForgetsItsMembers": ("other_members_are_refused", "was trained to fuse"),
    "TakesMembersInAnyOrder": ("other_members_are_refused", "DID NOT RAISE"),
    "SharesThatDoNotSumToOne": ("a_fresh_adapter_changes_nothing", "changes the output"),
    "SharesOfTheWrongAxis": ("the_worked_example", "output is off"),
    "OtherSignInHalfPrecision": ("half_precision_is_close", "in bfloat16"),
    "ReadsPadding": ("padding_changes_nothing", "does the method look at padding"),
    "DividesByTheLength": ("padding_changes_nothing", "how long the batch is"),
    "FirstPlaceOnly": ("padding_on_the_left_changes_nothing", "place in the tensor"),
    "IdleOnOneToken": ("a_cache_changes_nothing", "how many tokens a pass has"),
    "ReadsTheNextToken": ("no_token_reads_a_later_one", "follows a later token"),
    "OffInTraining": ("training_mode_without_dropout_is_evaluation", "with dropout off"),
    "KeepsAProduct": ("a_step_is_seen_in_evaluation", "computed from the old weights"),
    "CountsItsPasses": ("a_pass_leaves_no_trace", "counts or keeps something"),
    "NotesOnItself": ("threads_compute_what_one_does", "several threads at once"),
    "SeedsTheGenerator": ("random_numbers_are_left_alone", "global generator"),
    "DrawsFromHashes": ("another_process_computes_the_same", "Python's `hash`"),
    "HalfAtBirth": ("fresh_weights_are_float32_and_apart", "are float32, found"),
    "SharesMemory": ("fresh_weights_are_float32_and_apart", "expanded from fewer numbers"),
    "TwoNamesOneTensor": ("fresh_weights_are_float32_and_apart", "share memory"),
    "DropsTheLayerAbove": ("left_out_layers_have_no_weights", "its neighbours change"),
    "WritesWithoutGradients": ("inputs_are_not_written_to", r"wrote into \['x'\]"),
    "ScalesTheBaseAlone": ("two_merged_equal_two_unmerged", "must start from"),
    "MeanOfTheFactors": ("the_mean_is_what_the_method_says", "off the mean of the changes"),
    "MeanIsTheFirst": ("the_mean_is_what_the_method_says", "off the mean of the changes"),
    "MeanWithoutCoefficients": ("the_mean_is_what_the_method_says", "off the mean"),
    "SaysNoSuchMean": ("the_mean_is_what_the_method_says", "`averages` is one of"),
}

ON_DECODERS = {"FirstPlaceOnly", "IdleOnOneToken", "ReadsTheNextToken"}
"""Faults that show only on a decoder."""

IMPORTS_TORCH = """
from dataclasses import dataclass
import torch
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.methods.base import MethodConfig, SiteMethod

class Heavy(SiteMethod):
    name = "heavy"
    Config = MethodConfig
    def transform(self, site, config, weights, x, y):
        return y

@hookimpl
def ahl_methods():
    return [Heavy()]
"""


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Bases:
    return tiny_bases(tmp_path_factory.mktemp("bases"))


def check(
    name: str, suite: type[MethodSuite], bases: Bases, tmp_path: Path, method: Any = None
) -> None:
    """Run one check of a suite, as pytest would, on its first family."""
    broken = type("Broken", (suite,), {"method": method or suite.method})()
    function = getattr(broken, f"test_{name}")
    given = {
        "bases": bases,
        "batch": small_batch(),
        "family": suite.families[0],
        "tmp_path": tmp_path,
    }
    wanted = inspect.signature(function).parameters
    function(**{key: value for key, value in given.items() if key in wanted})


def checks() -> list[str]:
    """Return the names of all checks of the kit."""
    names = (name for name, _ in inspect.getmembers(MethodSuite, inspect.isfunction))
    return [name.removeprefix("test_") for name in names if name.startswith("test_")]


WITHOUT_TORCH = "importing_the_plugin_does_not_import_torch"
"""The sound method stands in a test file, which imports torch; see the test of this check."""


@pytest.mark.parametrize("name", [n for n in checks() if n != WITHOUT_TORCH])
@pytest.mark.parametrize("suite", [SoundSuite, DecoderSuite, FusionSuite])
def test_the_sound_methods_pass(
    name: str, suite: type[MethodSuite], bases: Bases, tmp_path: Path
) -> None:
    check(name, suite, bases, tmp_path)


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_caught_by_its_check(
    fault: str, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, bases: Bases
) -> None:
    name, message = FAULTS[fault]
    method = getattr(faulty, fault)()
    if name == "detach_restores_everything":  # it spoils the base that it is run on
        bases = tiny_bases(tmp_path_factory.mktemp("spoilt"))
    with pytest.raises((Exception, pytest.fail.Exception), match=message):
        check(name, suite_for(fault), bases, tmp_path, method)


def suite_for(fault: str) -> type[MethodSuite]:
    if fault in ON_DECODERS:
        return DecoderSuite
    return FusionSuite if getattr(faulty, fault).fuses else SoundSuite


def test_wrong_scaling_passes_all_but_the_worked_example(bases: Bases, tmp_path: Path) -> None:
    caught = []
    for name in checks():
        if name == WITHOUT_TORCH:
            continue
        try:
            check(name, SoundSuite, bases, tmp_path / name, faulty.WrongScaling())
        except AssertionError:
            caught.append(name)
    assert caught == ["the_worked_example"]


def test_a_suite_without_worked_example_fails(bases: Bases, tmp_path: Path) -> None:
    class Without(MethodSuite):
        __test__ = False
        method = Sound()

    with pytest.raises(AssertionError, match="write `expected\\("):
        check("the_worked_example", Without, bases, tmp_path)
    with pytest.raises(AssertionError, match="write `expected_fusion"):
        check("the_worked_example", Without, bases, tmp_path, FusionSuite.method)


def test_torch_at_the_top_is_caught(bases: Bases, tmp_path: Path) -> None:
    path = tmp_path / "heavy.py"
    path.write_text(IMPORTS_TORCH)
    with pytest.raises(AssertionError, match=r"imports \['torch'"):
        check(WITHOUT_TORCH, SoundSuite, bases, tmp_path, load_method(path))
    path.write_text(IMPORTS_TORCH.replace("import torch\n", ""))
    check(WITHOUT_TORCH, SoundSuite, bases, tmp_path, load_method(path))


def test_the_table_in_the_docs_says_which_check_catches_which() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("## What the kit checks")[2]
    rows = re.findall(r"^\| (.+?) \| `(\w+)` \|$", table, re.MULTILINE)
    faults = {getattr(faulty, fault).__doc__: name for fault, (name, _) in FAULTS.items()}
    assert dict(rows) == {**faults, HEAVY: WITHOUT_TORCH}
    assert {name for _, name in rows} | {"over_a_language_adapter"} == set(checks())
