"""The conformance kit for families of models: subclass `FamilySuite`, run pytest.

    from adapterhub_lite.testing import FamilySuite

    class TestElectra(FamilySuite):
        plugin = Path(__file__).resolve().parent.parent / "electra.py"
        model_type = "electra"
        config = {"vocab_size": 96, "embedding_size": 32, "hidden_size": 32, ...}

A row says where the parts of a model are.  A wrong one is not noticed by looking at it: the model
runs, adapters train, and the numbers are those of another method.  So each entry is proved on a
tiny random model: the part exists and has its widths, the output follows it, a block is what its
row says, and the built-in methods do on it what they do everywhere.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from adapterhub_lite.families import Family
from adapterhub_lite.home import Home
from adapterhub_lite.model.anatomy import Anatomy
from adapterhub_lite.model.attach import attach
from adapterhub_lite.model.base import Base, load_base
from adapterhub_lite.model.loaded import LoadedAdapter
from adapterhub_lite.testing.adapters import logits, random_adapter
from adapterhub_lite.testing.kit import Batch, small_batch
from adapterhub_lite.testing.models import tiny_model, tiny_tokenizer

METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "pfeiffer": ("bottleneck", {"reduction": 4}),
    "houlsby": ("bottleneck", {"placement": "houlsby", "reduction": 4}),
    "parallel": ("bottleneck", {"placement": "parallel", "reduction": 4}),
    "invertible": ("bottleneck", {"reduction": 4, "invertible": True}),
    "lora": ("lora", {"rank": 2}),
    "prefix": ("prefix", {"length": 3}),
}
"""Built-in methods that between them touch every kind of part, by what a check calls them."""

every_method = pytest.mark.parametrize("method", METHODS)


class FamilySuite:
    """Checks that a row of the anatomy table must pass.

    Attributes:
        plugin: the file that offers the row; left out, the row comes with the package.
        model_type: transformers' name of the family.
        config: values of a tiny config; `vocab_size` 96, so that the kit's batch fits.
        decoder: whether tokens read only what stands before them.
        without: methods of `METHODS` that this family cannot have, each with a reason in the docs.
    """

    plugin: ClassVar[Path | None] = None
    model_type: ClassVar[str]
    config: ClassVar[Mapping[str, Any]]
    decoder: ClassVar[bool] = False
    without: ClassVar[tuple[str, ...]] = ()

    @pytest.fixture(scope="class")
    @classmethod
    def home(cls, tmp_path_factory: pytest.TempPathFactory) -> Home:
        """Return a home whose only plugin is the file under test."""
        return cls.make_home(tmp_path_factory.mktemp("family") / "home")

    @classmethod
    def make_home(cls, path: Path) -> Home:
        """Make the home that the checks run in."""
        Home.init(path)
        if cls.plugin is not None:
            (path / "plugins").mkdir(exist_ok=True)
            shutil.copy(cls.plugin, path / "plugins")
        return Home.find(path)

    @pytest.fixture(scope="class")
    @classmethod
    def base(cls, home: Home) -> Base:
        """Return a tiny random model of the family."""
        return cls.make_base(home)

    @classmethod
    def make_base(cls, home: Home) -> Base:
        """Make the tiny model that the checks run on."""
        folder = home.path / "tiny"
        model = tiny_model(cls.model_type, settings=cls.config, decoder=cls.decoder)
        model.save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)
        return load_base(folder, home=home)

    @pytest.fixture(scope="class")
    @classmethod
    def anatomy(cls, base: Base, home: Home) -> Anatomy:
        """Return the row, fitted to the tiny model."""
        return Anatomy(base.model, home.plugins().families)

    @pytest.fixture
    def batch(self) -> Batch:
        """Return what the model runs on."""
        return small_batch()

    def test_every_part_is_there(self, anatomy: Anatomy) -> None:
        family = anatomy.family
        for layer in range(anatomy.layers):
            for part, path in {**family.parts, **family.norms}.items():
                assert anatomy.module(part, layer) is not None, _nowhere(part, path, layer)
            assert anatomy.within(layer, family.attention) is not None, _nowhere(
                "attention", family.attention, layer
            )
            for part, block in family.blocks.items():
                paths = (block.sublayer, block.residual[0], *([block.norm] if block.norm else []))
                for path in paths:
                    assert anatomy.within(layer, path) is not None, _nowhere(part, path, layer)
        for part in ("embeddings", "output", *family.outside):
            assert anatomy.module(part) is not None, f"`{part}` is nowhere in the model"
        for field, module in (("rotary", anatomy.rotary()), ("positions", anatomy.positions())):
            path = getattr(family, field)
            assert path is None or module is not None, f"`{field}` is `{path}`: no such module"

    def test_positions_are_where_the_row_says(
        self, base: Base, anatomy: Anatomy, batch: Batch
    ) -> None:
        """Prefixes move positions there; without an entry, what a prefix does is another thing."""
        rotary = [
            name
            for name, module in anatomy.trunk.named_modules()
            if "rotary" in type(module).__name__.lower()
        ]
        assert anatomy.family.rotary or not rotary, (
            f"the model turns positions into vectors in `{rotary[0]}`, and the row has no `rotary`"
        )
        plain = logits(base, batch)
        for field, module in (("rotary", anatomy.rotary()), ("positions", anatomy.positions())):
            if module is not None:
                with _moved(module):
                    moved = not torch.equal(logits(base, batch), plain)
                assert moved, f"`{field}`: the output does not follow that module"

    def test_parts_have_their_widths(self, anatomy: Anatomy) -> None:
        hidden, inner = anatomy.hidden_size, set()
        into_attention = {"query", "key", "value"}
        for layer in range(anatomy.layers):
            for part, path in anatomy.family.parts.items():
                module = anatomy.module(part, layer)
                assert isinstance(module, (nn.Linear, Conv1D)), (
                    f"`{part}` (`{path}`) is a `{type(module).__name__}`, not a linear layer"
                )
                site = anatomy.site(part, layer)
                assert site is not None
                if part in ("key", "value"):
                    _width(part, path, site.width, anatomy.kv_width, "keys and values")
                if part in (*into_attention, "ffn_up", "ffn_gate"):
                    _width(part, path, site.in_width, hidden, "the hidden size, as input")
                if part in ("attention_out", "ffn_down"):
                    _width(part, path, site.width, hidden, "the hidden size, as output")
                if part in ("ffn_up", "ffn_gate"):
                    inner.add(site.width)
                if part == "ffn_down":
                    inner.add(site.in_width)
        assert len(inner) <= 1, f"`ffn_up`, `ffn_gate` and `ffn_down` disagree on widths: {inner}"

    def test_fused_parts_are_equal_slices(self, anatomy: Anatomy) -> None:
        for part, (_, count) in anatomy.family.fused.items():
            module = anatomy.module(part, 0)
            size = module.nf if isinstance(module, Conv1D) else getattr(module, "out_features", 0)
            assert size % count == 0, (
                f"`{part}` is one of {count} slices of {size} outputs, which is not a whole number"
            )

    def test_the_output_follows_every_part(
        self, base: Base, anatomy: Anatomy, batch: Batch
    ) -> None:
        plain = logits(base, batch)
        for part, layer in self._parts(anatomy):
            module = anatomy.module(part, layer)
            assert module is not None
            with _moved(module):
                moved = not torch.equal(logits(base, batch), plain)
            assert moved, (
                f"`{part}` of layer {layer}: the output does not follow it; is the path that of a "
                "module that is not used?"
            )
        assert torch.equal(logits(base, batch), plain)

    def test_blocks_are_what_the_row_says(self, base: Base, anatomy: Anatomy, batch: Batch) -> None:
        """Where a block ends in a norm, that norm reads sub-layer plus residual stream."""
        for part, block in anatomy.family.blocks.items():
            if block.norm is None:
                continue
            for layer in range(anatomy.layers):
                sublayer, norm = anatomy.within(layer, block.sublayer), anatomy.module(part, layer)
                residual = anatomy.within(layer, block.residual[0])
                assert sublayer is not None
                assert residual is not None
                assert norm is not None
                seen: dict[str, Tensor] = {}
                with _watched(seen, sublayer, residual, norm, block.residual[1]):
                    logits(base, batch)
                read, y, x = seen["normed"], seen["y"], seen["x"]
                same = read.shape == y.shape == x.shape and torch.allclose(read, y + x, atol=1e-4)
                assert same, (
                    f"`{part}` of layer {layer}: its norm does not read `{block.sublayer}` plus "
                    f"argument {block.residual[1]} of `{block.residual[0]}`"
                )

    @every_method
    def test_rows_equal_separate_runs(
        self, base: Base, home: Home, batch: Batch, method: str
    ) -> None:
        if method in self.without:
            return
        adapters = {ref: self._adapter(base, home, method, ref) for ref in ("a", "b")}
        rows = ["b", None, "a"]
        alone = []
        with attach(base, {"a": "a", "b": "b"}, adapters=adapters, home=home) as attached:
            for name in rows:
                attached.use(name)
                alone.append(logits(base, batch))
            with attached.rows(rows):
                mixed = logits(base, batch)
        assert not torch.equal(alone[0], alone[1]), f"`{method}` does nothing on this family"
        for number, expected in enumerate(alone):
            visible = batch["attention_mask"][number].bool()
            difference = (mixed[number][visible] - expected[number][visible]).abs().max().item()
            assert difference < 5e-5, f"row {number} of a mixed batch is off by {difference:.1e}"

    @every_method
    def test_padding_and_caches_change_nothing(
        self, base: Base, home: Home, batch: Batch, method: str
    ) -> None:
        if method in self.without:
            return
        adapters = {"a": self._adapter(base, home, method, "a")}
        with attach(base, "a", adapters=adapters, home=home):
            together = logits(base, batch)
            alone = logits(base, {key: value[1:2, :4] for key, value in batch.items()})
            difference = (together[1, :4] - alone[0]).abs().max().item()
            assert difference < 1e-4, f"padding changes the outputs by {difference:.1e}"
            if self.decoder:
                self._compare_cache(base, batch["input_ids"][:1], together[:1])

    def _compare_cache(self, base: Base, ids: Tensor, whole: Tensor) -> None:
        cache, steps = None, []
        with torch.no_grad():
            for at in range(ids.shape[1]):
                token = ids[:, at : at + 1]
                result = base.model(input_ids=token, past_key_values=cache, use_cache=True)
                cache = result.past_key_values
                steps.append(result.logits)
        difference = (torch.cat(steps, dim=1) - whole).abs().max().item()
        assert difference < 1e-4, (
            f"with a cache, one token at a time, the outputs are off by {difference:.1e}: is "
            "`rotary`, or `positions`, the module that counts positions?"
        )

    def test_lora_on_every_linear_part_merges(
        self, base: Base, home: Home, anatomy: Anatomy, batch: Batch
    ) -> None:
        config = {"rank": 2, "parts": list(anatomy.family.parts)}
        plugins = home.plugins()
        adapter = random_adapter(
            base, plugins.method("lora"), config, scale=0.1, families=plugins.families
        )
        with attach(base, "a", adapters={"a": adapter}, home=home):
            unmerged = logits(base, batch)
        with attach(base, "a", adapters={"a": adapter}, home=home, merge=True):
            difference = (logits(base, batch) - unmerged).abs().max().item()
        assert difference < 1e-4, f"merged into the weights, LoRA is off by {difference:.1e}"

    def test_detaching_restores_everything(self, base: Base, home: Home, batch: Batch) -> None:
        before = {key: value.clone() for key, value in base.model.state_dict().items()}
        plain = logits(base, batch)
        for method in METHODS:
            if method not in self.without:
                adapters = {"a": self._adapter(base, home, method, "a")}
                attach(base, "a", adapters=adapters, home=home).detach()
                assert torch.equal(logits(base, batch), plain), f"`{method}` leaves a trace"
        after = base.model.state_dict()
        assert all(torch.equal(before[key], value) for key, value in after.items())

    def _adapter(self, base: Base, home: Home, method: str, ref: str) -> LoadedAdapter:
        name, config = METHODS[method]
        plugins = home.plugins()
        return random_adapter(
            base,
            plugins.method(name),
            config,
            ref=ref,
            seed=ord(ref),
            families=plugins.families,
        )

    def _parts(self, anatomy: Anatomy) -> Iterator[tuple[str, int | None]]:
        family: Family = anatomy.family
        for layer in range(anatomy.layers):
            for part in (*family.parts, *family.norms):
                yield part, layer
        for part in ("embeddings", *family.outside):
            yield part, None


def _nowhere(part: str, path: str, layer: int) -> str:
    return f"`{part}`: there is no `{path}` in layer {layer}"


def _width(part: str, path: str, width: int, expected: int, of: str) -> None:
    assert width == expected, f"`{part}` (`{path}`) has {width}, {of} have {expected}"


@contextmanager
def _moved(module: nn.Module) -> Iterator[None]:
    """Add something to what a module gives, differently at each place."""

    def move(_: nn.Module, __: Any, output: Any) -> Any:
        first, *rest = output if isinstance(output, tuple) else (output,)
        noise = torch.linspace(-1, 1, first.shape[-1])
        return (first + noise, *rest) if rest else first + noise

    handle = module.register_forward_hook(move)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _watched(
    seen: dict[str, Tensor], sublayer: nn.Module, residual: nn.Module, norm: nn.Module, number: int
) -> Iterator[None]:
    """Note a sub-layer's output, the residual stream and what the norm reads, in one pass."""

    def note(name: str, value: Any) -> None:
        seen[name] = (value[0] if isinstance(value, tuple) else value).detach()

    def before(_: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        values = [*inputs, *keywords.values()]
        note("x", values[number])

    handles = [
        sublayer.register_forward_hook(lambda _, __, output: note("y", output)),
        residual.register_forward_pre_hook(before, with_kwargs=True),
        norm.register_forward_pre_hook(lambda _, inputs: note("normed", inputs[0])),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
