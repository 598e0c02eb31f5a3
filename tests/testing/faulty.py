"""Methods broken on purpose.  A class's docstring is the fault as the table in the docs has it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from adapterhub_lite.methods.base import Flow, Method, MethodConfig, ModelShape, Site, Weights
from adapterhub_lite.methods.config import option
from adapterhub_lite.model.anatomy import Anatomy
from tests.testing.sound import Sound, SoundConfig, SoundFusion


class IgnoresASite(Sound):
    """a site is ignored"""

    def change(self, site: Site, config: Any, weights: Weights, x: Tensor) -> Tensor:
        change = super().change(site, config, weights, x)
        return change * 0 if site.key == "ffn_up.1" else change


class WeightWithoutEffect(Sound):
    """a weight has no effect"""

    def init(self, site: Site, config: Any) -> dict[str, Tensor]:
        return {**super().init(site, config), "spare": torch.zeros(site.width)}


class WrongAtBirth(Sound):
    """a fresh adapter is not the identity"""

    def init(self, site: Site, config: Any) -> dict[str, Tensor]:
        weights = super().init(site, config)
        return {**weights, "B": torch.randn_like(weights["B"]) * 0.2}


class CutGradient(Sound):
    """the gradient of a weight is cut"""

    def change(self, site: Site, config: Any, weights: Weights, x: Tensor) -> Tensor:
        return super().change(site, config, {**weights, "A": weights["A"].detach()}, x)


class WrongGradient(Sound):
    """the output is right and the gradient is wrong"""

    def change(self, site: Site, config: Any, weights: Weights, x: Tensor) -> Tensor:
        change = super().change(site, config, weights, x)
        return 2 * change - change.detach()


class WrongScaling(Sound):
    """the change is scaled by the wrong factor"""

    def change(self, site: Site, config: Any, weights: Weights, x: Tensor) -> Tensor:
        return super().change(site, config, weights, x) / 2

    def delta(self, site: Site, config: Any, weights: Weights) -> Tensor | None:
        change = super().delta(site, config, weights)
        return None if change is None else change / 2


class ScalesTheBias(Sound):
    """the base's bias is scaled with the change"""

    def transform(self, site: Site, config: Any, weights: Weights, x: Tensor, y: Tensor) -> Tensor:
        bias = site.bias if site.bias is not None else 0.0
        change = self.change(site, config, weights, x)
        return y + change + bias * weights["B"].mean(dim=1)

    def delta(self, site: Site, config: Any, weights: Weights) -> Tensor | None:
        return None


class WritesInPlace(Sound):
    """the part's output is written into"""

    def transform(self, site: Site, config: Any, weights: Weights, x: Tensor, y: Tensor) -> Tensor:
        return y.add_(self.change(site, config, weights, x))


class UndoMissing(Sound):
    """the base's weights are changed and not restored"""

    def change(self, site: Site, config: Any, weights: Weights, x: Tensor) -> Tensor:
        if site.weight is not None:
            site.weight.data.add_(0.001)
        return super().change(site, config, weights, x)


class UndoInexact(Sound):
    """the base's weights are restored by subtraction"""

    def change(self, site: Site, config: Any, weights: Weights, x: Tensor) -> Tensor:
        if site.weight is not None:
            site.weight.data.add_(0.1)
            site.weight.data.sub_(0.1)
        return super().change(site, config, weights, x)


class LeavesAHook(Sound):
    """a hook is left on the model"""

    def sites(self, shape: ModelShape, config: Any, leave_out: Sequence[int]) -> list[Site]:
        module = shape.module("query", 0) if isinstance(shape, Anatomy) else None
        if module is not None:
            module.register_forward_hook(lambda *_: None)
        return super().sites(shape, config, leave_out)


class RemembersTheFirst(Sound):
    """the weights of the first adapter are kept for the next"""

    def __init__(self) -> None:
        self.first: dict[str, Weights] = {}

    def change(self, site: Site, config: Any, weights: Weights, x: Tensor) -> Tensor:
        kept = self.first.setdefault(site.key, weights)
        return super().change(site, config, kept, x)


class MixesRows(Sound):
    """the rows of a batch are mixed"""

    def change(self, site: Site, config: Any, weights: Weights, x: Tensor) -> Tensor:
        change = super().change(site, config, weights, x)
        return change + change.mean(dim=0, keepdim=True)


class ForgetsWhatIsBelow(Sound):
    """the adapter below is overwritten"""

    def step(self, site: Site, config: Any, weights: Weights, flow: Flow, state: Tensor) -> Tensor:
        return super().step(site, config, weights, flow, flow.y)


class AlwaysFloat32(Sound):
    """numbers of its own are float32 in any model"""

    def change(self, site: Site, config: Any, weights: Weights, x: Tensor) -> Tensor:
        return super().change(site, config, weights, x) * torch.ones(site.width)


class DeadStart(Sound):
    """all weights start at zero, where no gradient leads away"""

    def init(self, site: Site, config: Any) -> dict[str, Tensor]:
        return {key: torch.zeros_like(value) for key, value in super().init(site, config).items()}


class Unseeded(Sound):
    """fresh weights do not follow the seed"""

    def init(self, site: Site, config: Any) -> dict[str, Tensor]:
        weights = super().init(site, config)
        generator = torch.Generator()
        generator.seed()
        if weights["A"].is_meta:
            return weights
        return {**weights, "A": torch.randn(weights["A"].shape, generator=generator)}


class NeedsNumbersAtInit(Sound):
    """fresh weights cannot be made without their numbers"""

    def init(self, site: Site, config: Any) -> dict[str, Tensor]:
        weights = super().init(site, config)
        return {**weights, "A": weights["A"] / weights["A"].norm().item()}


class CountsItsSites(Sound):
    """names of weights do not follow from the config"""

    def __init__(self) -> None:
        self.numbers = itertools.count()

    def init(self, site: Site, config: Any) -> dict[str, Tensor]:
        weights = super().init(site, config)
        return {**weights, f"B{next(self.numbers)}": weights["A"]}


class TouchesLeftOutLayers(Sound):
    """layers left out get weights"""

    def sites(self, shape: ModelShape, config: Any, leave_out: Sequence[int]) -> list[Site]:
        return super().sites(shape, config, ())


class WrongMerge(Sound):
    """merged it is another change"""

    def delta(self, site: Site, config: Any, weights: Weights) -> Tensor | None:
        return weights["B"] @ weights["A"]


class SumsInsteadOfAverages(Sound):
    """the mean of equal adapters is another adapter"""

    def average(
        self, config: Any, members: Sequence[Mapping[str, Tensor]], coefficients: Sequence[float]
    ) -> tuple[Any, dict[str, Tensor]]:
        return super().average(config, members, [1.0] * len(members))


@dataclass(frozen=True)
class ComplexConfig(SoundConfig):
    phase: complex = option(1j, "a value that JSON does not have")


class ConfigWithoutJSON(Sound):
    """a config value does not survive JSON"""

    Config: ClassVar[type[MethodConfig]] = ComplexConfig


class OpenConfig(SoundConfig):
    __setattr__ = object.__setattr__


class ConfigNotFrozen(Sound):
    """a config can be changed"""

    Config: ClassVar[type[MethodConfig]] = OpenConfig


@dataclass(frozen=True)
class SilentConfig(SoundConfig):
    speed: float = 1.0


class NoHelp(Sound):
    """an option has no help"""

    Config: ClassVar[type[MethodConfig]] = SilentConfig


class IgnoresAMember(SoundFusion):
    """a member is ignored"""

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
        return super().fuse(site, config, weights, state, [outputs[0], outputs[0]], flow=flow)


class ForgetsItsMembers(SoundFusion):
    """an adapter does not know which members it was trained on"""

    def members(self, config: Any) -> tuple[str, ...]:
        return ()


class TakesMembersInAnyOrder(SoundFusion):
    """the order of the members is not recorded"""

    def members(self, config: Any) -> tuple[str, ...]:
        return AnyOrder(super().members(config))


class AnyOrder(tuple[str, ...]):
    """Equal to the same members in another order."""

    __slots__ = ()
    __hash__ = tuple.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, tuple) and sorted(self) == sorted(other)

    def __ne__(self, other: object) -> bool:
        return not self == other


class SharesThatDoNotSumToOne(SoundFusion):
    """fresh over equal members it is not what each of them is"""

    def shares(self, weights: Weights) -> Tensor:
        return weights["share"].exp()


class SharesOfTheWrongAxis(SoundFusion):
    """the members are weighed along the wrong axis"""

    def shares(self, weights: Weights) -> Tensor:
        return weights["share"].softmax(dim=1) * weights["share"].shape[1] / 2


class OtherSignInHalfPrecision(Sound):
    """in half precision it does something else"""

    def change(self, site: Site, config: Any, weights: Weights, x: Tensor) -> Tensor:
        change = super().change(site, config, weights, x)
        return -change if x.dtype == torch.bfloat16 else change


class ReadsPadding(Sound):
    """padding takes part in a mean over the tokens"""

    def change(self, site: Site, config: Any, weights: Weights, x: Tensor) -> Tensor:
        change = super().change(site, config, weights, x)
        return change + change.mean(dim=1, keepdim=True)


class DividesByTheLength(Sound):
    """the change is divided by the length of the batch"""

    def change(self, site: Site, config: Any, weights: Weights, x: Tensor) -> Tensor:
        return super().change(site, config, weights, x) / x.shape[1]


class FirstPlaceOnly(Sound):
    """it works at the first place of the tensor alone"""

    def change(self, site: Site, config: Any, weights: Weights, x: Tensor) -> Tensor:
        change = super().change(site, config, weights, x)
        return torch.cat([change[:, :1], torch.zeros_like(change[:, 1:])], dim=1)


class IdleOnOneToken(Sound):
    """it does nothing where a pass has one token"""

    def change(self, site: Site, config: Any, weights: Weights, x: Tensor) -> Tensor:
        change = super().change(site, config, weights, x)
        return change * 0 if x.shape[1] == 1 else change


class ReadsTheNextToken(Sound):
    """it reads the next token in a decoder"""

    def change(self, site: Site, config: Any, weights: Weights, x: Tensor) -> Tensor:
        change = super().change(site, config, weights, x)
        return change + change.roll(-1, dims=1)


class OffInTraining(Sound):
    """it is off in training mode"""

    def step(self, site: Site, config: Any, weights: Weights, flow: Flow, state: Tensor) -> Tensor:
        return state if flow.training else super().step(site, config, weights, flow, state)


class KeepsAProduct(Sound):
    """a product of weights is kept while they are trained"""

    def __init__(self) -> None:
        self.products: dict[tuple[str, int], Tensor] = {}

    def change(self, site: Site, config: Any, weights: Weights, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return super().change(site, config, weights, x)
        key = (site.key, weights["A"].data_ptr())
        if key not in self.products:
            self.products[key] = weights["B"] @ weights["A"] * (config.alpha / config.rank)
        return x @ self.products[key].T


class CountsItsPasses(Sound):
    """a pass leaves something behind"""

    def __init__(self) -> None:
        self.passes = 0

    def change(self, site: Site, config: Any, weights: Weights, x: Tensor) -> Tensor:
        self.passes += 1
        return super().change(site, config, weights, x) / self.passes


class SeedsTheGenerator(Sound):
    """the global generator is seeded in every pass"""

    def change(self, site: Site, config: Any, weights: Weights, x: Tensor) -> Tensor:
        torch.manual_seed(0)
        return super().change(site, config, weights, x)


class DrawsFromHashes(Sound):
    """a fixed matrix is drawn from Python's hashes"""

    def change(self, site: Site, config: Any, weights: Weights, x: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(hash(site.key) % 2**31)
        fixed = torch.randn(site.width, generator=generator)
        return super().change(site, config, weights, x) * fixed


class HalfAtBirth(Sound):
    """fresh weights are in half precision"""

    def init(self, site: Site, config: Any) -> dict[str, Tensor]:
        return {key: value.half() for key, value in super().init(site, config).items()}


class SharesMemory(Sound):
    """fresh weights are expanded from fewer numbers"""

    def init(self, site: Site, config: Any) -> dict[str, Tensor]:
        return {**super().init(site, config), "B": torch.zeros(1, 1).expand(site.width, 2)}


class TwoNamesOneTensor(Sound):
    """two fresh weights are one tensor"""

    def init(self, site: Site, config: Any) -> dict[str, Tensor]:
        weights = super().init(site, config)
        return {**weights, "again": weights["A"]}


class DropsTheLayerAbove(Sound):
    """a layer that is left out takes its neighbour along"""

    def sites(self, shape: ModelShape, config: Any, leave_out: Sequence[int]) -> list[Site]:
        more = [layer + 1 for layer in leave_out]
        return super().sites(shape, config, [*leave_out, *more])


class WritesWithoutGradients(Sound):
    """the input is written into where it needs no gradient"""

    def transform(self, site: Site, config: Any, weights: Weights, x: Tensor, y: Tensor) -> Tensor:
        if not x.requires_grad:
            x.mul_(1.01)
        return super().transform(site, config, weights, x, y)


class ScalesTheBaseAlone(Sound):
    """in a stack it starts from the base's weight, merged from that with the changes below"""

    def change(self, site: Site, config: Any, weights: Weights, x: Tensor) -> Tensor:
        assert site.weight is not None
        return x @ (site.weight.to(x.dtype) * self.factor(config, weights)).T

    def delta(self, site: Site, config: Any, weights: Weights) -> Tensor | None:
        assert site.weight is not None
        return site.weight * self.factor(config, weights)

    def factor(self, config: Any, weights: Weights) -> Tensor:
        product: Tensor = weights["B"] @ weights["A"] * (config.alpha / config.rank)
        return product


class NotesOnItself(Sound):
    """what belongs to one call is kept on the method, which threads share"""

    def transform(self, site: Site, config: Any, weights: Weights, x: Tensor, y: Tensor) -> Tensor:
        self.x = x
        time.sleep(0.0002)  # what a longer computation would be
        return super().transform(site, config, weights, self.x, y)


class MeanOfTheFactors(Sound):
    """the factors of a product are averaged one by one"""

    averages = "changes"

    def average(
        self, config: Any, members: Sequence[Mapping[str, Tensor]], coefficients: Sequence[float]
    ) -> tuple[Any, dict[str, Tensor]]:
        return Method.average(self, config, members, coefficients)


class MeanIsTheFirst(Sound):
    """the mean is the first member"""

    def average(
        self, config: Any, members: Sequence[Mapping[str, Tensor]], coefficients: Sequence[float]
    ) -> tuple[Any, dict[str, Tensor]]:
        return config, dict(members[0])


class MeanWithoutCoefficients(Sound):
    """the mean forgets the coefficients"""

    def average(
        self, config: Any, members: Sequence[Mapping[str, Tensor]], coefficients: Sequence[float]
    ) -> tuple[Any, dict[str, Tensor]]:
        return super().average(config, members, [1 / len(members)] * len(members))


class SaysNoSuchMean(Sound):
    """`averages` is a word that means nothing"""

    averages = "sometimes"
