"""SymPy expressions at many points at once, in float64: for searches, never for proofs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any, TypeAlias

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from sympy.core.relational import Relational

from symdiscover.errors import OutsideDomain

Array: TypeAlias = NDArray[Any]

_FUNCTIONS: dict[type, Callable[..., Array]] = {
    sp.Abs: np.abs, sp.sign: np.sign, sp.exp: np.exp, sp.log: np.log, sp.sin: np.sin, sp.cos: np.cos, sp.tan: np.tan,
    sp.asin: np.arcsin, sp.acos: np.arccos, sp.atan: np.arctan, sp.atan2: np.arctan2, sp.sinh: np.sinh,
    sp.cosh: np.cosh, sp.tanh: np.tanh, sp.asinh: np.arcsinh, sp.acosh: np.arccosh, sp.atanh: np.arctanh,
    sp.floor: np.floor, sp.ceiling: np.ceil, sp.Heaviside: lambda x, middle=0.5: np.heaviside(x, middle),
    sp.erf: np.vectorize(math.erf, otypes=[float]), sp.cot: lambda x: 1 / np.tan(x),
}  # fmt: skip
_RELATIONS: dict[str, Callable[[Array, Array], Array]] = {
    "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "==": np.equal, "!=": np.not_equal,
}  # fmt: skip


def evaluate_floats(expression: sp.Basic, values: Mapping[sp.Symbol, Any]) -> Array:
    """The expression at arrays of numbers that broadcast together; NaN or infinite where it is no real number.

    Raises
    ------
    OutsideDomain
        If it holds a function that is not known here.

    Examples
    --------
    >>> x, y = sp.symbols("x y", real=True)
    >>> evaluate_floats(sp.sqrt(x) + y, {x: np.array([4.0, 9.0]), y: 1.0})
    array([3., 4.])
    """
    known: dict[sp.Basic, Array] = {symbol: np.asarray(value) for symbol, value in values.items()}

    def visit(e: sp.Basic) -> Array:
        if e not in known:
            known[e] = _value(e, visit)
        return known[e]

    with np.errstate(all="ignore"):
        return visit(expression)


def _value(e: Any, visit: Callable[[sp.Basic], Array]) -> Array:
    if e in (sp.true, sp.false):
        return np.asarray(bool(e))
    if isinstance(e, Relational):
        return _RELATIONS[e.rel_op](visit(e.lhs), visit(e.rhs))
    if isinstance(e, sp.Expr) and e.is_number:
        return np.asarray(float(e) if e.is_real else np.nan)
    if isinstance(e, sp.Piecewise):
        return np.select([visit(c) for _, c in e.args], [visit(v) for v, _ in e.args], np.nan)
    arguments = [visit(argument) for argument in e.args]
    if e.is_Pow:
        return _power(arguments, e.exp)
    for kind, operation in _MANY.items():
        if isinstance(e, kind):
            return reduce(operation, arguments)
    function = _FUNCTIONS.get(e.func)
    if function is None:
        raise OutsideDomain(f"no value is known for {e.func}")
    return function(*arguments)


def _power(arguments: list[Array], exponent: sp.Expr) -> Array:
    base, power = arguments
    if exponent == sp.Rational(1, 2):
        return np.sqrt(base)
    return np.power(base, int(exponent) if exponent.is_Integer and exponent > 0 else power)


_MANY: dict[type, Callable[[Array, Array], Array]] = {
    sp.Add: np.add,
    sp.Mul: np.multiply,
    sp.Max: np.maximum,
    sp.Min: np.minimum,
    sp.And: np.logical_and,
    sp.Or: np.logical_or,
}
