"""Polynomial fields X of degree two and three with X(L) = 0 that are no combinations of what is known.

A grad L, A antisymmetric, annihilates every L, and so do polynomial multiples of fields found before: a search that reports
those finds symmetries everywhere. What is left, modulo all of them, is reported. That X is tangent is exact; the finite
action is its flow, integrated numerically, and it is not proved that the flow exists for all times.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import sympy as sp

from symdiscover.exact_linear import Field, Span, Vector
from symdiscover.group import Group
from symdiscover.loss import Loss
from symdiscover.routes import NoSymmetry
from symdiscover.routes._known import LEVEL_SETS, moves_level_sets
from symdiscover.routes._outer import compositions
from symdiscover.routes._relations import linear_relations
from symdiscover.routes.affine import affine_fields
from symdiscover.symmetry import Chart, Symmetry

order = 45

#: The largest degree of a field, and the unknowns, the degree of the loss and its terms up to which fields are sought.
DEGREE, UNKNOWNS, LOSS_DEGREE, TERMS = 3, 60, 12, 60
#: Fields that are claimed.
CLAIMS = 2

PolynomialField = tuple[sp.Expr, ...]


def find(loss: Loss, found: tuple[Symmetry, ...] = ()) -> list[Symmetry]:
    """The flows of the fields of lowest degree that are new.

    Examples
    --------
    >>> [claim] = find(Loss.parse("exp(x**3 + y**2)"))
    >>> claim.flow, claim.group.element
    ((u2, -3*u1**2/2), 'time')
    >>> find(Loss.parse("x**3 + y**2"))
    Traceback (most recent call last):
    symdiscover.routes.NoSymmetry: no polynomial field of degree 2 or 3 but combinations of A grad L and of affine fields
    """
    n = loss.dimension
    if n < 2:
        raise NoSymmetry("the level sets of one variable are points")
    if moves_level_sets(found):
        raise NoSymmetry(LEVEL_SETS)
    if n * len(_monomials(loss.variables, DEGREE)) > UNKNOWNS:
        raise NoSymmetry(f"{n} variables: more than {UNKNOWNS} unknowns")
    inner = _polynomial(loss)
    fields = new_fields(loss, inner)[:CLAIMS]
    if not fields:
        raise NoSymmetry(
            "no polynomial field of degree 2 or 3 but combinations of A grad L and of affine fields"
        )
    chart = Chart.identity(loss.variables, loss.constants)
    named = dict(zip(loss.variables, chart.coordinates, strict=True))
    group = Group("polynomial flow", n, (), element="time")
    note = "the field is tangent, proved; that its flow exists for all times is not: a point that runs away stays"
    return [
        Symmetry(
            loss,
            group,
            chart,
            "numerical",
            "polynomial",
            loss.expression.xreplace(named),
            note=note,
            flow=tuple(velocity.xreplace(named) for velocity in field),
        )
        for field in fields
    ]


def new_fields(loss: Loss, inner: sp.Expr) -> list[PolynomialField]:
    """Fields of degree two, then three, that annihilate `inner`, each new beside those before and all that is trivial."""
    variables = loss.variables
    gradient = [sp.diff(inner, x) for x in variables]
    monomials = _monomials(variables, DEGREE)
    relations = linear_relations([m * slope for slope in gradient for m in monomials], loss)
    width = len(monomials)
    candidates = [
        tuple(
            sp.Add(*[c * m for c, m in zip(relation[i * width : (i + 1) * width], monomials, strict=True)])
            for i in range(len(variables))
        )
        for relation in relations
    ]
    trivial = [*_affine(loss), *_koszul(loss, gradient)]
    field = Field.of(
        [c for relation in relations for c in relation] + _coefficients([*trivial, *candidates], variables)
    )
    span = Span(field)
    for known in trivial:
        _add_multiples(span, known, variables)
    new = []
    for candidate in sorted(candidates, key=lambda f: (_degree(f, variables), sum(e.count_ops() for e in f))):
        if _vector(span.field, candidate, variables) not in span:
            new.append(candidate)
            _add_multiples(span, candidate, variables)
    return new


def _polynomial(loss: Loss) -> sp.Expr:
    """The polynomial of which the loss is a function."""
    found = compositions(loss, lambda inner: inner.is_polynomial(*loss.variables))
    inner = next((composition.inner for composition in found), None)
    if inner is None:
        raise NoSymmetry("no function of a polynomial")
    polynomial = sp.Poly(inner, *loss.variables)
    if polynomial.total_degree() > LOSS_DEGREE or len(polynomial.terms()) > TERMS:
        raise NoSymmetry(f"a polynomial of degree above {LOSS_DEGREE} or of more than {TERMS} terms")
    return inner


def _affine(loss: Loss) -> list[PolynomialField]:
    """The affine fields that annihilate the loss."""
    x, n = loss.variables, loss.dimension
    return [
        tuple(sp.Add(*[f[i * n + j] * x[j] for j in range(n)]) + f[n * n + i] for i in range(n))
        for f in affine_fields(loss)
    ]


def _koszul(loss: Loss, gradient: Sequence[sp.Expr]) -> Iterator[PolynomialField]:
    """The fields g_j d_i - g_i d_j. Those of M with L = F(M) in two variables are none of L: there the field counts."""
    if loss.dimension == 2 and not loss.expression.is_polynomial(*loss.variables):
        return
    for i, j in itertools.combinations(range(len(gradient)), 2):
        field = [sp.Integer(0)] * len(gradient)
        field[i], field[j] = -gradient[j], gradient[i]
        yield tuple(sp.expand(velocity) for velocity in field)


def _monomials(variables: Sequence[sp.Symbol], degree: int) -> list[sp.Expr]:
    return sorted(
        sp.itermonomials(variables, degree), key=lambda m: (sp.Poly(m, *variables).total_degree(), str(m))
    )


def _degree(field: PolynomialField, variables: Sequence[sp.Symbol]) -> int:
    return max((int(sp.Poly(e, *variables).total_degree()) for e in field if e != 0), default=0)


def _coefficients(fields: Sequence[PolynomialField], variables: Sequence[sp.Symbol]) -> list[sp.Expr]:
    return [c for field in fields for e in field for c in sp.Poly(e, *variables).coeffs()]


def _add_multiples(span: Span, field: PolynomialField, variables: Sequence[sp.Symbol]) -> None:
    """Add the products with monomials that have no higher degree than is looked for."""
    left = DEGREE - _degree(field, variables)
    for monomial in _monomials(variables, left) if left >= 0 else []:
        span.add(_vector(span.field, tuple(sp.expand(monomial * e) for e in field), variables))


def _vector(field: Field, velocities: PolynomialField, variables: Sequence[sp.Symbol]) -> Vector:
    """The coefficients of a field, by component and powers."""
    n, base = len(variables), DEGREE + 1
    vector: Vector = {}
    for component, velocity in enumerate(velocities):
        for powers, coefficient in sp.Poly(velocity, *variables).terms():
            if coefficient != 0:
                place = sum(p * base**k for k, p in enumerate(powers))
                vector[place * n + component] = field.element(coefficient)
    return vector
