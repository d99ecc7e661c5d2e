"""A table: operation -> what it does to the axes it touches. A new operation is a new function under `@rule("name")`.

A rule gets the pass so far, the call and the values of its arguments, states equations about the units of the values
and returns the value of the result. What no rule knows freezes all that it touches.
"""

from __future__ import annotations

from symdiscover.network.rules import (
    attention,
    contraction,
    elementwise,
    filling,
    movement,
    normalisation,
    pooling,
)
from symdiscover.network.rules.table import RULES as RULES
from symdiscover.network.rules.table import Pass as Pass

__all__ = [
    "RULES",
    "Pass",
    "attention",
    "contraction",
    "elementwise",
    "filling",
    "movement",
    "normalisation",
    "pooling",
]
