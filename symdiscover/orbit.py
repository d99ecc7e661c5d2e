"""The squared gradient norm along an SO(2) orbit as a trigonometric polynomial of the angle."""

from __future__ import annotations

import sympy as sp

from symdiscover.group import SO
from symdiscover.identity import expanded_terms
from symdiscover.symmetry import Symmetry

#: A longer polynomial than this is not written out; the engine samples instead.
TERMS = 400
#: What would expand to more terms than this is not expanded to see.
EXPANDED = 4_000


def spectrum(symmetry: Symmetry) -> tuple[sp.Expr, ...] | None:
    """Fourier coefficients (a_0, a_1, b_1, a_2, b_2, ...) of |grad L|^2 on the orbit, in the chart coordinates of its start.

    |grad L(a(theta, x))|^2 = a_0 + sum_k a_k cos(k theta) + b_k sin(k theta). With U = u_1 + i u_2 the rotated point
    has u_1 = Re(U z), u_2 = Im(U z), z = exp(i theta), so a term n_ab (U z)^a conj(U z)^b contributes to the frequency a - b.
    None where |grad L|^2 is no polynomial in the two coordinates that turn.

    Examples
    --------
    >>> from symdiscover import Loss
    >>> from symdiscover.routes.quadratic import find
    >>> spectrum(find(Loss.parse("x**2 + 4*y**2"))[0])
    (10*(u1**2 + u2**2), 0, 0, 6*(-u1**2 + u2**2), 12*u1*u2)
    """
    # An angle may also turn through other matrices with period 2 pi; the formula below is that of the rotations.
    if symmetry.group.element != "angle" or symmetry.group.basis != SO(2).basis or symmetry.group.affine:
        return None
    chart, loss = symmetry.chart, symmetry.loss
    if chart.is_implicit:
        return None
    at = dict(zip(loss.variables, chart.solve(chart.coordinates), strict=True))
    norm = sp.Add(*[slope.xreplace(at) ** 2 for slope in loss.gradient])
    first, second = chart.coordinates[:2]
    p, q = sp.Dummy("p"), sp.Dummy("q")
    if expanded_terms(norm) > EXPANDED:
        return None
    try:
        polynomial = sp.Poly(sp.expand(norm), first, second)
    except sp.PolynomialError:
        return None
    if {first, second} & polynomial.free_symbols_in_domain or len(polynomial.terms()) > TERMS:
        return None
    turned = sp.Poly(
        polynomial.as_expr().xreplace({first: (p + q) / 2, second: (p - q) / (2 * sp.I)}).expand(), p, q
    )
    u, conjugate = first + sp.I * second, first - sp.I * second
    highest = max((abs(a - b) for a, b in turned.monoms()), default=0)
    frequencies: list[sp.Expr] = [sp.Integer(0)] * (highest + 1)
    for (a, b), coefficient in turned.terms():
        if a >= b:
            frequencies[a - b] += coefficient * u**a * conjugate**b
    coefficients: list[sp.Expr] = []
    for k, value in enumerate(frequencies):
        expanded = sp.expand(value)
        imaginary = expanded.coeff(sp.I)
        real = sp.expand(expanded - sp.I * imaginary)
        coefficients += [real] if k == 0 else [2 * real, -2 * imaginary]
    return tuple(sp.factor_terms(c) for c in coefficients)
