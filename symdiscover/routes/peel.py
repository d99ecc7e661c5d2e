"""Peel: complete the square in one variable after another while its coefficient is constant.

If L = a x_j^2 + b x_j + c with constant a, then u_j = sqrt|a| (x_j + b / 2a) leaves c - b^2 / 4a, free of x_j. All the way
down L = Q(u) with u triangular, hence invertible in closed form. Rosenbrock's function falls here.
"""

from __future__ import annotations

from collections.abc import Iterator

import sympy as sp

from symdiscover.identity import EXPANDED_TERMS, expanded_terms
from symdiscover.loss import Loss
from symdiscover.routes import NoSymmetry
from symdiscover.routes._outer import compositions
from symdiscover.routes._squares import (
    Squares,
    complete_one,
    complete_pair,
    is_linear_rest,
    replace_rest,
    square_claims,
)
from symdiscover.routes.quadratic import is_quadratic
from symdiscover.symmetry import Symmetry

order = 30

#: Partial completions looked at before the best one so far is taken.
SEARCH = 400


def find(loss: Loss, found: tuple[Symmetry, ...] = ()) -> list[Symmetry]:
    """O(p, q) on the coordinates that peel off, two at least; the others stay.

    Examples
    --------
    >>> rosenbrock = Loss.parse("b*(x**2 - y)**2 + (x - a)**2", positive=["a", "b"])
    >>> symmetry = find(rosenbrock)[0]
    >>> symmetry.group.name, symmetry.chart.forward
    ('SO(2)', (sqrt(b)*(-x**2 + y), -a + x))
    """
    quadratic = False
    for composition in compositions(loss, lambda inner: is_peelable(inner, loss)):
        if is_quadratic(composition.inner, loss):
            quadratic = True
            continue
        best: Squares | None = None
        for number, done in enumerate(
            _peelings(Squares((), sp.expand(composition.inner), loss.variables), loss)
        ):
            if best is None or len(done.squares) > len(best.squares):
                best = done
            if done.complete or number >= SEARCH:
                break
        if best is None or not best.squares:
            continue
        if len(best.squares) > 1 or best.complete or is_linear_rest(best, loss):
            return square_claims(loss, composition, best, "peel")
    if quadratic:
        raise NoSymmetry("a quadratic form: see the route quadratic")
    raise NoSymmetry("no two variables in which a square with a constant coefficient can be completed")


def is_peelable(expression: sp.Expr, loss: Loss) -> bool:
    """Whether it is short enough to expand, and a polynomial in one of the variables at least."""
    return expanded_terms(expression) <= EXPANDED_TERMS and any(
        expression.is_polynomial(x) for x in loss.variables
    )


def _peelings(done: Squares, loss: Loss) -> Iterator[Squares]:
    """Every order of completing squares, deepest first; each ends where nothing more comes off."""
    ended = True
    for x in done.variables:
        one = complete_one(done.rest, x, loss)
        if one is not None:
            ended = False
            square, rest = one
            yield from _peelings(
                replace_rest(Squares((*done.squares, square), rest, done.variables), rest, [x]), loss
            )
    if ended:
        for i, x in enumerate(done.variables):
            for y in done.variables[i + 1 :]:
                pair = complete_pair(done.rest, x, y, loss)
                if pair is not None:
                    ended = False
                    squares, rest = pair
                    done_next = Squares((*done.squares, *squares), rest, done.variables)
                    yield from _peelings(replace_rest(done_next, rest, [x, y]), loss)
    if ended:
        yield done
