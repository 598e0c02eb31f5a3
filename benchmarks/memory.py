"""Switching, and adapters from disk: what it costs, and what stays in memory.

Attaching is put beside reading the bytes of the file into memory, which is the floor for anything
that looks at every weight once (as the check for NaN does).
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path

import torch

from adapterhub_lite import Home
from adapterhub_lite.adapter import Kind, LanguageUse, Manifest, Role
from adapterhub_lite.model.attach import Attachment, attach
from adapterhub_lite.model.base import Base
from adapterhub_lite.model.source import AdapterCache
from benchmarks.lines import Line
from benchmarks.setting import LANGUAGE, Size, make_adapter, make_base, make_batch, scratch
from benchmarks.timing import Spread, Variant, ratio, take_turns

COUNTS = (1, 10, 100)
TURNS = 100
SPARE = 3


def memory_lines(size: Size) -> list[Line]:
    """Return the lines of switching, attaching and resident memory."""
    base = make_base(size)
    home = Home.init(scratch() / "home")
    count = max(COUNTS) if size.name == "full" else 10
    for number in range(count + SPARE):
        _store(home, base, f"x{number}", number)
    lines = [*_switching(base, size)]
    for loaded in (n for n in COUNTS if n <= count):
        lines.append(_attaching(home, base, loaded, size))
    lines.append(_resident(home, base, count))
    return lines


def _store(home: Home, base: Base, name: str, seed: int) -> None:
    adapter = make_adapter(base, "bottleneck", LANGUAGE, name, seed=seed)
    manifest = Manifest(
        Kind.LANGUAGE,
        (LanguageUse("en", Role.LANGUAGE),),
        base.identity,
        "bottleneck",
        adapter.config.to_mapping(),
        home.plugins().provider("bottleneck"),
    )
    folder = scratch()
    adapter.save(folder, manifest)
    home.add(folder, name=name)


def _switching(base: Base, size: Size) -> list[Line]:
    lora = {"rank": 8, "alpha": 16.0}
    lines = []
    for count in (2, 32):
        adapters = {
            f"l{n}": make_adapter(base, "lora", lora, f"l{n}", seed=n) for n in range(count)
        }
        tuned = _peft(base, count)

        def switch(attached: Attachment) -> None:
            for number in range(TURNS):
                attached.use(f"l{number % 2}")

        with attach(base, {name: name for name in adapters}, adapters=adapters) as attached:
            variants = {
                "ours": Variant(lambda attached=attached: switch(attached)),  # type: ignore[misc]
                "peft": Variant(lambda tuned=tuned: tuned()),  # type: ignore[misc]
            }
            times = take_turns(variants, min(size.rounds, 5))
        found = {name: Spread.of([t / TURNS * 1e3 for t in times[name]]) for name in times}
        lines.append(
            Line(
                f"switching, {count} adapters in memory",
                "ms",
                found["ours"],
                reach=0.1,
                floor=0.0,
                peers={"peft": found["peft"]},
            )
        )
    return lines


def _peft(base: Base, count: int) -> Callable[[], None]:
    import copy

    import peft

    config = peft.LoraConfig(r=8, lora_alpha=16, target_modules=["query", "value"])
    model = peft.get_peft_model(copy.deepcopy(base.trunk), config, adapter_name="l0")
    for number in range(1, count):
        model.add_adapter(f"l{number}", config)

    def switch() -> None:
        for number in range(TURNS):
            model.set_adapter(f"l{number % 2}")

    return switch


def _attaching(home: Home, base: Base, loaded: int, size: Size) -> Line:
    """Time attaching and removing one more adapter with `loaded` attached."""
    found = [home.registry.get(f"x{n}") for n in range(loaded, loaded + SPARE)]
    files = [next(home.folder_of(adapter).glob("*.safetensors")) for adapter in found]
    turn = iter(range(10**6))
    named = {f"x{n}": f"x{n}" for n in range(loaded)}
    with attach(base, named, home=home) as attached:

        def add() -> None:
            attached.add("more", f"x{loaded + next(turn) % SPARE}")

        def drop() -> None:
            if "more" in attached.names:
                attached.remove("more")

        variants = {
            "read": Variant(lambda: _read(files[next(turn) % SPARE])),
            "add": Variant(add, drop),
        }
        times = take_turns(variants, size.rounds * 3)
        drop()
    size_mb = files[0].stat().st_size / 2**20
    return Line(
        f"attaching {size_mb:.0f} MiB from disk, {loaded} in memory",
        "times reading the bytes",
        ratio(times, "add", "read"),
        reach=1.5,
        floor=1.0,
        note=f"{Spread.of(times['add']).median * 1e3:.1f} ms",
    )


def _read(path: Path) -> None:
    buffer = torch.empty(path.stat().st_size, dtype=torch.uint8)
    with path.open("rb") as file:
        file.readinto(buffer.numpy().data)


def _rss() -> int:
    """Return the bytes of memory that this process has resident."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _resident(home: Home, base: Base, count: int) -> Line:
    """Run through all adapters, two in use at a time, with room for four in the cache."""
    (path,) = home.folder_of(home.registry.get("x0")).glob("*.safetensors")
    one = path.stat().st_size
    batch = make_batch(50, 1, 8)
    gc.collect()
    grown = []
    cache = AdapterCache(limit=4 * one)
    with attach(base, {"x0": "x0"}, home=home, cache=cache) as attached:
        before = _rss() - one
        for number in range(1, count):
            attached.add("next", f"x{number}")
            attached.use("next")
            with torch.inference_mode():
                base.trunk(**batch)
            grown.append((_rss() - before) / one)
            attached.use("x0")
            attached.remove("next")
    return Line(
        f"resident memory after running {count} adapters, 2 in use, a cache of 4",
        "adapters",
        Spread(max(grown), min(grown), max(grown)),
        reach=2 + 4 + 0.5,
        floor=2.0,
        note="the largest that was seen, in sizes of one adapter's file",
    )
