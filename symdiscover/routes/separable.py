"""Separability: L = F(f_1(y_1) + ... + f_n(y_n)) or F(f_1(y_1) ... f_n(y_n)), y = A x, turned as if it were a sphere.

In a basin u_i = sgn(y_i - c_i) sqrt(f_i(y_i) - f_i(c_i)) makes a sum |u|^2, on which O(n) acts below the lowest barrier.
A product is the exponential of a sum of logarithms. The basins are found in numbers; that they are such is for `verify`.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import mpmath
import numpy as np
import sympy as sp

from symdiscover.basins import Basins, is_unbounded, resolved, rises, starts_at_zero, undoes
from symdiscover.box import bounds_on
from symdiscover.errors import OutsideDomain, SymmetryError
from symdiscover.floats import evaluate_floats
from symdiscover.group import SO, Group, O
from symdiscover.identity import EXPANDED_TERMS, expanded_terms
from symdiscover.loss import Loss
from symdiscover.rounding import evaluate_digits
from symdiscover.routes import NoSymmetry
from symdiscover.routes._centres import linear_forms
from symdiscover.routes._minima import nearby_numbers
from symdiscover.routes._outer import Composition, compositions
from symdiscover.slopes import slope
from symdiscover.symmetry import Kind, Symmetry, coordinate_symbols, unused

order = 60
lifts = False

#: Where basins are looked for: places on each half axis, up to REACH; those nearer than NEAR come first.
NEAR, REACH = 12.0, 600.0
#: Beyond it nothing rises any more.
HEIGHT = 1e12
_GRID = np.concatenate([np.linspace(0, 12, 2401), np.geomspace(12.005, REACH, 4000)])
#: Seconds after which no further centre is looked at.
SECONDS = 8.0
#: Digits in which slopes at centres are told from 0.
DIGITS = 60
#: Frames that are tried beside the identity, and candidates for the inverse of a part.
FRAMES, CANDIDATES = 6, 24


@dataclass(frozen=True)
class Basin:
    """One part with its centre, its ends, and its inverse on both sides where there is a formula."""

    part: sp.Expr
    centre: sp.Expr
    low: sp.Expr
    high: sp.Expr
    inverse: tuple[sp.Expr, ...]
    barrier: float


def find(loss: Loss, found: tuple[Symmetry, ...] = ()) -> list[Symmetry]:
    """O(n) on the basins of a separable loss, SO(2) in two dimensions.

    Examples
    --------
    >>> symmetry = find(Loss.parse("x**4 + 3*abs(y - 1)"))[0]
    >>> symmetry.group.name, symmetry.kind
    ('SO(2)', 'closed-form')
    >>> find(Loss.parse("x**2 - 10*cos(2*pi*x) + y**2 - 10*cos(2*pi*y)"))[0].kind
    'implicit'
    """
    n = loss.dimension
    if n == 1:
        raise NoSymmetry("a loss of one variable: see the route ray")
    if any(s.group.dimension >= n - 1 for s in found):
        raise NoSymmetry("what was found already moves each point anywhere on its level set")
    deadline = time.monotonic() + SECONDS
    reason = "no sum and no product of functions of one variable each, nor of a linear form each"
    for frame in _frames(loss):
        for parts, outer in _separations(loss, frame):
            basins = _basins(loss, parts, deadline)
            if basins is None:
                reason = "separable, but a part has no basin whose centre is a short number"
                continue
            try:
                return [_claim(loss, frame, basins, outer)]
            except (SymmetryError, OutsideDomain) as refused:
                reason = f"separable, but {refused}"
    raise NoSymmetry(reason)


def _frames(loss: Loss) -> Iterator[sp.ImmutableMatrix]:
    """The identity; then, for two variables, pairs of linear forms that stand in the loss, and x + y with x - y."""
    n = loss.dimension
    yield sp.ImmutableMatrix(sp.eye(n))
    if n != 2:
        return
    rows = [[sp.diff(form, x) for x in loss.variables] for form in linear_forms(loss)]
    rows = [row for row in rows if all(e.is_Rational for e in row) and all(row)]
    pairs = [*itertools.combinations([*rows, [1, 0], [0, 1]], 2), ([1, 1], [1, -1])]
    seen: list[sp.ImmutableMatrix] = []
    for pair in pairs:
        frame = sp.ImmutableMatrix([_normal(row) for row in pair])
        if frame.det() != 0 and frame not in seen and not frame.is_Identity and len(seen) < FRAMES:
            seen.append(frame)
            yield frame


def _normal(row: Sequence[sp.Expr]) -> list[sp.Expr]:
    first = next(entry for entry in map(sp.sympify, row) if entry != 0)
    return [entry / first for entry in row]


def _separations(loss: Loss, frame: sp.ImmutableMatrix) -> Iterator[tuple[list[sp.Expr], sp.Expr]]:
    """(f_1, ..., f_n) and F with L = F(sum of f_i), F written in the first variable."""
    back = list(frame.inv() * sp.Matrix(loss.variables))
    turned = dict(zip(loss.variables, back, strict=True))
    slot = loss.variables[0]
    for composition in compositions(loss):
        inner = composition.inner.xreplace(turned)
        if not frame.is_Identity:
            inner = _tidy(inner)
        for expression in dict.fromkeys([inner, _expanded(inner)]):
            if (parts := _summands(expression, loss)) is not None:
                yield parts, composition.at(slot)
                yield [-f for f in parts], composition.at(-slot)
                break
        if (product := _factors(inner, composition, loss)) is not None:
            parts, outer = product
            yield parts, outer
            yield [-f for f in parts], outer.xreplace({slot: -slot})


def _expanded(e: sp.Expr) -> sp.Expr:
    return sp.expand(e) if expanded_terms(e) <= EXPANDED_TERMS else e


def _tidy(e: sp.Expr) -> sp.Expr:
    """Arguments of functions and bases of powers expanded: after a change of variables they are linear forms again."""
    short = lambda a: isinstance(a, sp.Expr) and a.is_Add and expanded_terms(a) <= 200  # noqa: E731
    return e.replace(short, lambda a: sp.expand(a) if a.is_polynomial() else a)


def _summands(e: sp.Expr, loss: Loss) -> list[sp.Expr] | None:
    """The parts of a sum of functions of one variable each; constants go to the first."""
    parts = [sp.Integer(0)] * loss.dimension
    for term in sp.Add.make_args(e):
        used = [i for i, x in enumerate(loss.variables) if x in term.free_symbols]
        if len(used) > 1:
            return None
        parts[used[0] if used else 0] += term
    return (
        parts if all(x in part.free_symbols for x, part in zip(loss.variables, parts, strict=True)) else None
    )


def _factors(e: sp.Expr, composition: Composition, loss: Loss) -> tuple[list[sp.Expr], sp.Expr] | None:
    """For a product of functions of one variable each: -log|f_i|, and the outer function that this leaves."""
    if not e.is_Mul:
        e = sp.factor(e) if e.is_polynomial(*loss.variables) and e.count_ops() < 100 else sp.powsimp(e)
    factors = [sp.Integer(1)] * loss.dimension
    constant = sp.Integer(1)
    for factor in sp.Mul.make_args(sp.expand_power_exp(e) if e.is_Mul else e):
        used = [i for i, x in enumerate(loss.variables) if x in factor.free_symbols]
        if len(used) > 1:
            return None
        if used:
            factors[used[0]] *= factor
        else:
            constant *= factor
    if not all(x in f.free_symbols for x, f in zip(loss.variables, factors, strict=True)):
        return None
    signed = []
    for x, f in zip(loss.variables, factors, strict=True):
        values = evaluate_floats(f, {x: np.linspace(-20, 20, 801)})
        finite = values[np.isfinite(values)]
        if not len(finite):
            return None
        sign = 1 if abs(finite.max()) >= abs(finite.min()) else -1
        signed.append(sign * f)
        constant *= sign
    outer = composition.at(constant * sp.exp(-loss.variables[0]))
    return [-sp.log(f) for f in signed], outer


def _basins(loss: Loss, parts: Sequence[sp.Expr], deadline: float) -> list[Basin] | None:
    """A basin of every part; None where one has none that is found in time."""
    basins = []
    for part, x in zip(parts, loss.variables, strict=True):
        if (basin := _basin(part, x, deadline)) is None:
            return None
        basins.append(basin)
    return basins


def _basin(part: sp.Expr, x: sp.Symbol, deadline: float) -> Basin | None:
    """The lowest basin of a function of one variable, its centre an exact number."""
    if part.free_symbols != {x}:
        return _power_basin(part, x)
    for centre in _centres(part, x):
        if time.monotonic() > deadline:
            return None
        t = sp.Symbol("t", positive=True)
        ground = part.xreplace({x: centre})
        sides = [part.xreplace({x: centre + sign * t}) - ground for sign in (1, -1)]
        if not all(starts_at_zero(side, t) and not _falls_at_once(side, t) for side in sides):
            continue
        if all(rises(side, t, sp.oo, 1.0) for side in sides) and _unbounded(sides, t):
            return Basin(part, centre, -sp.oo, sp.oo, _inverse(sides, t, x, (sp.oo, sp.oo)), math.inf)
        reach = [_reach(side, t) for side in sides]
        for shrink in (1.0, 0.8, 0.5, 0.25):
            right, left = (_shortened(shrink * end) for end in reach)
            if min(right, left) <= 0 or not all(
                rises(s, t, w, 1.0) for s, w in zip(sides, (right, left), strict=True)
            ):
                continue
            barrier = min(_value_at(sides[0], t, right), _value_at(sides[1], t, left))
            if barrier > 0:
                inverse = _inverse(sides, t, x, (right, left))
                return Basin(part, centre, centre - left, centre + right, inverse, barrier)
    return None


def _falls_at_once(side: sp.Expr, t: sp.Symbol) -> bool:
    """Whether a function of the distance has a negative slope at 0, as beside a centre that is none to the last digit."""
    rate = slope(side, t)
    if rate.has(sp.floor, sp.ceiling, sp.Piecewise):
        return False
    with mpmath.workdps(DIGITS):
        least, at = mpmath.mpf(10) ** (-DIGITS // 2), {t: mpmath.mpf(0)}
        try:
            kinks = [node.args[0] for node in rate.atoms(sp.sign, sp.Heaviside)]
            if any(abs(evaluate_digits(kink, at)) < least for kink in kinks):
                return False
            return bool(evaluate_digits(rate, at) < -least)
        except (ArithmeticError, OutsideDomain, TypeError):
            return False


def _power_basin(part: sp.Expr, x: sp.Symbol) -> Basin | None:
    """Of a part with symbolic constants: a basin around 0, where it rises on all of both sides."""
    t = sp.Symbol("t", positive=True)
    ground = part.xreplace({x: sp.Integer(0)})
    if not ground.is_real:
        return None
    sides = [sp.expand(part.xreplace({x: sign * t}) - ground) for sign in (1, -1)]
    if not (all(rises(side, t, sp.oo) for side in sides) and _unbounded(sides, t)):
        return None
    return Basin(part, sp.Integer(0), -sp.oo, sp.oo, _inverse(sides, t, x, (sp.oo, sp.oo)), math.inf)


def _unbounded(sides: Sequence[sp.Expr], t: sp.Symbol) -> bool:
    return all(is_unbounded(side, t) for side in sides)


def _centres(part: sp.Expr, x: sp.Symbol) -> list[sp.Expr]:
    """Exact numbers at which a function seems to have local minima: near 0 first, then the lowest, then the nearest."""
    places = np.concatenate([-_GRID[:0:-1], _GRID])
    heights = evaluate_floats(part, {x: places}) + np.zeros(len(places))
    inside = heights[1:-1]
    with np.errstate(all="ignore"):
        low = np.isfinite(inside) & (inside <= heights[:-2]) & (inside <= heights[2:])
    found = sorted(
        (abs(place) > NEAR, round(height, 6), abs(place), -place)
        for height, place in zip(inside[low].tolist(), places[1:-1][low].tolist(), strict=True)
    )[:8]
    numbers: dict[sp.Expr, None] = {}
    exact = _critical_points(part, x)
    for *_, mirrored in found:
        place = -mirrored
        near = [c for c in exact if abs(float(c) - place) < 0.02 * (1 + abs(place))]
        refined = _refined(part, x, place)
        for tolerance in (1e-6, 1e-3):  # a flat minimum is not found to many digits
            numbers |= dict.fromkeys(n for (n,) in nearby_numbers([refined], tolerance * (1 + abs(place))))
        numbers |= dict.fromkeys(near)
    return list(numbers)


def _refined(part: sp.Expr, x: sp.Symbol, place: float) -> float:
    """A local minimum by shrinking grids."""
    width = 0.02 * (1 + abs(place))
    for _ in range(12):
        near = place + np.linspace(-width, width, 41)
        heights = evaluate_floats(part, {x: near}) + np.zeros(41)
        place = float(near[int(np.nanargmin(np.where(np.isfinite(heights), heights, np.inf)))])
        width /= 8
    return place


def _critical_points(part: sp.Expr, x: sp.Symbol) -> list[sp.Expr]:
    """The real zeros of the derivative of a polynomial, where square roots write them."""
    slope = sp.diff(part, x)
    if not slope.is_polynomial(x):
        return []
    found = []
    for factor, _ in sp.factor_list(slope, x)[1]:
        polynomial = sp.Poly(factor, x)
        if polynomial.degree() <= 2:
            found += [c for c in sp.roots(polynomial) if c.is_real]
    return found


def _reach(side: sp.Expr, t: sp.Symbol) -> float:
    """How far a function of the distance seems to rise."""
    with np.errstate(all="ignore"):
        places = np.concatenate([np.linspace(0, 12, 4801)[1:], np.geomspace(12.005, REACH, 2000)])
        heights = evaluate_floats(side, {t: places}) + np.zeros(len(places))
        stops = np.flatnonzero(~((np.diff(heights) > 0) & (heights[1:] < HEIGHT)))
    # Around a flat minimum the first rises are lost in rounding.
    stops = stops[places[stops] > 1e-2]
    return float(places[stops[0]]) if len(stops) else float(places[-1])


def _shortened(width: float) -> sp.Rational:
    """A little less, in three digits."""
    if not width > 0:
        return sp.Integer(0)
    power = 2 - math.floor(math.log10(width))
    return sp.Rational(math.floor(0.999 * width * 10.0**power)) / sp.Integer(10) ** power


def _value_at(side: sp.Expr, t: sp.Symbol, width: sp.Expr) -> float:
    try:
        return bounds_on(side.xreplace({t: width}), {sp.Dummy(): (0.0, 0.0)}, 1)[0]
    except OutsideDomain:
        return 0.0


def _inverse(
    sides: Sequence[sp.Expr], t: sp.Symbol, x: sp.Symbol, widths: Sequence[sp.Expr]
) -> tuple[sp.Expr, ...]:
    """For both sides the distance at which the part has risen by x^2, where peeling the part shows it."""
    formulas = []
    for side, width in zip(sides, widths, strict=True):
        plain = resolved(side, t, width)
        candidates = itertools.islice(_solutions(plain, t, x**2), CANDIDATES)
        place = 1.0 if width == sp.oo else float(width) / 3
        numeric = side.free_symbols == {t}
        for formula in candidates:
            if numeric:
                rise = float(evaluate_floats(side, {t: place}))
                value = float(evaluate_floats(formula, {x: math.sqrt(max(rise, 0.0))}))
                if not abs(value - place) < 1e-6 * place:
                    continue
            if undoes(formula.xreplace({x: sp.sqrt(side)}), t, width):
                formulas.append(formula)
                break
        else:
            return ()
    return tuple(formulas)


def _solutions(e: sp.Expr, t: sp.Symbol, value: sp.Expr, depth: int = 12) -> Iterator[sp.Expr]:
    """Candidates for t with e = value, where t stands once, or in two powers of which one is the square of the other."""
    if e == t:
        yield value
        return
    if depth == 0:
        return
    if e.is_Add or e.is_polynomial(t):
        constant, rest = e.as_independent(t, as_Add=True)
        e, value = rest, value - constant
        terms = [term.as_coeff_exponent(t) for term in sp.Add.make_args(sp.expand(e))]
        if all(not c.has(t) for c, _ in terms) and len(terms) <= 2:
            yield from _of_powers(sorted(terms, key=lambda term: term[1]), value)
            return
        if (square := sp.sqrt(sp.factor(e))).is_polynomial(t):
            yield from _solutions(square, t, sp.sqrt(value), depth - 1)
            return
    for inner, image in _peeled(e, t, value):
        yield from _solutions(inner, t, image, depth - 1)


def _of_powers(terms: Sequence[tuple[sp.Expr, sp.Expr]], value: sp.Expr) -> Iterator[sp.Expr]:
    """a t^k = value, or a t^k + b t^(2 k) = value, for t > 0."""
    a, k = terms[0]
    if len(terms) == 1:
        yield (value / a) ** (1 / k)
        return
    b, double = terms[1]
    if double == 2 * k:
        for sign in (1, -1):
            yield (2 * value / (a + sign * sp.sqrt(a**2 + 4 * b * value))) ** (1 / k)


def _peeled(e: sp.Expr, t: sp.Symbol, value: sp.Expr) -> Iterator[tuple[sp.Expr, sp.Expr]]:
    """The equation with the outermost function taken off, in as many ways as that has inverses."""
    if e.is_Mul:
        factor, rest = e.as_independent(t, as_Add=False)
        if factor != 1:
            yield rest, value / factor
    elif e.is_Pow and e.exp.is_Rational:
        root = value ** (1 / e.exp)
        yield e.base, root
        if e.exp.is_Integer:
            yield e.base, -root if e.exp.is_even else -((-value) ** (1 / e.exp))
    else:
        for inverse in _INVERSES.get(e.func, ()):
            yield e.args[0], inverse(value)


_INVERSES: dict[type, tuple[Callable[[sp.Expr], sp.Expr], ...]] = {
    sp.exp: (sp.log,),
    sp.log: (sp.exp,),
    sp.sinh: (sp.asinh,),
    sp.tanh: (sp.atanh,),
    sp.atan: (sp.tan,),
    sp.Abs: (lambda v: v, lambda v: -v),
    sp.cosh: (sp.acosh, lambda v: -sp.acosh(v)),
    sp.cos: (sp.acos, lambda v: -sp.acos(v), lambda v: 2 * sp.pi - sp.acos(v)),
    sp.sin: (sp.asin, lambda v: sp.pi - sp.asin(v), lambda v: -sp.pi - sp.asin(v)),
}


def _claim(loss: Loss, frame: sp.ImmutableMatrix, basins: Sequence[Basin], outer: sp.Expr) -> Symmetry:
    barrier = min(basin.barrier for basin in basins)
    lemma = Basins(
        frame,
        tuple(b.part for b in basins),
        outer,
        tuple(b.centre for b in basins),
        tuple(b.low for b in basins),
        tuple(b.high for b in basins),
        sp.oo if barrier == math.inf else _shortened(barrier),
        tuple(b.inverse for b in basins),
    )
    coordinates = coordinate_symbols(loss.variables, loss.constants)
    names = [f"{letter}{i}" for i in range(1, loss.dimension + 1) for letter in ("side", "r", "y")]
    taken = Loss(loss.expression, (*loss.variables, *coordinates), loss.constants)
    scratch = unused([sp.Symbol(name, real=True) for name in names], taken)
    group: Group = SO(2) if loss.dimension == 2 else O(loss.dimension)
    kind: Kind = "implicit"
    if lemma.is_explicit:
        kind = "closed-form" if lemma.barrier == sp.oo else "branch"
    chart = lemma.chart(loss, coordinates, scratch)
    return Symmetry(loss, group, chart, kind, "separable", lemma.reduced(loss, coordinates))
