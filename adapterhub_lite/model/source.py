"""Where the adapters of a composition come from: memory, the user's cache, the home.

Weights from a home are views into the mapped file: nothing is copied, all processes that use an
adapter share its pages, and once nothing refers to it they are gone.  (Another device or number
type needs a copy.)
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor, nn

from adapterhub_lite.composition import Composition, parse
from adapterhub_lite.errors import AttachError
from adapterhub_lite.model.anatomy import Anatomy
from adapterhub_lite.model.base import Base
from adapterhub_lite.model.compile import NOTHING, Compiled, compile_composition
from adapterhub_lite.model.loaded import LoadedAdapter, load_adapter
from adapterhub_lite.plugins import Plugins

if TYPE_CHECKING:
    from adapterhub_lite.home import Home

_Key = tuple[str, ...]


class AdapterCache:
    """Adapters kept in memory for the next composition that needs them.

    Those used longest ago go first, once all together are over the limit.  An adapter that is
    attached stays in memory whatever the cache does, so what is resident is at most the adapters in
    use plus `limit` bytes.  One cache can serve several bases.
    """

    def __init__(self, limit: int) -> None:
        if limit < 0:
            raise AttachError(f"a cache holds 0 bytes or more, found {limit}")
        self.limit = limit
        self.size = 0
        """Bytes that are kept."""
        self._kept: OrderedDict[_Key, tuple[LoadedAdapter, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: _Key) -> LoadedAdapter | None:
        """Return an adapter that is kept, which is then the last to go."""
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key][0]

    def put(self, key: _Key, adapter: LoadedAdapter) -> None:
        """Keep an adapter, and let go of others until all fit."""
        if key in self._kept:
            self.size -= self._kept.pop(key)[1]
        size = sum(t.numel() * t.element_size() for t in adapter.weights.values())
        self._kept[key] = (adapter, size)
        self.size += size
        while self.size > self.limit:
            _, (_, freed) = self._kept.popitem(last=False)
            self.size -= freed


class Source:
    """What turns refs into adapters on one base's device.  Each is loaded once while in use."""

    def __init__(
        self,
        base: Base,
        plugins: Plugins,
        home: Home | None,
        *,
        memory: Mapping[str, LoadedAdapter],
        trainable: Collection[str],
        cache: AdapterCache | None = None,
    ) -> None:
        self.base = base
        self.anatomy = Anatomy(base.model, plugins.families)
        self.loaded: dict[str, LoadedAdapter] = {}
        self._plugins = plugins
        self._home = home
        self._memory = dict(memory)
        self.trainable = frozenset(trainable)
        self._cache = cache

    def __call__(self, ref: str) -> LoadedAdapter:
        """Return an adapter.

        Raises:
            RefError, BaseMismatchError, MethodError, WeightsError: see `load_adapter`.
        """
        if ref not in self.loaded:
            self.loaded[ref] = self._find(ref)
        return self.loaded[ref]

    def compiled(self, composition: Composition | str | None) -> Compiled:
        """Return a composition, or its text, ready to run; `None` is the base as it is."""
        if composition is None:
            return NOTHING
        parsed = parse(composition) if isinstance(composition, str) else composition
        return compile_composition(parsed, self, self.anatomy)

    def keep_only(self, used: Collection[LoadedAdapter]) -> None:
        """Let go of adapters that no composition uses any more."""
        kept = {id(adapter) for adapter in used}
        self.loaded = {ref: a for ref, a in self.loaded.items() if id(a) in kept}

    def _find(self, ref: str) -> LoadedAdapter:
        if ref in self._memory:
            return self._placed(self._memory[ref], ref)
        if self._cache is None or ref in self.trainable:
            return self._placed(self._read(ref), ref)
        key = self._key(ref)
        adapter = self._cache.get(key)
        if adapter is None:
            adapter = self._placed(self._read(ref), ref)
        self._cache.put(key, adapter)
        return replace(adapter, weights=dict(adapter.weights))  # tensors may be replaced (moving)

    def _placed(self, adapter: LoadedAdapter, ref: str) -> LoadedAdapter:
        parameter = next(self.base.model.parameters())
        adapter.to(parameter.dtype, parameter.device)
        wrap = nn.Parameter if ref in self.trainable else Tensor.detach
        adapter.weights = {key: wrap(tensor) for key, tensor in adapter.weights.items()}
        return adapter

    def _key(self, ref: str) -> _Key:
        """Return what an adapter in memory depends on; a name that moves to another is a miss."""
        adapter = self.home.registry.get(ref)
        parameter = next(self.base.model.parameters())
        where = (str(parameter.dtype), str(parameter.device))
        return (adapter.ref, adapter.digest, self.base.identity.fingerprint, *where)

    def _read(self, ref: str) -> LoadedAdapter:
        return load_adapter(
            ref,
            anatomy=self.anatomy,
            identity=self.base.identity,
            home=self.home,
            plugins=self._plugins,
        )

    @property
    def home(self) -> Home:
        """The home that refs are looked up in."""
        if self._home is None:
            from adapterhub_lite.home import Home

            self._home = Home.find()
        return self._home
