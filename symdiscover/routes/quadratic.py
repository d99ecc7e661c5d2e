"""Quadratics L = F(x^T A x + b.x + c): O(n), O(p, q), and what null directions leave.

The squares are completed over Q (Lagrange's reduction, an L D L^T without square roots), so that the signature is
exact and the written-out map is the Cayley transform in the metric A, M = (A + S)^{-1} (A - S), M^T A M = A.
"""

from __future__ import annotations

import itertools

import sympy as sp

from symdiscover.identity import EXPANDED_TERMS, expanded_terms
from symdiscover.loss import Loss
from symdiscover.routes import NoSymmetry
from symdiscover.routes._outer import Composition, compositions
from symdiscover.routes._squares import (
    Squares,
    complete_one,
    complete_pair,
    group_of_signature,
    replace_rest,
    square_claims,
)
from symdiscover.symmetry import Chart, Kind, Symmetry, coordinate_symbols

order = 20


def find(loss: Loss, found: tuple[Symmetry, ...] = ()) -> list[Symmetry]:
    """O(p, q) of a quadratic in which no translation is left, and its parabolic shears.

    Examples
    --------
    >>> find(Loss.parse("x**2 + x*y + 3*y**2 + 5*z**2 - z"))[0].group.name
    'O(3)'
    >>> find(Loss.parse("exp(x*y - z**2)"))[0].group.name
    'O(1, 2)'
    """
    for composition in compositions(loss, lambda inner: is_quadratic(inner, loss)):
        if (literal := _literal_squares(loss, composition)) is not None:
            return [literal]
        done = complete(composition.inner, loss)
        if done is None:
            raise NoSymmetry("a quadratic, but the sign of a pivot depends on the constants")
        return square_claims(loss, composition, done, "quadratic")
    raise NoSymmetry("not a function of one quadratic form")


def _literal_squares(loss: Loss, composition: Composition) -> Symmetry | None:
    """O(n) in the coordinates the expression itself shows, where it is a sum of n squares of independent linear forms.

    Booth's function so keeps its usual chart (x + 2y - 7, 2x + y - 5), and the map its rational coefficients.
    """
    forms = []
    for term in sp.Add.make_args(composition.inner):
        factor, square = term.as_independent(*loss.variables, as_Add=False)
        if not (square.is_Pow and square.exp == 2):
            if square != 1:
                return None
            continue
        root = sp.sqrt(factor)
        if not (factor.is_positive and root.is_real):
            return None
        forms.append(sp.expand(root * square.base) if root.is_Rational else root * square.base)
    if len(forms) != loss.dimension or not all(f.is_polynomial(*loss.variables) for f in forms):
        return None
    jacobian = sp.Matrix(forms).jacobian(loss.variables)
    if jacobian.free_symbols & set(loss.variables) or not jacobian.det().is_nonzero:
        return None
    u = coordinate_symbols(loss.variables, loss.constants)
    constant = [form.xreplace(dict.fromkeys(loss.variables, sp.Integer(0))) for form in forms]
    solution = jacobian.inv() * sp.Matrix([c - d for c, d in zip(u, constant, strict=True)])
    chart = Chart(
        loss.variables, u, tuple(forms), tuple(zip(loss.variables, map(sp.expand, solution), strict=True))
    )
    offset = composition.inner.as_independent(*loss.variables, as_Add=True)[0]
    reduced = composition.at(sp.Add(*[c**2 for c in u], offset))
    group = group_of_signature(loss.dimension, 0)
    kind: Kind = "closed-form" if group.dimension else "discrete"
    return Symmetry(loss, group, chart, kind, "quadratic", reduced)


def is_quadratic(expression: sp.Expr, loss: Loss) -> bool:
    """Whether it is a polynomial of degree two in the variables."""
    if not expression.is_polynomial(*loss.variables) or expanded_terms(expression) > EXPANDED_TERMS:
        return False
    return bool(sp.Poly(expression, *loss.variables).total_degree() == 2)


def complete(expression: sp.Expr, loss: Loss) -> Squares | None:
    """All squares of a quadratic; None where the sign of a coefficient is not decided."""
    done = Squares((), sp.expand(expression), loss.variables)
    while True:
        quadratic = [x for x in done.variables if done.rest.coeff(x, 2) != 0]
        for x in quadratic:
            if (one := complete_one(done.rest, x, loss)) is not None:
                square, rest = one
                done = replace_rest(Squares((*done.squares, square), rest, done.variables), rest, [x])
                break
        else:
            if quadratic:
                return None
            mixed = [
                (x, y) for x, y in itertools.combinations(done.variables, 2) if sp.diff(done.rest, x, y) != 0
            ]
            if not mixed:
                return done
            for x, y in mixed:
                if (pair := complete_pair(done.rest, x, y, loss)) is not None:
                    squares, rest = pair
                    done = replace_rest(
                        Squares((*done.squares, *squares), rest, done.variables), rest, [x, y]
                    )
                    break
            else:
                return None
