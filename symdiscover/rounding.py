"""Evaluating SymPy expressions in other arithmetics: many digits, and float64 with a running error bound."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import mpmath
import sympy as sp
from sympy.core.relational import Relational
from sympy.logic.boolalg import BooleanAtom, BooleanFunction

#: SymPy function -> name of the function of the same meaning in `mpmath`.
FUNCTIONS: dict[Any, str] = {
    sp.Abs: "fabs", sp.sign: "sign", sp.exp: "exp", sp.log: "log", sp.sin: "sin", sp.cos: "cos", sp.tan: "tan",
    sp.asin: "asin", sp.acos: "acos", sp.atan: "atan", sp.sinh: "sinh", sp.cosh: "cosh", sp.tanh: "tanh",
    sp.asinh: "asinh", sp.acosh: "acosh", sp.atanh: "atanh", sp.floor: "floor", sp.ceiling: "ceil",
    sp.erf: "erf", sp.gamma: "gamma", sp.atan2: "atan2",
}  # fmt: skip


@dataclass(frozen=True)
class Tracked:
    """A float64 value with a first-order bound of its rounding error, in units of the machine epsilon.

    Each operation adds its own rounding to what its operands carry (running error analysis; Higham, Accuracy and
    Stability of Numerical Algorithms, section 3.3).

    Examples
    --------
    >>> (Tracked(1e8) + Tracked(-1e8 + 1)).error >= 1
    True
    """

    value: float
    error: float = 0.0

    def __add__(self, other: Tracked) -> Tracked:
        total = self.value + other.value
        return Tracked(total, self.error + other.error + abs(total))

    def __mul__(self, other: Tracked) -> Tracked:
        product = self.value * other.value
        return Tracked(product, abs(self.value) * other.error + abs(other.value) * self.error + abs(product))

    def through(self, value: float, slope: float) -> Tracked:
        """The image under a function with this value and slope here."""
        return Tracked(value, abs(slope) * self.error + 2 * abs(value))


def evaluate_digits(expression: sp.Basic, values: Mapping[sp.Symbol, Any]) -> Any:
    """The expression at mpmath numbers, with the working precision of mpmath.

    Examples
    --------
    >>> x = sp.Symbol("x", real=True)
    >>> with mpmath.workdps(30):
    ...     print(evaluate_digits(sp.sqrt(x) / 3, {x: mpmath.mpf(2)}))
    0.471404520791031682933896241403
    """
    return _evaluate(expression, values, _constant_digits, _power_digits, _function_digits)


def evaluate_tracked(expression: sp.Basic, values: Mapping[sp.Symbol, Tracked]) -> Tracked:
    """The expression in float64 with its running error bound."""
    return _evaluate(expression, values, _constant_tracked, _power_tracked, _function_tracked)


def _evaluate(
    expression: sp.Basic,
    values: Mapping[sp.Symbol, Any],
    constant: Callable[[sp.Expr], Any],
    power: Callable[[Any, sp.Expr, Any], Any],
    function: Callable[[Any, list[Any]], Any],
) -> Any:
    def visit(node: sp.Basic) -> Any:
        if node.is_Symbol:
            return values[node]
        if isinstance(node, (BooleanAtom, Relational, BooleanFunction)):
            return _truth(node, visit)
        if not node.free_symbols:
            return constant(node)
        if node.is_Add or node.is_Mul:
            terms = [visit(argument) for argument in node.args]
            result = terms[0]
            for term in terms[1:]:
                result = result + term if node.is_Add else result * term
            return result
        if node.is_Pow:
            exponent = visit(node.exp) if node.exp.free_symbols else None
            return power(visit(node.base), node.exp, exponent)
        if isinstance(node, sp.Piecewise):
            return visit(next(value for value, condition in node.args if visit(condition)))
        return function(node.func, [visit(argument) for argument in node.args])

    return visit(sp.sympify(expression))


def _truth(node: sp.Basic, visit: Callable[[sp.Basic], Any]) -> bool:
    if isinstance(node, Relational):
        sides = [getattr(side, "value", side) for side in (visit(node.lhs), visit(node.rhs))]
        return bool(node.func(*[sp.Float(str(side), 30) if not isinstance(side, float) else sp.Float(side) for side in sides]))
    return bool(node.func(*[sp.true if visit(argument) else sp.false for argument in node.args])) if node.args else bool(node)


def _constant_digits(node: sp.Expr) -> Any:
    if node.is_Rational:
        return mpmath.mpf(int(node.p)) / int(node.q)
    return mpmath.mpf(str(sp.N(node, mpmath.mp.dps + 10)))


def _power_digits(base: Any, exponent: sp.Expr, value: Any) -> Any:
    if value is not None:
        return base**value
    if exponent.is_Integer:
        return base ** int(exponent)
    return mpmath.sqrt(base) ** int(2 * exponent) if (2 * exponent).is_Integer else base ** _constant_digits(exponent)


def _function_digits(function: Any, arguments: list[Any]) -> Any:
    if function in (sp.Max, sp.Min):
        return (max if function is sp.Max else min)(arguments)
    return getattr(mpmath, FUNCTIONS[function])(*arguments)


def _constant_tracked(node: sp.Expr) -> Tracked:
    value = float(node)
    return Tracked(value, 0.0 if node.is_Integer and abs(value) < 2**53 else abs(value))


def _power_tracked(base: Tracked, exponent: sp.Expr, value: Tracked | None) -> Tracked:
    p = float(exponent) if value is None else value.value
    result = base.value**p if base.value > 0 or p == int(p) else (0.0 if base.value == 0 else math.nan)
    slope = p * result / base.value if base.value else (1.0 if p == 1 else 0.0)
    tracked = base.through(result, slope)
    carried = 0.0 if value is None else abs(result * math.log(base.value)) * value.error
    return Tracked(result, tracked.error + carried)


def _function_tracked(function: Any, arguments: list[Tracked]) -> Tracked:
    if function in (sp.Max, sp.Min):
        return (max if function is sp.Max else min)(arguments, key=lambda tracked: tracked.value)
    call = getattr(mpmath, FUNCTIONS[function])
    value = float(call(*[argument.value for argument in arguments]))
    error = 2 * abs(value)
    for index, argument in enumerate(arguments):
        step = 1e-6 * max(abs(argument.value), 1e-3)
        shifted = [a.value + (step if i == index else 0.0) for i, a in enumerate(arguments)]
        try:
            slope = (float(call(*shifted)) - value) / step
        except (TypeError, ValueError):
            slope = (value - float(call(*[2 * a.value - s for a, s in zip(arguments, shifted, strict=True)]))) / step
        error += abs(slope) * argument.error
    return Tracked(value, error)
