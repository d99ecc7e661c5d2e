"""Completing squares with constant coefficients, and the symmetry of what comes out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import mpmath
import sympy as sp

from symdiscover.group import SO, Group, O, Reflection
from symdiscover.identity import expanded_terms
from symdiscover.loss import Loss
from symdiscover.rounding import evaluate_digits
from symdiscover.routes._outer import Composition
from symdiscover.symmetry import Chart, Kind, Symmetry, coordinate_symbols

#: A square is not completed where what it leaves has more terms than this.
TERMS = 3_000


@dataclass(frozen=True)
class Square:
    """One term a * l^2 with a constant a of known sign; l is solved for `variable`.

    `solution` gives the variable from `slot`, the value of l, and from variables that are solved before it.
    """

    coefficient: sp.Expr
    form: sp.Expr
    variable: sp.Symbol
    slots: tuple[sp.Symbol, ...]
    solution: sp.Expr


@dataclass(frozen=True)
class Squares:
    """M = sum of squares + rest, the rest free of the variables that were completed (in this order)."""

    squares: tuple[Square, ...]
    rest: sp.Expr
    variables: tuple[sp.Symbol, ...]

    @property
    def complete(self) -> bool:
        """Whether no variable is left."""
        return not self.variables


def coefficients(expression: sp.Expr, variable: sp.Symbol, degree: int = 2) -> list[sp.Expr] | None:
    """[c_0, ..., c_degree] in powers of the variable; None if it is no polynomial of that degree in it."""
    if not expression.is_polynomial(variable):
        return None
    polynomial = sp.Poly(expression, variable)
    if polynomial.degree() > degree:
        return None
    listed = polynomial.all_coeffs()[::-1]
    return [*listed, *[sp.Integer(0)] * (degree + 1 - len(listed))]


def may_be_constant(expression: sp.Expr, loss: Loss) -> bool:
    """Whether the expression takes one value at three random points: a cheap test before expanding anything."""
    if not expression.free_symbols & set(loss.variables):
        return True
    values = []
    rng = random.Random(3)
    constants = {a: mpmath.mpf(rng.uniform(0.5, 2)) for a in loss.constants}
    for _ in range(3):
        point = {x: mpmath.mpf(rng.uniform(-1.5, 1.5)) for x in loss.variables}
        try:
            values.append(evaluate_digits(expression, point | constants))
        except (ZeroDivisionError, ValueError, OverflowError, KeyError):
            return True
    return all(mpmath.almosteq(value, values[0], 1e-9, 1e-9) for value in values)


def complete_one(expression: sp.Expr, variable: sp.Symbol, loss: Loss) -> tuple[Square, sp.Expr] | None:
    """a x^2 + b x + c = a (x + b / 2a)^2 + (c - b^2 / 4a), for constant a of known sign."""
    if not may_be_constant(sp.diff(expression, variable, 2), loss):
        return None
    parts = coefficients(expression, variable)
    if parts is None:
        return None
    c, b, a = parts
    if a.free_symbols & set(loss.variables) or not (a.is_positive or a.is_negative):
        return None
    if expanded_terms(c - b**2 / (4 * a)) > TERMS:
        return None
    shift = sp.expand(b / (2 * a))
    slot = sp.Dummy("l", real=True)
    square = Square(a, variable + shift, variable, (slot,), slot - shift)
    return square, sp.expand(c - b**2 / (4 * a))


def complete_pair(
    expression: sp.Expr, first: sp.Symbol, second: sp.Symbol, loss: Loss
) -> tuple[tuple[Square, Square], sp.Expr] | None:
    """k x y + p x + q y + r = (k/4) ((X + Y)^2 - (X - Y)^2) + r - p q / k, X = x + q/k, Y = y + p/k."""
    if not may_be_constant(sp.diff(expression, first, second), loss):
        return None
    linear = coefficients(expression, first, degree=1)
    if linear is None:
        return None
    rest, slope = linear
    inner, constant = coefficients(slope, second, degree=1), coefficients(rest, second, degree=1)
    if inner is None or constant is None:
        return None
    (p, k), (r, q) = inner, constant
    if k.free_symbols & set(loss.variables) or not (k.is_positive or k.is_negative):
        return None
    x, y = first + sp.expand(q / k), second + sp.expand(p / k)
    plus, minus = sp.Dummy("l", real=True), sp.Dummy("l", real=True)
    squares = (
        Square(k / 4, x + y, first, (plus, minus), (plus + minus) / 2 - sp.expand(q / k)),
        Square(-k / 4, x - y, second, (plus, minus), (plus - minus) / 2 - sp.expand(p / k)),
    )
    return squares, sp.expand(r - p * q / k)


def orthogonal_symmetry(loss: Loss, composition: Composition, done: Squares, route: str) -> Symmetry:
    """O(p, q) acting on u_j = sqrt|a_j| l_j, the remaining variables staying where they are."""
    ordered = sorted(done.squares, key=lambda square: not square.coefficient.is_positive)
    positives = sum(bool(square.coefficient.is_positive) for square in ordered)
    u = coordinate_symbols(loss.variables, loss.constants)
    forward, values, terms = [], {}, []
    for coordinate, square in zip(u, ordered, strict=False):
        root = sp.sqrt(abs(square.coefficient))
        forward.append(sp.Mul(root, square.form))
        values[square] = coordinate / root
        terms.append((1 if square.coefficient.is_positive else -1) * coordinate**2)
    stay = dict(zip(done.variables, u[len(ordered) :], strict=True))
    inverse = list(stay.items())
    for square in reversed(done.squares):
        siblings = [other for other in done.squares if other.slots == square.slots]
        at = {slot: values[other] for slot, other in zip(square.slots, siblings, strict=True)}
        inverse.append((square.variable, square.solution.xreplace(at)))
    chart = Chart(loss.variables, u, (*forward, *stay), tuple(inverse))
    reduced = composition.at(sp.Add(*terms, done.rest.xreplace(stay)))
    group = group_of_signature(positives, len(ordered) - positives)
    kind: Kind = "closed-form" if group.dimension else "discrete"
    return Symmetry(loss, group, chart, kind=kind, route=route, reduced=reduced)


def group_of_signature(p: int, q: int) -> Group:
    """The group of p positive and q negative squares; for two of one sign the rotations, whose elements are angles."""
    if p + q == 1:
        return Reflection()
    if (p, q) in ((2, 0), (0, 2)):
        return SO(2)
    return O(p, q) if p else O(q)


def is_linear_rest(done: Squares, loss: Loss) -> bool:
    """Whether one variable is left, and the rest is linear in it with a constant coefficient that is not zero."""
    if len(done.variables) != 1 or not done.squares:
        return False
    linear = coefficients(done.rest, done.variables[0], degree=1)
    return (
        linear is not None and not linear[1].free_symbols & set(loss.variables) and bool(linear[1].is_nonzero)
    )


def square_claims(loss: Loss, composition: Composition, done: Squares, route: str) -> list[Symmetry]:
    """What completed squares give: O(p, q), and the parabolic shears where the rest is linear."""
    claims = [parabolic_symmetry(loss, composition, done, route)] if is_linear_rest(done, loss) else []
    return [*claims, orthogonal_symmetry(loss, composition, done, route)] if done.squares else claims


def parabolic_symmetry(loss: Loss, composition: Composition, done: Squares, route: str) -> Symmetry:
    """R^m acting by u -> u + t, w -> w - 2 t.D u - t.D t on L = F(u.D u + w), where the rest w is linear."""
    (last,) = done.variables
    constant, slope = coefficients(done.rest, last, degree=1) or (sp.Integer(0), sp.Integer(1))
    u = coordinate_symbols(loss.variables, loss.constants)
    size = len(loss.variables)
    values = dict(zip(done.squares, u, strict=False))
    inverse = [(last, (u[-1] - constant) / slope)]
    for square in reversed(done.squares):
        siblings = [other for other in done.squares if other.slots == square.slots]
        at = {slot: values[other] for slot, other in zip(square.slots, siblings, strict=True)}
        inverse.append((square.variable, square.solution.xreplace(at)))
    chart = Chart(loss.variables, u, (*[square.form for square in done.squares], done.rest), tuple(inverse))
    basis = []
    for k, square in enumerate(done.squares):
        generator = sp.zeros(size + 1, size + 1)
        generator[k, size] = 1
        generator[size - 1, k] = -2 * square.coefficient
        basis.append(sp.ImmutableMatrix(generator))
    group = Group(
        f"R^{len(basis)}" if len(basis) > 1 else "R",
        size,
        tuple(basis),
        affine=True,
        element="vector" if len(basis) > 1 else "time",
    )
    reduced = composition.at(sp.Add(*[s.coefficient * v**2 for s, v in values.items()], u[-1]))
    return Symmetry(loss, group, chart, route=route, reduced=reduced, note="parabolic shears")


def replace_rest(done: Squares, expression: sp.Expr, used: Sequence[sp.Symbol]) -> Squares:
    """The same squares with another rest, and without the variables in `used`."""
    left = tuple(x for x in done.variables if x not in used)
    return replace(done, rest=expression, variables=left)
