"""Does a loss grow along every ray from a centre? Proofs by intervals on the faces of a cube of directions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import sympy as sp

from symdiscover.box import bounds_on, is_continuous_on, is_positive
from symdiscover.errors import OutsideDomain
from symdiscover.normal_form import is_zero
from symdiscover.slopes import slope

Interval: TypeAlias = tuple[float, float]
#: Derivatives that may vanish at the centre before one must be positive there.
ORDERS = 5
#: The derivative of that order is looked at on (0, far/4^k), the first one beyond.
SHRINKS = 7
#: Parts into which a side of a face is cut where a level on it is bounded, by the number of its sides.
PARTS = {0: 1, 1: 512, 2: 48, 3: 12}
#: The same for a box of rays and places on them, where only finite bounds are wanted.
CELLS = {1: 64, 2: 24, 3: 8}


@dataclass(frozen=True)
class Face:
    """One face d_k = +1 or -1 of the cube of directions: the directions on it, and the others' ranges."""

    directions: tuple[sp.Expr, ...]
    box: Mapping[sp.Symbol, Interval]


def faces(dimension: int) -> Iterator[Face]:
    """The 2 n faces of the cube |d|_max = 1.

    Examples
    --------
    >>> [face.directions for face in faces(2)]
    [(1, d2), (-1, d2), (d1, 1), (d1, -1)]
    """
    symbols = sp.symbols(f"d1:{dimension + 1}", real=True)
    for k in range(dimension):
        for sign in (1, -1):
            directions = [*symbols[:k], sp.Integer(sign), *symbols[k + 1 :]]
            yield Face(tuple(directions), {s: (-1.0, 1.0) for j, s in enumerate(symbols) if j != k})


def grows(
    function: sp.Expr,
    t: sp.Symbol,
    near: float,
    far: float,
    box: Mapping[sp.Symbol, Interval],
    seconds: float,
) -> bool:
    """Whether a function is proved to increase in t on (near, far), for all values of the others in their box.

    Its derivative is positive there; or, from t = 0 on, the first derivatives vanish at 0 and the next is positive.

    Examples
    --------
    >>> t, d = sp.Symbol("t", positive=True), sp.Symbol("d", real=True)
    >>> grows(t**4 + t**2*d**2 - sp.cos(t), t, 0, 2, {d: (-1, 1)}, 2)
    True
    >>> grows(t**2 + d*t, t, 0, 2, {d: (-1, 1)}, 0.2)
    False
    """
    deadline = time.monotonic() + seconds
    if not _is_continuous(function, {t: (near, far), **box}):
        return False
    tidy = flattened(function, t)
    rate = slope(tidy, t)
    if near > 0:
        return is_positive(rate, {t: (near, far), **box}, seconds)
    for k in range(SHRINKS):
        start = far / 4.0**k
        if _leaves_zero(tidy, t, start, box, min(seconds / 2, deadline - time.monotonic())):
            return k == 0 or is_positive(rate, {t: (start, far), **box}, deadline - time.monotonic())
        if time.monotonic() > deadline:
            break
    return False


def _is_continuous(function: sp.Expr, box: Mapping[sp.Symbol, Interval]) -> bool:
    """Whether no pole, hole or jump hides in the box: across one, the sign of a derivative says nothing."""
    return is_continuous_on(function, box, CELLS.get(len(box), 3))


def _leaves_zero(
    function: sp.Expr, t: sp.Symbol, far: float, box: Mapping[sp.Symbol, Interval], seconds: float
) -> bool:
    """Whether a function increases on (0, far): the first of its derivatives that does not vanish at 0 is positive."""
    derivative = function
    for _ in range(ORDERS):
        derivative = slope(derivative, t)
        if derivative.has(sp.Derivative, sp.Subs, sp.DiracDelta):
            return False
        at_zero = derivative.xreplace({t: sp.Integer(0)})
        if at_zero.has(sp.nan, sp.zoo, sp.oo):
            return False
        if not is_zero(at_zero):
            return is_positive(derivative, {t: (0.0, far), **box}, seconds)
        if not _is_continuous(derivative, {t: (0.0, far), **box}):  # a slope that jumps down may grow beside
            return False
    return False


def flattened(function: sp.Expr, t: sp.Symbol) -> sp.Expr:
    """The function in a form that intervals bound well.

    A polynomial in t is written by its powers; elsewhere powers of t > 0 are taken out of roots and absolute values:
    sqrt(t^2 + d^2 t^2) is t sqrt(1 + d^2).
    """
    if function.is_polynomial(t):
        terms = sp.Poly(function, t).terms()
        return sp.Add(*[sp.expand(coefficient) * t**power for (power,), coefficient in terms])
    if not function.args or not function.has(t):
        return function
    e = function.func(*[flattened(argument, t) for argument in function.args])
    if e.is_Pow and not e.exp.is_Integer:
        return sp.powdenest(sp.factor_terms(_factored(e.base, t)) ** e.exp)
    if isinstance(e, sp.Abs):
        return sp.Abs(_factored(e.args[0], t))
    if isinstance(e, sp.Max | sp.Min) and all(
        (argument / t).is_number or not (argument / t).has(t) for argument in e.args
    ):
        return t * e.func(*[argument / t for argument in e.args])
    return e


def _factored(base: sp.Expr, t: sp.Symbol) -> sp.Expr:
    """The base with the largest power of t in front, where it is a polynomial in t."""
    if not base.is_polynomial(t):
        return base
    terms = sp.Poly(base, t).terms()
    lowest = min(power for (power,), _ in terms)
    rest = sp.Add(*[coefficient * t ** (power - lowest) for (power,), coefficient in terms])
    return t**lowest * rest


def level_bounds(function: Callable[[Face], sp.Expr], dimension: int) -> tuple[float, float]:
    """Bounds of a function of the direction on all faces.

    Raises
    ------
    OutsideDomain
        If it holds a function that is not enclosed, or is not finite there.
    """
    found = [_bounds(function(face), face.box) for face in faces(dimension)]
    low, high = min(low for low, _ in found), max(high for _, high in found)
    if not (low > -float("inf") and high < float("inf")):
        raise OutsideDomain("the loss has no finite bounds on the faces")
    return low, high


def _bounds(expression: sp.Expr, box: Mapping[sp.Symbol, Interval]) -> Interval:
    if not box:
        anything = sp.Dummy()
        return bounds_on(expression, {anything: (0.0, 0.0)}, 1)
    return bounds_on(expression, box, PARTS.get(len(box), 4))
