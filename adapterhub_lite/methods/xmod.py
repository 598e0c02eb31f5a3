"""X-MOD: a language module after the feed-forward block of every layer (Pfeiffer et al. 2022).

https://aclanthology.org/2022.naacl-main.255.  With h what the module reads (the normed sum of
feed-forward output and residual stream):

    m(h) = U g(D h)          and the layer goes on with h + m(h)

The modules were trained with the base and are part of it.  The file of an adapter for one of them
holds no weights but the base's own name of the module (`sw_KE`), and attaching it makes that module
run in place of the one of the base's default language.  A module that was trained later, or an
average, is in the adapter's file itself.  All have one config, so each takes the place of another
under a task adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adapterhub_lite.errors import MethodError
from adapterhub_lite.methods.base import Flow, Method, Site, Weights
from adapterhub_lite.methods.config import SMALLEST_REDUCTION, MethodConfig, option
from adapterhub_lite.modular import MODULE

if TYPE_CHECKING:
    from torch import Tensor

ACTIVATIONS = ("gelu", "gelu_new", "relu", "silu", "tanh")
LONGEST = 32
"""Letters that the base's own name of a language may have."""
NAME = "shared.name"
"""The one tensor of an adapter that names a module of its base."""


@dataclass(frozen=True)
class XmodConfig(MethodConfig):
    """Config of `xmod`."""

    reduction: float = option(
        2.0, "hidden size / size inside the module", at_least=SMALLEST_REDUCTION
    )
    activation: str = option("gelu", f"non-linearity: {', '.join(ACTIVATIONS)}")

    def check(self) -> None:
        """Refuse sizes below one and unknown activations."""
        if self.reduction <= 0:
            raise MethodError("`xmod` needs a reduction factor above 0")
        if self.activation not in ACTIVATIONS:
            raise MethodError(
                f"`xmod` has no activation `{self.activation}`",
                hint=f"one of {', '.join(ACTIVATIONS)}",
            )


class Xmod(Method):
    """The language modules of X-MOD; see the module's docstring."""

    name = "xmod"
    run = "xmod"
    averages = "weights"
    Config = XmodConfig

    def parts(self, config: XmodConfig) -> tuple[str, ...]:
        """Return the one part that modules are at."""
        return (MODULE,)

    def init(self, site: Site, config: XmodConfig) -> dict[str, Tensor]:
        """Return down (b, width), down_bias, up (width, b) of zeros, up_bias."""
        import torch

        inner = max(1, int(site.width // config.reduction))
        return {
            "down": torch.randn(inner, site.width) * 0.02,
            "down_bias": torch.zeros(inner),
            "up": torch.zeros(site.width, inner),
            "up_bias": torch.zeros(site.width),
        }

    def bind(
        self, weights: Mapping[str, Tensor], built_in: Callable[[str], Sequence[Weights]]
    ) -> dict[str, Tensor]:
        """Return the weights of the module that is named, the base's own and not copies.

        Raises:
            MethodError: the name cannot be read.
            AttachError: the base has no module of that name.
        """
        if NAME not in weights:
            return dict(weights)
        found = {key: tensor for key, tensor in weights.items() if key != NAME}
        for number, layer in enumerate(built_in(named(weights[NAME]))):
            found |= {f"{MODULE}.{number}.{key}": tensor for key, tensor in layer.items()}
        return found

    def step(
        self, site: Site, config: XmodConfig, weights: Weights, flow: Flow, state: Tensor
    ) -> Tensor:
        """Return m(h); what the base's own choice of module left in `state` is replaced."""
        from torch.nn.functional import linear

        inner = _activation(
            config.activation, linear(flow.x, weights["down"], weights["down_bias"])
        )
        return linear(inner, weights["up"], weights["up_bias"])

    def follows(self, config: XmodConfig, below: Method, below_config: Any) -> str | None:
        """A module stands at the bottom: it is inside the base, below whatever is attached."""
        return "a language module is inside the base and stands at the bottom of a stack"


def naming(name: str) -> Tensor:
    """Return the tensor that names a built-in module: one number a letter.

    Raises:
        MethodError: a name that is too long or not ASCII.
    """
    import torch

    if not name or not name.isascii() or len(name) > LONGEST:
        raise MethodError(f"`{name}` cannot name a language module: 1 to {LONGEST} ASCII letters")
    letters = torch.zeros(LONGEST)
    letters[: len(name)] = torch.tensor([float(ord(letter)) for letter in name])
    return letters


def named(letters: Tensor) -> str:
    """Return the name that `naming` spelt; exact in half precision too.

    Raises:
        MethodError: no name is in there.
    """
    numbers = letters.tolist()
    if not all(float(n).is_integer() and 0 <= n < 128 for n in numbers) or not numbers[0]:
        raise MethodError(
            "this adapter names no language module of its base",
            hint="the adapters of a base's modules are made when it is added: `ahl add`",
        )
    return "".join(chr(int(number)) for number in numbers).rstrip("\0")


def _activation(name: str, x: Tensor) -> Tensor:
    from torch.nn import functional

    if name == "gelu_new":
        return functional.gelu(x, approximate="tanh")
    function: Any = getattr(functional, name)
    result: Tensor = function(x)
    return result
