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
from adapterhub_lite.methods.base import Flow, Method, Site, Weights
from adapterhub_lite.methods.config import MethodConfig, option

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class IA3Config(MethodConfig):
    """Config of `ia3`."""

    outputs: tuple[str, ...] = option(("key", "value"), "linear parts whose output is rescaled")
    inputs: tuple[str, ...] = option(("ffn_down",), "linear parts whose input is rescaled")

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


class IA3(Method):
    """The (IA)^3 method; see the module's docstring.  Stacked, the vectors multiply."""

    name = "ia3"
    run = "ia3"
    Config = IA3Config

    def parts(self, config: IA3Config) -> tuple[str, ...]:
        """Return the parts of both lists."""
        return (*config.outputs, *config.inputs)

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
        for site, path in lora.lora_sites(parts, options["leave_out"], reading.base):
            column = reading.tensors.take(f"{path}.lora_B")
            weights[f"{site}.l"] = column.flatten() * options["alpha"]
        config = IA3Config(outputs=parts, inputs=())
        return Converted(config, weights, tuple(sorted(set(options["leave_out"]))))

    def write(self, writing: Writing) -> Written:
        """Return the library's form; see `Converter.write`."""
        from adapterhub_lite.exchange import adapterhub_lora as lora

        config: IA3Config = writing.config
        if config.inputs:
            raise ExchangeError(
                f"`adapters` scales outputs only, this one the input of `{config.inputs[0]}`"
            )
        tensors = {
            f"{path}.lora_B": writing.weights[f"{site}.l"][:, None]
            for site, path in lora.lora_sites(config.outputs, list(writing.leave_out), writing.base)
        }
        scale = {"r": 1, "alpha": 1, "composition_mode": "scale", "init_weights": "ia3"}
        return Written(lora.lora_config(config.outputs, writing.base, **scale), tensors)


@hookimpl
def ahl_converters() -> Sequence[Converter]:
    """Return how `adapters` spells (IA)^3."""
    return [AdapterHubIA3()]


@hookimpl
def ahl_methods() -> Sequence[Method]:
    """Return ia3."""
    return [IA3()]
