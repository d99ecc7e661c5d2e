"""Which symmetries an elementwise function has, found and proved from its expression; nothing is looked up.

What a pair of layers admits follows from sigma alone: z sigma' = k sigma gives scaling, sigma' = k sigma turns a
shift into a scale, sigma(-z) = +-sigma(z) + kappa gives sign flips, sigma(z + p) = +-sigma(z) discrete shifts.
Each candidate is read off exact values, refuted by numbers far out and on both sides of every kink, and what
survives is proved piece by piece (`pieces`); what is not proved is absent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import sympy as sp

from symdiscover.network.finder import Finder, Proof
from symdiscover.network.formula import GIVEN_UP, Undecided
from symdiscover.network.formula import Z as Z
from symdiscover.network.pieces import split
from symdiscover.number import rational_of


@dataclass(frozen=True)
class Relations:
    """The relations of one function sigma of `Z` that are proved, for all z in its domain.

    Other symbols in them are constants that are not known; a relation holds for each of their values. A scale c < 0
    has no relation of its own: it follows from `degree` and `parity` together. A constant is even with slope 0; its
    other relations would leave a number undetermined and are left out.

    Attributes
    ----------
    degree:
        k != 0 with sigma(c z) = c^k sigma(z) for all c > 0.
    parity, kappa:
        "odd", "even", or "affine": sigma(-z) = kappa - sigma(z), kappa != 0.
    slope:
        m with sigma(z + t) = sigma(z) + m t for all t.
    growth:
        k with sigma(z + t) = e^(k t) sigma(z) for all t.
    period, half_period:
        The smallest p > 0 found with sigma(z + p) = sigma(z), and q = p/2 where sigma(z + q) = -sigma(z).
    constant:
        Whether sigma does not depend on z.
    inverse:
        An expression in `Z` with inverse(sigma(z)) = z on the whole domain, an interval.
    range:
        Infimum and supremum of a sigma that is continuous and strictly monotone on its domain, an interval.
    proofs:
        One for each relation.
    domain:
        Where sigma is real and finite; None where this is not known.
    """

    expression: sp.Expr
    degree: sp.Rational | None = None
    parity: Literal["odd", "even", "affine"] | None = None
    kappa: sp.Expr | None = None
    slope: sp.Expr | None = None
    growth: sp.Expr | None = None
    period: sp.Expr | None = None
    half_period: sp.Expr | None = None
    constant: bool = False
    inverse: sp.Expr | None = None
    range: tuple[sp.Expr, sp.Expr] | None = None
    proofs: tuple[Proof, ...] = field(default=(), repr=False)
    domain: sp.Set | None = None

    def __str__(self) -> str:
        lines = [f"sigma(z) = {self.expression}", *map(str, self.proofs)]
        return "\n".join(lines if self.proofs else [*lines, "no relation is proved"])


@lru_cache(maxsize=1024)
def relations(expression: sp.Expr) -> Relations:
    """Everything that one elementwise function is proved to admit: see `Relations`.

    Parameters
    ----------
    expression:
        In `Z`; other symbols are real constants, for whose every value a relation must hold. Floats are read as the
        shortest rational that rounds to them.

    Notes
    -----
    The relations are those of Zhao et al. 2022, section 4.2 (degree), and of Hecht-Nielsen 1990, Chen et al. 1993
    (signs of odd functions), found from the determining equation of a pair of layers.

    Examples
    --------
    >>> found = relations(1 / (1 + sp.exp(-Z)))
    >>> found.parity, found.kappa, found.range, found.degree
    ('affine', 1, (0, 1), None)
    >>> print(relations(sp.Max(Z, 0)))
    sigma(z) = Max(0, z)
    sigma(c z) = c sigma(z) for c > 0: proved (structure on z < 0; structure on z > 0; value at z = 0)
    >>> print(relations(sp.Max(Z, 0) + sp.Rational(1, 10)))
    sigma(z) = Max(0, z) + 1/10
    no relation is proved
    """
    exact = rational(expression)
    if exact.has(sp.nan, sp.zoo, sp.oo, -sp.oo, sp.I) or not all(s.is_real for s in exact.free_symbols):
        return Relations(expression)
    try:
        pieces = split(exact)
    except (Undecided, *GIVEN_UP):
        pieces = None
    finder = Finder(exact, pieces)
    finder.search()
    domain = None if pieces is None else pieces.domain
    return Relations(expression, **finder.found, proofs=tuple(finder.proofs), domain=domain)


def rational(expression: sp.Expr) -> sp.Expr:
    """The expression with the shortest rational that rounds to it for each Float.

    Examples
    --------
    >>> rational(0.1 * Z)
    z/10
    """

    def exactly(value: sp.Float) -> sp.Expr:
        number = float(value)
        if not math.isfinite(number):
            return sp.oo if number > 0 else -sp.oo if number < 0 else sp.nan
        size = rational_of(repr(abs(number)))
        return sp.Rational(size.numerator, size.denominator) * (-1 if number < 0 else 1)

    return expression.xreplace({value: exactly(value) for value in expression.atoms(sp.Float)})


@dataclass(frozen=True)
class Homogeneity:
    """The proof of sigma(c z) = c^degree sigma(z) for all c > 0 and all real z: on z > 0, z < 0 and at 0."""

    expression: sp.Expr
    degree: sp.Rational

    def __str__(self) -> str:
        power = "c" if self.degree == 1 else f"c^{self.degree}"
        return f"sigma(c z) = {power} sigma(z) for c > 0, sigma(z) = {self.expression}: proved"


def homogeneity(expression: sp.Expr) -> Homogeneity | None:
    """The degree k > 0 with sigma(c z) = c^k sigma(z) for every c > 0 and every real z, proved; None where none is.

    Notes
    -----
    Degrees as in Zhao et al. 2022, section 4.2, where k = 1. The zero function and degree 0 (the sign
    function) have no scale to hand on and count as none.

    Examples
    --------
    >>> homogeneity(sp.Abs(Z)).degree
    1
    >>> homogeneity(Z**2).degree
    2
    >>> homogeneity(sp.tanh(Z)) is None
    True
    """
    found = relations(expression)
    if found.degree is None or not found.degree > 0 or found.domain != sp.Reals:
        return None
    return Homogeneity(expression, found.degree)
