"""The re-check: right claims hold; every wrong one is seen, by the half that should see it; what cannot run is said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import sympy as sp
import torch

import symdiscover as sd
from symdiscover.recheck import POINTS, recheck
from symdiscover.routes.separable import find as separable
from tests.symdiscover.claims import VALUES, certificate, claim
from tests.symdiscover.test_invariance import wrong_code

RIGHT = (
    "booth", "rosenbrock", "ellipse", "chain", "ellipsoid", "saddle", "one square", "translation", "translations", "scalings",
    "two scalings", "shears", "oblique", "by hand", "without composition",
)  # fmt: skip


def values_of(symmetry: sd.Symmetry) -> dict[str, float]:
    return {s.name: VALUES[s.name] for s in symmetry.loss.constants}


def box(symmetry: sd.Symmetry, low: float = -2.0, high: float = 3.0) -> list[tuple[float, float]]:
    return [(low, high)] * symmetry.loss.dimension


def changed(loss: sd.Loss, by: sp.Expr) -> sd.Loss:
    return replace(loss, expression=loss.expression + by)


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_claim_holds_and_is_false_of_another_loss(name: str) -> None:
    proof = certificate(name)
    loss, values = proof.loss, values_of(proof.symmetry)
    found = recheck(loss, proof, box(proof.symmetry), values)
    assert (found.verdict, found.reason, found.images) == ("holds", "", (POINTS, POINTS))
    assert found.error is not None and found.error < 1e-13
    assert found.residual is not None and found.residual < 1e-40
    assert found.counterexample is None

    by = sp.Rational(1, 10**6) * sum(k * x**2 * sp.cos(x) for k, x in enumerate(loss.variables, 1))
    other = recheck(changed(loss, by), proof, box(proof.symmetry), values)
    assert other.verdict == "false"
    assert other.counterexample is not None and other.counterexample["arithmetic"] == "60 digits"


def test_a_change_far_below_float64_is_seen_in_digits() -> None:
    proof = certificate("booth")
    x = proof.loss.variables[0]
    found = recheck(changed(proof.loss, sp.Rational(1, 10**30) * x), proof, box(proof.symmetry))
    assert found.verdict == "false"
    assert found.counterexample is not None and abs(float(found.counterexample["residual"])) < 1e-25


@pytest.mark.parametrize("name", ["booth", "rosenbrock", "ellipsoid", "saddle"])
def test_wrong_code_of_a_right_claim_is_seen_in_float64(name: str) -> None:
    class Subject:
        action = sd.to_torch(certificate(name), **values_of(claim(name)))
        values = values_of(claim(name))

    wrong: Any = wrong_code(Subject, 1 + 1e-9)  # type: ignore[arg-type]
    found = recheck(claim(name).loss, certificate(name), box(claim(name)), Subject.values, action=wrong)
    assert found.verdict == "false"
    assert found.counterexample is not None and found.counterexample["arithmetic"] == "float64"
    assert found.residual is not None and found.residual < 1e-40


def test_a_wrong_generator_among_right_ones_is_seen() -> None:
    """Each discrete generator has its turn."""
    loss = sd.Loss.parse("x**2 + y**2 + z**2 + z")
    signs = [sp.ImmutableMatrix(sp.diag(*[-1 if i == k else 1 for i in range(3)])) for k in range(3)]
    for discrete, verdict in ((signs[:2], "holds"), (signs, "false")):
        group = sd.Group("Z2^n", 3, (), tuple(discrete), compact=True)
        symmetry = sd.Symmetry(loss, group, sd.Chart.identity(loss.variables), kind="discrete")
        found = recheck(loss, symmetry, box(symmetry))
        assert found.verdict == verdict
        assert "verify a claim first" in found.reason  # a claim without a proof has no code


def test_points_are_those_of_the_domain() -> None:
    """log(x) stays in x > 0, and where the bounds hold no such point nothing is called right."""
    proof = certificate("logarithmic")
    assert recheck(proof.loss, proof, [(-1, 3), (-1, 1)]).verdict == "holds"
    outside = recheck(proof.loss, proof, [(-3, -1), (-1, 1)])
    assert (outside.verdict, outside.images) == ("not re-checked", (0, 0))
    assert "domain" in outside.reason


def test_a_claim_right_on_half_of_its_points_is_false() -> None:
    loss = sd.Loss.parse("x**2 + Max(0, y)")
    (x, y), t = loss.variables, sp.Symbol("t", real=True)
    below = sd.claim(loss, [x, y + t], [t])
    assert recheck(loss, below, [(-1, 1), (-1, 1)]).verdict == "false"
    chart = replace(below.chart, conditions=(y < -5,))
    assert recheck(loss, replace(below, chart=chart), [(-1, 1), (-9, 1)]).verdict == "holds"


class Flow:
    """An action without a closed form: the circle through x, in so many steps."""

    def __init__(self, steps: int, project: bool) -> None:
        self.steps, self.project = steps, project

    def random(self, batch: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        return torch.rand(batch, generator=generator, dtype=torch.float64)

    def __call__(self, element: torch.Tensor, point: torch.Tensor) -> torch.Tensor:
        h = (element / self.steps)[:, None]
        radius, turn = point.norm(dim=-1, keepdim=True), torch.tensor([[0.0, -1.0], [1.0, 0.0]]).double()
        for _ in range(self.steps):
            middle = point + h / 2 * (point @ turn.T)
            point = point + h * (middle @ turn.T)
        return point * radius / point.norm(dim=-1, keepdim=True) if self.project else point


def test_a_flow_is_measured() -> None:
    loss = sd.Loss.parse("exp(x**2 + y**2)")
    (x, y), t = loss.variables, sp.Symbol("t", real=True)
    turned = [x * sp.cos(t) - y * sp.sin(t), x * sp.sin(t) + y * sp.cos(t)]
    flow = replace(sd.claim(loss, turned, [t]), kind="numerical")
    exact = recheck(loss, flow, box(flow), action=Flow(20, project=True))  # type: ignore[arg-type]
    assert exact.verdict == "holds" and exact.error is not None and exact.error < 1e-12
    drifting = recheck(loss, flow, box(flow), action=Flow(20, project=False))  # type: ignore[arg-type]
    assert drifting.verdict == "false" and drifting.error is not None and drifting.error > 1e-12
    assert drifting.counterexample is not None and drifting.counterexample["arithmetic"] == "float64"


def test_what_the_loss_itself_loses_is_no_error_of_the_action() -> None:
    """1 - 1/(1 + r^2)^2 is 2 r^2 near 0, with the roundings of 1: ten digits are left at r = 1e-3."""
    loss = sd.Loss.parse("1 - 1/(1 + x**2 + y**2)**2")
    (x, y), t = loss.variables, sp.Symbol("t", real=True)
    turned = [x * sp.cos(t) - y * sp.sin(t), x * sp.sin(t) + y * sp.cos(t)]
    flow = replace(sd.claim(loss, turned, [t]), kind="numerical")
    exact = recheck(loss, flow, box(flow, -1e-3, 1e-3), action=Flow(20, project=True))  # type: ignore[arg-type]
    assert exact.verdict == "holds" and exact.error is not None and exact.error < 1e-14
    drifting = recheck(loss, flow, box(flow, -1e-3, 1e-3), action=Flow(2, project=False))  # type: ignore[arg-type]
    assert drifting.verdict == "false" and drifting.error is not None and drifting.error > 1e-12


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("(x**2 - 1)**2 + (y**2 - 2)**2", 500.0),  # the basin is 600 wide, and below its barrier 2
        (
            "Abs(x**5 - 3*x**4 + 4*x**3 + 2*x**2 - 10*x - 4) + Abs(y**5 - 3*y**4 + 4*y**3 + 2*y**2 - 10*y - 4)",
            10.0,
        ),
    ],
)
def test_points_are_found_where_the_domain_is_a_small_part_of_the_basin(text: str, bounds: float) -> None:
    loss = sd.Loss.parse(text)
    proof = sd.verify(separable(loss)[0])
    limits = [(-bounds, bounds)] * 2
    assert recheck(loss, proof, limits).verdict == "holds"
    by = sp.Rational(1, 10**9) * loss.variables[0]
    assert recheck(changed(loss, by), proof, limits).verdict == "false"


def test_what_cannot_be_run_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    proof = certificate("booth")

    class Broken:
        def random(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("no elements today")

    half = recheck(proof.loss, proof, box(proof.symmetry), action=Broken())  # type: ignore[arg-type]
    assert (half.verdict, half.images) == ("holds", (0, POINTS))
    assert "float64: RuntimeError: no elements today" in half.reason
    monkeypatch.setattr("symdiscover.recheck.rounding_bound", lambda *_: float("nan"))
    unknown = recheck(
        proof.loss, proof, box(proof.symmetry)
    )  # a bound that is no number allows and supports nothing
    assert (unknown.verdict, unknown.images) == ("holds", (0, POINTS))
    late = recheck(proof.loss, proof, box(proof.symmetry), seconds=0)
    assert (late.verdict, late.images) == ("not re-checked", (0, 0))
    assert "time" in late.reason


def test_what_rounding_hides_is_no_support() -> None:
    """exp(-x^2 - y^2) is 0 in float64 far away: not a number is compared there."""
    loss = sd.Loss.parse("exp(-x**2 - y**2)")
    proof = sd.derive(loss, only=["quadratic"]).certificates[0]
    found = recheck(loss, proof, [(40, 50), (40, 50)])
    assert (found.verdict, found.images) == ("holds", (0, POINTS))
    assert "hidden by rounding" in found.reason
