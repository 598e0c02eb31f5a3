"""The card's text: what somebody who finds an adapter on the Hub wants to know of it."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from adapterhub_lite import languages
from adapterhub_lite.adapter import Adapter, Kind, Manifest, Role, Training, Underneath
from adapterhub_lite.foreign.text import block, code, literal, markdown, prose, shell
from adapterhub_lite.hub.card import Subject, called

_CLASSES = {
    "TOKEN_CLS": "AutoModelForTokenClassification",
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "QUESTION_ANS": "AutoModelForQuestionAnswering",
    "CAUSAL_LM": "AutoModelForCausalLM",
    "FEATURE_EXTRACTION": "AutoModel",
}
"""transformers' class for what peft's config calls a task; without a task, masked words."""

_SHOWN_SCORES = 40


def text(subject: Subject) -> str:
    """Return the card's text, without front matter."""
    manifest = subject.adapter.manifest
    parts = [
        f"# {title(manifest)}",
        _opening(subject),
        _together(subject),
        "## How to use it",
        _with_ahl(subject),
        _with_peer(subject),
        _scores(subject),
        _training(manifest.training),
        _rights(manifest),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def title(manifest: Manifest) -> str:
    """Return what an adapter is, as a heading."""
    base = markdown(manifest.base.name)
    if manifest.kind is Kind.BILINGUAL:
        sides = (*manifest.tags(Role.SOURCE), *manifest.tags(Role.TARGET)) or manifest.tags()
        return f"{'–'.join(map(languages.name, sides))} adapter for {base}"
    spoken = _listed([languages.name(tag) for tag in manifest.tags()])
    if manifest.kind is Kind.LANGUAGE:
        return f"{spoken} adapter for {base}"
    task = markdown(manifest.task or "domain")
    return f"{task} adapter for {base}" + (f", trained on {spoken}" if spoken else "")


def _opening(subject: Subject) -> str:
    manifest = subject.adapter.manifest
    base = _linked(subject.base_id, manifest.base.name)
    spoken = _listed([f"{languages.name(tag)} (`{tag}`)" for tag in manifest.tags()])
    purpose = {
        Kind.LANGUAGE: f"that teaches {base} {spoken}",
        Kind.BILINGUAL: f"that teaches {base} the pair {spoken}, both at once",
        Kind.TASK: f"for {markdown(manifest.task)} on {base}, learnt from labels in {spoken}",
        Kind.DOMAIN: f"that fits {base} to a domain, in {spoken}",
    }[manifest.kind]
    sentences = [
        f"{_article(manifest.method)} {markdown(manifest.method)} adapter {purpose}.",
        f"The base stays as it is; the adapter adds {_size(manifest)}.",
    ]
    if subject.base_id is None:
        sentences.append(
            "The base is not on the Hub by that name; `adapter.json` has its fingerprint."
        )
    if manifest.dataset:
        sentences.append(f"The labels are those of {markdown(manifest.dataset)}.")
    if manifest.head and manifest.head.labels:
        sentences.append(f"It tells apart: {', '.join(map(code, manifest.head.labels))}.")
    if manifest.leave_out:
        layers = _listed([str(layer) for layer in manifest.leave_out])
        sentences.append(f"Layers {layers} (counted from 0) have no adapter.")
    return " ".join(sentences)


def _together(subject: Subject) -> str:
    manifest = subject.adapter.manifest
    sentences = []
    if manifest.trained_over:
        under = _listed([_under(subject, item) for item in manifest.trained_over])
        sentences.append(f"It was trained with {under} frozen underneath.")
        if manifest.kind is Kind.TASK:
            sentences.append(
                "To read another language, put that language's adapter of the same configuration "
                "in its place and leave this one on top."
            )
    if manifest.seen:
        under = _listed([_under(subject, item) for item in manifest.seen])
        sentences.append(
            f"In training it stood on {under} in turn, so it works on any of them, and best on one "
            "of the same configuration for the language that is read."
        )
    if manifest.kind is Kind.TASK and not sentences:
        sentences.append("It was trained on the bare base, with no language adapter underneath.")
    if manifest.parents:
        parts = [
            f"{p.weight:g} × {markdown(subject.names.get(p.digest, p.digest[:12]))}"
            for p in manifest.parents
        ]
        sentences.append(f"It is a weighted mean: {_listed(parts)}.")
    return " ".join(sentences)


def _under(subject: Subject, under: Underneath) -> str:
    spoken = _listed([languages.name(use.tag) for use in under.languages])
    method = markdown(under.method)
    adapter = f"the {spoken} {method} adapter" if spoken else f"a {method} adapter"
    if under.source:
        return f"{adapter} {_linked(under.source, under.source)}"
    name = subject.names.get(under.digest)
    ref = f"{name}@{under.digest[:12]}" if name else under.digest[:12]
    return f"{adapter} {code(ref)}"


def _with_ahl(subject: Subject) -> str:
    manifest = subject.adapter.manifest
    lines = [shell("ahl", "pull", subject.repo)]
    base = ("--base", manifest.base.name)
    spoken = manifest.tags()
    if manifest.kind is Kind.TASK and spoken:
        lines.append(shell("ahl", "resolve", spoken[0], "TARGET", "--task", manifest.task, *base))
    elif manifest.kind is Kind.BILINGUAL and len(spoken) == 2:
        lines.append(shell("ahl", "resolve", *spoken, "--task", "TASK", *base))
    elif spoken:
        lines.append(shell("ahl", "resolve", "SOURCE", spoken[0], "--task", "TASK", *base))
    body = "\n".join(lines)
    return (
        "With [adapterhub_lite](https://pypi.org/project/adapterhub_lite/), which finds what goes "
        f"under and over it:\n\n```bash\npip install adapterhub_lite\n{body}\n```"
    )


def _with_peer(subject: Subject) -> str:
    base = subject.base_id or subject.adapter.manifest.base.name
    if subject.layout == "peft":
        code = _with_peft(subject, base)
    elif subject.layout == "adapterhub":
        code = (
            "With [adapters](https://github.com/adapter-hub/adapters):\n\n```python\n"
            "from adapters import AutoAdapterModel\n\n"
            f"model = AutoAdapterModel.from_pretrained({literal(base)})\n"
            f"name = model.load_adapter({literal(subject.repo)})\n"
            "model.set_active_adapters(name)\n```"
        )
    else:
        return ""
    return "\n".join([code, *(f"\n{_sentence(note)}" for note in subject.notes)])


def _sentence(note: str) -> str:
    note = prose(note)
    return f"{note[:1].upper()}{note[1:]}" + ("" if note.endswith(".") else ".")


def _with_peft(subject: Subject, base: str) -> str:
    kind = _CLASSES.get(subject.peer_task or "", "AutoModelForMaskedLM")
    head = subject.adapter.manifest.head
    more = f", num_labels={len(head.labels)}" if head and head.labels else ""
    return (
        "With [peft](https://github.com/huggingface/peft):\n\n```python\n"
        "from peft import PeftModel\n"
        f"from transformers import {kind}\n\n"
        f"base = {kind}.from_pretrained({literal(base)}{more})\n"
        f"model = PeftModel.from_pretrained(base, {literal(subject.repo)})\n```"
    )


def _scores(subject: Subject) -> str:
    scores = list(subject.scores)
    if not scores:
        return ""
    head = "| language | data | metric | value | examples | run as |\n|---|---|---|---:|---:|---|"
    rows = [
        f"| {languages.name(s.language)} | {markdown(s.dataset)} ({markdown(s.split)}) "
        f"| {markdown(s.metric)} | {s.value:.3f} | {s.n} "
        f"| {code(called(s.composition, subject.names))} |"
        for s in scores[:_SHOWN_SCORES]
    ]
    more = len(scores) - _SHOWN_SCORES
    rest = f"\n\nAnd {more} more, in the front matter." if more > 0 else ""
    return (
        "## How well it does\n\nMeasured with `ahl evaluate`:\n\n" + "\n".join([head, *rows]) + rest
    )


def _training(training: Training | None) -> str:
    if training is None:
        return ""
    corpora = _listed(
        [
            f"{markdown(c.name)} ({c.examples:,} examples"
            + (f", {languages.name(c.language)})" if c.language else ")")
            for c in training.corpora
        ]
    )
    steps = f"{training.steps:,} steps over {training.tokens:,} tokens"
    sentences = [f"Objective: {markdown(training.objective)}, {steps}, seed {training.seed}."]
    if corpora:
        sentences.append(f"Data: {corpora}.")
    return "## How it was trained\n\n" + " ".join(sentences)


def _rights(manifest: Manifest) -> str:
    lines = []
    if manifest.licence or manifest.authors:
        by = f", by {_listed(list(map(markdown, manifest.authors)))}" if manifest.authors else ""
        licence = markdown(manifest.licence or "No licence is stated")
        lines.append(f"## Licence\n\n{licence}{by}.")
    if manifest.citation:
        citation = manifest.citation.strip()
        shown = block(citation) if "\n" in citation else markdown(citation)
        lines.append(f"## Citation\n\n{shown}")
    return "\n\n".join(lines)


def of_stack(adapters: Sequence[Subject], composition: str, repo: str) -> str:
    """Return the text of a card for a whole stack."""
    top = adapters[-1].adapter.manifest
    names = {str(s.adapter.digest): s.below.rstrip("/").rpartition("/")[2] for s in adapters}
    items = "\n".join(f"- {code(s.below)}: {_item(s.adapter)}" for s in adapters)
    return (
        f"# {title(top)}: the whole stack\n\n"
        f"Everything that {code(called(composition, names))} needs, bottom first:\n\n{items}\n\n"
        "`stack.json` says how they go together: by digest, with the base they are for.\n\n"
        "## How to use it\n\n```bash\npip install adapterhub_lite\n"
        f"{shell('ahl', 'pull', '--stack', repo)}\n```\n\n"
        "puts all of it into your registry and prints the composition to run.\n"
        + _rights_of(adapters)
    )


def _item(adapter: Adapter) -> str:
    manifest = adapter.manifest
    return f"{title(manifest)} ({markdown(manifest.method)}, {_size(manifest)})"


def _rights_of(subjects: Sequence[Subject]) -> str:
    named = {s.adapter.manifest.licence for s in subjects if s.adapter.manifest.licence}
    return f"\n## Licence\n\n{_listed(sorted(map(markdown, named)))}.\n" if named else ""


def _size(manifest: Manifest) -> str:
    size = manifest.weights.size if manifest.weights else 0
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.0f} kB"


def _linked(hub_id: str | None, name: str) -> str:
    if not hub_id:
        return code(name)
    return f"[{markdown(hub_id)}](https://huggingface.co/{quote(hub_id)})"


def _article(word: str) -> str:
    return "An" if word[:1].lower() in "aeiou" else "A"


def _listed(items: Sequence[str]) -> str:
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"
