"""Interval arithmetic on many boxes at once, in float64, rounded outward: proofs that an expression is positive.

An array of intervals is a pair (low, high) of arrays of one shape. Sums, products and square roots are rounded to nearest
and padded by a unit in the last place; other functions are padded by sixty, many times the error that numpy allows them.
What is not known to be a number is the whole real line, and a logarithm or a root of what may be negative is not known to
be one.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean

from symdiscover.enclosure import Enclosure
from symdiscover.errors import OutsideDomain
from symdiscover.slopes import JUMPS, slope

Array: TypeAlias = NDArray[np.float64]
Bounds: TypeAlias = tuple[Array, Array]

_EPSILON, _TINY = 2.0**-52, 1e-300
#: A factor that is smaller, or larger than its reciprocal, has no full precision as a float.
_SMALL = 1e-290
#: Parts into which each side of a box is cut before anything is looked at, and the parts that are looked at together.
_FIRST, _TOGETHER = {1: 16, 2: 8, 3: 4}, 4_000
#: Units in the last place by which functions are padded.
_ULPS = 60
#: Beyond it the argument of a sine is not known to a fraction of a period.
_PERIODIC = 1e9


class Boxes:
    """Encloses expressions over many boxes, remembering every subexpression.

    Parameters
    ----------
    bounds:
        Symbol to (low, high), arrays of one shape (k,).

    Attributes
    ----------
    continuous:
        The boxes on which all that was enclosed so far is finite and does not jump: where it is continuous, in other words.

    Raises
    ------
    OutsideDomain
        On a call, if the expression holds a function without a rule.

    Examples
    --------
    >>> x = sp.Symbol("x", real=True)
    >>> low, high = Boxes({x: (np.array([0.0, -1.0]), np.array([1.0, 2.0]))})(x**2 + 1)
    >>> low.round(9), high.round(9)
    (array([1., 1.]), array([2., 5.]))
    """

    def __init__(self, bounds: Mapping[sp.Symbol, Bounds]) -> None:
        self._known: dict[sp.Basic, Bounds] = dict(bounds)
        self._shape = next(iter(bounds.values()))[0].shape
        self.continuous: NDArray[np.bool_] = np.ones(self._shape, dtype=bool)

    def __call__(self, expression: sp.Expr) -> Bounds:
        if expression not in self._known:
            with np.errstate(all="ignore"):
                low, high = self._known[expression] = _cleaned(*self._enclose(expression))
            self.continuous &= np.isfinite(low) & np.isfinite(high)
        return self._known[expression]

    def _enclose(self, e: sp.Expr) -> Bounds:
        if e.is_number:
            return self._number(e)
        if e.is_Mul and e.args[0].is_Rational:
            coefficient, rest = e.as_coeff_Mul()
            return _scale(self(rest), coefficient)
        if e.is_Add or e.is_Mul:
            terms = [self(argument) for argument in e.args]
            result = terms[0]
            for term in terms[1:]:
                result = _add(result, term) if e.is_Add else _multiply(result, term)
            return result
        if e.is_Pow:
            return self._power(e)
        if isinstance(e, sp.Piecewise):
            return self._piecewise(e)
        if isinstance(e, sp.Max | sp.Min):
            pick = np.maximum if isinstance(e, sp.Max) else np.minimum
            ends = [self(argument) for argument in e.args]
            return pick.reduce([low for low, _ in ends]), pick.reduce([high for _, high in ends])
        rule = _RULES.get(e.func)
        if rule is None or e.args[1:] not in ((), _MIDDLE.get(e.func)):
            raise OutsideDomain(f"no rule to enclose {e.func}")
        low, high = self(e.args[0])
        if e.func in _MIDDLE:
            self.continuous &= (low > 0) | (high < 0)
        return rule(low, high)

    def _number(self, e: sp.Expr) -> Bounds:
        low, high = _ends(e)
        return np.full(self._shape, low), np.full(self._shape, high)

    def _power(self, e: sp.Pow) -> Bounds:
        base, exponent = self(e.base), e.exp
        if exponent.is_Integer and abs(int(exponent)) <= 512:
            return _integer_power(base, int(exponent))
        low = np.maximum(base[0], 0.0) if e.base.is_nonnegative else base[0]
        if exponent == sp.Rational(1, 2):
            return _at_least_zero(_padded(np.sqrt(low), np.sqrt(base[1]), 1))
        low, high = _exp(*_multiply(_log(low, base[1]), self(exponent)))
        return np.where(base[0] < 0, np.nan, low) if not e.base.is_nonnegative else low, high

    def _piecewise(self, e: sp.Piecewise) -> Bounds:
        """The hull of the pieces that may be taken."""
        low, high = np.full(self._shape, np.inf), np.full(self._shape, -np.inf)
        reached = np.ones(self._shape, dtype=bool)
        for value, condition in e.args:
            surely, never = self._holds(condition)
            self.continuous &= ~reached | surely | never
            taken, piece = reached & ~never, self(value)
            low = np.where(taken, np.minimum(low, piece[0]), low)
            high = np.where(taken, np.maximum(high, piece[1]), high)
            reached = reached & ~surely
        return np.where(reached, -np.inf, low), np.where(reached, np.inf, high)

    def _holds(self, condition: Boolean) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Where a condition surely holds, and where it surely does not."""
        if condition in (sp.true, sp.false):
            truth = np.full(self._shape, condition == sp.true)
            return truth, ~truth
        if isinstance(condition, sp.And | sp.Or):
            parts = [self._holds(part) for part in condition.args]
            joined = [np.logical_and.reduce([p[k] for p in parts]) for k in (0, 1)]
            either = [np.logical_or.reduce([p[k] for p in parts]) for k in (0, 1)]
            return (joined[0], either[1]) if isinstance(condition, sp.And) else (either[0], joined[1])
        if isinstance(condition, sp.Not):
            surely, never = self._holds(condition.args[0])
            return never, surely
        if isinstance(condition, Relational) and condition.rel_op in ("<", "<=", ">", ">="):
            low, high = self(condition.gts - condition.lts)
            return (low > 0, high < 0) if condition.rel_op in ("<", ">") else (low >= 0, high < 0)
        nowhere = np.zeros(self._shape, dtype=bool)
        return nowhere, nowhere


def _cleaned(low: Array, high: Array) -> Bounds:
    bad = np.isnan(low) | np.isnan(high) | (low > high)
    return np.where(bad, -np.inf, low), np.where(bad, np.inf, high)


@lru_cache(maxsize=10_000)
def _ends(e: sp.Expr) -> tuple[float, float]:
    """Bounds of a number; of one that is no fraction from many digits, since a few cannot tell it from 0."""
    if e.is_Rational or e.is_Float:
        low = high = float(e)
    else:
        enclosed = Enclosure()(e)
        low, high = float(enclosed.low), float(enclosed.high)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise OutsideDomain(f"{e} is not a finite number")
    if e.is_Integer and abs(low) < 2**53:
        return low, high
    return low - abs(low) * 1e-14 - _TINY, high + abs(high) * 1e-14 + _TINY


def _at_least_zero(bounds: Bounds, where: NDArray[np.bool_] | bool = True) -> Bounds:
    """What the padding of a number that is not negative must not hide."""
    return np.where(where, np.maximum(bounds[0], 0.0), bounds[0]), bounds[1]


def _padded(low: Array, high: Array, ulps: int) -> Bounds:
    pad = ulps * _EPSILON
    return low - np.abs(low) * pad - _TINY, high + np.abs(high) * pad + _TINY


def _add(a: Bounds, b: Bounds) -> Bounds:
    return _at_least_zero(_padded(a[0] + b[0], a[1] + b[1], 1), (a[0] >= 0) & (b[0] >= 0))


def _scale(a: Bounds, by: sp.Rational) -> Bounds:
    value = float(by)
    if not _SMALL < abs(value) < 1 / _SMALL:
        ends = _ends(by)
        return _multiply(a, (np.full_like(a[0], ends[0]), np.full_like(a[0], ends[1])))
    low, high = (a[0] * value, a[1] * value) if value > 0 else (a[1] * value, a[0] * value)
    padded = _padded(low, high, 1 if by.is_Integer and abs(value) < 2**53 else 3)
    return _at_least_zero(padded, (a[0] >= 0) & (value > 0))


def _multiply(a: Bounds, b: Bounds) -> Bounds:
    if a[0].min() > 0 and b[0].min() > 0:
        return _padded(a[0] * b[0], a[1] * b[1], 1)
    ends = [np.where((p == 0) | (q == 0), 0.0, p * q) for p in a for q in b]
    padded = _padded(np.minimum.reduce(ends), np.maximum.reduce(ends), 1)
    return _at_least_zero(padded, (a[0] >= 0) & (b[0] >= 0))


def _integer_power(base: Bounds, exponent: int) -> Bounds:
    if exponent < 0:
        low, high = _integer_power(base, -exponent)
        safe = (low > 0) | (high < 0)
        return np.where(safe, *_padded(1 / high, np.full_like(high, -np.inf), 1)[:1], -np.inf), np.where(
            safe, _padded(low, 1 / low, 1)[1], np.inf
        )
    low, high = base[0] ** exponent, base[1] ** exponent
    if exponent % 2 == 0:
        inside = (base[0] <= 0) & (base[1] >= 0)
        low, high = np.where(inside, 0.0, np.minimum(low, high)), np.maximum(low, high)
        low, high = _padded(low, high, 4 + exponent)
        return np.maximum(low, 0.0), high
    return _padded(low, high, 4 + exponent)


def _exp(low: Array, high: Array) -> Bounds:
    low, high = _padded(np.exp(low), np.exp(high), _ULPS)
    return np.maximum(low, 0.0), high


def _log(low: Array, high: Array) -> Bounds:
    return _padded(np.log(low), np.log(high), _ULPS)


def _cos(low: Array, high: Array) -> Bounds:
    a, b = np.cos(low), np.cos(high)
    # Whether an even or an odd multiple of pi may lie between.
    first, last = low / math.pi - 1e-6, high / math.pi + 1e-6
    even = np.floor(last / 2) * 2 >= first
    odd = np.floor((last - 1) / 2) * 2 + 1 >= first
    wide = (np.abs(low) > _PERIODIC) | (np.abs(high) > _PERIODIC)
    bottom, top = _padded(np.minimum(a, b), np.maximum(a, b), _ULPS)
    pad = _EPSILON * _ULPS
    return (
        np.where(odd | wide, -1.0, np.maximum(bottom - pad, -1.0)),
        np.where(even | wide, 1.0, np.minimum(top + pad, 1.0)),
    )


def _sin(low: Array, high: Array) -> Bounds:
    return _cos(*_padded(*_add((low, high), (np.full_like(low, -math.pi / 2),) * 2), 2))


def _cosh(low: Array, high: Array) -> Bounds:
    a, b = np.cosh(low), np.cosh(high)
    bottom = np.where((low <= 0) & (high >= 0), 1.0, np.minimum(a, b))
    return _padded(bottom, np.maximum(a, b), _ULPS)


def _increasing(function: Callable[[Array], Array]) -> Callable[[Array, Array], Bounds]:
    return lambda low, high: _padded(function(low), function(high), _ULPS)


def _tan(low: Array, high: Array) -> Bounds:
    a, b = _increasing(np.tan)(low, high)
    half = math.pi / 2
    first, last = (low - half) / math.pi - 1e-6, (high - half) / math.pi + 1e-6
    pole = (np.floor(last) >= first) | (np.abs(low) > _PERIODIC) | (np.abs(high) > _PERIODIC)
    return np.where(pole, -np.inf, a), np.where(pole, np.inf, b)


def _abs(low: Array, high: Array) -> Bounds:
    inside = (low <= 0) & (high >= 0)
    return np.where(inside, 0.0, np.minimum(np.abs(low), np.abs(high))), np.maximum(np.abs(low), np.abs(high))


_RULES: dict[type, Callable[[Array, Array], Bounds]] = {
    sp.exp: _exp,
    sp.log: _log,
    sp.cos: _cos,
    sp.sin: _sin,
    sp.cosh: _cosh,
    sp.sinh: _increasing(np.sinh),
    sp.tan: _tan,
    sp.tanh: _increasing(np.tanh),
    sp.atan: _increasing(np.arctan),
    sp.asinh: _increasing(np.arcsinh),
    sp.Abs: _abs,
    sp.sign: lambda low, high: (np.sign(low), np.sign(high)),
    sp.Heaviside: lambda low, high: (np.where(low > 0, 1.0, 0.0), np.where(high < 0, 0.0, 1.0)),
}

#: The functions that jump, and what they take beside their argument: their value where it is 0.
_MIDDLE: dict[type, tuple[sp.Expr, ...]] = {sp.sign: (), sp.Heaviside: (sp.Rational(1, 2),)}


def is_positive(
    expression: sp.Expr,
    box: Mapping[sp.Symbol, tuple[float, float]],
    seconds: float = 2.0,
    count: int = 200_000,
) -> bool:
    """Whether the expression is proved to be positive on a whole box, by halving the box until each part says so.

    The parts are enclosed by their ranges and, where the expression is continuous, by the mean value theorem.

    Examples
    --------
    >>> x, y = sp.symbols("x y", real=True)
    >>> is_positive(x**2 - x*y + y**2 + sp.cos(x), {x: (-1, 1), y: (-2, 2)})
    True
    >>> is_positive(x**2 - 2*x*y + y**2, {x: (-1, 1), y: (1, 2)}, seconds=0.2)
    False
    """
    deadline = time.monotonic() + seconds
    symbols = list(box)
    slopes = [slope(expression, s) for s in symbols]
    smooth = not expression.has(*JUMPS) and not any(rate.has(sp.Derivative, sp.Subs) for rate in slopes)
    low, high = _cells(list(box.values()), _FIRST.get(len(symbols), 2))
    waiting = [(low, high)]
    seen = 0
    while waiting:
        low, high = waiting.pop()
        if len(low) > _TOGETHER:
            waiting.append((low[_TOGETHER:], high[_TOGETHER:]))
            low, high = low[:_TOGETHER], high[:_TOGETHER]
        seen += len(low)
        if seen > count or time.monotonic() > deadline:
            return False
        try:
            unsure, scores = _unsure(expression, slopes if smooth else [], symbols, low, high)
            middle = (low + high) / 2
            value = Boxes({s: (middle[:, k], middle[:, k]) for k, s in enumerate(symbols)})(expression)
        except OutsideDomain:
            return False
        if (value[1] <= 0).any():
            return False
        low, high, scores = low[unsure], high[unsure], scores[unsure]
        widest = np.argmax(scores, axis=1)
        rows = np.arange(len(low))
        cut = (low[rows, widest] + high[rows, widest]) / 2
        if ((cut <= low[rows, widest]) | (cut >= high[rows, widest])).any():
            return False
        left_high, right_low = high.copy(), low.copy()
        left_high[rows, widest] = cut
        right_low[rows, widest] = cut
        if len(low):
            waiting.append((np.concatenate([low, right_low]), np.concatenate([left_high, high])))
    return True


def _cells(sides: Sequence[tuple[float, float]], parts: int) -> tuple[Array, Array]:
    """A box cut into equal parts along each side that is no single number: the lower and the upper corners."""
    cuts = []
    for low, high in sides:
        ends = np.linspace(float(low), float(high), (parts if low < high else 1) + 1)
        cuts.append(list(itertools.pairwise(ends)))
    cells = np.array(list(itertools.product(*cuts)))
    return cells[:, :, 0], cells[:, :, 1]


def _unsure(
    expression: sp.Expr, slopes: Sequence[sp.Expr], symbols: Sequence[sp.Symbol], low: Array, high: Array
) -> tuple[NDArray[np.bool_], Array]:
    """The boxes on which positivity is open, and for each box how much each of its sides matters."""
    at = {s: (low[:, k], high[:, k]) for k, s in enumerate(symbols)}
    boxes = Boxes(at)
    bottom = boxes(expression)[0]
    continuous = boxes.continuous.copy()
    width = high - low
    if not slopes:
        return ~(bottom > 0), width
    middle = (low + high) / 2
    value = Boxes({s: (middle[:, k], middle[:, k]) for k, s in enumerate(symbols)})(expression)
    change = np.zeros_like(bottom)
    scores = []
    with np.errstate(all="ignore"):
        for k, slope in enumerate(slopes):
            a, b = boxes(slope)
            side = np.maximum(np.abs(a), np.abs(b)) * (width[:, k] / 2) * (1 + 1e-12)
            change = change + side * (1 + 1e-12)
            scores.append(np.where(np.isfinite(side), side, np.inf))
        centred = value[0] - change * (1 + 1e-12) - _TINY
    score = np.stack(scores, axis=1)
    score = np.where(
        np.isfinite(score).all(axis=1, keepdims=True) & (score > 0).any(axis=1, keepdims=True), score, width
    )
    return ~((bottom > 0) | ((centred > 0) & continuous)), score


def bounds_on(
    expression: sp.Expr, box: Mapping[sp.Symbol, tuple[float, float]], parts: int = 64
) -> tuple[float, float]:
    """Bounds of an expression on a box, cut into equal parts along each side that is no single number."""
    low, high = _cells(list(box.values()), parts)
    bottom, top = Boxes({s: (low[:, k], high[:, k]) for k, s in enumerate(box)})(expression)
    return float(bottom.min()), float(top.max())


def is_continuous_on(
    expression: sp.Expr, box: Mapping[sp.Symbol, tuple[float, float]], parts: int = 64
) -> bool:
    """Whether every part of the expression is shown to be finite and without a jump on a box, cut into equal parts.

    Examples
    --------
    >>> x = sp.Symbol("x", real=True)
    >>> is_continuous_on(sp.sqrt(x) + 1/x, {x: (1, 2)}), is_continuous_on(sp.atan(1/x), {x: (-1, 2)})
    (True, False)
    """
    low, high = _cells(list(box.values()), parts)
    boxes = Boxes({s: (low[:, k], high[:, k]) for k, s in enumerate(box)})
    try:
        boxes(expression)
    except OutsideDomain:
        return False
    return bool(boxes.continuous.all())
