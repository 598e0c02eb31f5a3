"""Gaps: for many pairs and tasks, what resolves how, and what to train next for the most gain."""

from adapterhub_lite.gaps.costs import Cost
from adapterhub_lite.gaps.survey import Cell, Gaps, Way, survey

__all__ = ["Cell", "Cost", "Gaps", "Way", "survey"]
