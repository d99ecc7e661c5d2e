from __future__ import annotations

import math

import pytest
import torch

from symdiscover.errors import SymmetryError
from teleport.objective import gradient_norm
from teleport.paper import PaperSettings, paper_ascent
from tests.teleport.actions import DOUBLE, booth, point, points, product, rosenbrock


def by_hand(x, theta, steps, lr):
    """Booth in chart coordinates: ‖∇L‖² = 4 (5u² + 8uv + 5v²)."""
    u, v = x[..., 0] + 2 * x[..., 1] - 7, 2 * x[..., 0] + x[..., 1] - 5
    for _ in range(steps):
        a, b = u * theta.cos() - v * theta.sin(), u * theta.sin() + v * theta.cos()
        theta = theta + lr * 32 * (a * a - b * b)
    return theta


@pytest.mark.parametrize("steps", [1, 10])
def test_the_steps_are_those_of_plain_gradient_ascent(steps) -> None:
    rows, theta0 = points(20), torch.linspace(0, 3, 20, dtype=DOUBLE)
    # So small a rate that the steps do not amplify rounding.
    found = paper_ascent(booth(), rows, steps, 1e-5, theta0=theta0)
    torch.testing.assert_close(found.element, by_hand(rows, theta0, steps, 1e-5))
    assert not torch.allclose(found.element, by_hand(rows, theta0, steps + 1, 1e-5))


def test_the_result_is_where_the_angle_leads_better_or_worse() -> None:
    rows = points(50)
    found = paper_ascent(rosenbrock(), rows, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(found.point, rosenbrock()(found.element, rows))
    torch.testing.assert_close(found.after, gradient_norm(rosenbrock().loss, found.point), rtol=1e-6, atol=0)
    assert bool((found.gain < 1).any()) and bool((found.gain > 1).any())
    assert bool((found.radius <= math.pi).all())


def test_angles_start_uniform_on_half_a_turn() -> None:
    x = point(1, 1).expand(4000, 2) + 1e-9
    still = paper_ascent(booth(), x, 1, 0.0, generator=torch.Generator().manual_seed(0)).element
    assert float(still.min()) >= 0 and float(still.max()) < math.pi
    counts = torch.histc(still, 8, 0, math.pi)
    assert bool(((counts - 500).abs() < 4 * 500**0.5).all())


def test_the_same_seed_gives_the_same_bits_and_another_does_not() -> None:
    rows = points(8)

    def run(seed):
        return paper_ascent(rosenbrock(), rows, generator=torch.Generator().manual_seed(seed)).point

    assert torch.equal(run(3), run(3))
    assert not torch.equal(run(3), run(4))
    state = torch.get_rng_state()
    assert torch.equal(paper_ascent(rosenbrock(), rows).point, paper_ascent(rosenbrock(), rows).point)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_minimum_and_what_is_not_finite_stay() -> None:
    rows = torch.stack([point(1, 1), point(math.nan, 0), point(-1, -1)])
    found = paper_ascent(rosenbrock(), rows)
    assert found.reason == ("zero gradient", "not finite", "published ascent")
    torch.testing.assert_close(found.point[:2], rows[:2], equal_nan=True, rtol=0, atol=0)
    assert found.element[:2].tolist() == [0, 0]


def test_settings_and_refusals() -> None:
    rows, generator = points(3), torch.Generator().manual_seed(5)
    expected = paper_ascent(booth(), rows, 4, 0.01, generator=torch.Generator().manual_seed(5))
    assert torch.equal(PaperSettings(steps=4, lr=0.01)(booth(), rows, generator).point, expected.point)
    with pytest.raises(SymmetryError, match="angle"):
        paper_ascent(product(), point(1, 3))
    with pytest.raises(SymmetryError, match="angle"):
        PaperSettings().check(product(), point(1, 3))
    with pytest.raises(SymmetryError, match="whole number"):
        paper_ascent(booth(), point(1, 1), steps=0)
