"""Interval arithmetic over the reals with 60 digits, rounded outward: one rule for each function.

A rule maps enclosures of the arguments to one of the value. Of a range it takes the part inside the natural
domain and fails where that part is empty; of one number (`fixed`) it must be certain that it lies inside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import mpmath
import sympy as sp

from symdiscover.errors import OutsideDomain

# A context of its own: the caller's mpmath precision is neither read nor changed.
_MP = mpmath.MPContext()
_MP.prec = 200
Real: TypeAlias = Any  # an mpf of that context
# Two hundred bits less a margin for functions that are not rounded correctly in the last place.
_ULPS = _MP.ldexp(1, -185)
_ZERO, _HALF, _ONE, _INF = _MP.mpf(0), _MP.mpf("0.5"), _MP.mpf(1), _MP.inf
LARGEST = _MP.mpf(2) ** 1024 * (1 - _MP.ldexp(1, -54))
SMALLEST = _MP.ldexp(1, -1074)
_EXP_RANGE = 746
# Beyond it the argument of a sine, itself rounded, is not known to a fraction of a period.
_PERIODIC = _MP.ldexp(1, 90)


@dataclass(frozen=True, slots=True)
class Interval:
    """The closed interval [low, high]; `fixed` says that it encloses one number rather than a range."""

    low: Real
    high: Real
    fixed: bool = False

    @property
    def is_zero(self) -> bool:
        return bool(self.low == 0 and self.high == 0)

    def __contains__(self, value: object) -> bool:
        return bool(self.low <= value <= self.high)


Bounds: TypeAlias = tuple[Real, Real]
REAL_LINE = Interval(-_INF, _INF)
HALF_LINE = Interval(_ZERO, _INF)


def _padded(low: Real, high: Real) -> Bounds:
    """Round outward. Where mpmath returns 0 it is exact, and stays."""
    return low - _slack(low), high + _slack(high)


def _slack(value: Real) -> Real:
    return abs(value) * _ULPS if abs(value) != _INF else _ZERO


def checked(bounds: Bounds, fixed: bool) -> Interval:
    """The interval, if double precision holds one of its numbers, and all of them where it is fixed."""
    low, high = bounds
    if low > LARGEST or high < -LARGEST or (fixed and (high > LARGEST or low < -LARGEST)):
        raise OutsideDomain("the value overflows double precision (1.8e308)")
    if fixed and (low, high) != (0, 0) and low > -SMALLEST and high < SMALLEST:
        raise OutsideDomain("the value is not 0 but underflows double precision (5e-324)")
    return Interval(-_INF if low < -LARGEST else low, _INF if high > LARGEST else high, fixed)


def exactly(value: float) -> Interval:
    """The interval that holds one double."""
    return Interval(_MP.mpf(value), _MP.mpf(value), fixed=True)


def rational(expr: sp.Rational) -> Interval:
    """p/q, an interval of one number where that has 60 digits."""
    numerator, denominator = int(expr.p), int(expr.q)
    value = _MP.mpf(numerator) / denominator
    exact = denominator == 1 and numerator.bit_length() <= _MP.prec
    return checked((value, value) if exact else _padded(value, value), fixed=True)


def _times(a: Real, b: Real) -> Real:
    return _ZERO if a == 0 or b == 0 else a * b


def _sum(*terms: Interval) -> Bounds:
    low, high = terms[0].low, terms[0].high
    for term in terms[1:]:
        low, high = _padded(low + term.low, high + term.high)
    return low, high


def _product(*factors: Interval) -> Bounds:
    low, high = factors[0].low, factors[0].high
    for factor in factors[1:]:
        ends = [_times(a, b) for a in (low, high) for b in (factor.low, factor.high)]
        low, high = _padded(min(ends), max(ends))
    return low, high


def power(base: Interval, exponent: Interval, integer: int | None) -> Bounds:
    """b**e; `integer` is the exponent where it is one, for then the base may be negative."""
    if integer is not None:
        return _integer_power(base, integer)
    if not exponent.fixed and base.high <= 0:
        raise OutsideDomain("the base of a power with a variable exponent is never positive")
    if base.high < 0 or (base.fixed and base.low < 0):
        raise OutsideDomain("the base of a fractional power is negative, or cannot be told from 0")
    low = max(base.low, _ZERO)
    if exponent.low <= 0 and (base.high <= 0 or (base.fixed and low <= 0)):
        raise OutsideDomain("the base of a power that may divide is 0")
    if base.high == 0:
        return _ZERO, _ZERO
    return _exp_of(*_product(Interval(_logarithm(low), _logarithm(base.high)), exponent))


def _integer_power(base: Interval, exponent: int) -> Bounds:
    if exponent < 0:
        return _reciprocal(*_integer_power(base, -exponent), base.fixed)
    low, high = base.low**exponent, base.high**exponent
    if exponent % 2 == 0:
        low, high = (_ZERO if 0 in base else min(low, high)), max(low, high)
    return _padded(low, high)


def _reciprocal(low: Real, high: Real, fixed: bool) -> Bounds:
    if low == 0 == high:
        raise OutsideDomain("division by 0")
    if low <= 0 <= high and fixed:
        raise OutsideDomain("division by a number that cannot be told from 0")
    if low < 0 < high:
        return -_INF, _INF
    return _padded(_ONE / high if high else -_INF, _ONE / low if low else _INF)


def _logarithm(value: Real) -> Real:
    if value == 0 or value == _INF:
        return -_INF if value == 0 else _INF
    return _MP.log(value)


def _exp_of(low: Real, high: Real) -> Bounds:
    """exp of both ends; beyond the range of doubles only whether it is 0, tiny or infinite is kept."""
    return _padded(
        _ZERO if low < -_EXP_RANGE else _INF if low > _EXP_RANGE else _MP.exp(low),
        _INF if high > _EXP_RANGE else _MP.exp(max(high, -_EXP_RANGE)),
    )


def _exp(u: Interval) -> Bounds:
    return _exp_of(u.low, u.high)


def _monotone(function: Callable[[Real], Real]) -> Callable[[Interval], Bounds]:
    return lambda u: _padded(function(u.low), function(u.high))


def _log(u: Interval) -> Bounds:
    if u.high <= 0:
        raise OutsideDomain("the argument of log is never positive")
    if u.fixed and u.low <= 0:
        raise OutsideDomain("the argument of log cannot be told from 0")
    return _padded(_logarithm(max(u.low, _ZERO)), _logarithm(u.high))


def _multiples(u: Interval, offset: Real) -> tuple[int, int]:
    """The first and last k with (k + offset) pi possibly in the interval; last < first where none is."""
    low, high = u.low / _MP.pi, u.high / _MP.pi
    return (
        int(_MP.ceil(low - offset - (1 + abs(low)) * _ULPS)),
        int(_MP.floor(high - offset + (1 + abs(high)) * _ULPS)),
    )


def _wave(function: Callable[[Real], Real], crest: Real) -> Callable[[Interval], Bounds]:
    """sin or cos: 1 at (k + crest) pi for even k, -1 for odd k, and monotone in between."""

    def rule(u: Interval) -> Bounds:
        if max(abs(u.low), abs(u.high)) > _PERIODIC:
            return -_ONE, _ONE
        first, last = _multiples(u, crest)
        ends = function(u.low), function(u.high)
        low, high = _padded(min(ends), max(ends))
        if last > first or (last == first and last % 2 == 0):
            high = _ONE
        if last > first or (last == first and last % 2 == 1):
            low = -_ONE
        return max(low, -_ONE), min(high, _ONE)

    return rule


def _with_poles(name: str, function: Callable[[Real], Real], pole: Real) -> Callable[[Interval], Bounds]:
    """tan or cot: monotone between the poles (k + pole) pi."""

    def rule(u: Interval) -> Bounds:
        poles = max(abs(u.low), abs(u.high)) > _PERIODIC
        if not poles:
            first, last = _multiples(u, pole)
            poles = first <= last
        if poles and u.fixed:
            raise OutsideDomain(f"the argument of {name} cannot be told from a pole")
        if poles:
            return -_INF, _INF
        ends = function(u.low), function(u.high)
        return _padded(min(ends), max(ends))

    return rule


def _within(
    name: str, least: Real, greatest: Real, function: Callable[[Real], Real]
) -> Callable[[Interval], Bounds]:
    """An increasing or decreasing function whose domain is [least, greatest]."""

    def rule(u: Interval) -> Bounds:
        if u.high < least or u.low > greatest:
            raise OutsideDomain(f"the argument of {name} is outside its domain")
        if u.fixed and (u.low < least or u.high > greatest):
            raise OutsideDomain(f"the argument of {name} cannot be told from the end of its domain")
        ends = function(max(u.low, least)), function(min(u.high, greatest))
        return _padded(min(ends), max(ends))

    return rule


def _atanh(u: Interval) -> Bounds:
    if u.high <= -1 or u.low >= 1:
        raise OutsideDomain("the argument of atanh is outside its domain")
    if u.fixed and (u.low <= -1 or u.high >= 1):
        raise OutsideDomain("the argument of atanh cannot be told from the end of its domain")
    low, high = max(u.low, -_ONE), min(u.high, _ONE)
    return _padded(-_INF if low == -1 else _MP.atanh(low), _INF if high == 1 else _MP.atanh(high))


def _sinh(value: Real) -> Real:
    return _MP.sinh(value) if abs(value) <= _EXP_RANGE else _MP.sign(value) * _INF


def _cosh(u: Interval) -> Bounds:
    low, high = _abs(u)
    return _padded(*(_MP.cosh(end) if end <= _EXP_RANGE else _INF for end in (low, high)))


def _abs(u: Interval) -> Bounds:
    ends = abs(u.low), abs(u.high)
    return (_ZERO if 0 in u else min(ends)), max(ends)


def _sign(u: Interval) -> Bounds:
    if u.fixed and 0 in u and not u.is_zero:
        raise OutsideDomain("the sign of a number that cannot be told from 0")
    return _MP.sign(u.low), _MP.sign(u.high)


def _step(function: Callable[[Real], Real]) -> Callable[[Interval], Bounds]:
    def rule(u: Interval) -> Bounds:
        low, high = (end if abs(end) == _INF else function(end) for end in (u.low, u.high))
        if u.fixed and low != high:
            raise OutsideDomain("floor or ceiling of a number that cannot be told from an integer")
        return low, high

    return rule


def _atan2(y: Interval, x: Interval) -> Bounds:
    fixed = (y.fixed or y.is_zero) and (x.fixed or x.is_zero)
    origin = 0 in x and 0 in y
    # The angle jumps from pi to -pi below the negative x axis.
    jump = x.low < 0 and y.low < 0 <= y.high
    if fixed and (origin or jump):
        raise OutsideDomain("atan2 of numbers that cannot be told from 0")
    if origin or jump or _INF in map(abs, (x.low, x.high, y.low, y.high)):
        high = +_MP.pi if x.low < 0 else _MP.pi / 2
        return _padded(_ZERO if y.low >= 0 else -high, _ZERO if y.high < 0 else high)
    # On a box without origin and jump both partial derivatives keep their sign along every edge.
    ends = [_MP.atan2(b, a) for a in (x.low, x.high) for b in (y.low, y.high)]
    return _padded(min(ends), max(ends))


def _largest(*args: Interval) -> Bounds:
    return max(arg.low for arg in args), max(arg.high for arg in args)


def _smallest(*args: Interval) -> Bounds:
    return min(arg.low for arg in args), min(arg.high for arg in args)


CONSTANTS: dict[sp.Expr, Interval] = {
    sp.pi: checked(_padded(+_MP.pi, +_MP.pi), fixed=True),
    sp.E: checked(_padded(+_MP.e, +_MP.e), fixed=True),
}
RULES: dict[Any, Callable[..., Bounds]] = {
    sp.Add: _sum,
    sp.Mul: _product,
    sp.exp: _exp,
    sp.log: _log,
    sp.sin: _wave(_MP.sin, _HALF),
    sp.cos: _wave(_MP.cos, _ZERO),
    sp.tan: _with_poles("tan", _MP.tan, _HALF),
    sp.cot: _with_poles("cot", _MP.cot, _ZERO),
    sp.asin: _within("asin", -_ONE, _ONE, _MP.asin),
    sp.acos: _within("acos", -_ONE, _ONE, _MP.acos),
    sp.atan: _monotone(_MP.atan),
    sp.atan2: _atan2,
    sp.sinh: _monotone(_sinh),
    sp.cosh: _cosh,
    sp.tanh: _monotone(_MP.tanh),
    sp.asinh: _monotone(_MP.asinh),
    sp.acosh: _within("acosh", _ONE, _INF, _MP.acosh),
    sp.atanh: _atanh,
    sp.Abs: _abs,
    sp.sign: _sign,
    sp.floor: _step(_MP.floor),
    sp.ceiling: _step(_MP.ceil),
    sp.Max: _largest,
    sp.Min: _smallest,
}
