"""Exact arithmetic with real expressions as fractions of polynomials in their irrational parts.

The parts are symbols, roots, exponentials, sines and cosines, and whatever function is left; the relations between
them that are used are those of roots, cos^2 + sin^2 = 1, cosh^2 - sinh^2 = 1, the addition theorems, and those of
Abs, Max, Min and Heaviside with sign, sign^2 = 1. No greatest common divisor is computed: a sum of fractions
vanishes when its numerator does. An expression whose numerator comes out as zero is zero wherever it is defined, off
the null set where a sign is 0; the converse holds for rational functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sympy as sp
from sympy.core.relational import Relational
from sympy.polys.orderings import lex
from sympy.polys.rings import PolyElement, PolyRing

#: The pairs of terms that all products in one ring may have together.
WORK = 300_000
#: Sums inside an exponential or a sine of more terms than this stay together; so do multiples beyond `MULTIPLE`.
TERMS, MULTIPLE = 12, 16

_EVEN = {sp.cos: sp.sin, sp.cosh: sp.sinh}
_ODD = {sp.sin: sp.cos, sp.sinh: sp.cosh}
_QUOTIENTS = {sp.tan: (sp.sin, sp.cos), sp.tanh: (sp.sinh, sp.cosh), sp.cot: (sp.cos, sp.sin)}
_SIGNS: dict[Any, Callable[..., sp.Expr]] = {
    sp.Abs: lambda u: u * sp.sign(u),
    sp.Heaviside: lambda u, at_zero=None: (1 + sp.sign(u)) / 2,
    sp.Max: lambda u, v: (u + v + (u - v) * sp.sign(u - v)) / 2,
    sp.Min: lambda u, v: (u + v - (u - v) * sp.sign(u - v)) / 2,
}
_UNEVALUATED = (sp.Max, sp.Min, sp.Piecewise, Relational)


class TooLarge(Exception):
    """The fraction would have more terms than are worked with."""


@dataclass(frozen=True)
class Fraction:
    """numerator / product of factor**power; the factors are primitive polynomials."""

    numerator: PolyElement
    factors: dict[PolyElement, int]


class NormalForm:
    """The ring of some expressions, and their fractions in it.

    Parameters
    ----------
    opaque:
        Take the reciprocal of each sum as a part of its own. No common denominator is formed then: sums of many
        fractions stay small, and what cancels only over a common denominator is missed.

    Raises
    ------
    TooLarge
        When a fraction would be too large; also on construction.

    Examples
    --------
    >>> t, b = sp.Symbol("t", real=True), sp.Symbol("b", positive=True)
    >>> e = (sp.cos(t) + sp.sqrt(b)*sp.sin(t)) * (sp.cos(t) - sp.sqrt(b)*sp.sin(t)) - 1 + (b + 1)*sp.sin(t)**2
    >>> NormalForm([e]).fraction(e).numerator
    0
    """

    def __init__(self, expressions: Iterable[sp.Expr], opaque: bool = False) -> None:
        self._opaque = opaque
        self._work = 0
        self._roots: dict[sp.Expr, int] = {}
        self._steps: dict[tuple[Any, sp.Expr], int] = {}
        self._atoms: dict[sp.Expr, None] = {}
        self._seen: set[sp.Expr] = set()
        for expression in expressions:
            self._collect(expression)
        parts: list[sp.Expr] = [*self._atoms]
        parts += [base ** sp.Rational(1, q) for base, q in self._roots.items()]
        parts += [_step(kind, part / n) for (kind, part), n in self._steps.items()]
        for kind, part in self._steps:
            if kind in _ODD:
                other = _step(_ODD[kind], part / self._steps[kind, part])
                parts.append(other)
        #: What each generator of the ring stands for.
        self.parts: tuple[sp.Expr, ...] = tuple(dict.fromkeys(parts))
        self.ring = PolyRing([f"g{i}" for i in range(len(self.parts))], sp.QQ, lex)
        self._index = {part: i for i, part in enumerate(self.parts)}
        self._known: dict[sp.Expr, Fraction] = {}
        self._relations = self._all_relations()

    def fraction(self, expression: sp.Expr) -> Fraction:
        """The expression as a fraction, its numerator reduced by the relations."""
        raw = self._fraction(expression)
        return Fraction(self.reduce(raw.numerator), raw.factors)

    def numerators(self, expressions: Sequence[sp.Expr]) -> list[PolyElement]:
        """The numerators of the expressions over one common denominator, reduced."""
        fractions = [self._fraction(expression) for expression in expressions]
        common = _common(fractions)
        return [self.reduce(self._over(fraction, common)) for fraction in fractions]

    def expression(self, polynomial: PolyElement) -> sp.Expr:
        """The polynomial as an expression."""
        terms = []
        for powers, coefficient in polynomial.terms():
            factors = [part**n for part, n in zip(self.parts, powers, strict=True) if n]
            terms.append(
                sp.Mul(sp.Rational(int(coefficient.numerator), int(coefficient.denominator)), *factors)
            )
        return sp.Add(*terms)

    def reduce(self, polynomial: PolyElement) -> PolyElement:
        """The polynomial with g**q replaced for each relation g**q = r, until no such power is left."""
        changed = True
        while changed:
            changed = False
            for i, q, replacement in self._relations:
                if any(powers[i] >= q for powers in polynomial):
                    polynomial, changed = self._replace(polynomial, i, q, replacement), True
        return polynomial

    def _replace(self, polynomial: PolyElement, i: int, q: int, replacement: PolyElement) -> PolyElement:
        groups: dict[int, PolyElement] = {}
        for powers, coefficient in polynomial.items():
            times, rest = divmod(powers[i], q)
            group = groups.setdefault(times, self.ring.zero)
            group[(*powers[:i], rest, *powers[i + 1 :])] = coefficient
        return sum((self._times(g, self._power(replacement, n)) for n, g in groups.items()), self.ring.zero)

    def _collect(self, e: sp.Expr) -> None:
        if e in self._seen or e.is_Rational:
            return
        self._seen.add(e)
        if e.is_Add or e.is_Mul:
            for argument in e.args:
                self._collect(argument)
        elif (inverse := self._inverse(e)) is not None:
            self._atoms[inverse] = None
        elif (other := _rewritten(e)) is not None:
            self._collect(other)
        elif e.is_Pow and e.exp.is_Rational:
            self._collect(e.base)
            if not e.exp.is_Integer:
                self._roots[e.base] = math.lcm(self._roots.get(e.base, 1), int(e.exp.q))
        elif (multiples := _multiples(e)) is not None:
            kind, terms = multiples
            for c, part in terms:
                self._steps[kind, part] = math.lcm(self._steps.get((kind, part), 1), int(c.q))
        else:
            self._atoms[_canonical_atom(e)] = None

    def _inverse(self, e: sp.Expr) -> sp.Expr | None:
        """1/s where the expression is a negative power of the sum s and that is a part of its own."""
        if self._opaque and e.is_Pow and e.exp.is_Integer and e.exp < 0 and e.base.is_Add:
            return 1 / canonical(e.base)
        return None

    def _all_relations(self) -> list[tuple[int, int, PolyElement]]:
        relations = []
        for base, q in self._roots.items():
            inner = self._fraction(base) if not self._is_root(base) else None
            if inner is not None and not inner.factors:
                relations.append((self._index[base ** sp.Rational(1, q)], q, inner.numerator))
        for i, part in enumerate(self.parts):
            if part.func in (sp.sin, sp.sinh):
                cosine = self.ring.gens[self._index[_ODD[part.func](part.args[0])]]
                square = 1 - cosine**2 if part.func is sp.sin else cosine**2 - 1
                relations.append((i, 2, square))
            elif isinstance(part, sp.sign):
                relations.append((i, 2, self.ring.one))
        return relations

    def _is_root(self, e: sp.Expr) -> bool:
        """Whether the symbol has no generator of its own, but is a power of its root's."""
        return bool(e.is_Symbol and e in self._roots)

    def _fraction(self, e: sp.Expr) -> Fraction:
        known = self._known.get(e)
        if known is None:
            known = self._known[e] = self._build(e)
        return known

    def _build(self, e: sp.Expr) -> Fraction:
        if e.is_Rational:
            return Fraction(self.ring.ground_new(sp.QQ(int(e.p), int(e.q))), {})
        if e.is_Add:
            fractions = [self._fraction(term) for term in e.args]
            common = _common(fractions)
            return Fraction(sum((self._over(f, common) for f in fractions), self.ring.zero), common)
        if e.is_Mul:
            return self._product([self._fraction(factor) for factor in e.args])
        if (inverse := self._inverse(e)) is not None:
            return self._raised(self._generator(inverse), -int(e.exp))
        if (other := _rewritten(e)) is not None:
            return self._fraction(other)
        if e.is_Pow and e.exp.is_Rational:
            if e.exp.is_Integer:
                return self._raised(self._fraction(e.base), int(e.exp))
            return self._raised(
                self._generator(e.base ** sp.Rational(1, self._roots[e.base])),
                int(e.exp * self._roots[e.base]),
            )
        if self._is_root(e):
            return self._raised(self._generator(e ** sp.Rational(1, self._roots[e])), self._roots[e])
        multiples = _multiples(e)
        if multiples is None:
            return self._generator(_canonical_atom(e))
        kind, terms = multiples
        if kind in _ODD:
            return self._sum_of_angles(e.func, kind, terms)
        return self._product([self._stepped(kind, part, c) for c, part in terms])

    def _stepped(self, kind: Any, part: sp.Expr, c: sp.Rational) -> Fraction:
        n = self._steps[kind, part]
        if kind.is_Rational and part == 1 and c.is_Integer:
            return self._fraction(kind**c)
        return self._raised(self._generator(_step(kind, part / n)), int(c * n))

    def _sum_of_angles(self, function: Any, sine: Any, terms: list[tuple[sp.Rational, sp.Expr]]) -> Fraction:
        """cos or sin (cosh or sinh) of sum_i c_i p_i by the addition theorems."""
        sign = -1 if sine is sp.sin else 1
        c, s = self.ring.one, self.ring.zero
        for coefficient, part in terms:
            n = self._steps[sine, part]
            c1 = self.ring.gens[self._index[_step(_ODD[sine], part / n)]]
            s1 = self.ring.gens[self._index[_step(sine, part / n)]]
            steps = int(coefficient * n)
            if steps < 0:
                s1 = -s1
            for _ in range(abs(steps)):
                c, s = (
                    self._times(c, c1) + sign * self._times(s, s1),
                    self._times(s, c1) + self._times(c, s1),
                )
        return Fraction(c if function in _EVEN else s, {})

    def _generator(self, part: sp.Expr) -> Fraction:
        return Fraction(self.ring.gens[self._index[part]], {})

    def _product(self, fractions: Sequence[Fraction]) -> Fraction:
        numerator, factors = self.ring.one, dict[PolyElement, int]()
        for fraction in fractions:
            numerator = self._times(numerator, fraction.numerator)
            for factor, power in fraction.factors.items():
                factors[factor] = factors.get(factor, 0) + power
        return Fraction(*self._shortened(numerator, factors))

    def _raised(self, base: Fraction, power: int) -> Fraction:
        if power >= 0:
            return Fraction(
                self._power(base.numerator, power), {f: n * power for f, n in base.factors.items()}
            )
        if not base.numerator:
            raise ZeroDivisionError
        numerator = self.ring.one
        for factor, n in base.factors.items():
            numerator = self._times(numerator, self._power(factor, -n * power))
        content, primitive = base.numerator.primitive()
        if primitive.LC < 0:
            content, primitive = -content, -primitive
        factors: dict[PolyElement, int] = {}
        if len(primitive) == 1:
            ((powers, coefficient),) = primitive.terms()
            content *= coefficient
            factors = {g: -n * power for g, n in zip(self.ring.gens, powers, strict=True) if n}
        else:
            factors = {primitive: -power}
        return Fraction(*self._shortened(numerator.mul_ground(content**power), factors))

    def _shortened(
        self, numerator: PolyElement, factors: dict[PolyElement, int]
    ) -> tuple[PolyElement, dict[PolyElement, int]]:
        """Generators that divide the numerator are taken out of both."""
        left = dict(factors)
        for i, generator in enumerate(self.ring.gens):
            if left.get(generator) and numerator:
                shared = min(left[generator], min(powers[i] for powers in numerator))
                if shared:
                    numerator = numerator.quo(generator**shared)
                    left[generator] -= shared
        return numerator, {factor: n for factor, n in left.items() if n}

    def _over(self, fraction: Fraction, common: dict[PolyElement, int]) -> PolyElement:
        numerator = fraction.numerator
        for factor, n in common.items():
            numerator = self._times(numerator, self._power(factor, n - fraction.factors.get(factor, 0)))
        return numerator

    def _power(self, polynomial: PolyElement, power: int) -> PolyElement:
        if len(polynomial) == 1:
            return polynomial**power
        result = self.ring.one
        for _ in range(power):
            result = self._times(result, polynomial)
        return result

    def _times(self, left: PolyElement, right: PolyElement) -> PolyElement:
        self._work += len(left) * len(right)
        if self._work > WORK:
            raise TooLarge
        return left * right


def _common(fractions: Sequence[Fraction]) -> dict[PolyElement, int]:
    common: dict[PolyElement, int] = {}
    for fraction in fractions:
        for factor, n in fraction.factors.items():
            common[factor] = max(common.get(factor, 0), n)
    return common


def _step(kind: Any, part: sp.Expr) -> sp.Expr:
    """The generator of a kind at a part: base**part for powers, the function itself for sines and cosines."""
    return kind(part) if isinstance(kind, type) else sp.Pow(kind, part)


def _rewritten(e: sp.Expr) -> sp.Expr | None:
    """Quotients of sines and cosines as such, and by signs what signs can say; None for the rest."""
    if (quotient := _QUOTIENTS.get(e.func)) is not None:
        return quotient[0](e.args[0]) / quotient[1](e.args[0])
    if e.func in _SIGNS and len(e.args) <= 2:
        return _SIGNS[e.func](*e.args)
    if e.is_Pow and e.base.is_Pow and not e.exp.is_Integer and e.base.base.is_real and e.base.exp.is_even:
        return sp.Abs(e.base.base) ** (e.base.exp * e.exp)
    if e.is_Pow and not e.exp.is_Integer and e.base.has(sp.Abs, sp.sign, sp.Max, sp.Min):
        plain_base = canonical(e.base)
        return plain_base**e.exp if plain_base.count_ops() < e.base.count_ops() else None
    if isinstance(e, sp.sign):
        inner = canonical(e.args[0])
        if inner.is_Mul:
            return sp.Mul(*map(sp.sign, inner.args))
        if isinstance(inner, sp.sign):
            return inner
        if inner.is_Pow:
            return sp.sign(inner.base) if inner.exp.is_odd else sp.Integer(1)
        _, primitive = inner.as_content_primitive() if inner.is_Add else (1, inner)
        plain = sp.sign(-primitive) * -1 if primitive.could_extract_minus_sign() else sp.sign(primitive)
        return None if plain == e else plain
    return None


def _multiples(e: sp.Expr) -> tuple[Any, list[tuple[sp.Rational, sp.Expr]]] | None:
    """(kind, [(c_i, p_i)]) for base**sum, sin(sum), ... with sum = sum_i c_i p_i; the kind of a cosine is its sine."""
    if isinstance(e, sp.exp) or e == sp.E:
        kind: Any = sp.E
        argument = e.args[0] if e.args else sp.Integer(1)
    elif e.is_Pow:
        kind, argument = e.base, e.exp
        if kind.is_nonnegative is not True:
            return None
    elif e.func in _ODD or e.func in _EVEN:
        kind, argument = _EVEN.get(e.func, e.func), e.args[0]
    else:
        return None
    argument = canonical(argument)
    terms = [term.as_coeff_Mul() for term in sp.Add.make_args(argument)]
    terms = [(c, part) for c, part in terms if c.is_Rational and c != 0]
    fits = len(terms) <= TERMS and len(terms) == len(sp.Add.make_args(argument))
    if kind in _ODD:
        fits = fits and sum(abs(c.p) for c, _ in terms) <= MULTIPLE
        if not fits and argument.could_extract_minus_sign():
            return kind, [(sp.Integer(-1), -argument)]
    return kind, terms if fits else [(sp.Integer(1), argument)]


def _canonical_atom(e: sp.Expr) -> sp.Expr:
    """The function with its arguments in canonical form."""
    if not e.args:
        return e
    arguments = [_canonical_part(argument) for argument in e.args]
    if arguments == list(e.args):
        return e
    return e.func(*arguments, evaluate=False) if isinstance(e, _UNEVALUATED) else e.func(*arguments)


def _canonical_part(e: sp.Basic) -> sp.Basic:
    if isinstance(e, Relational):
        return e.func(*map(_canonical_part, e.args), evaluate=False)
    if isinstance(e, sp.Expr) and not isinstance(e, sp.functions.elementary.piecewise.ExprCondPair):
        return canonical(e)
    return e.func(*map(_canonical_part, e.args)) if e.args else e


@lru_cache(maxsize=4096)
def canonical(expression: sp.Expr) -> sp.Expr:
    """An equal expression; equal polynomials in the same parts come out equal.

    Examples
    --------
    >>> x, y, t = sp.symbols("x y t", real=True)
    >>> canonical((x*sp.cos(t) - y*sp.sin(t))**2 + (x*sp.sin(t) + y*sp.cos(t))**2)
    x**2 + y**2
    """
    if expression.is_Atom:
        return expression
    try:
        form = NormalForm([expression])
        fraction = form.fraction(expression)
    except (TooLarge, ZeroDivisionError):
        return expression
    result = form.expression(fraction.numerator)
    for factor, n in fraction.factors.items():
        result = result / form.expression(factor) ** n
    return result


def is_zero(expression: sp.Expr) -> bool:
    """Whether it is shown to be zero, with the reciprocals of sums as parts of their own or over a common denominator.

    Examples
    --------
    >>> x, t = sp.symbols("x t", real=True)
    >>> is_zero(sp.exp(2*t) * (x*sp.exp(-t))**2 - x**2), is_zero(sp.sin(2*t) - 2*sp.sin(t))
    (True, False)
    """
    for opaque in (True, False):
        try:
            if not NormalForm([expression], opaque).fraction(expression).numerator:
                return True
        except (TooLarge, ZeroDivisionError):
            continue
    return False
