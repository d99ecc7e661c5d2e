"""Root: the one number at which an increasing function takes a value, a step of a chart's inverse without a formula."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mpmath
import sympy as sp

from symdiscover.errors import OutsideDomain
from symdiscover.floats import evaluate_floats
from symdiscover.rounding import Tracked, evaluate_digits, evaluate_tracked

#: Digits of the root in `Root.tracked`, and halvings that find the first fifty bits of it.
DIGITS, HALVINGS = 30, 50


@dataclass(frozen=True)
class Root:
    """The number t in (low, high) with function(t) = target.

    Parameters
    ----------
    unknown:
        t; it stands in `function` alone.
    function:
        Increasing in t on (low, high).
    target, low, high:
        The value, and where t is; `high` may be infinite.

    Examples
    --------
    >>> t, v = sp.symbols("t v", real=True)
    >>> cube_root = Root(t, t**3 + t, v, sp.Integer(0), sp.oo)
    >>> print(cube_root)
    the t in (0, oo) with t**3 + t = v
    >>> print(mpmath.nstr(cube_root.digits({v: mpmath.mpf(10)}), 10))
    2.0
    """

    unknown: sp.Symbol
    function: sp.Expr
    target: sp.Expr
    low: sp.Expr
    high: sp.Expr

    @property
    def parts(self) -> tuple[sp.Expr, ...]:
        """Function, target and ends."""
        return self.function, self.target, self.low, self.high

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """The symbols on which the root depends."""
        return set().union(*(part.free_symbols for part in self.parts)) - {self.unknown}

    @property
    def slope(self) -> sp.Expr:
        """The derivative of the function."""
        return sp.diff(self.function, self.unknown)

    def xreplace(self, rule: Mapping[sp.Basic, sp.Basic]) -> Root:
        """The root with its symbols replaced, t excepted."""
        kept = {old: new for old, new in rule.items() if old != self.unknown}
        return Root(self.unknown, *(part.xreplace(kept) for part in self.parts))

    def digits(self, values: Mapping[sp.Symbol, Any]) -> Any:
        """The root in the working precision of mpmath.

        Raises
        ------
        OutsideDomain
            If the function does not take the value between `low` and `high`.
        """

        def gap(t: Any) -> Any:
            return evaluate_digits(self.function, {**values, self.unknown: t}) - target

        target = evaluate_digits(self.target, values)
        wanted = mpmath.mp.prec
        with mpmath.workprec(wanted + 20):
            if (t := self._from_floats(values, gap)) is not None:
                return t
            low = evaluate_digits(self.low, values)
            high = self._end(values, gap, low)
            for _ in range(HALVINGS):
                middle = (low + high) / 2
                low, high = (middle, high) if gap(middle) < 0 else (low, middle)
            return self._polished((low + high) / 2, low, high, gap, values)

    def tracked(self, values: Mapping[sp.Symbol, Tracked]) -> Tracked:
        """The root in float64, with what the rounding of the equation leaves open."""
        with mpmath.workdps(DIGITS):
            exact = self.digits({s: mpmath.mpf(v.value) for s, v in values.items()})
        at = {**values, self.unknown: Tracked(float(exact))}
        left, right = evaluate_tracked(self.function, at), evaluate_tracked(self.target, at)
        slope = abs(evaluate_tracked(self.slope, at).value)
        carried = (left.error + right.error) / slope if slope else float("inf")
        return Tracked(float(exact), carried + abs(float(exact)))

    def _from_floats(self, values: Mapping[sp.Symbol, Any], gap: Any) -> Any:
        """The root by halvings in float64 and Newton's steps from there; None where those do not close in on it."""
        rough = {symbol: float(value) for symbol, value in values.items()}
        try:
            low, high, target = (float(evaluate_floats(e, rough)) for e in (self.low, self.high, self.target))
            for _ in range(2 * HALVINGS + 20):
                middle = 2 * low + 1 if math.isinf(high) else (low + high) / 2
                if middle in (low, high):
                    break
                below = float(evaluate_floats(self.function, {**rough, self.unknown: middle})) < target
                low, high = (middle, high) if below else (low, middle)
            t, slope = mpmath.mpf(high), self.slope
            for _ in range(12):
                step = gap(t) / evaluate_digits(slope, {**values, self.unknown: t})
                t -= step
                if abs(step) <= abs(t) * mpmath.mpf(2) ** (12 - mpmath.mp.prec):
                    near = abs(t) * mpmath.mpf(2) ** (24 - mpmath.mp.prec)
                    return t if gap(t - near) < 0 < gap(t + near) and abs(t - high) < 1e-6 * abs(t) else None
        except (ArithmeticError, OutsideDomain, OverflowError, TypeError, ValueError):
            return None
        return None

    def _end(self, values: Mapping[sp.Symbol, Any], gap: Any, low: Any) -> Any:
        if self.high != sp.oo:
            high = evaluate_digits(self.high, values)
            if gap(high) < 0:
                raise OutsideDomain(f"{self.function} does not reach {self.target}")
            return high
        high = mpmath.mpf(1)
        for _ in range(2_000):
            if gap(low + high) >= 0:
                return low + high
            high *= 2
        raise OutsideDomain(f"{self.function} does not reach {self.target}")

    def _polished(self, t: Any, low: Any, high: Any, gap: Any, values: Mapping[sp.Symbol, Any]) -> Any:
        """Newton's steps inside the bracket, halvings where they leave it."""
        slope = self.slope
        for _ in range(mpmath.mp.prec):
            value = gap(t)
            if value == 0 or high - low <= abs(t) * mpmath.mpf(2) ** (8 - mpmath.mp.prec):
                return t
            low, high = (t, high) if value < 0 else (low, t)
            try:
                rate = evaluate_digits(slope, {**values, self.unknown: t})
                following = t - value / rate
            except ArithmeticError:
                following = low
            if not low < following < high:
                following = (low + high) / 2
            if abs(following - t) <= abs(t) * mpmath.mpf(2) ** (4 - mpmath.mp.prec):
                return following
            t = following
        return t

    def __str__(self) -> str:
        return f"the {self.unknown} in ({self.low}, {self.high}) with {self.function} = {self.target}"


def solve_digits(step: sp.Expr | Root, values: Mapping[sp.Symbol, Any]) -> Any:
    """A step of a chart's inverse in the working precision of mpmath."""
    return step.digits(values) if isinstance(step, Root) else evaluate_digits(step, values)


def solve_tracked(step: sp.Expr | Root, values: Mapping[sp.Symbol, Tracked]) -> Tracked:
    """A step of a chart's inverse in float64 with its running error bound."""
    return step.tracked(values) if isinstance(step, Root) else evaluate_tracked(step, values)
