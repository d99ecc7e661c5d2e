from __future__ import annotations

import math

import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from symdiscover.network.activation import EXPRESSIONS, Z, expression_of, homogeneity


def make(kind: type[nn.Module]) -> nn.Module:
    return kind(0.5, 2.0) if kind is nn.Threshold else kind()


def numerically(module: nn.Module, expression: sp.Expr) -> float:
    """The largest difference between a module in evaluation mode and its expression, on a grid."""
    module = module.double().eval()
    points = [k / 4 for k in range(-40, 41)]
    with torch.no_grad():
        computed = module(torch.tensor(points, dtype=torch.float64)).tolist()
    values = [float(expression.subs(Z, sp.Rational(str(point)))) for point in points]
    return max(abs(a - b) for a, b in zip(computed, values, strict=True))


@pytest.mark.parametrize(
    "module",
    [
        nn.Identity(),
        nn.ReLU(),
        nn.LeakyReLU(0.1),
        nn.LeakyReLU(-2.0),
        nn.PReLU(),
        nn.RReLU(),
        nn.Dropout(0.3),
        nn.Threshold(0.0, 0.0),
        nn.Hardtanh(0.0, math.inf),
    ],
    ids=repr,
)
def test_activations_of_degree_one_are_proved(module) -> None:
    proof = homogeneity(expression_of(module))
    assert proof.degree == 1
    assert "proved" in str(proof)


@pytest.mark.parametrize(
    "module",
    [
        nn.ReLU6(),
        nn.Hardtanh(),
        nn.Hardsigmoid(),
        nn.Hardswish(),
        nn.ELU(),
        nn.SELU(),
        nn.GELU(),
        nn.SiLU(),
        nn.Mish(),
        nn.Sigmoid(),
        nn.Tanh(),
        nn.Softplus(),
        nn.Softsign(),
        nn.Threshold(0.1, 0.0),
        nn.Threshold(0.0, 1.0),
        nn.LeakyReLU(math.nan),
    ],
    ids=repr,
)
def test_activations_that_are_not_homogeneous_have_no_proof(module) -> None:
    assert homogeneity(expression_of(module)) is None


@pytest.mark.parametrize(
    ("expression", "degree"),
    [
        (Z**2, 2),
        (sp.Max(Z, 0) ** 2, 2),
        (Z * sp.Abs(Z), 2),
        (Z**3, 3),
        (sp.Abs(Z), 1),
        (sp.sqrt(sp.Abs(Z)), sp.Rational(1, 2)),
        (sp.Max(Z, 0), 1),
        (sp.Max(-3 * Z, 0), 1),
        (sp.sqrt(Z**2 + Z * sp.Abs(Z)), 1),
    ],
)
def test_the_degree_is_found(expression, degree) -> None:
    assert homogeneity(expression).degree == degree


@pytest.mark.parametrize(
    "expression",
    [
        sp.Max(Z - 1, 0),  # a shifted ReLU
        sp.Max(Z, 0) + 1,
        sp.Max(Z, 0) + sp.Rational(1, 10**6) * Z**2,
        Z**3 + Z,
        sp.Piecewise((Z, Z >= 0), (Z**2, True)),  # one degree on each half-line
        sp.Piecewise((Z, Z > 0), (1, sp.Eq(Z, 0)), (Z, True)),  # wrong at 0 alone
        sp.sign(Z),  # degree 0 leaves nothing to hand on
        sp.Integer(0),
        sp.Integer(1),
        1 / Z,
        sp.cbrt(Z),  # not real for negative arguments
    ],
    ids=str,
)
def test_what_is_nearly_homogeneous_is_refused(expression) -> None:
    assert homogeneity(expression) is None


@pytest.mark.parametrize("kind", [kind for kind in EXPRESSIONS if kind not in (nn.PReLU, nn.RReLU)])
def test_every_expression_is_the_function_that_torch_computes(kind) -> None:
    module = make(kind)
    scale = 1.0507009873554804934193349852946 if kind is nn.SELU else 1.0
    assert numerically(module, scale * expression_of(module)) < 1e-12


def test_an_expression_of_another_function_is_told_apart() -> None:
    assert numerically(nn.SiLU(), EXPRESSIONS[nn.GELU](nn.GELU())) > 1e-2
    assert numerically(nn.LeakyReLU(0.1), expression_of(nn.LeakyReLU(0.11))) > 1e-3


@settings(max_examples=25)
@given(st.floats(-4, 4).map(lambda slope: round(slope, 3)))
def test_every_slope_of_a_leaky_relu_is_read_from_the_module(slope) -> None:
    module = nn.LeakyReLU(slope)
    assert homogeneity(expression_of(module)).degree == 1
    assert expression_of(module).subs(Z, -1) == -sp.Rational(str(slope))


def test_an_activation_of_ones_own_joins_by_a_row(monkeypatch) -> None:
    class Square(nn.Module):
        def forward(self, x):
            return x * x.abs()

    assert expression_of(Square()) is None
    monkeypatch.setitem(EXPRESSIONS, Square, lambda module: Z * sp.Abs(Z))
    assert homogeneity(expression_of(Square())).degree == 2


def test_a_subclass_is_not_taken_for_its_parent() -> None:
    class Shifted(nn.ReLU):
        def forward(self, x):
            return super().forward(x - 1)

    assert expression_of(Shifted()) is None
    assert expression_of(nn.ReLU()) is not None
