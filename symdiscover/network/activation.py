"""What an activation admits is proved from its expression, not looked up.

Each torch activation has one SymPy expression here, from which the degree of positive homogeneity follows,
with a proof on both half-lines. An activation of one's own joins by a row::

    EXPRESSIONS[MyActivation] = lambda module: expression in Z
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import sympy as sp
from torch import nn

#: The argument of every activation expression.
Z = sp.Symbol("z", real=True)
#: A slope that is learned, or drawn for each unit: what is proved holds for all its values.
SLOPE = sp.Symbol("a", real=True)


def _number(value: float) -> sp.Expr:
    """The rational that the decimal literal of a setting names: 0.1 is 1/10."""
    return sp.Rational(str(value)) if math.isfinite(value) else sp.Float(value)


def _leaky(slope: sp.Expr) -> sp.Expr:
    return sp.Piecewise((Z, Z >= 0), (slope * Z, True))


def _elu(alpha: sp.Expr) -> sp.Expr:
    return sp.Piecewise((Z, Z > 0), (alpha * (sp.exp(Z) - 1), True))


def _clamp(low: sp.Expr, high: sp.Expr) -> sp.Expr:
    return sp.Min(sp.Max(Z, low), high)


#: torch module -> its expression in `Z`. Scales of SELU and the like are left out: they change no degree.
EXPRESSIONS: dict[type[nn.Module], Callable[..., sp.Expr]] = {
    nn.Identity: lambda module: Z,
    nn.Dropout: lambda module: Z,  # a mask that does not depend on the value commutes with every scaling
    nn.ReLU: lambda module: _leaky(sp.Integer(0)),
    nn.LeakyReLU: lambda module: _leaky(_number(module.negative_slope)),
    nn.PReLU: lambda module: _leaky(SLOPE),
    nn.RReLU: lambda module: _leaky(SLOPE),
    nn.Threshold: lambda module: sp.Piecewise(
        (Z, _number(module.threshold) < Z), (_number(module.value), True)
    ),
    nn.ReLU6: lambda module: _clamp(sp.Integer(0), sp.Integer(6)),
    nn.Hardtanh: lambda module: _clamp(_number(module.min_val), _number(module.max_val)),
    nn.Hardsigmoid: lambda module: sp.Min(sp.Max(Z + 3, 0), 6) / 6,
    nn.Hardswish: lambda module: Z * sp.Min(sp.Max(Z + 3, 0), 6) / 6,
    nn.ELU: lambda module: _elu(_number(module.alpha)),
    nn.SELU: lambda module: _elu(sp.Rational("1.6732632423543772848")),
    nn.GELU: lambda module: Z * (1 + sp.erf(Z / sp.sqrt(2))) / 2,
    nn.SiLU: lambda module: Z / (1 + sp.exp(-Z)),
    nn.Mish: lambda module: Z * sp.tanh(sp.log(1 + sp.exp(Z))),
    nn.Sigmoid: lambda module: 1 / (1 + sp.exp(-Z)),
    nn.Tanh: lambda module: sp.tanh(Z),
    nn.Softplus: lambda module: sp.log(1 + sp.exp(_number(module.beta) * Z)) / _number(module.beta),
    nn.Softsign: lambda module: Z / (1 + sp.Abs(Z)),
}


@dataclass(frozen=True)
class Homogeneity:
    """The proof of sigma(c z) = c^degree sigma(z) for all c > 0 and all real z: on z > 0, z < 0 and at 0."""

    expression: sp.Expr
    degree: sp.Rational

    def __str__(self) -> str:
        power = "c" if self.degree == 1 else f"c^{self.degree}"
        return f"sigma(c z) = {power} sigma(z) for c > 0, sigma(z) = {self.expression}: proved"


def expression_of(module: nn.Module) -> sp.Expr | None:
    """The activation's expression in `Z`; None for a module that is not in the table.

    Subclasses are not looked up: theirs may be another function.

    Examples
    --------
    >>> expression_of(nn.LeakyReLU(0.1))
    Piecewise((z, z >= 0), (z/10, True))
    """
    build = EXPRESSIONS.get(type(module))
    return None if build is None else build(module)


@lru_cache(maxsize=256)
def homogeneity(expression: sp.Expr) -> Homogeneity | None:
    """The degree k > 0 with sigma(c z) = c^k sigma(z) for every c > 0, proved; None where none is found.

    On a half-line, z = p or z = -p with p > 0, a function of degree k is a multiple of p^k, so k = p
    sigma'(p)/sigma(p) must be one number, the same on both half-lines where sigma is not zero. Then sigma(c
    z) - c^k sigma(z) must simplify to zero there, and sigma(0) be zero.

    Parameters
    ----------
    expression:
        In `Z`, real for real arguments; other symbols are constants, for whose every value the proof holds.

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
    p, c = sp.symbols("p c", positive=True)
    degrees = set()
    for side in (p, -p):
        value = sp.simplify(expression.subs(Z, side))
        if value == 0:
            continue
        degree = sp.simplify(p * sp.diff(value, p) / value)
        if value.is_extended_real is False or not (degree.is_Rational and degree > 0):
            return None
        degrees.add(degree)
    if len(degrees) != 1 or expression.subs(Z, 0) != 0:
        return None
    (degree,) = degrees
    for side in (p, -p):
        if sp.simplify(expression.subs(Z, c * side) - c**degree * expression.subs(Z, side)) != 0:
            return None
    return Homogeneity(expression, degree)
