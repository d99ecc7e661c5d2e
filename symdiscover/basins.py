"""Basins: a loss that is a sum of functions of one coordinate each, looked at between the barriers around a minimum.

With y = A x and L = F(sum_i f_i(y_i)), every f_i falling towards c_i and rising beyond it, u_i = sgn(y_i - c_i)
sqrt(f_i(y_i) - f_i(c_i)) is a chart with L = F(|u|^2 + sum_i f_i(c_i)): O(n) acts on u below the lowest barrier.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp

from symdiscover.box import bounds_on, is_positive
from symdiscover.continuity import is_continuous
from symdiscover.errors import OutsideDomain, SymmetryError
from symdiscover.floats import evaluate_floats
from symdiscover.group import Group
from symdiscover.growth import grows
from symdiscover.identity import decide_zero
from symdiscover.loss import Loss
from symdiscover.normal_form import is_zero
from symdiscover.root import Root
from symdiscover.slopes import slope
from symdiscover.symmetry import Chart, Fact, keeps_length

#: Half the width of the part of an infinite basin in which points are sampled.
WIDE = 10.0
#: Halvings that find where a part reaches the barrier.
HALVINGS = 40


@dataclass(frozen=True)
class Basins:
    """The claim that L = F(sum of f_i(y_i)), y = A x, with one basin for each f_i.

    Parameters
    ----------
    frame:
        A, an invertible matrix of rational numbers.
    parts:
        f_1, ..., f_n; f_i is written in the i-th variable of the loss.
    outer:
        F, written in the first variable of the loss.
    centres, lows, highs:
        f_i falls on (lows_i, centres_i) and rises on (centres_i, highs_i); the ends may be infinite.
    barrier:
        sum_i f_i(y_i) - f_i(c_i) < barrier, below which no end is reached; infinite where there is none.
    inverses:
        For each f_i the distance from c_i at which f_i is f_i(c_i) + x_i^2, to the right and to the left of c_i, as
        expressions in the i-th variable of the loss; none where there is no formula.
    """

    frame: sp.ImmutableMatrix
    parts: tuple[sp.Expr, ...]
    outer: sp.Expr
    centres: tuple[sp.Expr, ...]
    lows: tuple[sp.Expr, ...]
    highs: tuple[sp.Expr, ...]
    barrier: sp.Expr
    inverses: tuple[tuple[sp.Expr, ...], ...]

    name = "basins"

    def __post_init__(self) -> None:
        n = len(self.parts)
        lists = (self.centres, self.lows, self.highs, self.inverses)
        if (
            self.frame.shape != (n, n)
            or any(len(values) != n for values in lists)
            or is_zero(self.frame.det())
        ):
            raise SymmetryError(
                "basins need n parts, centres, ends and inverses, and an invertible n x n frame"
            )
        ordered = zip(self.lows, self.centres, self.highs, strict=True)
        if any(not (low < c < high) for low, c, high in ordered) or not self.barrier > 0:
            raise SymmetryError("the centre of a basin must lie between its ends, below a positive barrier")
        if any((low == -sp.oo) != (high == sp.oo) for low, high in zip(self.lows, self.highs, strict=True)):
            raise SymmetryError("the ends of a basin are both finite or both infinite")
        if any(len(pair) not in (0, 2) for pair in self.inverses):
            raise SymmetryError("the inverse of a part has two sides, or none")

    def admits(self, group: Group) -> bool:
        """Whether the group keeps |u|."""
        return keeps_length(group)

    @property
    def height(self) -> sp.Expr:
        """The bound of |u|^2."""
        return self.barrier

    def cell(self, loss: Loss) -> tuple[list[float], list[list[float]]]:
        """A^{-1} c, and A^{-1} times the larger half width of each basin below the barrier; `WIDE` where it is infinite."""
        back = np.array(self.frame.inv().tolist(), dtype=float)
        spread = back * np.array(
            [max(self._reach(loss, i, s) for s in (1, -1)) for i in range(len(self.parts))]
        )
        return (back @ np.array([float(c) for c in self.centres])).tolist(), spread.tolist()

    @property
    def is_explicit(self) -> bool:
        """Whether every part has an inverse in closed form."""
        return all(self.inverses)

    def chart(self, loss: Loss, coordinates: Sequence[sp.Symbol], scratch: Sequence[sp.Symbol]) -> Chart:
        """The chart; `scratch` are three symbols for each variable: side, distance from the centre, and y_i."""
        self._check_symbols(loss)
        u = tuple(coordinates)
        forward, inverse, y = [], [], []
        for i, (x, offset) in enumerate(zip(loss.variables, self._turned(loss), strict=True)):
            side, distance, place = scratch[3 * i : 3 * i + 3]
            height = self.parts[i].xreplace({x: offset}) - self.ground(loss, i)
            forward.append(_signed_root(height, offset - self.centres[i]))
            inverse.append((side, sp.Piecewise((1, u[i] >= 0), (-1, True))))
            inverse.append((distance, self._distance(loss, i, u[i], side, distance)))
            inverse.append((place, self.centres[i] + side * distance))
            y.append(place)
        back = self.frame.inv() * sp.Matrix(y)
        inverse += zip(loss.variables, back, strict=True)
        return Chart(loss.variables, u, tuple(forward), tuple(inverse), tuple(self._conditions(loss)), self)

    def reduced(self, loss: Loss, coordinates: Sequence[sp.Symbol]) -> sp.Expr:
        """The loss in the chart's coordinates."""
        ground = sp.Add(*[self.ground(loss, i) for i in range(len(self.parts))])
        return self.outer.xreplace({loss.variables[0]: sp.Add(*[u**2 for u in coordinates]) + ground})

    def prove(self, loss: Loss, seconds: float = 10.0) -> list[Fact]:
        """What has to hold, each with whether it is proved."""
        deadline, n = time.monotonic() + seconds, loss.dimension
        total = sp.Add(
            *[
                f.xreplace({x: y})
                for f, x, y in zip(self.parts, loss.variables, self._turned(loss), strict=True)
            ]
        )
        left = self.outer.xreplace({loss.variables[0]: total}) - loss.expression
        sides = [(i, sign) for i in range(n) for sign in (1, -1)]
        t = sp.Symbol("t", positive=True)
        looked_at = {
            (self.beside(loss, i, sign, t), self.width(i, sign)) for i, sign in sides
        }  # equal parts once
        rising = all(
            starts_at_zero(function, t) and rises(function, t, width, deadline - time.monotonic())
            for function, width in looked_at
        )
        return [
            Fact("reduction", "L = F(sum of f_i(y_i))", decide_zero(left).status == "proved", "algebra"),
            Fact(
                "chart",
                "f_i falls towards c_i and rises beyond, so psi(phi(x)) = x",
                rising,
                "intervals, signs of derivatives",
            ),
            Fact(
                "inverse chart",
                "f_i takes each value below the barrier on both sides, so phi(psi(u)) = u",
                self._bounded(loss),
                "interval bounds",
            ),
            *(
                [
                    Fact(
                        "inverse",
                        "f_i(c_i + s r) = f_i(c_i) + u_i^2, r(f_i - f_i(c_i)) = s (y - c_i)",
                        self._inverts(loss),
                        "algebra",
                    )
                ]
                if any(self.inverses)
                else []
            ),
            Fact("domain", "g keeps |u|, and so the barrier", True, "structure"),
        ]

    def ground(self, loss: Loss, i: int) -> sp.Expr:
        """f_i(c_i)."""
        return self.parts[i].xreplace({loss.variables[i]: self.centres[i]})

    def beside(self, loss: Loss, i: int, sign: int | sp.Expr, t: sp.Expr) -> sp.Expr:
        """f_i(c_i + sign t) - f_i(c_i)."""
        return self.parts[i].xreplace({loss.variables[i]: self.centres[i] + sign * t}) - self.ground(loss, i)

    def width(self, i: int, sign: int) -> sp.Expr:
        """How far from c_i the end is."""
        return self.highs[i] - self.centres[i] if sign > 0 else self.centres[i] - self.lows[i]

    def _reach(self, loss: Loss, i: int, sign: int) -> float:
        """How far from c_i the part is below the barrier, by halvings: that may be a small part of the basin."""
        width, t = self.width(i, sign), sp.Dummy("t", real=True)
        if width == sp.oo:
            return WIDE
        part, low, high = self.beside(loss, i, sign, t), 0.0, float(width)
        try:
            for _ in range(HALVINGS):
                middle = (low + high) / 2
                below = float(evaluate_floats(part, {t: middle})) < float(self.barrier)
                low, high = (middle, high) if below else (low, middle)
        except (OutsideDomain, KeyError, TypeError):  # constants, or a function without values in float64
            return float(width)
        return high

    def _check_symbols(self, loss: Loss) -> None:
        """Parts and outer function are functions of one variable each; a centre, end or barrier that moved would be none."""
        constants = set(loss.constants)
        own = [constants | {x} for x in loss.variables]
        if len(own) != len(self.parts):
            raise SymmetryError(
                f"basins of {len(self.parts)} parts are none of a loss of {len(own)} variables"
            )
        numbers = sp.Tuple(*self.frame, *self.centres, *self.lows, *self.highs, self.barrier)
        functions = zip([self.outer, *self.parts], [own[0], *own], strict=True)
        formulas = [(e, allowed) for pair, allowed in zip(self.inverses, own, strict=True) for e in pair]
        if any(e.free_symbols - allowed for e, allowed in [(numbers, constants), *functions, *formulas]):
            raise SymmetryError(
                "basins need numbers for their frame, centres, ends and barrier, and functions of one variable each"
            )

    def _distance(
        self, loss: Loss, i: int, u: sp.Symbol, side: sp.Symbol, unknown: sp.Symbol
    ) -> sp.Expr | Root:
        right, left = self.width(i, 1), self.width(i, -1)
        if self.inverses[i]:
            beyond, before = (e.xreplace({loss.variables[i]: sp.Abs(u)}) for e in self.inverses[i])
            return beyond if beyond == before else sp.Piecewise((beyond, u >= 0), (before, True))
        width = right if right == left else sp.Piecewise((right, u >= 0), (left, True))
        return Root(unknown, self.beside(loss, i, side, unknown), u**2, sp.Integer(0), width)

    def _turned(self, loss: Loss) -> list[sp.Expr]:
        return list(self.frame * sp.Matrix(loss.variables))

    def _conditions(self, loss: Loss) -> Iterator[sp.Basic]:
        for y, low, high in zip(self._turned(loss), self.lows, self.highs, strict=True):
            if low != -sp.oo:
                yield y > low
            if high != sp.oo:
                yield y < high
        if self.barrier != sp.oo:
            heights = zip(self.parts, loss.variables, self._turned(loss), strict=True)
            total = [f.xreplace({x: y}) - self.ground(loss, i) for i, (f, x, y) in enumerate(heights)]
            yield sp.Add(*total) < self.barrier

    def _bounded(self, loss: Loss) -> bool:
        for i in range(len(self.parts)):
            for sign in (1, -1):
                width, t = self.width(i, sign), sp.Symbol("t", positive=True)
                if width == sp.oo:
                    if not is_unbounded(self.beside(loss, i, sign, t), t):
                        return False
                    continue
                if self.barrier == sp.oo:
                    return False
                try:
                    low, _ = bounds_on(self.beside(loss, i, sign, width), {sp.Dummy(): (0.0, 0.0)}, 1)
                except OutsideDomain:
                    return False
                if not sp.Rational(low) >= self.barrier:
                    return False
        return True

    def _inverts(self, loss: Loss) -> bool:
        """Each formula undoes its part: then it is on the right branch, for all values that the part takes."""
        for i, formulas in enumerate(self.inverses):
            for sign, formula in zip((1, -1), formulas, strict=False):
                t, x = sp.Symbol("t", positive=True), loss.variables[i]
                root = sp.sqrt(self.beside(loss, i, sign, t))
                if not undoes(formula.xreplace({x: root}), t, self.width(i, sign)):
                    return False
        return True


def undoes(expression: sp.Expr, t: sp.Symbol, width: sp.Expr) -> bool:
    """Whether an expression in t is t itself on (0, width).

    Examples
    --------
    >>> t = sp.Symbol("t", positive=True)
    >>> undoes(sp.acos(sp.cos(t)), t, sp.Integer(3)), undoes(sp.acos(sp.cos(t)), t, sp.Integer(4))
    (True, False)
    """
    return decide_zero(sp.powdenest(resolved(expression, t, width)) - t, seconds=2).status == "proved"


def resolved(expression: sp.Expr, t: sp.Symbol, width: sp.Expr) -> sp.Expr:
    """The expression for t in (0, width): arguments expanded, |a| and inverses of periodic functions replaced.

    Examples
    --------
    >>> t = sp.Symbol("t", positive=True)
    >>> resolved(sp.Abs(5 - t) + sp.sqrt((t - 9)**2), t, sp.Integer(5))
    14 - 2*t
    """

    def between(e: sp.Expr, low: sp.Expr, high: sp.Expr) -> bool:
        return _is_nonnegative(e - low, t, width) and _is_nonnegative(high - e, t, width)

    def plain(e: Any) -> Any:
        if not e.args or not e.has(t):
            return e
        e = e.func(*[sp.expand(a) if e.is_Function and a.is_polynomial(t) else plain(a) for a in e.args])
        if isinstance(e, sp.Abs):
            a = e.args[0]
            return a if _is_nonnegative(a, t, width) else -a if _is_nonnegative(-a, t, width) else e
        for outer, inner, low, high in _BRANCHES:
            if isinstance(e, outer) and isinstance(e.args[0], inner):
                (angle,) = e.args[0].args
                return angle if between(angle, low, high) else e
        return e

    result: sp.Expr = plain(expression)
    return result


#: Outer function, inner function, and where they undo each other.
_BRANCHES: tuple[tuple[Any, Any, sp.Expr, sp.Expr], ...] = (
    (sp.acos, sp.cos, sp.Integer(0), sp.pi),
    (sp.asin, sp.sin, -sp.pi / 2, sp.pi / 2),
    (sp.atan, sp.tan, -sp.pi / 2, sp.pi / 2),
    (sp.acosh, sp.cosh, sp.Integer(0), sp.oo),
)


def _is_nonnegative(e: sp.Expr, t: sp.Symbol, width: sp.Expr) -> bool:
    """Whether it is proved that an expression is not negative for t in (0, width)."""
    if e == sp.oo or e.is_nonnegative or sp.expand(e).is_nonnegative:
        return True
    if width == sp.oo or e.free_symbols != {t}:
        return False
    at_zero = e.subs(t, 0)
    rising = at_zero.is_nonnegative and rises(e - at_zero, t, width, 0.5)
    end = e.subs(t, width)
    falling = end.is_nonnegative and rises(-e, t, width, 0.5)
    return bool(rising or falling or is_positive(e, {t: (0.0, float(width) * (1 + 1e-15))}, 0.5))


def starts_at_zero(function: sp.Expr, t: sp.Symbol) -> bool:
    """Whether a function of t > 0 tends to 0 with t, as f(c + t) - f(c) does if f does not jump at c.

    Examples
    --------
    >>> t = sp.Symbol("t", positive=True)
    >>> starts_at_zero(sp.exp(t) - 1, t), starts_at_zero(sp.sign(t) ** 2 + t, t)
    (True, False)
    """
    try:
        start = function.xreplace({t: sp.Integer(0)})
    except (TypeError, ValueError):  # Min(1/t, 1)
        return False
    if start.has(sp.nan, sp.zoo, sp.oo, -sp.oo, sp.AccumBounds):
        return False
    return decide_zero(start, thorough=False).status == "proved"


def rises(function: sp.Expr, t: sp.Symbol, width: sp.Expr, seconds: float = 3.0) -> bool:
    """Whether a function is proved to increase in t > 0 on (0, width).

    Examples
    --------
    >>> t = sp.Symbol("t", positive=True)
    >>> rises(t**4 - t**3 + t**2, t, sp.oo), rises(t**2 - sp.cos(t), t, sp.Integer(2)), rises(t**3 - t, t, sp.oo)
    (True, True, False)
    >>> rises(sp.tan(t), t, sp.Integer(1)), rises(sp.tan(t), t, sp.Integer(2))  # a pole lies between
    (True, False)
    """
    if function.has(sp.floor, sp.ceiling, sp.sign, sp.Heaviside, sp.Piecewise):
        return False  # it may jump
    function = resolved(function, t, width) if function.has(sp.Abs) else function
    rate = slope(function, t)
    if is_continuous(function) and (
        rate.is_positive or sp.expand(rate).is_positive or _has_no_root(rate, t, width)
    ):
        return True
    if width == sp.oo or function.free_symbols != {t}:
        return False
    return grows(function, t, 0.0, float(width) * (1 + 1e-15), {}, seconds)


def _has_no_root(rate: sp.Expr, t: sp.Symbol, width: sp.Expr) -> bool:
    """Whether a polynomial with rational coefficients is positive on (0, width), by Sturm's theorem."""
    if not rate.is_polynomial(t):
        return False
    polynomial = sp.Poly(rate, t)
    if polynomial.is_zero or (not polynomial.domain.is_QQ and not polynomial.domain.is_ZZ):
        return False
    while polynomial.eval(0) == 0:
        polynomial = polynomial.quo(sp.Poly(t, t))
    end = width if width == sp.oo or width.is_Rational else None
    if end is None or polynomial.count_roots(0, end) - (end != sp.oo and polynomial.eval(end) == 0):
        return False
    return bool(polynomial.eval(0) > 0)


def is_unbounded(function: sp.Expr, t: sp.Symbol) -> bool:
    """Whether a sum of constants and powers of t > 0 grows beyond all bounds; nothing else is tried."""
    terms = sp.Add.make_args(sp.expand(function))
    powers = [term.as_coeff_exponent(t) for term in terms]
    if any(c.has(t) or not p.is_Rational for c, p in powers):
        return False
    highest = max(p for _, p in powers)
    leading = sp.Add(*[c for c, p in powers if p == highest])
    return bool(highest > 0 and leading.is_positive)


def _signed_root(height: sp.Expr, offset: sp.Expr) -> sp.Expr:
    """sgn(offset) sqrt(height), without the sign where the height is a square times something positive."""
    quotient = sp.cancel(height / offset**2) if height.is_polynomial() else None
    if quotient is not None and quotient.is_number and quotient.is_positive:
        return sp.sqrt(quotient) * offset
    return sp.sign(offset) * sp.sqrt(height if height.is_nonnegative else sp.Abs(height))
