"""Where a function of `Z` is a bijection: its range, and its inverse in closed form."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TypeAlias

import sympy as sp

from symdiscover.budget import call
from symdiscover.identity import value_at
from symdiscover.network.formula import GIVEN_UP, Undecided, Z, is_zero, sign_between, unwind
from symdiscover.network.pieces import Pieces, split, vanishes

#: The ends of an open interval and the formula between them.
Part: TypeAlias = tuple[sp.Expr, sp.Expr, sp.Expr]
#: For a limit, which may not end.
_SECONDS = 3.0


@dataclass(frozen=True)
class Bijection:
    """A strictly monotone, continuous function on an open interval.

    Attributes
    ----------
    rising:
        Whether it increases.
    range:
        Its infimum and supremum there.
    inverse:
        In `Z`, where one in closed form is found; `how` it is proved.
    """

    rising: bool
    range: tuple[sp.Expr, sp.Expr]
    inverse: sp.Expr | None
    how: str


def bijection_of(pieces: Pieces) -> Bijection | None:
    """The range and inverse of what is proved strictly monotone and continuous where it is real; None elsewhere.

    A piece is strictly monotone if its derivative has one sign on it and is not identically zero: the zeros of
    an analytic function are isolated.

    Examples
    --------
    >>> from symdiscover.network.pieces import split
    >>> found = bijection_of(split(sp.tanh(Z)))
    >>> found.range, found.inverse
    ((-1, 1), atanh(z))
    >>> bijection_of(split(Z**2)) is None
    True
    """
    parts = [(low, high, branch) for low, high, branch in pieces.intervals() if branch is not None]
    if not parts or any(before[1] != after[0] for before, after in itertools.pairwise(parts)):
        return None
    signs = set()
    for low, high, branch in parts:
        slope = sp.diff(branch, Z)
        signs.add(0 if is_zero(slope) else sign_between(slope, low, high))
    if signs not in ({1}, {-1}):
        return None
    values = dict(zip(pieces.kinks, pieces.values, strict=True))
    for (_, kink, left), (_, _, right) in itertools.pairwise(parts):
        value = values[kink]
        if value is None or not (
            is_zero(left.subs(Z, kink) - value) and is_zero(right.subs(Z, kink) - value)
        ):
            return None
    first, last = _limit(parts[0][2], parts[0][0], "+"), _limit(parts[-1][2], parts[-1][1], "-")
    if first is None or last is None:
        return None
    rising = signs == {1}
    if not rising:
        first, last = last, first
    inverse, how = _inverse(parts, values, rising, (first, last))
    return Bijection(rising, (first, last), inverse, how)


def _limit(branch: sp.Expr, end: sp.Expr, side: str) -> sp.Expr | None:
    """The limit of a monotone formula at an end of its interval, a number or an infinity."""
    value = branch.subs(Z, end)
    if value.has(sp.nan, sp.zoo, sp.AccumBounds) or not value.is_extended_real:
        try:
            if branch.is_rational_function(Z):
                value = sp.limit(branch, Z, end, side)
            else:
                value = call(sp.limit, branch, Z, end, side, seconds=_SECONDS)
        except GIVEN_UP:
            return None
    return value if value.is_extended_real and _approached(branch, end, side, value) else None


def _approached(branch: sp.Expr, end: sp.Expr, side: str, limit: sp.Expr) -> bool:
    """Whether values near the end agree with a limit: SymPy 1.14 takes that of 2**z at -oo for infinite."""
    constants = {symbol: sp.Rational(17, 13) for symbol in branch.free_symbols - {Z}}
    steps = [sp.Integer(10) ** k for k in (2, 4)]
    if end.is_infinite:
        points = [step if end > 0 else -step for step in steps]
    else:
        points = [sp.Rational(sp.N(end, 30)) + (1 if side == "+" else -1) / step for step in steps]
    near, nearer = (value_at(branch, {**constants, Z: point}, 50) for point in points)
    if near is None or nearer is None:
        return False
    if limit.is_infinite:
        return bool((nearer > near) == bool(limit > 0))
    distance, closer = (abs(value - sp.N(limit.xreplace(constants), 50)) for value in (near, nearer))
    return bool(closer <= distance and closer < 0.1)


def _inverse(
    parts: list[Part], values: dict[sp.Expr, sp.Expr | None], rising: bool, reach: tuple[sp.Expr, sp.Expr]
) -> tuple[sp.Expr | None, str]:
    """The inverse of each piece on its part of the range, which ends at the value at a kink."""
    y = sp.Symbol("y", real=True)
    cases: list[tuple[sp.Expr, object]] = []
    proofs = []
    for low, high, branch in parts:
        for candidate in (found.xreplace({y: Z}) for found in unwind(branch, y)):
            if (how := _undoes(candidate, branch, low, high, reach)) is not None:
                break
        else:
            return None, ""
        end = values.get(high)
        cases.append((candidate, True if end is None else (sp.Lt if rising else sp.Gt)(Z, end)))
        proofs.append(how)
    return (sp.Piecewise(*cases) if len(cases) > 1 else cases[0][0]), "; ".join(proofs)


def _undoes(
    candidate: sp.Expr, branch: sp.Expr, low: sp.Expr, high: sp.Expr, reach: tuple[sp.Expr, sp.Expr]
) -> str | None:
    """How inverse(sigma(z)) = z is proved on a piece; or, on the whole line, sigma(inverse(y)) = y on the range."""
    if candidate.has(sp.nan, sp.zoo, sp.oo):
        return None
    try:
        how = vanishes(candidate.xreplace({Z: branch}) - Z, low, high)
        if how is None and (low, high) == (-sp.oo, sp.oo) and None not in split(candidate, *reach).branches:
            how = vanishes(branch.xreplace({Z: candidate}) - Z, *reach)
            return how and f"sigma(inverse(z)) = z by {how}, and sigma is one-to-one"
    except (Undecided, *GIVEN_UP):
        return None
    return how
