"""(IA)^3: learned vectors that rescale keys, values and the feed-forward activation.

Liu et al. 2022, https://arxiv.org/abs/2205.05638, section 3.3:

    softmax(Q (l_k * K^T) / sqrt(d)) (l_v * V)        (l_ff * g(W_1 x)) W_2

l_k and l_v rescale a part's output; l_ff rescales the input of W_2, the part `ffn_down`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adapterhub_lite.errors import ExchangeError, MethodError
from adapterhub_lite.exchange.converter import Converted, Converter, Reading, Writing, Written
from adapterhub_lite.families import LINEAR_PARTS
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.methods import places
from adapterhub_lite.methods.base import Flow, Method, ModelShape, Site, Weights
from adapterhub_lite.methods.config import MethodConfig, option

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class IA3Config(MethodConfig):
    """Config of `ia3`."""

    outputs: tuple[str, ...] = option(("key", "value"), "linear parts whose output is rescaled")
    inputs: tuple[str, ...] = option(("ffn_down",), "linear parts whose input is rescaled")
    sites: tuple[str, ...] = option(
        (), "only these sites of those parts, such as `key.0`", omit_default=True
    )

    def check(self) -> None:
        """Refuse parts that are not linear, and a part in both lists."""
        for part in (*self.outputs, *self.inputs):
            if part not in LINEAR_PARTS:
                raise MethodError(
                    f"`ia3` cannot rescale `{part}`", hint=f"one of {', '.join(LINEAR_PARTS)}"
                )
        both = set(self.outputs) & set(self.inputs)
        if both:
            raise MethodError(f"`ia3` rescales either input or output of `{min(both)}`, not both")
        places.check_sites(self.sites, "ia3")


class IA3(Method):
    """The (IA)^3 method; see the module's docstring.  Stacked, the vectors multiply."""

    name = "ia3"
    run = "ia3"
    averages = "changes"  # linear in l, at inputs as at outputs
    Config = IA3Config

    def parts(self, config: IA3Config) -> tuple[str, ...]:
        """Return the parts of both lists."""
        return (*config.outputs, *config.inputs)

    def sites(self, shape: ModelShape, config: IA3Config, leave_out: Sequence[int]) -> list[Site]:
        """Return the parts in every layer, or the sites that the config names."""
        if config.sites:
            return places.sites_named(shape, config.sites, leave_out, self.name)
        return super().sites(shape, config, leave_out)

    def init(self, site: Site, config: IA3Config) -> dict[str, Tensor]:
        """Return a vector of ones: `l` for the output, or `l_in` for the input."""
        import torch

        if site.part in config.inputs:
            return {"l_in": torch.ones(site.in_width)}
        return {"l": torch.ones(site.width)}

    def begin(self, site: Site, config: IA3Config, flow: Flow) -> Tensor:
        """Return what is rescaled: the input or the output."""
        return flow.x if site.part in config.inputs else flow.y

    def step(
        self, site: Site, config: IA3Config, weights: Weights, flow: Flow, state: Tensor
    ) -> Tensor:
        """Return l * state."""
        return state * (weights["l_in"] if site.part in config.inputs else weights["l"])

    def end(self, site: Site, config: IA3Config, flow: Flow, state: Tensor) -> Tensor:
        """Return the new output; for a rescaled input, y plus what the change of x adds."""
        from torch.nn.functional import linear

        if site.part in config.outputs:
            return state
        assert site.weight is not None
        return flow.y + linear(state - flow.x, site.weight)

    def delta(self, site: Site, config: IA3Config, weights: Weights) -> Tensor | None:
        """Return (l - 1) * W by rows or columns; a bias is rescaled too, which no weight can do."""
        assert site.weight is not None
        if site.part in config.inputs:
            return site.weight * (weights["l_in"] - 1)
        if site.bias is not None:
            return None
        return site.weight * (weights["l"] - 1)[:, None]

    def follows(self, config: IA3Config, below: Method, below_config: Any) -> str | None:
        """A rescaled input reaches the base's weight only, not what an adapter below adds."""
        if below.run == self.run:
            odd = set(config.inputs) & set(below_config.outputs)
            odd |= set(config.outputs) & set(below_config.inputs)
            return f"one rescales the input of `{min(odd)}`, the other its output" if odd else None
        touched = set(config.inputs) & set(below.parts(below_config))
        if touched:
            return f"it rescales the input of `{min(touched)}`, which `{below.name}` already read"
        return None


class AdapterHubIA3(Converter):
    """(IA)^3 in `adapters`: a LoRA config that scales; every vector is on an output.

    There l_ff stands before the activation, on the output of `ffn_up`, and alpha is a factor on
    every vector.
    """

    name = "adapterhub-ia3"
    format = "adapterhub"
    method = "ia3"

    def fits(self, config: Mapping[str, Any]) -> bool:
        """Whether a config is of the LoRA kind that scales."""
        return config.get("architecture") == "lora" and config.get("composition_mode") == "scale"

    def read(self, reading: Reading) -> Converted:
        """Return the adapter; see `Converter.read`."""
        from adapterhub_lite.exchange import adapterhub_lora as lora

        options = lora.lora_options(reading.config)
        parts = lora.lora_parts(options, reading.base)
        weights = {}
        sites = lora.lora_sites(parts, options["leave_out"], reading.base)
        for site, column in lora.split(reading.tensors, sites, "lora_B").items():
            weights[f"{site}.l"] = column.flatten() * options["alpha"]
        config = IA3Config(outputs=parts, inputs=())
        return Converted(config, weights, tuple(sorted(set(options["leave_out"]))))

    def write(self, writing: Writing) -> Written:
        """Return the library's form; see `Converter.write`."""
        from adapterhub_lite.exchange import adapterhub_lora as lora

        config: IA3Config = writing.config
        if config.sites:
            raise ExchangeError("`adapters` names no single sites (`sites`)")
        if config.inputs:
            raise ExchangeError(
                f"`adapters` scales outputs only, this one the input of `{config.inputs[0]}`"
            )
        sites = lora.lora_sites(config.outputs, list(writing.leave_out), writing.base)
        columns = {site: writing.weights[f"{site}.l"][:, None] for site, _ in sites}
        tensors = lora.joined(columns, sites, "lora_B")
        scale = {"r": 1, "alpha": 1, "composition_mode": "scale", "init_weights": "ia3"}
        return Written(lora.lora_config(config.outputs, writing.base, **scale), tensors)


# --------------------------------------------------------------------------------- peft's files


class PeftIA3(Converter):
    """(IA)^3 in peft's files: one vector a module, over its input in `feedforward_modules`."""

    name = "peft-ia3"
    format = "peft"
    method = "ia3"
    kinds: Mapping[str, tuple[type, ...]] = {
        "feedforward_modules": (list, str, type(None)),
        "init_ia3_weights": (bool,),
    }

    def fits(self, config: Mapping[str, Any]) -> bool:
        """Whether it is (IA)^3."""
        return config.get("peft_type") == "IA3"

    def read(self, reading: Reading) -> Converted:
        """Return the adapter.

        Raises:
            ExchangeError: no linear part of a layer, or a part treated in two ways.
        """
        from adapterhub_lite.exchange import peft_config, peft_targets
        from adapterhub_lite.exchange.peft_extras import of_site, shaped

        peft_config.check(reading.config, self.kinds, {}, method="IA3")
        paths = peft_targets.placed(reading, ["ia3_l"])
        inward = _inward(reading, paths)
        weights: dict[str, Tensor] = {}
        roles: dict[str, set[bool]] = {}
        for path in paths:
            sites = reading.base.sites_at(path)
            width = sites[0].in_width if path in inward else sum(s.width for s in sites)
            shape = (1, width) if path in inward else (width, 1)
            vector = shaped(reading, f"{path}.ia3_l", shape).flatten()
            for site in sites:
                roles.setdefault(site.part, set()).add(path in inward)
                own = {"l_in": vector.clone()} if path in inward else {"l": of_site(site, vector)}
                weights |= {f"{site.key}.{name}": tensor for name, tensor in own.items()}
        odd = [part for part, ways in roles.items() if part not in LINEAR_PARTS or len(ways) > 1]
        if odd:
            raise ExchangeError(f"{reading.tensors.where}: (IA)^3 at `{odd[0]}` has no form here")
        keys = [key.rpartition(".")[0] for key in weights]
        _, names, leave_out = peft_targets.normal_form(keys, reading.base)
        in_order = [part for part in LINEAR_PARTS if part in roles]
        made = IA3Config(
            outputs=tuple(part for part in in_order if roles[part] == {False}),
            inputs=tuple(part for part in in_order if roles[part] == {True}),
            sites=names,
        )
        return Converted(made, weights, leave_out)

    def write(self, writing: Writing) -> Written:
        """Return peft's config and tensors."""
        from adapterhub_lite.exchange import peft_lora_write, peft_targets

        base = writing.base
        keys = [key.rpartition(".")[0] for key in writing.weights]
        inward = {
            base.module_of(k[: -len(".l_in")]) for k in writing.weights if k.endswith(".l_in")
        }
        paths = list(dict.fromkeys(base.module_of(key) for key in keys))
        tensors = {f"{path}.ia3_l": _vector(writing, path, path in inward) for path in paths}
        inner = peft_targets.short_names([path for path in paths if path in inward], base)
        outer = peft_targets.short_names([path for path in paths if path not in inward], base)
        values = {
            "fan_in_fan_out": peft_lora_write.transposed(writing, paths),
            "feedforward_modules": inner,
            "peft_type": "IA3",
            "target_modules": [*outer, *inner],
        }
        return Written(values, tensors)


def _inward(reading: Reading, paths: Sequence[str]) -> set[str]:
    """Return the modules whose input is rescaled, by peft's rule for `feedforward_modules`."""
    from adapterhub_lite.exchange import peft_targets

    full = {peft_targets.full_name(reading, path): path for path in paths}
    wanted = reading.config.get("feedforward_modules") or []
    if isinstance(wanted, str):
        return {full[name] for name in peft_targets.matching(wanted, list(full))}
    return {path for name, path in full.items() if name.endswith(tuple(wanted))}


def _vector(writing: Writing, path: str, inward: bool) -> Tensor:  # noqa: FBT001  # of one file
    import torch

    sites = writing.base.sites_at(path)
    if not inward:
        pieces = [writing.weights.get(f"{s.key}.l", torch.ones(s.width)) for s in sites]
        return torch.cat(pieces)[:, None]
    vectors = [writing.weights.get(f"{s.key}.l_in") for s in sites]
    first = vectors[0]
    if first is None or any(v is None or not torch.equal(v, first) for v in vectors):
        raise ExchangeError(f"peft rescales the input of the whole of `{path}`, this adapter parts")
    return first[None, :]


@hookimpl
def ahl_converters() -> Sequence[Converter]:
    """Return how other libraries spell it."""
    return [AdapterHubIA3(), PeftIA3()]


@hookimpl
def ahl_methods() -> Sequence[Method]:
    """Return ia3."""
    return [IA3()]
