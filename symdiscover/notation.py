"""What the expression notation knows: its functions, constants and comparisons, one row each."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, TypeAlias

import sympy as sp

from symdiscover.construction import Construction

Builder: TypeAlias = Callable[..., Any]


def _function(kind: Any) -> tuple[int, int | None, Builder]:
    return 1, 1, lambda real, u: real.function(kind, u)


def _extremum(kind: Any) -> tuple[int, int | None, Builder]:
    return 1, None, lambda real, *args: real.extremum(kind, args)


# Name -> fewest and most arguments, and how to build it.
FUNCTIONS: dict[str, tuple[int, int | None, Builder]] = {
    "sqrt": (1, 1, lambda real, u: real.power(u, sp.S.Half)),
    "cbrt": (1, 1, lambda real, u: real.power(u, sp.Rational(1, 3))),
    "exp": _function(sp.exp),
    "log": (1, 2, Construction.logarithm),
    "ln": (1, 1, Construction.logarithm),
    "log10": (1, 1, lambda real, u: real.logarithm(u, sp.Integer(10))),
    "log2": (1, 1, lambda real, u: real.logarithm(u, sp.Integer(2))),
    "sin": _function(sp.sin),
    "cos": _function(sp.cos),
    "tan": _function(sp.tan),
    "cot": _function(sp.cot),
    "asin": _function(sp.asin),
    "acos": _function(sp.acos),
    "atan": _function(sp.atan),
    "atan2": (2, 2, Construction.angle),
    "sinh": _function(sp.sinh),
    "cosh": _function(sp.cosh),
    "tanh": _function(sp.tanh),
    "asinh": _function(sp.asinh),
    "acosh": _function(sp.acosh),
    "atanh": _function(sp.atanh),
    "abs": (1, 1, Construction.magnitude),
    "Abs": (1, 1, Construction.magnitude),
    "sign": (1, 1, Construction.signum),
    "floor": (1, 1, lambda real, u: real.step(sp.floor, u)),
    "ceil": (1, 1, lambda real, u: real.step(sp.ceiling, u)),
    "ceiling": (1, 1, lambda real, u: real.step(sp.ceiling, u)),
    "max": _extremum(sp.Max),
    "Max": _extremum(sp.Max),
    "min": _extremum(sp.Min),
    "Min": _extremum(sp.Min),
}
CONSTANTS = {"pi": sp.pi, "E": sp.E}
SERIES: dict[str, Builder] = {"Sum": Construction.sum, "Product": Construction.product}
RELATIONS: dict[Any, Any] = {
    ast.Gt: sp.Gt,
    ast.GtE: sp.Ge,
    ast.Lt: sp.Lt,
    ast.LtE: sp.Le,
    ast.Eq: sp.Eq,
    ast.NotEq: sp.Ne,
}
# How SymPy prints the comparisons that have no unambiguous operator.
NAMED_RELATIONS = {"Eq": sp.Eq, "Ne": sp.Ne}
# What SymPy and others print for values that are not finite and real.
NOT_REAL = frozenset({"I", "oo", "zoo", "nan", "NaN", "inf", "Inf", "Infinity", "infinity"})
RESERVED = frozenset(
    {*FUNCTIONS, *CONSTANTS, *SERIES, *NAMED_RELATIONS, *NOT_REAL, "Piecewise", "True", "False"}
)
