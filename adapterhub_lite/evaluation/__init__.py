"""Evaluation: score compositions and whole tables of them, and record every score.

ahl.evaluate("stack(gv, pos-en-over-en)", "gv-test.conllu", language="gv", source="en")
"""

from __future__ import annotations

from adapterhub_lite.evaluation.bootstrap import Difference
from adapterhub_lite.evaluation.measure import evaluate
from adapterhub_lite.evaluation.picture import confusion_picture, picture
from adapterhub_lite.evaluation.report import Average, Report
from adapterhub_lite.evaluation.results import Result
from adapterhub_lite.evaluation.strategies import STRATEGIES
from adapterhub_lite.evaluation.table import Cell, Table, evaluate_table

__all__ = [
    "STRATEGIES",
    "Average",
    "Cell",
    "Difference",
    "Report",
    "Result",
    "Table",
    "confusion_picture",
    "evaluate",
    "evaluate_table",
    "picture",
]
