"""Task types that come with the package, offered through the same hook that plugins use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from adapterhub_lite.hookspecs import hookimpl

if TYPE_CHECKING:
    from adapterhub_lite.tasks.base import TaskType


@hookimpl
def ahl_tasks() -> Sequence[TaskType]:
    """Return token and sequence classification, question answering and language modelling."""
    from adapterhub_lite.tasks.answers import QuestionAnswering
    from adapterhub_lite.tasks.language import LanguageModelling
    from adapterhub_lite.tasks.sequences import SequenceClassification
    from adapterhub_lite.tasks.words import TokenClassification

    return [
        TokenClassification(),
        SequenceClassification(),
        QuestionAnswering(),
        LanguageModelling(),
    ]
