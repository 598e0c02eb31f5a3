"""What a method is: which parts it touches, its weights at one site, what they do there.

The host (`model/attach.py`) makes the parameters, places them, saves them and freezes the rest.
At every site it keeps the adapters of a composition in order, bottom first, and calls adjacent
adapters of one run together:

    state = first.begin(flow)             once
    state = method.step(..., state)       once per adapter, bottom first
    y     = last.end(flow, state)         once

That is what lets a language and a task bottleneck share one residual and one layer norm (MAD-X).
A method that only rescales or shifts a part's output overrides `transform` and nothing else.

This module must stay free of torch at import: the resolver asks methods what may be combined.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from adapterhub_lite.errors import MethodError
from adapterhub_lite.methods.config import MethodConfig

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Flow",
    "Memory",
    "Method",
    "MethodConfig",
    "ModelShape",
    "Site",
    "SiteMethod",
    "Weights",
]


MEANS = ("", "weights", "changes")
"""What an average of adapters can be: none, the mean of every weight, the mean of what they do."""

Change = Callable[["Tensor", "Tensor", "Tensor | None"], "Tensor"]


@dataclass(frozen=True, slots=True)
class Site:
    """A part in one model: its name, its layer (0-based; `None` outside the layers), its widths.

    Of a linear part, `weight` (width, in_width) and `bias` (`None` where it has none) are the
    base's own, for methods that start from them.  They are frozen: never write into them.  Where
    several parts are slices of one module, `start` is this one's first output in it.  Of a lookup,
    in_width is how many entries it has; a layer norm has a weight (width) and, in some families, a
    bias.

    `change(x, weight, bias)` is what the output of such a part changes by where its parameters
    change by these: the weight as above, but a lookup's as the table that it is, (entries, width).
    """

    part: str
    layer: int | None
    in_width: int
    width: int
    weight: Tensor | None = field(default=None, compare=False, repr=False)
    bias: Tensor | None = field(default=None, compare=False, repr=False)
    start: int = 0
    change: Change | None = field(default=None, compare=False, repr=False)

    @property
    def key(self) -> str:
        """The site's name in weight files: `ffn_block.3`, `embeddings`."""
        return self.part if self.layer is None else f"{self.part}.{self.layer}"


class ModelShape(Protocol):
    """What a method may ask of a model: how many layers, and where a part is."""

    hidden_size: int
    layers: int
    kv_width: int

    def site(self, part: str, layer: int | None = None) -> Site | None:
        """Return the site, or `None` where this model has no such part."""
        ...


@dataclass(frozen=True, slots=True)
class Flow:
    """What passes through a site in one forward pass, for the rows that an adapter serves.

    `x` is the part's input and `y` what the method replaces: the output of a linear part, a layer
    norm, a lookup (whose `x` are ids) or the embeddings, or of a block's sub-layer before the
    residual is added.  At a block, `x` is the
    residual stream and `normed` is the block's own result, layer norm of `y + x` (in pre-norm
    families just `y + x`); `norm` gives it for another output of the sub-layer, same rows.  Shapes
    are (rows, tokens, width).
    """

    x: Tensor
    y: Tensor
    normed: Tensor | None = None
    training: bool = False
    norm: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """Key and value vectors that attention sees before the text's own, each (length, kv width).

    With `gate` (one value a head) they are attended to by themselves and added, scaled by
    tanh(gate); without, they share one softmax with the text.  With `shift`, they count as
    positions before the text's also where the family has absolute positions.
    """

    keys: Tensor
    values: Tensor
    gate: Tensor | None = None
    shift: bool = False


Weights = Mapping[str, "Tensor"]


class Method(ABC):
    """A PEFT method.  See the module's docstring for when what is called."""

    name: ClassVar[str]
    Config: ClassVar[type[MethodConfig]]
    run: ClassVar[str] = ""
    """Adapters of methods with equal `run` that meet at a site share one begin and end."""
    language_defaults: ClassVar[Mapping[str, Any]] = {}
    """Config values, other than the fields' defaults, to train a language adapter with."""
    scheme: ClassVar[str] = ""
    """What papers call a task adapter of this method over a swapped language adapter of it."""
    sparse: ClassVar[bool] = False
    """Whether most entries of the weights are zero; files then hold the others only."""
    averages: ClassVar[str] = ""
    """What `average` gives: `"weights"`, the mean of every weight, which approximates the mean of
    what the adapters do; `"changes"`, exactly the mean of their changes; `""`, nothing.  There is
    no default that is right for every method, so a method that averages says how."""
    fuses: ClassVar[bool] = False
    """Whether an adapter stands on several side by side: `stack(fuse(a, b), this)`."""
    rounds: ClassVar[int] = 1
    """How many times training runs, each from the same start; `masks` is asked between."""

    def parts(self, config: Any) -> tuple[str, ...]:
        """Return the parts that are touched in every layer; by default `config.parts`."""
        return tuple(config.parts)

    def sites(self, shape: ModelShape, config: Any, leave_out: Sequence[int]) -> list[Site]:
        """Return the sites in a model, layer by layer.

        Raises:
            MethodError: the model's family has no such part.
        """
        sites = []
        for layer in range(shape.layers):
            if layer in leave_out:
                continue
            for part in self.parts(config):
                site = shape.site(part, layer)
                if site is None:
                    raise MethodError(
                        f"method `{self.name}` needs part `{part}`, which this model lacks"
                    )
                sites.append(site)
        return sites

    def init(self, site: Site, config: Any) -> dict[str, Tensor]:
        """Return fresh weights for one site (float32), drawn from torch's default generator."""
        return {}

    def init_shared(self, shape: ModelShape, config: Any) -> dict[str, Tensor]:
        """Return fresh weights that all sites of an adapter share; `step` gets them merged in."""
        return {}

    def begin(self, site: Site, config: Any, flow: Flow) -> Tensor:
        """Open a run: return the state that the first adapter reads."""
        return flow.y

    @abstractmethod
    def step(self, site: Site, config: Any, weights: Weights, flow: Flow, state: Tensor) -> Tensor:
        """Apply one adapter: return the state that the next one reads.  Never write in place."""

    def fuse(
        self,
        site: Site,
        config: Any,
        weights: Weights,
        state: Tensor,
        outputs: Sequence[Tensor],
        *,
        flow: Flow,
    ) -> Tensor:
        """Return one state from those that the members left; each of them read `state`.

        For methods that set `fuses`; called in place of `step`, at the sites of the members.

        Raises:
            MethodError: the method sets `fuses` and does not override this.
        """
        raise MethodError(
            f"method `{self.name}` sets `fuses` and has no `fuse`",
            hint="its plugin is incomplete; `ahl plugins` says where it is from",
        )

    def members(self, config: Any) -> tuple[str, ...]:
        """Return the digests of the members, in order, that `fuse` was trained on."""
        return ()

    def for_members(self, config: Any, digests: Sequence[str]) -> Any:
        """Return the config of an adapter that is to be trained on these members."""
        return config

    def end(self, site: Site, config: Any, flow: Flow, state: Tensor) -> Tensor:
        """Close a run: return what replaces `flow.y`."""
        return state

    def bind(
        self, weights: Mapping[str, Tensor], built_in: Callable[[str], Sequence[Weights]]
    ) -> Mapping[str, Tensor]:
        """Return an adapter's weights, by full key, from those in its file.

        For methods whose files may only point into the base: `built_in` gives the weights, layer
        by layer, of the module that the base has under a name.
        """
        return weights

    def masks(self, config: Any, start: Weights, end: Weights) -> dict[str, Tensor]:
        """Return which entries the next round may change (bool tensors by full key).

        `start` and `end` are the weights before and after the round that has just run.
        """
        return {}

    def memory(self, site: Site, config: Any, weights: Weights) -> Memory | None:
        """Return the vectors to prepend at the part `attention`, for methods that touch it."""
        return None

    def delta(self, site: Site, config: Any, weights: Weights) -> Tensor | None:
        """Return the change of a part's weight that, with `delta_bias`, equals `step`, if any.

        `site.weight` is the weight with the changes of the adapters below already in it.
        """
        return None

    def delta_bias(self, site: Site, config: Any, weights: Weights) -> Tensor | None:
        """Return the change of a part's bias, where merging is to change that as well."""
        return None

    def check_weights(self, name: str, config: Any, weights: Weights) -> None:  # noqa: B027 - most need none
        """Refuse weights whose names and shapes are right and that still cannot be.

        Called when an adapter is read; `weights` has the full keys, those of a head included.

        Raises:
            WeightsError: say what is wrong with `name`.
        """

    def follows(self, config: Any, below: Method, below_config: Any) -> str | None:
        """Return why an adapter of this method cannot stand on one of `below`, or `None`.

        Asked of every adapter below, next to this one or not.
        """
        return None

    def average(
        self, config: Any, members: Sequence[Mapping[str, Tensor]], coefficients: Sequence[float]
    ) -> tuple[Any, dict[str, Tensor]]:
        """Return config and weights of the weighted mean of adapters with this config.

        `members` map full keys (`ffn_block.3.down`) to tensors.  The default is the mean of every
        tensor, for methods whose `averages` says so; a method with another form overrides it.

        Raises:
            MethodError: the method has no average.
        """
        if not self.averages:
            raise MethodError(
                f"method `{self.name}` does not say what the mean of its adapters is",
                hint="its author sets `averages`, and overrides `average` if the mean of every "
                "weight is not it",
            )
        mean = {}
        for key, first in members[0].items():
            total = first * coefficients[0]
            for coefficient, member in zip(coefficients[1:], members[1:], strict=True):
                total = total + member[key] * coefficient
            mean[key] = total
        return config, mean


class SiteMethod(Method):
    """A method that changes a part's output and shares nothing with its neighbours."""

    @abstractmethod
    def transform(self, site: Site, config: Any, weights: Weights, x: Tensor, y: Tensor) -> Tensor:
        """Return the new output of the part from its input and output.  Never write in place."""

    def step(self, site: Site, config: Any, weights: Weights, flow: Flow, state: Tensor) -> Tensor:
        """Apply `transform` to what the adapter below left."""
        return self.transform(site, config, weights, flow.x, state)
