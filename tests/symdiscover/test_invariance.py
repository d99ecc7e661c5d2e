"""`assert_invariant` and `exact_residual`: what is right passes at every size, what is wrong at none."""

from __future__ import annotations

from dataclasses import replace

import mpmath
import pytest
import sympy as sp
import torch

import symdiscover as sd
from symdiscover import NotInvariant, OutsideDomain, SymmetryError
from symdiscover.invariance import assert_invariant, exact_residual, rounding_bound, tracked_image
from tests.laws import DEFAULT, EXTRA, Subject, subjects

STATED = [
    name for name in (*DEFAULT, *EXTRA) if name != "cube"
]  # cube: conditions of 1e26 at points of size 1e4


def wrong_code(subject: Subject, stretch: float | str) -> sd.Action:
    """The action with code that is not its own: every image comes out too long."""
    source = subject.action.source.replace("def act(", "def right(", 1)
    call = ", ".join(["element", "point", *(f"{name}={name}" for name in subject.values)])
    head = source[source.index("def right(") :].split("\n")[0].replace("right", "act")
    return replace(subject.action, source=f"{source}\n\n{head}\n    return {stretch} * right({call})\n")


@pytest.mark.parametrize("name", STATED)
@pytest.mark.parametrize("size", [1.0, 1e2, 1e4])
def test_right_and_wrong_at_every_point(name: str, size: float) -> None:
    for subject in subjects(name):
        points = subject.points(size, count=6)
        if not len(points):
            continue
        elements = subject.elements(len(points))
        assert assert_invariant(subject.action, points, elements) <= 2
        if subject.symmetry.loss.expression.has(sp.floor) or subject.group.name.startswith("Positive"):
            continue  # a step may hide a stretch, and scalings of all coordinates may be symmetries
        wrong = wrong_code(subject, 1.01)
        for point, element in zip(points, elements, strict=True):
            with pytest.raises(NotInvariant, match="times what rounding allows"):
                assert_invariant(wrong, point[None], element[None])


def test_at_a_minimum() -> None:
    """At L = 0 the relative change means nothing, and rounding is all there is."""
    (booth,) = [s for s in subjects("booth") if s.group.name == "SO(2)"]
    minimum = torch.tensor([[1.0, 3.0]], dtype=torch.float64)
    assert assert_invariant(booth.action, minimum, torch.tensor([1.0])) <= 2
    with pytest.raises(NotInvariant):
        assert_invariant(wrong_code(booth, 1 + 1e-12), minimum, torch.tensor([1.0]))


def test_rosenbrock_far_away() -> None:
    """At (1e6, 1e6) L is 1e26 and few digits of it are certain: no false verdict either way."""
    (rosenbrock,) = [s for s in subjects("rosenbrock") if s.group.name == "SO(2)"]
    far = torch.tensor([[1e6, 1e6]], dtype=torch.float64)
    element = torch.tensor([0.7], dtype=torch.float64)
    assert assert_invariant(rosenbrock.action, far, element) <= 2
    bound = rounding_bound(rosenbrock.symmetry, 0.7, [1e6, 1e6], rosenbrock.values)
    loss = float(rosenbrock.action.loss(far))
    assert bound / loss > 1e-16
    half = torch.tensor([[1e6 * 0.5, 1e6]], dtype=torch.float64)
    assert abs(float(rosenbrock.action.loss(half)) - loss) > bound / 2


def test_by_hand() -> None:
    t = sp.Symbol("t", real=True)
    loss = sd.Loss.parse("x*y**2")
    x, y = loss.variables
    right = sd.verify(sd.claim(loss, [x * sp.exp(-2 * t), y * sp.exp(t)], [t]))
    action = sd.to_torch(right)
    points = 1e3 * torch.randn(20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    times = torch.linspace(-1, 1, 20, dtype=torch.float64)
    assert assert_invariant(action, points, times) <= 2
    assert exact_residual(right.symmetry, [mpmath.mpf("0.3")], [3, 4]) < 1e-40
    wrong = sd.claim(loss, [x * sp.exp(-2 * t), y * (1 + t)], [t])
    assert exact_residual(wrong, [mpmath.mpf("0.3")], [3, 4]) > 1e-3


def test_what_it_refuses() -> None:
    (booth,) = [s for s in subjects("booth") if s.group.name == "SO(2)"]
    points, elements = booth.points(), booth.elements(3)
    with pytest.raises(SymmetryError, match="float64"):
        assert_invariant(booth.action, points.float(), elements)
    with pytest.raises(SymmetryError, match="k elements"):
        assert_invariant(booth.action, points, elements[:2])
    with pytest.raises(SymmetryError, match="no certificate"):
        assert_invariant(replace(booth.action, certificate=None), points, elements)
    with pytest.raises(OutsideDomain, match="not finite"):
        assert_invariant(booth.action, 1e200 * points, elements)
    (rosenbrock,) = [s for s in subjects("rosenbrock") if s.group.name == "SO(2)"]
    for constants in ({}, {"a": 1.0}):
        with pytest.raises(SymmetryError, match="needs a value"):
            exact_residual(rosenbrock.symmetry, mpmath.eye(2), [1, 2], constants)
    with pytest.raises(SymmetryError, match="one value"):
        rounding_bound(rosenbrock.symmetry, 0.1, [1.0, 2.0], {"a": torch.ones(2), "b": 1.0})
    assert rounding_bound(rosenbrock.symmetry, 0.1, [1.0, 2.0], {"a": torch.tensor(1.0), "b": 100}) > 0


def test_nan_is_not_invariant() -> None:
    (booth,) = [s for s in subjects("booth") if s.group.name == "SO(2)"]
    with pytest.raises(OutsideDomain):
        assert_invariant(wrong_code(booth, "torch.inf"), booth.points(), booth.elements(3))


def test_outside_the_domain_is_said() -> None:
    loss = sd.Loss.parse("log(x)**2 + y**2")
    (x, y), (u, v) = loss.variables, sp.symbols("u1 u2", real=True)
    symmetry = sd.Symmetry(
        loss, sd.SO(2), sd.Chart((x, y), (u, v), (sp.log(x), y), ((x, sp.exp(u)), (y, v)), (x > 0,))
    )
    assert exact_residual(symmetry, mpmath.matrix([[0, -1], [1, 0]]), [2, 1]) < 1e-40
    with pytest.raises(OutsideDomain):
        exact_residual(symmetry, mpmath.matrix([[0, -1], [1, 0]]), [-2, 1])


def test_tracked_image_is_the_image() -> None:
    for name in ("rosenbrock", "O(2,1)", "scaling", "translation", "partial peel"):
        for subject in subjects(name):
            points = subject.points()
            for element, point in zip(subject.elements(3), points, strict=True):
                moved = subject.action(element, point).tolist()
                tracked = tracked_image(subject.symmetry, element.tolist(), point.tolist(), subject.values)
                for value, bounded in zip(moved, tracked, strict=True):
                    assert abs(value - bounded.value) <= 2 * bounded.margin + 1e-300
                shifted = [bounded.value + 1e-6 * (1 + abs(bounded.value)) for bounded in tracked]
                assert all(abs(v - s) > 2 * b.margin for v, s, b in zip(moved, shifted, tracked, strict=True))
