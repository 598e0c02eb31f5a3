"""The resolver: request and registry to resolution, without torch and without a network.

    request -> candidates (a slot each) -> rules (must hold) -> preferences -> resolution

Each step is a file of that name, and strategies, rules and preferences are open tables.
"""

from __future__ import annotations

from adapterhub_lite.resolver.answer import answer, resolve
from adapterhub_lite.resolver.fallbacks import FALLBACKS
from adapterhub_lite.resolver.request import POLICIES, Request
from adapterhub_lite.resolver.resolution import (
    Alternative,
    Choice,
    Missing,
    Refusal,
    Rejection,
    Resolution,
)
from adapterhub_lite.resolver.strategies import TRAINED, Strategy

STRATEGIES: list[Strategy] = [*TRAINED, *FALLBACKS]
"""The strategies that `resolve` tries; order plays no part, ranks do."""

__all__ = [
    "POLICIES",
    "STRATEGIES",
    "Alternative",
    "Choice",
    "Missing",
    "Refusal",
    "Rejection",
    "Request",
    "Resolution",
    "Strategy",
    "answer",
    "resolve",
]
