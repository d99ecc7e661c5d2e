"""Peel: triangular charts of completed squares, all the way down or part of it."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import hypothesis.strategies as st
import pytest
import sympy as sp
from hypothesis import given, settings

import symdiscover as sd
from symdiscover import Loss, catalogue
from symdiscover.routes import NoSymmetry, peel

x, y, z = sp.symbols("x y z", real=True)

# text, constants, group, transitive
KNOWN: dict[str, tuple[str, str, str, bool]] = {
    "Rosenbrock": ("b*(x**2 - y)**2 + (x - a)**2", "a, b", "SO(2)", True),
    "Rosenbrock with numbers": ("100*(x**2 - y)**2 + (x - 1)**2", "", "SO(2)", True),
    "cube": ("100*(y - x**3)**2 + (1 - x)**2", "", "SO(2)", True),
    "transcendental": ("(y - sin(x))**2 + 2*(x - 1)**2", "", "SO(2)", True),
    "three deep": ("(z - x*y)**2 + (y - exp(x))**2 + x**2", "", "O(3)", True),
    "indefinite": ("(y - x**2)**2 - (x - 1)**2", "", "O(1, 1)", True),
    "uncoupled": ("100*(x1**2 - x2)**2 + (x1 - 1)**2 + 100*(x3**2 - x4)**2 + (x3 - 1)**2", "", "O(4)", True),
    "partial": ("(y - x**3)**2 + (z - sin(x))**2 + cos(x)", "", "SO(2)", False),
    "a product": ("(x - z**2)*(y + sin(z)) + z**4", "", "O(1, 1)", False),
    "F of a peel": ("log(1 + 100*(x**2 - y)**2 + (x - 1)**2)", "", "SO(2)", True),
    "parabolic": ("(y - x**3)**2 + x", "", "R", True),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known(name: str) -> None:
    text, positive, group, transitive = KNOWN[name]
    claim = peel.find(Loss.parse(text, positive=positive))[0]
    certificate = sd.verify(claim)
    assert (claim.group.name, certificate.transitive) == (group, transitive)
    assert certificate.status == "proved" and certificate.group_law


@pytest.mark.parametrize("name", [name for name in KNOWN if name != "parabolic"])
def test_known_twin(name: str) -> None:
    """A chart that forgets the shift of its first square in one place is refuted."""
    text, positive, _, _ = KNOWN[name]
    claim = peel.find(Loss.parse(text, positive=positive))[0]
    chart = replace(
        claim.chart, forward=(claim.chart.forward[0] + sp.Rational(1, 10**20), *claim.chart.forward[1:])
    )
    with pytest.raises(sd.NotInvariant):
        sd.verify(sd.Symmetry(claim.loss, claim.group, chart, reduced=claim.reduced))


@pytest.mark.parametrize(
    "text",
    [
        "x**4 + y**4",
        "sin(x) + cos(y)",
        "(x**2 + y - 11)**2 + (x + y**2 - 7)**2",
        "x**2*y**2 + x*y",
        "exp(x) + y**2",
        "Abs(x - y) + x",
    ],
)
def test_nothing_to_peel(text: str) -> None:
    with pytest.raises(NoSymmetry):
        peel.find(Loss.parse(text))


@pytest.mark.parametrize("size", [2, 4, 6])
def test_uncoupled_rosenbrock_of_the_catalogue(size: int) -> None:
    """N uncoupled valleys: O(2N) on the 2N chart coordinates, SO(2) for one."""
    function = catalogue.load("rosenbrock-uncoupled", size)
    claim = peel.find(function.loss)[0]
    assert claim.group.name == ("SO(2)" if size == 2 else f"O({size})")
    certificate = sd.verify(claim)
    assert certificate.status == "proved" and certificate.transitive
    assert certificate.orbit_dimension == size - 1


def test_coefficients_may_not_depend_on_variables() -> None:
    """x^2 y^2: the coefficient of x^2 is a variable's, and nothing is claimed with a chart that it would bend."""
    with pytest.raises(NoSymmetry):
        peel.find(Loss.parse("(1 + z**2)*(x - 1)**2 + z**4 + y**4 + x*y**3"))
    assert peel.find(Loss.parse("(1 + c)*(x - 1)**2 + (y - x**2)**2", positive="c"))[0].group.name == "SO(2)"


@settings(max_examples=6)
@given(
    st.lists(st.integers(-3, 3), min_size=4, max_size=4),
    st.sampled_from([-2, -1, 1, 3]), st.sampled_from([-1, 1, 2]), st.sampled_from([sp.sin, sp.exp, lambda e: e**3, sp.atan]),
)  # fmt: skip
def test_any_triangular_sum_of_squares(shifts: list[int], first: int, second: int, function: object) -> None:
    """a (y - f(x) - c)^2 + b (x - d)^2 is O(2) or O(1, 1) by the signs of a and b, and proved."""
    f = shifts[0] * function(x) + shifts[1] * x**2 + shifts[2]  # type: ignore[operator]
    loss = Loss(sp.expand(first * (y - f) ** 2 + second * (x - shifts[3]) ** 2), (x, y))
    if shifts[0] == 0 and shifts[1] == 0:
        return
    claim = peel.find(loss)[0]
    assert claim.group.name == ("SO(2)" if first * second > 0 else "O(1, 1)")
    assert sd.verify(claim).status == "proved"
    with pytest.raises(sd.NotInvariant):
        sd.verify(sd.Symmetry(Loss(loss.expression + y / 10**9, (x, y)), claim.group, claim.chart))


def test_long_squares_are_left_alone() -> None:
    """What a square would leave is bounded: no route hangs in expanding it."""
    import time

    start = time.monotonic()
    with contextlib.suppress(NoSymmetry):
        peel.find(catalogue.load("box-three-dimensional").loss)
    assert time.monotonic() - start < 60
