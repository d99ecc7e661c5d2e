"""Evaluating SymPy expressions in other arithmetics: many digits, and float64 with a running error bound."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import mpmath
import sympy as sp
from sympy.core.relational import Relational
from sympy.logic.boolalg import BooleanAtom, BooleanFunction

from symdiscover.errors import OutsideDomain

#: SymPy function -> name of the function of the same meaning in `mpmath`.
FUNCTIONS: dict[Any, str] = {
    sp.Abs: "fabs", sp.sign: "sign", sp.exp: "exp", sp.log: "log", sp.sin: "sin", sp.cos: "cos", sp.tan: "tan",
    sp.asin: "asin", sp.acos: "acos", sp.atan: "atan", sp.sinh: "sinh", sp.cosh: "cosh", sp.tanh: "tanh",
    sp.asinh: "asinh", sp.acosh: "acosh", sp.atanh: "atanh", sp.floor: "floor", sp.ceiling: "ceil",
    sp.erf: "erf", sp.gamma: "gamma", sp.atan2: "atan2", sp.cot: "cot",
}  # fmt: skip


EPSILON = 2.0**-52


@dataclass(frozen=True)
class Tracked:
    """A float64 value with a bound of its rounding error, in units of the machine epsilon.

    Each operation adds its own rounding to what its operands carry (running error analysis; Higham, Accuracy and
    Stability of Numerical Algorithms, section 3.3), terms of second order included: at a minimum they are all there is.

    Examples
    --------
    >>> (Tracked(1e8) + Tracked(-1e8 + 1)).error >= 1
    True
    >>> square = Tracked(0.0, 4.0) * Tracked(0.0, 4.0)
    >>> square.error == 16 * EPSILON
    True
    """

    value: float
    error: float = 0.0

    @property
    def margin(self) -> float:
        """The error as a number: how far the exact value may be away."""
        return EPSILON * self.error

    def __add__(self, other: Tracked) -> Tracked:
        total = self.value + other.value
        return Tracked(total, self.error + other.error + abs(total))

    def __mul__(self, other: Tracked) -> Tracked:
        product = self.value * other.value
        carried = abs(self.value) * other.error + abs(other.value) * self.error + self.error * other.margin
        return Tracked(product, carried + abs(product))


def evaluate_digits(expression: sp.Basic, values: Mapping[sp.Symbol, Any]) -> Any:
    """The real expression at mpmath numbers, with the working precision of mpmath.

    Raises
    ------
    OutsideDomain
        Where a part of it is not real and finite.
    ZeroDivisionError
        At a pole.

    Examples
    --------
    >>> x = sp.Symbol("x", real=True)
    >>> with mpmath.workdps(30):
    ...     print(evaluate_digits(sp.sqrt(x) / 3, {x: mpmath.mpf(2)}))
    0.471404520791031682933896241403
    """
    return _evaluate(expression, values, _constant_digits, _power_digits, _function_digits)


def evaluate_exact(expression: sp.Basic, values: Mapping[sp.Symbol, Fraction]) -> Fraction:
    """A rational function at rational numbers, exactly; ZeroDivisionError at its poles.

    Examples
    --------
    >>> x = sp.Symbol("x", real=True)
    >>> evaluate_exact((x**2 + 1) / (x - sp.Rational(1, 3)), {x: Fraction(1)})
    Fraction(3, 1)
    """

    def power(base: Fraction, exponent: sp.Expr, value: Fraction | None) -> Fraction:
        if value is not None or not exponent.is_Integer:
            raise TypeError(f"{expression} is no rational function")
        return base ** int(exponent)

    def function(kind: Any, arguments: list[Fraction]) -> Fraction:
        raise TypeError(f"{kind} is no rational function")

    def constant(node: sp.Expr) -> Fraction:
        if not node.is_Rational:
            raise TypeError(f"{node} is not rational")
        return Fraction(int(node.p), int(node.q))

    return _evaluate(expression, values, constant, power, function)


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
    known: dict[sp.Basic, Any] = {}
    varying: dict[sp.Basic, bool] = {}

    def varies(node: sp.Basic) -> bool:  # what `free_symbols` says, each shared part looked at once
        if node not in varying:
            varying[node] = bool(node.is_Symbol) or any(varies(argument) for argument in node.args)
        return varying[node]

    def visit(node: sp.Basic) -> Any:
        if node not in known:
            known[node] = compute(node)
        return known[node]

    def compute(node: sp.Basic) -> Any:
        if node.is_Symbol:
            return values[node]
        if isinstance(node, (BooleanAtom, Relational, BooleanFunction)):
            return _truth(node, visit)
        if not varies(node):
            return constant(node)
        if node.is_Add or node.is_Mul:
            terms = [visit(argument) for argument in node.args]
            result = terms[0]
            for term in terms[1:]:
                result = result + term if node.is_Add else result * term
            return result
        if node.is_Pow:
            exponent = visit(node.exp) if varies(node.exp) else None
            return power(visit(node.base), node.exp, exponent)
        if isinstance(node, (sp.Derivative, sp.Subs)):
            raise OutsideDomain(f"{node} has no value: a function with jumps was differentiated")
        if isinstance(node, sp.Piecewise):
            branch = next((value for value, condition in node.args if visit(condition)), None)
            if branch is None:
                raise OutsideDomain(f"no condition of {node} holds")
            return visit(branch)
        return function(node.func, [visit(argument) for argument in node.args])

    return visit(sp.sympify(expression))


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


def _truth(node: sp.Basic, visit: Callable[[sp.Basic], Any]) -> bool:
    if isinstance(node, Relational):
        left, right = [getattr(side, "value", side) for side in (visit(node.lhs), visit(node.rhs))]
        return bool(_COMPARE[node.rel_op](left, right))
    return (
        bool(node.func(*[sp.true if visit(argument) else sp.false for argument in node.args]))
        if node.args
        else bool(node)
    )


def _constant_digits(node: sp.Expr) -> Any:
    if node.is_Rational:
        return mpmath.mpf(int(node.p)) / int(node.q)
    value = sp.N(node, mpmath.mp.dps + 10)
    if value == 0:
        return mpmath.mpf(0)
    if not value.is_Float:
        raise OutsideDomain(f"{node} is not a real finite number")
    return mpmath.mpf(str(value))


def _power_digits(base: Any, exponent: sp.Expr, value: Any) -> Any:
    if value is None and exponent.is_Integer:
        return base ** int(exponent)
    if base < 0:
        raise OutsideDomain(f"the power {exponent} of a negative number")
    if value is not None:
        return base**value
    return (
        mpmath.sqrt(base) ** int(2 * exponent)
        if (2 * exponent).is_Integer
        else base ** _constant_digits(exponent)
    )


def _function_digits(function: Any, arguments: list[Any]) -> Any:
    if function in (sp.Max, sp.Min):
        return (max if function is sp.Max else min)(arguments)
    if function is sp.Heaviside:
        return (mpmath.sign(arguments[0]) + 1) / 2
    if function is sp.DiracDelta and arguments[0] != 0:
        return mpmath.mpf(0)
    if function in FUNCTIONS:
        result = getattr(mpmath, FUNCTIONS[function])(*arguments)
    else:
        result = _constant_digits(
            function(*[sp.Float(argument, mpmath.mp.dps + 10) for argument in arguments])
        )
    if not isinstance(result, mpmath.mpf) or not mpmath.isfinite(result):
        raise OutsideDomain(f"{function.__name__} is not real and finite at {mpmath.nstr(arguments[0], 6)}")
    return result


def _constant_tracked(node: sp.Expr) -> Tracked:
    value = float(node)
    return Tracked(value, 0.0 if node.is_Integer and abs(value) < 2**53 else abs(value))


def _power_tracked(base: Tracked, exponent: sp.Expr, value: Tracked | None) -> Tracked:
    p = float(exponent) if value is None else value.value
    if base.value < 0 and p != int(p):
        raise OutsideDomain(f"the power {exponent} of a negative number")
    result = base.value**p
    if 0 < p < 1:  # Hoelder continuous: |a^p - b^p| <= |a - b|^p, and the slope is smallest far from 0
        near = max(base.value - base.margin, 0.0)
        carried = base.margin**p / EPSILON if near == 0 else p * near ** (p - 1) * base.error
    else:
        reach = abs(base.value) + base.margin if p >= 1 else max(abs(base.value) - base.margin, 0.0)
        carried = (
            abs(p) * reach ** (p - 1) * base.error if reach or p >= 1 else math.inf if base.error else 0.0
        )
    if value is not None and value.error:
        carried += (
            abs(result * math.log(base.value))
            * value.error
            * math.exp(abs(math.log(base.value)) * value.margin)
        )
    return Tracked(result, carried + 2 * abs(result))


#: The slope of each function that is smooth where it is defined.
_SLOPES: dict[Any, Callable[[float], float]] = {
    sp.Abs: lambda x: 1.0, sp.exp: math.exp, sp.log: lambda x: 1 / x, sp.sin: math.cos, sp.cos: math.sin,
    sp.tan: lambda x: 1 + math.tan(x) ** 2, sp.cot: lambda x: 1 + math.tan(x) ** -2,
    sp.asin: lambda x: (1 - x * x) ** -0.5, sp.acos: lambda x: (1 - x * x) ** -0.5, sp.atan: lambda x: 1 / (1 + x * x),
    sp.sinh: math.cosh, sp.cosh: math.sinh, sp.tanh: lambda x: 1 - math.tanh(x) ** 2,
    sp.asinh: lambda x: (1 + x * x) ** -0.5, sp.acosh: lambda x: (x * x - 1) ** -0.5, sp.atanh: lambda x: 1 / (1 - x * x),
}  # fmt: skip
#: How far from a point an argument may be for its pieces to count as decided.
_APART = 16


def _function_tracked(function: Any, arguments: list[Tracked]) -> Tracked:
    if function in (sp.Max, sp.Min):
        sign = 1 if function is sp.Max else -1
        best = max(arguments, key=lambda tracked: sign * tracked.value)
        rivals = [a for a in arguments if sign * (best.value - a.value) <= _APART * (a.margin + best.margin)]
        return Tracked(best.value, max(a.error for a in rivals))
    first = arguments[0]
    value = float(_function_digits(function, [mpmath.mpf(argument.value) for argument in arguments]))
    if function in (sp.sign, sp.Heaviside, sp.floor, sp.ceiling):
        to_jump = (
            abs(first.value - round(first.value)) if function in (sp.floor, sp.ceiling) else abs(first.value)
        )
        return Tracked(value, math.inf if first.error and to_jump <= _APART * first.margin else 0.0)
    if function is sp.atan2:
        y, x = arguments
        radius = max(math.hypot(x.value, y.value) - x.margin - y.margin, 0.0)
        return Tracked(value, (x.error + y.error) / radius + 2 * abs(value) if radius else math.inf)
    if function not in _SLOPES:
        raise OutsideDomain(f"the rounding error of {function.__name__} is not known")
    return Tracked(value, _steepest(_SLOPES[function], first) * first.error + 2 * abs(value))


def _steepest(slope: Callable[[float], float], argument: Tracked) -> float:
    """The largest of the slopes at the value and at both ends of its margin; infinite where one is not defined."""
    try:
        places = {argument.value, argument.value - argument.margin, argument.value + argument.margin}
        return max(abs(slope(place)) for place in places)
    except (ArithmeticError, ValueError, TypeError):
        return math.inf if argument.error else 0.0
