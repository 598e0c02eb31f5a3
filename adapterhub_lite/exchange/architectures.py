"""What the library `adapters` calls an architecture, as a method and config of this package.

A folder says `pfeiffer` or spells all options out; a catalogue only names an architecture and what
differs from it.  Both come through here, so that what is known of an adapter before it is pulled
has the config, and the config digest, that its folder gives later.

No torch: a catalogue is read by `ahl resolve`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from adapterhub_lite.errors import ExchangeError, near
from adapterhub_lite.exchange.adapterhub_words import (
    ACTIVATIONS,
    BOTTLENECK,
    FLAGS,
    LIBRARY,
    NAMED,
    NEEDED,
    RENAMED,
)
from adapterhub_lite.methods.bottleneck import BottleneckConfig


@dataclass(frozen=True, slots=True)
class Architecture:
    """A bottleneck of the library in this package's words; `notes` say what was left behind."""

    config: BottleneckConfig
    leave_out: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def method(self) -> str:
        """The method's name."""
        return "bottleneck"


def named(
    name: str, *, layers: int | None = None, old_names: bool = False, **overrides: Any
) -> Architecture:
    """Return the architecture `name` with the library's own options overridden.

    Args:
        layers: depth of the base, where a reduction is given layer by layer.
        old_names: activations are spelt as before the key `version` (`gelu` is the tanh form).

    Raises:
        ExchangeError: an unknown name or option, or a value that has no exact form here.
    """
    options = spelt_out(name, old_names=old_names, **overrides)
    if options["phm_layer"]:
        raise ExchangeError(f"architecture `{name}` is no bottleneck but Compacter, a plugin's")
    return bottleneck(options, layers)


def spelt_out(name: str, *, old_names: bool = False, **overrides: Any) -> dict[str, Any]:
    """Return a named architecture's options, all of them."""
    if name not in NAMED:
        raise ExchangeError(f"`{LIBRARY}` has no architecture `{name}`", hint=near(name, NAMED))
    return completed({**NAMED[name], **overrides}, old_names=old_names)


def completed(options: Mapping[str, Any], *, old_names: bool = False) -> dict[str, Any]:
    """Return options with the library's defaults, in its present words.

    Raises:
        ExchangeError: an option that the library does not have, or one that is missing.
    """
    given = {key: value for key, value in options.items() if key != "architecture"}
    nested = given.pop("invertible_adapter", None)
    for stray in ("attention_type", "new_attention_norm"):  # of fusions, in the first versions
        given.pop(stray, None)
    if nested:
        given |= _inverse(nested, given)
    known = (*BOTTLENECK, *NEEDED)
    for key in given:
        if key not in known:
            raise ExchangeError(f"config has `{key}`, which is unknown", hint=near(key, known))
    for key in NEEDED:
        if key not in given:
            raise ExchangeError(f"config lacks `{key}`")
    name = given["non_linearity"]
    if old_names:
        given["non_linearity"] = RENAMED.get(name, name)
    return {**BOTTLENECK, **given}


def _inverse(nested: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that a nested `invertible_adapter` of the first versions stands for."""
    if not isinstance(nested, Mapping) or not {"block_type", "reduction_factor"} <= nested.keys():
        raise ExchangeError("config `invertible_adapter` lacks `block_type` or `reduction_factor`")
    inner = nested.get("non_linearity", given.get("non_linearity"))
    if inner != given.get("non_linearity"):
        raise ExchangeError(
            f"config `invertible_adapter.non_linearity` is `{inner}`, `non_linearity` is "
            f"`{given.get('non_linearity')}`: one adapter has one here"
        )
    return {
        "inv_adapter": nested["block_type"],
        "inv_adapter_reduction_factor": nested["reduction_factor"],
    }


def bottleneck(options: Mapping[str, Any], layers: int | None = None) -> Architecture:
    """Return what completed options mean.

    Raises:
        ExchangeError: a value of a wrong type, or one that has no exact form here; names it.
    """
    _check_types(options)
    _refuse(options)
    parallel = options["is_parallel"]
    leave_out = tuple(sorted({int(layer) for layer in options["leave_out"] or ()}))
    reduction, reductions = _reductions(options["reduction_factor"], layers, leave_out)
    placement: Literal["pfeiffer", "houlsby", "parallel"] = (
        "parallel" if parallel else "pfeiffer" if options["original_ln_before"] else "houlsby"
    )
    scaling = options["scaling"]
    config = BottleneckConfig(
        placement=placement,
        reduction=reduction,
        activation=activation(options["non_linearity"]),
        scale=1.0 if isinstance(scaling, str) else float(scaling),
        invertible=options["inv_adapter"] is not None,
        invertible_reduction=float(options["inv_adapter_reduction_factor"] or 2.0)
        if options["inv_adapter"]
        else 2.0,
        init="bert",
        stacking="shared" if parallel else "chained",
        reductions=reductions,
        blocks=_blocks(options, placement),
        residual=_residual(options, placement),
        norm_before=options["ln_before"],
        norm_after=_norm_after(options),
        learned_scale={"learned": "scalar", "channel": "channel"}.get(scaling, "no")  # type: ignore[arg-type]
        if isinstance(scaling, str)
        else "no",
    )
    lost = [key for key in ("dropout", "stochastic_depth") if options[key]]
    notes = tuple(f"`{key}` {options[key]} of training is not kept" for key in lost)
    return Architecture(config, leave_out, notes)


def activation(name: Any) -> str:
    """Return our name of a non-linearity; raises `ExchangeError` where there is none."""
    found = ACTIVATIONS.get(name.lower()) if isinstance(name, str) else None
    if found is None:
        raise ExchangeError(
            f"config `non_linearity` is `{name}`", hint=near(str(name), ACTIVATIONS)
        )
    return found


def spelling(activation: str) -> str:
    """Return the library's name of one of our non-linearities."""
    return next(theirs for theirs, ours in ACTIVATIONS.items() if ours == activation)


def _check_types(options: Mapping[str, Any]) -> None:
    """Refuse values of types that the options do not have; JSON comes from anywhere."""
    for key in FLAGS:
        if not isinstance(options[key], bool):
            raise ExchangeError(f"config `{key}` must be true or false, found `{options[key]}`")
    if options["scaling"] not in ("learned", "channel") and not _number(options["scaling"]):
        raise ExchangeError(f"config `scaling` is `{options['scaling']}`")
    if options["residual_before_ln"] not in (True, False, "post_add"):
        raise ExchangeError(f"config `residual_before_ln` is `{options['residual_before_ln']}`")
    left = options["leave_out"] or []
    if not isinstance(left, list) or not all(type(layer) is int and layer >= 0 for layer in left):
        raise ExchangeError(f"config `leave_out` must be a list of layers, found `{left}`")
    inner = options["inv_adapter_reduction_factor"]
    if options["inv_adapter"] and not (_number(inner) and inner > 0):
        raise ExchangeError(f"config `inv_adapter_reduction_factor` is `{inner}`")


def _refuse(options: Mapping[str, Any]) -> None:
    """Refuse what has no exact form here."""
    if not options["original_ln_after"]:
        raise ExchangeError(
            "config `original_ln_after` is false: a block without its layer norm has no form here"
        )
    if options["use_gating"]:
        raise ExchangeError(
            "config `use_gating` is true: the library averages the gate over all tokens, padding "
            "included, so that a text's result would depend on the others in its batch"
        )
    if options["inv_adapter"] not in (None, "nice"):
        raise ExchangeError(f"config `inv_adapter` is `{options['inv_adapter']}`; `nice` comes in")
    if not (options["mh_adapter"] or options["output_adapter"]):
        raise ExchangeError("config has neither `mh_adapter` nor `output_adapter`")


def _reductions(
    value: Any, layers: int | None, leave_out: tuple[int, ...]
) -> tuple[float, tuple[float, ...]]:
    """Return one reduction, or 16 (the default) and one a layer."""
    if _number(value) and value > 0:
        return float(value), ()
    if not isinstance(value, Mapping) or not all(_number(v) and v > 0 for v in value.values()):
        raise ExchangeError(f"config `reduction_factor` is `{value}`")
    if layers is None:
        raise ExchangeError("config `reduction_factor` is by layer, and the depth is not known")
    found = []
    for layer in range(layers):
        one = value.get(str(layer), value.get("default"))
        if one is None and layer not in leave_out:
            raise ExchangeError(f"config `reduction_factor` has no value for layer {layer}")
        found.append(float(one or 1.0))
    return (found[0], ()) if len(set(found)) == 1 else (16.0, tuple(found))


def _blocks(options: Mapping[str, Any], placement: str) -> tuple[str, ...]:
    both = {"attention_block": options["mh_adapter"], "ffn_block": options["output_adapter"]}
    blocks = tuple(block for block, there in both.items() if there)
    usual = tuple(both) if placement == "houlsby" else ("ffn_block",)
    return () if blocks == usual else blocks


def _residual(options: Mapping[str, Any], placement: str) -> Literal["output", "sum", "normed"]:
    before = options["residual_before_ln"]
    if placement == "houlsby" and before == "post_add":
        raise ExchangeError(
            "config `residual_before_ln` is `post_add` without `original_ln_before`, which fails "
            "in the library as well"
        )
    if placement != "pfeiffer" or before is True:
        return "output"
    return "sum" if before == "post_add" else "normed"


def _norm_after(options: Mapping[str, Any]) -> Literal["no", "inside", "outside"]:
    if not options["ln_after"]:
        return "no"
    inside = options["adapter_residual_before_ln"] and not options["is_parallel"]
    return "inside" if inside else "outside"


def _number(value: Any) -> bool:
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    return plain and math.isfinite(value)
