"""Against an independent way: the critical points as roots of a polynomial on the unit circle."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from symdiscover.errors import SymmetryError
from teleport.trigonometric import maximise_circle, sample_circle
from tests.teleport.actions import DOUBLE


def value(c, theta):
    k = np.arange(1, len(c) // 2 + 1)
    return c[0] + np.cos(np.outer(theta, k)) @ c[1::2] + np.sin(np.outer(theta, k)) @ c[2::2]


def reference(c, radius=None):
    """max p over |θ| <= radius: p'(θ) = Re Σ k (b_k + i a_k) z^k has its roots on |z| = 1, or θ is an end."""
    degree = len(c) // 2
    polynomial = np.zeros(2 * degree + 1, complex)
    for k in range(1, degree + 1):
        weight = k * (c[2 * k] + 1j * c[2 * k - 1]) / 2
        polynomial[degree - k] += weight
        polynomial[degree + k] += weight.conjugate()
    theta = np.angle(np.roots(polynomial)) if polynomial.any() else np.zeros(1)
    if radius is not None and radius < math.pi:
        theta = np.concatenate([theta[abs(theta) <= radius], [-radius, radius]])
    return value(c, np.append(theta, 0.0)).max()


def twin_peaks(degree, apart, tilt):
    """Two Fejér kernels side by side, nearly of a height."""
    c = np.zeros(2 * degree + 1)
    for centre, height in ((0.4, 1.0), (0.4 + apart, 1.0 + tilt)):
        for k in range(1, degree + 1):
            c[2 * k - 1] += height * (degree + 1 - k) * math.cos(k * centre)
            c[2 * k] += height * (degree + 1 - k) * math.sin(k * centre)
    return c


# The roots of the reference overflow where its leading coefficient is tiny.
numbers = st.floats(-10, 10).map(lambda number: number if abs(number) > 1e-6 else 0.0)
coefficients = st.integers(1, 6).flatmap(
    lambda degree: st.lists(numbers, min_size=2 * degree + 1, max_size=2 * degree + 1)
)
radii = st.none() | st.floats(0.01, 4)


@given(coefficients, radii)
def test_floats_and_batch_reach_the_global_maximum(c, radius) -> None:
    exact = maximise_circle(c, radius)
    c = np.array(c)
    size = abs(c).sum()
    expected = reference(c, radius)
    for theta, found in (
        exact,
        tuple(float(t) for t in maximise_circle(torch.tensor(c), radius)),
    ):
        assert expected - found <= 1e-7 * size
        assert abs(theta) <= min(radius or math.pi, math.pi) * (1 + 1e-15)
        assert value(c, [theta])[0] == pytest.approx(found, abs=1e-12 * size)
        assert found >= value(c, [0.0])[0] - 1e-13 * size


@given(coefficients, radii)
def test_the_minimum_is_the_maximum_of_the_negative(c, radius) -> None:
    theta, found = maximise_circle(c, radius, minimise=True)
    other, negative = maximise_circle([-number for number in c], radius)
    assert (theta, found) == (other, -negative)


@pytest.mark.parametrize("degree", [2, 4, 8])
@pytest.mark.parametrize("apart", [0.1, 0.5, 1.0, 2.5])
@pytest.mark.parametrize("tilt", [0.0, 1e-6, -1e-6, 1e-2, -1e-2])
def test_nearly_equal_peaks_are_told_apart(degree, apart, tilt) -> None:
    c = twin_peaks(degree, apart, tilt)
    expected, size = reference(c), abs(c).sum()
    for found in (maximise_circle(c)[1], float(maximise_circle(torch.tensor(c)[None])[1])):
        assert abs(expected - found) <= 1e-9 * size


def test_a_coarse_grid_alone_would_miss_the_maximum() -> None:
    """The twin of the tests above: they can fail."""
    c = twin_peaks(8, 0.5, 1e-2)
    grid = value(c, np.linspace(-math.pi, math.pi, 33)).max()
    assert reference(c) - grid > 1e-3 * abs(c).sum()


def test_the_ends_of_the_interval_count() -> None:
    c = [1.0, 0.0, 2.0]
    assert maximise_circle(c, radius=0.5) == (0.5, pytest.approx(1 + 2 * math.sin(0.5)))
    assert maximise_circle(c, radius=0.5, minimise=True)[0] == -0.5
    assert maximise_circle(c, radius=3.2) == maximise_circle(c)
    tensor = torch.tensor([c, c], dtype=DOUBLE)
    theta, _ = maximise_circle(tensor, radius=torch.tensor([0.5, 3.0], dtype=DOUBLE))
    torch.testing.assert_close(theta, torch.tensor([0.5, math.pi / 2], dtype=DOUBLE))


def test_of_equal_maxima_the_nearest_is_taken_and_a_constant_does_not_move() -> None:
    assert maximise_circle([5.0, 0.0, 0.0]) == (0.0, 5.0)
    assert maximise_circle([5.0]) == (0.0, 5.0)
    c = [0.0, 0.0, 0.0, math.cos(0.4), math.sin(0.4)]  # cos(2θ - 0.4): maxima at 0.2 and 0.2 - π
    assert maximise_circle(c)[0] == pytest.approx(0.2)
    assert maximise_circle([0.0, 0.0, 0.0, 1.0, 0.0])[0] == 0.0
    batch = torch.tensor([[5.0, 0.0, 0.0, 0.0, 0.0], c], dtype=DOUBLE)
    torch.testing.assert_close(maximise_circle(batch)[0], torch.tensor([0.0, 0.2], dtype=DOUBLE))


def test_a_batch_may_come_as_a_list_of_tensors_and_numbers() -> None:
    a, b = torch.tensor([1.0, 2.0], dtype=DOUBLE), torch.tensor([0.0, 1.0], dtype=DOUBLE)
    theta, found = maximise_circle([3.0, a, b])
    torch.testing.assert_close(found, 3 + (a**2 + b**2).sqrt())
    torch.testing.assert_close(theta, torch.atan2(b, a))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_gives_no_angle(bad) -> None:
    theta, found = maximise_circle([1.0, bad, 0.0])
    assert theta == 0 and math.isnan(found)
    theta, found = maximise_circle(torch.tensor([[1.0, bad, 0.0], [1.0, 1.0, 0.0]], dtype=DOUBLE))
    assert theta.tolist() == [0, 0] and math.isnan(found[0]) and found[1] == 2


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_the_size_of_the_coefficients_does_not_matter(scale) -> None:
    c = np.array([1.0, 0.3, -0.2, 0.5, 0.7])
    assert maximise_circle((scale * c).tolist())[0] == pytest.approx(maximise_circle(c.tolist())[0])


@pytest.mark.parametrize("arguments", [([],), ([1.0, 2.0],), ([1.0, 2.0, 3.0], 0.0), ([1.0, 2.0, 3.0], -1)])
def test_bad_arguments_are_refused(arguments) -> None:
    with pytest.raises(SymmetryError):
        maximise_circle(*arguments)
    if len(arguments[0]):
        with pytest.raises(SymmetryError):
            maximise_circle(torch.tensor([arguments[0]]), *arguments[1:])


def test_sampling_finds_the_maximum_of_a_polynomial_with_few_samples() -> None:
    c = torch.tensor(twin_peaks(4, 0.5, 1e-3))
    like = torch.zeros(3, dtype=DOUBLE)

    def function(theta):
        k = torch.arange(1, 5, dtype=DOUBLE)
        waves = theta[..., None] * k
        return waves.cos() @ c[1::2] + waves.sin() @ c[2::2]

    theta, found, start, evaluations = sample_circle(function, like)
    torch.testing.assert_close(found, torch.full((3,), reference(c.numpy()), dtype=DOUBLE))
    assert evaluations == 65
    torch.testing.assert_close(start, function(torch.zeros(3, dtype=DOUBLE)))
    torch.testing.assert_close(function(theta), found)


def test_sampling_refines_where_the_function_is_no_polynomial() -> None:
    like = torch.zeros(2, dtype=DOUBLE)
    peak = torch.tensor([1.234567, -2.9], dtype=DOUBLE)
    theta, found, _, evaluations = sample_circle(lambda t: 1 - (t - peak).abs().sqrt(), like)
    torch.testing.assert_close(theta, peak, rtol=0, atol=1e-9)
    assert bool((found > 1 - 1e-4).all()) and evaluations > 500


def test_sampling_keeps_to_the_radius_and_to_finite_values() -> None:
    like = torch.zeros((), dtype=DOUBLE)
    theta, *_ = sample_circle(torch.sin, like, radius=0.3)
    assert theta == 0.3
    theta, found, *_ = sample_circle(lambda t: torch.where(t > 1, torch.nan, t), like, radius=2.0)
    assert float(theta) == pytest.approx(1, abs=1e-6) and float(found) == float(theta)
    theta, found, *_ = sample_circle(lambda t: torch.full_like(t, torch.nan), like)
    assert theta == 0 and found.isnan()
