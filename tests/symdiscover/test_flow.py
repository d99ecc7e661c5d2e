"""Flows along level sets: in NumPy against known curves, and the generated torch code against its laws.

What a flow obeys is weaker than what `tests/laws.py` asks of the other actions: the loss to 1e-12, the identity to the bit,
inverses and angles that add to the error of the integration. Each law has a wrong flow beside it.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
import torch

import symdiscover as sd
from symdiscover import Chart, Loss, NotInvariant, Symmetry, SymmetryError, catalogue
from symdiscover.action import Action
from symdiscover.errors import OutsideDomain
from symdiscover.floats import compiled
from symdiscover.flow import STAGES, WEIGHTS, LevelFlow, slopes_of
from symdiscover.generate import to_torch
from symdiscover.group import Group
from symdiscover.literal import from_literal, to_literal
from symdiscover.routes.level_set import find
from symdiscover.saved import verify_file
from symdiscover.verify import verify

X, Y, Z = sp.symbols("x y z", real=True)
ANGLE, TIME, WORD = "x**4 + y**4 + x*y", "x*y + sin(x)", "x**4 + y**4 + sin(x*z)"
#: The loss after a move, relative to that before.
EXACT = 1e-12


def claim(text: str, positive: str = "") -> Symmetry:
    return find(Loss.parse(text, positive=positive))[0]


@cache
def action(text: str, positive: str = "") -> Action:
    return to_torch(verify(claim(text, positive)))


def points(n: int, count: int = 6, seed: int = 0) -> torch.Tensor:
    return 4 * torch.rand(count, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 2


def elements(a: Action, count: int, seed: int = 1, scale: float = 0.5) -> torch.Tensor:
    return a.random((count,), scale, torch.Generator().manual_seed(seed))


def loss_error(a: Action, moved: torch.Tensor, x: torch.Tensor) -> float:
    return float(((a.loss(moved) - a.loss(x)) / a.loss(x)).abs().max())


# --- in NumPy --------------------------------------------------------------------------------------------------------------


def test_floats_are_those_of_sympy() -> None:
    expressions = [
        sp.Piecewise((sp.exp(X) / Y, X < Y), (sp.sqrt(X) * Y**3, True)),
        sp.Max(X, Y, 1) * sp.Abs(X - Y) + sp.Heaviside(X) - X**-2,
        sp.atan2(Y, X) + sp.erf(X) + sp.log(Y) + sp.floor(3 * X) + sp.tanh(X * Y) + sp.pi,
    ]
    at = np.array([[0.3, 1.7], [2.4, 0.9], [1.1, 3.2]])
    values = compiled(expressions, [X, Y])(at)
    exact = [[float(e.subs({X: x, Y: y})) for e in expressions] for x, y in at]
    assert np.allclose(values, exact, rtol=1e-14)
    assert not np.allclose(values, np.roll(exact, 1, axis=0), rtol=1e-2)
    assert compiled([sp.cbrt(X)], [X])(np.array([[-8.0]])) == -2  # the real root, as in the generated code
    assert np.isnan(compiled([sp.sqrt(X)], [X])(np.array([[-1.0]]))).all()
    with pytest.raises(OutsideDomain, match="no values"):
        compiled([sp.Function("f")(X)], [X])


def test_method_is_of_order_eight() -> None:
    nodes = [sum(row) for row in STAGES]
    for k in range(8):  # quadrature conditions; order nine fails
        assert sum(w * c**k for w, c in zip(WEIGHTS, nodes, strict=True)) == pytest.approx(
            1 / (k + 1), abs=1e-14
        )
    assert sum(w * c**8 for w, c in zip(WEIGHTS, nodes, strict=True)) != pytest.approx(1 / 9, abs=1e-6)
    flow = LevelFlow(X**2 + 4 * Y**2, (X, Y))
    start, level = np.array([1.0, 0.3]), np.array(1.36)
    errors = []
    for count in (8, 16, 32):
        u = start
        for _ in range(count):
            u, _ = flow._step(flow.turning, u, np.array(np.pi / 2 / count), level)
        errors.append(np.linalg.norm(u - start))
    slopes = np.diff(np.log2(errors))
    assert np.all(slopes < -7.5) and np.all(slopes > -9.5)


@pytest.mark.parametrize(
    ("function", "period"),
    [(X**2 + Y**2, np.pi), (X**2 + 4 * Y**2, np.pi / 2), ((X - 1) ** 2 + 4 * (Y - X**2) ** 2, np.pi / 2),
     (sp.exp(X**2 + Y**2), None)],
)  # fmt: skip
def test_periods_by_formula(function: sp.Expr, period: float | None) -> None:
    """T = dA/dL, A the area inside: pi L for circles, pi L / 2 for ellipses, whatever the shear; pi log L for exp."""
    start = np.array([[0.7, 0.4], [1.2, -0.5], [-0.3, 1.0]])
    flow = LevelFlow(function, (X, Y))
    expected = np.pi / flow.slope(start)[0] if period is None else np.full(3, period)
    assert np.allclose(flow.period(start), expected, rtol=1e-7)
    assert not np.allclose(flow.period(start), 1.00001 * expected, rtol=1e-7)


def test_open_curves_have_no_period_and_critical_points_stay() -> None:
    start = np.array([[0.7, 0.4], [0.0, 0.0], [np.nan, 1.0]])
    saddle = LevelFlow(X * Y, (X, Y))
    assert np.isnan(saddle.period(start)).all()
    moved, reached = saddle.move(saddle.arc, start, np.full(3, 0.5))
    assert reached.tolist() == [True, False, False]
    assert np.array_equal(moved[1:], start[1:], equal_nan=True) and not np.array_equal(moved[0], start[0])
    assert np.isfinite(LevelFlow(X**2 + Y**2, (X, Y)).period(start)).tolist() == [True, False, False]


def test_without_projection_the_loss_moves() -> None:
    flow = LevelFlow(X**4 + Y**4 + X * Y, (X, Y))
    start, time = np.array([[1.0, 0.5], [-0.3, 1.2]]), np.array([1.0, -2.0])
    before = flow.slope(start)[0]
    moved, reached = flow.move(flow.arc, start, time)
    assert reached.all() and np.abs(flow.slope(moved)[0] / before - 1).max() < EXACT
    assert np.abs(flow.slope(flow.euler(flow.arc, start, time))[0] / before - 1).min() > 1e-3


def test_derivatives_of_jumps() -> None:
    assert slopes_of(sp.sign(X) * Y, (X, Y)) == (Y * sp.sign(X), 0, sp.sign(X))
    with pytest.raises(OutsideDomain, match="no closed form"):
        slopes_of(sp.floor(X) * Y, (X, Y))


# --- claims ----------------------------------------------------------------------------------------------------------------


def by_hand(text: str, field: list[sp.Expr], size: int = 2) -> Symmetry:
    """A flow along a field in the variables, by time."""
    loss = Loss.parse(text)
    chart = Chart.identity(loss.variables)
    named = dict(zip(loss.variables, chart.coordinates, strict=True))
    return Symmetry(
        loss,
        Group("by hand", size, (), element="time"),
        chart,
        "numerical",
        reduced=loss.expression.xreplace(named),
        flow=tuple(sp.sympify(e).xreplace(named) for e in field),
    )


def test_a_field_that_is_tangent_and_two_that_are_not() -> None:
    certificate = verify(by_hand("x**2*y", [X, -2 * Y]))
    assert certificate.status == "numerical" and not certificate.group_law
    assert {i.name: i.status for i in certificate.identities}["tangency"] == "proved"
    for wrong in ([X, -Y], [2 * X * Y, X**2]):  # the last is the gradient
        with pytest.raises(NotInvariant, match="tangency") as caught:
            verify(by_hand("x**2*y", wrong))
        assert caught.value.counterexample


def test_a_flow_of_another_loss_is_refuted() -> None:
    right = claim(ANGLE)
    wrong = replace(right, reduced=right.reduced_loss + sp.Rational(1, 10**6) * right.chart.coordinates[0])
    assert verify(right).status == "numerical"
    with pytest.raises(NotInvariant, match="reduction"):
        verify(wrong)


def test_an_image_with_another_loss_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same flow without projection, as if it were the action."""
    from symdiscover.flow_claim import flow_identities

    assert [i.status for i in flow_identities(claim(TIME))] == ["numerical", "numerical"]

    def euler(self: LevelFlow, velocity, start, time):  # type: ignore[no-untyped-def]
        return self.euler(velocity, start, time), np.ones(time.shape, dtype=bool)

    monkeypatch.setattr(LevelFlow, "move", euler)
    for text in (TIME, WORD):
        with pytest.raises(NotInvariant, match="the loss moves") as caught:
            flow_identities(claim(text))
        assert set(caught.value.counterexample) >= {"x", "y"}


def test_status_is_numerical_and_says_what_was_measured() -> None:
    for text in (ANGLE, TIME, WORD):
        certificate = verify(claim(text))
        assert certificate.status == "numerical" and certificate.transitive and not certificate.group_law
        found = {identity.name: identity for identity in certificate.identities}
        assert found["tangency"].status == found["control"].status == "proved"
        assert found["map"].status == "numerical" and "Euler" in found["map"].method
        assert found["composition"].status == ("unchecked" if text == WORD else "numerical")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "closed-form"}, "kind numerical"),
        ({"group": sd.SO(2)}, "not two of these"),
        ({"group": Group("SO(2)", 2, (), element="matrix")}, "does not move"),
        ({"flow": (sp.Symbol("u1", real=True),)}, "2 components"),
        ({"flow": (X, Y), "group": Group("f", 2, (), element="time")}, "may not depend"),
        ({"group": Group("flow", 1, (), element="time")}, "do not|does not"),
    ],
)
def test_claims_that_contradict_themselves(change: dict[str, object], message: str) -> None:
    with pytest.raises(SymmetryError, match=message):
        verify(replace(claim(ANGLE), **change))  # type: ignore[arg-type]


def test_angles_need_curves_that_close() -> None:
    open_ = replace(claim(TIME), group=Group("SO(2)", 2, (), compact=True, element="angle"))
    with pytest.raises(SymmetryError, match="no level curve"):
        verify(open_)


# --- in torch --------------------------------------------------------------------------------------------------------------

#: Functions of two to four variables, families at that size.
CATALOGUE = [
    ("himmelblau", None), ("three-hump-camel", None), ("six-hump-camel", None), ("mccormick", None), ("branin", None),
    ("beale", None), ("ackley", 2), ("griewank", 2), ("styblinski-tang", 3), ("rastrigin", 3), ("wood", None),
    ("powell-singular", None), ("levy", 3),
]  # fmt: skip


@pytest.mark.parametrize(("name", "size"), CATALOGUE)
def test_loss_to_twelve_digits_on_the_catalogue(name: str, size: int | None) -> None:
    a = to_torch(verify(find(catalogue.load(name, size).loss)[0]))
    x = points(a.dimension, 12)
    for scale in (0.3, 3.0):
        with torch.no_grad():
            moved = a(elements(a, 12, scale=scale), x)
        assert loss_error(a, moved, x) <= EXACT
        assert (moved != x).any(-1).sum() >= 10  # what stays is right for no merit
    tangent = x + (moved - x) * 1.001
    assert loss_error(a, tangent, x) > EXACT


@pytest.mark.parametrize("text", [ANGLE, TIME, WORD])
def test_identity_and_inverse(text: str) -> None:
    a, x = action(text), points(3 if text == WORD else 2)
    g = elements(a, 6)
    with torch.no_grad():
        assert torch.equal(a(a.identity(x), x), x)
        moved = a(g, x)
        assert torch.allclose(a(-g, moved), x, atol=1e-8)
        assert not torch.allclose(a(-1.001 * g, moved), x, atol=1e-6)


def test_angles_add_and_have_period_two_pi() -> None:
    a, x = action(ANGLE), points(2)
    s, t = elements(a, 6, 1), elements(a, 6, 2)
    with torch.no_grad():
        both = a(s + t, x)
        assert torch.allclose(a(s, a(t, x)), both, atol=1e-8)
        assert not torch.allclose(a(s, a(1.001 * t, x)), both, atol=1e-6)
        assert torch.allclose(a(s + 2 * torch.pi, x), a(s, x), atol=1e-9)
        assert not torch.allclose(a(s + 6.28, x), a(s, x), atol=1e-4)
        quarter = a(torch.tensor(torch.pi / 2), a(torch.tensor(torch.pi / 2), x))
        assert torch.allclose(a(torch.tensor(torch.pi), x), quarter, atol=1e-8)


def test_ellipse_turns_uniformly() -> None:
    """The flow of (-8 y, 2 x), its period a whole turn, is the rotation of (x, 2 y)."""
    a = to_torch(verify(claim("x**2 + 4*y**2")))
    x, theta = points(2), elements(action(ANGLE), 6)
    u, v = x[:, 0], 2 * x[:, 1]
    turned = torch.stack([theta.cos() * u - theta.sin() * v, (theta.sin() * u + theta.cos() * v) / 2], -1)
    assert torch.allclose(a(theta, x), turned, atol=1e-8)
    assert not torch.allclose(a(-theta, x), turned, atol=1e-2)


def test_times_are_lengths_of_the_curve() -> None:
    a = to_torch(verify(replace(claim("x**2 + y**2"), group=Group("flow", 2, (), element="time"))))
    x = torch.tensor([[3.0, 0.0]], dtype=torch.float64)
    quarter, top = torch.tensor(3 * torch.pi / 2, dtype=torch.float64), torch.tensor([[0.0, 3.0]]).double()
    assert torch.allclose(a(quarter, x), top, atol=1e-8)
    assert not torch.allclose(a(quarter / 3, x), top, atol=1e-2)


def test_points_that_cannot_move_stay_to_the_bit() -> None:
    critical = torch.zeros(1, 2, dtype=torch.float64)
    for text in (ANGLE, TIME):
        a = action(text)
        x = torch.cat([critical, torch.full((1, 2), torch.nan, dtype=torch.float64), points(2, 2)])
        if text == TIME:
            x[0] = torch.tensor([0.0, -1.0])  # the saddle of x y + sin x
        moved = a(torch.full((4,), 0.7, dtype=torch.float64), x)
        assert torch.equal(moved[:2].nan_to_num(), x[:2].nan_to_num()) and not torch.equal(moved[2:], x[2:])


@pytest.mark.slow
def test_gradients_of_rows_that_stay_are_those_of_the_identity() -> None:
    a = action(ANGLE)
    x = torch.cat([torch.zeros(1, 2, dtype=torch.float64), points(2, 1)]).requires_grad_()
    theta = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    a(theta, x)[0].sum().backward()
    assert torch.equal(x.grad, torch.tensor([[1.0, 1.0], [0.0, 0.0]], dtype=torch.float64))
    assert theta.grad == 0
    x.grad = None
    a(theta, x).sum().backward()
    assert x.grad.isfinite().all() and theta.grad != 0


@pytest.mark.slow
@pytest.mark.parametrize("text", ["x**2 + 4*y**2", TIME, WORD])
def test_gradcheck(text: str) -> None:
    a = action(text)
    leaves = (elements(a, 1, scale=0.3).requires_grad_(), points(a.dimension, 1).requires_grad_())

    def holds(act: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> bool:
        return torch.autograd.gradcheck(act, leaves, atol=1e-4, fast_mode=True, raise_exception=False)

    assert holds(a)
    assert not holds(lambda g, x: a(g, x.detach()) + 0 * x)
    assert not holds(lambda g, x: a(g.detach(), x) + 0 * g.sum())


@pytest.mark.slow
def test_vmap() -> None:
    a = action(WORD)
    g, x = elements(a, 2, scale=0.2), points(a.dimension, 2)
    mapped = torch.func.vmap(a)(g, x)
    assert torch.allclose(mapped, a(g, x), atol=1e-12) and not torch.allclose(
        mapped, a(g.flip(0), x), atol=1e-6
    )


@pytest.mark.parametrize("text", [ANGLE, TIME, WORD])
def test_shapes_and_dtypes(text: str) -> None:
    a = action(text)
    g, x = elements(a, 3), points(a.dimension, 2)
    with torch.no_grad():
        moved = a(g[:, None], x)
        assert moved.shape == (3, 2, a.dimension)
        assert torch.allclose(moved[2, 1], a(g[2], x[1]), atol=1e-9)
        assert not torch.allclose(moved[2, 1], a(g[1], x[1]), atol=1e-4)
        assert a(g[0], x[0]).shape == (a.dimension,) and a(g[:0], x[:1].expand(0, -1)).shape == (
            0,
            a.dimension,
        )
        single = a(g[:2].float(), x.float())
        assert single.dtype == torch.float32 and loss_error(a, single, x.float()) < 1e-4
        assert torch.allclose(single.double(), a(g[:2], x), atol=1e-3)
    with pytest.raises(ValueError, match="floating-point"):
        a(g[:2], torch.cat([x, x], -1))


def test_words_do_not_compose() -> None:
    a = action(WORD)
    g = elements(a, 2)
    assert a.parameters == 3 and not a.composes and action(ANGLE).parameters == 1
    for call in (lambda: a.compose(g, g), lambda: a.inverse(g)):
        with pytest.raises(SymmetryError, match="compose"):
            call()
    with pytest.raises(ValueError, match="do not compose"):
        a._module.compose(g, g)
    x = points(3, 2)
    assert not torch.allclose(a(g, a(g.flip(0), x)), a(g + g.flip(0), x), atol=1e-4)  # nor would it be true


def test_constants_stay_symbolic_and_may_be_a_batch() -> None:
    a = action("x**4 + a*y**4 + x*y", "a")
    assert a.group.element == "time"  # closed or not is not decided at one value
    x, t = points(2, 3), torch.tensor(0.5, dtype=torch.float64)
    several = a.at(a=torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    assert loss_error(several, several(t, x), x) <= EXACT
    assert torch.allclose(several(t, x[0])[1], a.at(a=2.0)(t, x[0]), atol=1e-9)
    assert not torch.allclose(several(t, x[0])[1], a.at(a=3.0)(t, x[0]), atol=1e-4)


@pytest.mark.parametrize("text", [ANGLE, TIME, WORD])
def test_save_load_pickle_and_prove_again(text: str, tmp_path: Path) -> None:
    a = action(text)
    copy, g, x = pickle.loads(pickle.dumps(a)), elements(a, 4), points(a.dimension, 4)
    assert torch.equal(copy(g, x), a(g, x)) and copy.certificate == a.certificate
    assert from_literal(to_literal(a.certificate.symmetry)) == a.certificate.symmetry
    path = a.save(tmp_path / "flow.py")
    assert verify_file(path).status == "numerical"
    module: dict[str, object] = {}
    exec(compile(path.read_text(), str(path), "exec"), module)  # a file of one's own
    assert torch.equal(module["act"](g, x), a(g, x))  # type: ignore[operator]
    path.write_text(path.read_text().replace("CORRECTIONS = 2", "CORRECTIONS = 0"))
    with pytest.raises(SymmetryError, match="not what it generates"):
        verify_file(path)


def test_code_without_projection_does_not_keep_the_loss() -> None:
    a = action(WORD)
    wrong = Action(a.group, a.source.replace("u = u - shift", "u = u + 0 * shift"))
    loose = Action(wrong.group, wrong.source.replace("LEVEL = 4096.0", "LEVEL = 1e16"))
    g, x = elements(a, 6), points(3)
    with torch.no_grad():
        assert loss_error(a, a(g, x), x) <= EXACT
        assert (wrong(g, x) == x).all(-1).sum() >= 3  # it notices, and does not move
        assert loss_error(wrong, wrong(g, x), x) <= 10 * EXACT
        assert loss_error(loose, loose(g, x), x) > EXACT
