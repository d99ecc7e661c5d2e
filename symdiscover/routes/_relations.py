"""Constant linear relations between functions, exactly."""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp
from sympy.polys.matrices import DomainMatrix

from symdiscover.loss import Loss


def linear_relations(functions: Sequence[sp.Expr], loss: Loss) -> list[list[sp.Expr]]:
    """A basis of {v : sum_i v_i f_i = 0 identically}, v over Q(constants of the loss), without denominators.

    Exact and complete for functions that are polynomial in the variables. Other functions (exp(x), sin(x), 1/x ...)
    are treated as independent indeterminates: every relation found is true, some may be missed.

    Examples
    --------
    >>> loss = Loss.parse("x + y")
    >>> x, y = loss.variables
    >>> linear_relations([x, y, x - 2*y], loss)
    [[-1, 2, 1]]
    """
    polynomials, _ = sp.parallel_poly_from_expr([*functions, loss.variables[0]], expand=True)
    constants = set(loss.constants)
    generators = [g for g in polynomials[0].gens if not g.free_symbols <= constants]
    polynomials = [sp.Poly(f, *generators, extension=True) for f in functions]
    domain = polynomials[0].domain
    for polynomial in polynomials[1:]:
        domain = domain.unify(polynomial.domain)
    domain = domain.get_field()
    columns = [polynomial.set_domain(domain).rep.to_dict() for polynomial in polynomials]
    monomials = sorted({monomial for column in columns for monomial in column})
    rows = [[column.get(monomial, domain.zero) for column in columns] for monomial in monomials]
    matrix = DomainMatrix(rows, (len(rows), len(columns)), domain)
    null = matrix.nullspace().rref()[0] if rows else DomainMatrix.eye(len(columns), domain)
    return [_cleared([domain.to_sympy(entry) for entry in row]) for row in null.to_list()]


def _cleared(vector: list[sp.Expr]) -> list[sp.Expr]:
    """The vector times the least common denominator of its entries."""
    denominators = [sp.denom(sp.together(entry)) for entry in vector]
    common = denominators[0]
    for denominator in denominators[1:]:
        common = sp.lcm(common, denominator)
    return [sp.cancel(entry * common) for entry in vector]
