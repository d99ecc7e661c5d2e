"""The spectrum of |grad L|^2 along SO(2) orbits against automatic differentiation."""

from __future__ import annotations

import math
import time
from functools import cache

import pytest
import sympy as sp
import torch

import symdiscover as sd
from symdiscover.group import Group
from symdiscover.orbit import spectrum
from symdiscover.routes import affine, peel, quadratic

CASES: dict[str, tuple[str, dict[str, float], int]] = {  # text, constants, highest frequency
    "ellipse": ("x**2 + 4*y**2", {}, 2),
    "Booth": ("(x + 2*y - 7)**2 + (2*x + y - 5)**2", {}, 2),
    "Matyas": ("0.26*(x**2 + y**2) - 0.48*x*y", {}, 2),
    "Rosenbrock": ("100*(x**2 - y)**2 + (x - 1)**2", {}, 4),
    "Rosenbrock, symbolic": ("b*(x**2 - y)**2 + (x - a)**2", {"a": 1.0, "b": 100.0}, 4),
    "cube": ("100*(y - x**3)**2 + (1 - x)**2", {}, 6),
    "sphere": ("x**2 + y**2", {}, 0),
    "the square of a form": ("(x**2 + x*y + y**2)**2", {}, 2),
    "negative": ("-x**2 - 3*y**2", {}, 2),
}


@cache
def action_of(name: str) -> sd.Action:
    text, values, _ = CASES[name]
    certificates = sd.derive(
        sd.Loss.parse(text, positive=list(values)), only=["quadratic", "peel"]
    ).certificates
    return sd.to_torch(next(c for c in certificates if c.group.element == "angle"), **values)


def fourier(coefficients: tuple, angle: torch.Tensor) -> torch.Tensor:
    total = coefficients[0] + 0 * angle
    for k in range(1, (len(coefficients) + 1) // 2):
        total = (
            total
            + coefficients[2 * k - 1] * torch.cos(k * angle)
            + coefficients[2 * k] * torch.sin(k * angle)
        )
    return total


def slopes(action: sd.Action, point: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """|grad L|^2 on the orbit by automatic differentiation."""
    moved = action(angles, point).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(action.loss(moved).sum(), moved)
    return gradient.square().sum(dim=-1)


@pytest.mark.parametrize("name", CASES)
def test_spectrum_against_autograd(name: str) -> None:
    action = action_of(name)
    draw = torch.Generator().manual_seed(1)
    angles = 2 * math.pi * torch.rand(50, generator=draw, dtype=torch.float64)
    for point in 2 * torch.randn(8, action.dimension, generator=draw, dtype=torch.float64):
        coefficients = action.spectrum(*point)
        expected = slopes(action, point, angles)
        scale = float(expected.max())
        assert torch.allclose(fourier(coefficients, angles), expected, rtol=0, atol=1e-9 * scale)
        assert not torch.allclose(
            fourier(coefficients, angles + 0.1), expected, rtol=0, atol=1e-9 * scale
        ) or (CASES[name][2] == 0)


@pytest.mark.parametrize("name", CASES)
def test_the_highest_frequency(name: str) -> None:
    """No coefficient is missing and none idle: the last pair is not zero, and there is none beyond."""
    symmetry = action_of(name).certificate.symmetry
    coefficients = spectrum(symmetry)
    highest = CASES[name][2]
    assert len(coefficients) == 2 * highest + 1
    assert highest == 0 or any(sp.expand(c) != 0 for c in coefficients[-2:])


def test_spectrum_works_on_floats() -> None:
    """Arithmetic alone: a plain float in, a plain float out, equal to the tensor's."""
    for name in ("Booth", "Rosenbrock", "Rosenbrock, symbolic"):
        action = action_of(name)
        plain = action.spectrum(-1.0, 2.5)
        tensors = action.spectrum(*torch.tensor([-1.0, 2.5], dtype=torch.float64))
        assert all(isinstance(c, int | float) for c in plain)
        assert plain == pytest.approx([float(c) for c in tensors], rel=1e-12)
        assert plain != pytest.approx([float(c) + 1 for c in tensors], rel=1e-12)


NONE = {
    "not polynomial": lambda: quadratic.find(sd.Loss.parse("exp(x**2 + y**2)"))[0],
    "another group": lambda: quadratic.find(sd.Loss.parse("x**2 + y**2 + z**2"))[0],
    "a boost": lambda: quadratic.find(sd.Loss.parse("x*y"))[0],
    "a flow": lambda: affine.find(sd.Loss.parse("x**2*y"))[0],
    # the fields are those of x^2 + 16 y^2: an angle, but no rotation of these coordinates
    "an angle that is no rotation": lambda: affine.find(sd.Loss.parse("x**2 + 16*y**2"))[0],
    "polynomial in the wrong coordinates": lambda: peel.find(
        sd.Loss.parse("(x - exp(z))**2 + (y - 1)**2*1 + exp(z)*z")
    )[0],
}


@pytest.mark.parametrize("name", list(NONE)[:5])
def test_no_spectrum(name: str) -> None:
    assert spectrum(NONE[name]()) is None


def test_no_spectrum_twins() -> None:
    """Beside each stands one that has a spectrum; and other functions of the coordinates that stay do no harm."""
    assert spectrum(quadratic.find(sd.Loss.parse("x**2 + 16*y**2"))[0]) is not None
    symmetry = NONE["polynomial in the wrong coordinates"]()
    if symmetry.group.element == "angle":
        coefficients = spectrum(symmetry)
        assert coefficients is not None and any(c.has(sp.exp) for c in coefficients)


@pytest.mark.parametrize("power", [2, 3, 8, 25, 60])
def test_long_polynomials(power: int) -> None:
    """A polynomial of more terms than the limit is not written out, nor expanded in order to see that."""
    claim = peel.find(sd.Loss.parse(f"(y - (1 + x)**{power})**2 + x**2"))[0]
    start = time.monotonic()
    coefficients = spectrum(claim)
    assert time.monotonic() - start < 60
    assert (coefficients is None) == (power > 3)


def test_an_angle_group_with_another_basis_has_no_spectrum() -> None:
    loss = sd.Loss.parse("x**2 + 16*y**2")
    turn = sp.ImmutableMatrix([[0, -4], [sp.Rational(1, 4), 0]])
    group = Group("SO(2)", 2, (turn,), compact=True, element="angle")
    symmetry = sd.Symmetry(loss, group, sd.Chart.identity(loss.variables))
    action = sd.to_torch(sd.verify(symmetry))
    assert action.spectrum is None
    point = torch.tensor([1.0, 2.0], dtype=torch.float64)
    assert torch.allclose(action.loss(action(torch.tensor(1.0), point)), action.loss(point))
