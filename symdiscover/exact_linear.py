"""Exact linear algebra over a real field Q(radicals, constants), with signs where they can be decided.

Over Q and real algebraic numbers an entry is zero or not. With symbolic positive constants a pivot such as
a - 1 vanishes at some of their values: a `Span` notes it as an assumption, or refuses it where the field is
strict.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import sympy as sp
from sympy.polys.domains.domain import Domain

from symdiscover.errors import SymmetryError

#: A sparse vector: coordinate -> nonzero element of the field. Negative coordinates of a `Span` are labels.
Vector = dict[int, Any]

#: Numbers are told from zero in this many digits.
DIGITS = 60


class Undecided(Exception):
    """A strict field met a quantity that vanishes at some values of the constants."""


@dataclass(frozen=True, eq=False)
class Field:
    """The smallest field that `Field.of` could build around some expressions.

    Parameters
    ----------
    domain:
        The SymPy domain of its elements: QQ, QQ<radicals>, or rational functions over one of these.
    generators:
        Constant or number -> (the generator x of the domain that stands for it, q), constant = x**q.
    strict:
        Whether to raise `Undecided` instead of assuming that a constant avoids the zeros of a pivot.

    Examples
    --------
    >>> a = sp.Symbol("a", positive=True)
    >>> K = Field.of([sp.sqrt(2) * a])
    >>> x = K.element(sp.sqrt(2) * a - 1)
    >>> K.expression(x * x), K.sign(x), K.sign(x + 2)
    (2*a**2 - 2*sqrt(2)*a + 1, None, 1)
    """

    domain: Domain
    generators: Mapping[sp.Expr, tuple[sp.Symbol, int]] = field(default_factory=dict)
    strict: bool = False

    @classmethod
    def of(cls, expressions: Iterable[sp.Expr]) -> Field:
        """The field that the real expressions lie in.

        Raises
        ------
        SymmetryError
            If an entry is a float, is not real, or is no rational function of constants, their roots, and
            numbers.
        """
        radicals: set[sp.Expr] = set()
        roots: dict[sp.Expr, int] = {}
        for expression in expressions:
            _collect(sp.sympify(expression, strict=True), radicals, roots)
        domain: Domain = sp.QQ
        for radical in sorted(radicals, key=sp.default_sort_key):
            try:
                domain.from_sympy(radical)
            except sp.CoercionFailed:
                known = domain.orig_ext if domain.is_Algebraic else ()
                domain = sp.QQ.algebraic_field(*known, radical)
        names = sorted(roots, key=sp.default_sort_key)
        generators = {x: (x if x.is_Symbol and roots[x] == 1 else sp.Dummy(), roots[x]) for x in names}
        if generators:
            domain = domain.frac_field(*(x for x, _ in generators.values()))
        return cls(domain, generators)

    def as_strict(self) -> Field:
        """The same field, refusing every assumption on the constants."""
        return replace(self, strict=True)

    def element(self, expression: sp.Expr) -> Any:
        """The element of the domain that equals the expression."""
        e = sp.sympify(expression, strict=True)
        if e.is_Rational:
            return self.domain.convert(sp.QQ(int(e.p), int(e.q)), sp.QQ)
        if e in self.generators:
            x, q = self.generators[e]
            return self.domain.from_sympy(x) ** q
        if e.is_Add:
            return sum((self.element(term) for term in e.args), self.domain.zero)
        if e.is_Mul:
            return math.prod((self.element(factor) for factor in e.args), start=self.domain.one)
        if e.is_Pow and e.base in self.generators and e.exp.is_Rational:
            x, q = self.generators[e.base]
            return self._power(self.domain.from_sympy(x), e.exp * q)
        if e.is_Pow and e.exp.is_Integer:
            return self._power(self.element(e.base), e.exp)
        base = self.domain.domain if self.generators else self.domain
        return self.domain.convert(_radical(base, e), base)

    def _power(self, x: Any, exponent: sp.Integer) -> Any:
        n = int(exponent)
        if n < 0 and not x:
            raise SymmetryError("an entry has a zero denominator")
        return x**n if n >= 0 else self.domain.one / x ** (-n)

    def expression(self, x: Any) -> sp.Expr:
        """The SymPy expression of an element."""
        e = self.domain.to_sympy(x)
        return e.xreplace({g: c ** sp.Rational(1, q) for c, (g, q) in self.generators.items() if g != c})

    def sign(self, x: Any) -> int | None:
        """The sign of x at all positive values of the constants, -1, 0 or 1; None where it is not decided."""
        if not x:
            return 0
        if not self.generators:
            return (1 if x > 0 else -1) if self.domain.is_QQ else _number_sign(self.domain.to_sympy(x))
        above, below = self._definite(x.numer), self._definite(x.denom)
        return above * below if above and below else None

    def nonzero(self, x: Any) -> bool:
        """Whether x is shown to differ from zero at all positive values of the constants."""
        return bool(x) and (not self.generators or self._definite(x.numer) is not None)

    def _definite(self, polynomial: Any) -> int | None:
        """The common sign of the coefficients of a polynomial in positive constants, and then its own."""
        numbers = {i: c for i, c in enumerate(self.generators) if not c.free_symbols}
        coefficients: dict[tuple[int, ...], sp.Expr] = {}
        for powers, coefficient in polynomial.terms():
            key = tuple(n for i, n in enumerate(powers) if i not in numbers)
            value = polynomial.ring.domain.to_sympy(coefficient) * sp.Mul(
                *(c ** powers[i] for i, c in numbers.items())
            )
            coefficients[key] = coefficients.get(key, sp.Integer(0)) + value
        constants = [c for c in self.generators if c.free_symbols]
        if any(n and not c.is_positive for key in coefficients for c, n in zip(constants, key, strict=True)):
            return None
        signs = {_number_sign(value) for value in coefficients.values()}
        return signs.pop() if len(signs) == 1 else None


def _collect(e: sp.Expr, radicals: set[sp.Expr], roots: dict[sp.Expr, int]) -> None:
    """Note what must be adjoined to Q for `e`: radicals, constants with their roots, other real numbers."""
    if e.is_Rational:
        return
    if e.is_Add or e.is_Mul or (e.is_Pow and e.exp.is_Integer):
        for part in e.args:
            _collect(part, radicals, roots)
    elif e.is_Symbol and e.is_real:
        roots[e] = roots.get(e, 1)
    elif e.is_Pow and e.base.is_Symbol and e.base.is_positive and e.exp.is_Rational:
        roots[e.base] = math.lcm(roots.get(e.base, 1), int(e.exp.q))
    elif e.is_Float or e.free_symbols or e.is_real is not True:
        reason = (
            "a float: give the exact number" if e.is_Float else "no real rational function of the constants"
        )
        raise SymmetryError(f"the entry {e} is {reason}")
    elif e.is_Pow and e.is_algebraic:
        radicals.add(e)
    else:
        roots[e] = 1


@lru_cache(maxsize=256)
def _radical(domain: Domain, e: sp.Expr) -> Any:
    # SymPy solves a field embedding for every call.
    return domain.from_sympy(e)


def _number_sign(value: sp.Expr) -> int | None:
    """The sign of a real number other than zero, or None if it is below what the digits resolve."""
    if value.is_Rational:
        return int(sp.sign(value)) or None
    approximation = sp.N(value, DIGITS)
    if not approximation.is_Float or abs(approximation) < sp.Float(10) ** (-DIGITS // 2):
        return None
    return 1 if approximation > 0 else -1


class Span:
    """A growing subspace of vectors in reduced echelon form.

    Coordinates below zero are carried along and are never pivots: a vector added with 1 at -1 - i is known as
    the i-th, and `coordinates` gives combinations of such vectors.

    Examples
    --------
    >>> K = Field.of([])
    >>> span = Span(K, [{0: K.element(sp.Integer(2))}])
    >>> span.add({0: K.domain.one}), span.add({0: K.domain.one, 1: K.domain.one}), len(span)
    (False, True, 2)
    """

    def __init__(self, field: Field, vectors: Iterable[Vector] = ()) -> None:
        self.field = field
        self.rows: dict[int, Vector] = {}
        self.assumed: list[Any] = []
        for vector in vectors:
            self.add(vector)

    def __len__(self) -> int:
        return len(self.rows)

    def reduce(self, vector: Vector) -> Vector:
        """The vector less its part in the span; what is left has no coordinate at a pivot."""
        left = dict(vector)
        for pivot in [k for k in vector if k in self.rows]:
            subtract(left, vector[pivot], self.rows[pivot])
        return left

    def __contains__(self, vector: Vector) -> bool:
        return all(k < 0 for k in self.reduce(vector))

    def add(self, vector: Vector) -> bool:
        """Add the vector to the span; False if it was there.

        Raises
        ------
        Undecided
            If the field is strict and whether the vector is new depends on the values of the constants.
        SymmetryError
            If two numbers differ formally and agree in 60 digits.
        """
        left = self.reduce(vector)
        places = sorted(k for k in left if k >= 0)
        if not places:
            return False
        pivot = next((k for k in places if self.field.nonzero(left[k])), None)
        if pivot is None:
            pivot = places[0]
            if self.field.strict:
                raise Undecided
            if any(not c.free_symbols for c in self.field.generators):
                raise SymmetryError(f"cannot decide whether {self.field.expression(left[pivot])} is zero")
            self.assumed.append(left[pivot])
        scale = self.field.domain.one / left[pivot]
        row = {k: c * scale for k, c in left.items()}
        for other in self.rows.values():
            if pivot in other:
                subtract(other, other[pivot], row)
        self.rows[pivot] = row
        return True

    def coordinates(self, vector: Vector) -> Vector | None:
        """The combination of labelled vectors that equals `vector`; None if it is outside the span."""
        left = self.reduce(vector)
        return None if any(k >= 0 for k in left) else {-1 - k: -c for k, c in left.items()}


def subtract(target: Vector, factor: Any, vector: Vector) -> None:
    """target <- target - factor * vector, without stored zeros."""
    for k, c in vector.items():
        value = target[k] - factor * c if k in target else -factor * c
        if value:
            target[k] = value
        else:
            target.pop(k, None)


def combine(coefficients: Mapping[int, Any], vectors: Sequence[Vector]) -> Vector:
    """sum_i c_i v_i."""
    total: Vector = {}
    for i, c in coefficients.items():
        subtract(total, -c, vectors[i])
    return total


def kernel(field: Field, equations: Iterable[Vector], size: int) -> list[Vector]:
    """A basis of {x in K^size : sum_k r_k x_k = 0 for every equation r}."""
    span = Span(field, equations)
    return [
        {j: field.domain.one, **{p: -row[j] for p, row in span.rows.items() if j in row}}
        for j in range(size)
        if j not in span.rows
    ]


def signature(field: Field, matrix: Sequence[Sequence[Any]]) -> tuple[int, int, int] | None:
    """(positive, negative, zero) of a symmetric matrix by congruence (LDL^T); None if a sign is not decided.

    Where the diagonal vanishes, a pair with M_ij != 0 is a hyperbolic plane and counts (1, 1).

    Examples
    --------
    >>> K = Field.of([])
    >>> signature(K, [[K.domain(x) for x in row] for row in ((0, 1, 0), (1, 0, 0), (0, 0, -3))])
    (1, 2, 0)
    """
    rows = [list(row) for row in matrix]
    positive = negative = 0
    while any(any(row) for row in rows):
        n = len(rows)
        diagonal = [i for i in range(n) if rows[i][i]]
        if diagonal:
            i, sign = next(((i, s) for i in diagonal if (s := field.sign(rows[i][i]))), (0, None))
            if sign is None:
                return None
            positive, negative = positive + (sign > 0), negative + (sign < 0)
            pivot = rows[i]
            rows = [
                [rows[k][l] - pivot[k] * pivot[l] / pivot[i] if pivot[k] and pivot[l] else rows[k][l]
                 for l in range(n) if l != i] for k in range(n) if k != i
            ]  # fmt: skip
            continue
        pair = next(((i, j) for i in range(n) for j in range(i) if field.nonzero(rows[i][j])), None)
        if pair is None:
            return None
        i, j = pair
        a, b, c = rows[i], rows[j], rows[i][j]
        rows = [
            [rows[k][l] - (a[k] * b[l] + b[k] * a[l]) / c for l in range(n) if l not in pair]
            for k in range(n) if k not in pair
        ]  # fmt: skip
        positive, negative = positive + 1, negative + 1
    return positive, negative, len(rows)
