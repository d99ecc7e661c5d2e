"""Modules of actions through roots: torch alone, derivatives of two orders, batches, dtypes, NaN outside."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sympy as sp
import torch

import symdiscover as sd
from symdiscover.invariance import assert_invariant
from symdiscover.source import action_source
from tests.symdiscover.lemmas import basins, claimed, star

R = sp.Rational
X, Y = sp.symbols("x y", real=True)
CLAIMS: dict[str, Callable[[], sd.Symmetry]] = {
    "star": lambda: claimed(*star("(x - 1)**2 + x**2*y**2 + exp(y**2)", centre=(1, 0), floor=1, far=R(1, 2), ceiling=R(11, 10))),
    "ring": lambda: claimed(*star("(x**2 + y**2)**2 - (x**2 + y**2)/100", near=R(1, 5), far=2, floor=R(1, 10), ceiling=4)),
    "basins": lambda: claimed(
        *basins((X**2 - 10 * sp.cos(2 * sp.pi * X), Y**4 + Y**2), R(2, 5), R(1, 10))
    ),
    "matrices": lambda: claimed(*star("x**2 + y**2 + x**2*y**2", far=1, ceiling=R(9, 10)), sd.O(2)),
}  # fmt: skip
INSIDE = {"star": [1.1, 0.12], "ring": [0.8, 0.7], "basins": [0.01, 0.2], "matrices": [0.3, -0.4]}
OUTSIDE = {"star": [1.4, 0.4], "ring": [0.1, 0.1], "basins": [0.3, 0.2], "matrices": [3.0, 0.0]}


@pytest.fixture(scope="module", params=CLAIMS)
def case(request: pytest.FixtureRequest) -> tuple[str, sd.Action]:
    return request.param, sd.to_torch(sd.verify(CLAIMS[request.param]()))


def elements(action: sd.Action, count: int) -> torch.Tensor:
    angles = torch.linspace(0.4, 2.0, count, dtype=torch.float64)
    return action.exp(angles[:, None]) if action.group.element == "matrix" else angles


def points(name: str, count: int) -> torch.Tensor:
    return (
        torch.tensor(INSIDE[name], dtype=torch.float64)
        * torch.linspace(1.0, 1.01, count, dtype=torch.float64)[:, None]
    )


def test_the_loss_stays(case: tuple[str, sd.Action]) -> None:
    name, action = case
    x, g = points(name, 5), elements(action, 5)
    moved = action(g, x)
    assert (moved - x).abs().max() > 1e-3
    assert assert_invariant(action, x, g) <= 2
    assert not torch.allclose(action.loss(moved * 1.01), action.loss(x), rtol=1e-9)
    assert torch.allclose(action(action.inverse(g), moved), x, rtol=1e-9)
    assert torch.allclose(action(g, action(g, x)), action(action.compose(g, g), x), rtol=1e-9)


def test_derivatives_of_two_orders(case: tuple[str, sd.Action]) -> None:
    name, action = case
    g = elements(action, 1)[0]
    x = points(name, 2)[1].requires_grad_()
    assert torch.autograd.gradcheck(lambda p: action(g, p), (x,))
    assert torch.autograd.gradgradcheck(lambda p: action(g, p), (x,))
    detached = lambda p: action(g, p.detach()) + 0 * p  # noqa: E731
    assert not torch.autograd.gradcheck(detached, (x,), raise_exception=False)


def test_batches_and_transforms(case: tuple[str, sd.Action]) -> None:
    name, action = case
    x, g = points(name, 4), elements(action, 3)
    moved = action(g[:, None], x)
    assert moved.shape == (3, 4, 2)
    assert torch.allclose(moved[1, 2], action(g[1], x[2]), rtol=1e-12)
    assert not torch.allclose(moved[1, 2], action(g[2], x[2]), rtol=1e-12)
    assert torch.allclose(torch.func.vmap(lambda p: action(g[0], p))(x), action(g[0], x), rtol=1e-12)
    assert action(g[0], x[:0]).shape == (0, 2)
    v = torch.ones_like(x[0])
    _, slope = torch.func.jvp(lambda p: action(g[0], p), (x[0],), (v,))
    step = 1e-6
    numeric = (action(g[0], x[0] + step * v) - action(g[0], x[0] - step * v)) / (2 * step)
    assert torch.allclose(slope, numeric, rtol=1e-5, atol=1e-7)
    assert not torch.allclose(1.01 * slope, numeric, rtol=1e-5, atol=1e-7)


def test_single_precision(case: tuple[str, sd.Action]) -> None:
    name, action = case
    x, g = points(name, 3), elements(action, 3)
    single = action(g, x.float())
    assert single.dtype == torch.float32
    assert torch.allclose(single.double(), action(g, x), atol=2e-3)
    assert not torch.allclose(single.double() + 0.02, action(g, x), atol=2e-3)


def test_outside_the_domain_is_nan(case: tuple[str, sd.Action]) -> None:
    name, action = case
    both = torch.tensor([OUTSIDE[name], INSIDE[name]], dtype=torch.float64, requires_grad=True)
    moved = action(elements(action, 1)[0], both)
    assert moved.isnan().all(-1).tolist() == [True, False]
    (slope,) = torch.autograd.grad(moved[1].sum(), both)
    assert slope[1].isfinite().all()


def test_pickling(case: tuple[str, sd.Action]) -> None:
    name, action = case
    x, g = points(name, 3), elements(action, 3)
    copy = pickle.loads(pickle.dumps(action))
    assert torch.equal(copy(g, x), action(g, x)) and not torch.equal(copy(g, x), x)


def test_torch_alone_is_needed(tmp_path: Path) -> None:
    """The files run in a process that has neither SymPy nor this package; one that asks for SymPy fails there."""
    expected = {}
    for name in ("star", "basins"):
        action = sd.to_torch(sd.verify(CLAIMS[name]()))
        action.save(tmp_path / f"saved_{name}.py")
        expected[name] = {
            "x": points(name, 2),
            "g": elements(action, 2),
            "moved": action(elements(action, 2), points(name, 2)),
        }
    torch.save(expected, tmp_path / "cases.pt")
    (tmp_path / "saved_sympy.py").write_text("import sympy\n")
    code = (
        "import importlib, sys\nfor name in ('sympy', 'symdiscover', 'mpmath'):\n    sys.modules[name] = None\n"
        "import torch\nsys.path.insert(0, sys.argv[1])\ncases = torch.load(sys.argv[1] + '/cases.pt')\n"
        "for name, case in cases.items():\n"
        "    moved = importlib.import_module('saved_' + name).act(case['g'], case['x'])\n"
        "    print(name, torch.equal(moved, case['moved']), torch.equal(moved, case['x']))\n"
        "try:\n    import saved_sympy\nexcept ImportError:\n    print('blocked')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.stdout.split("\n")[:3] == ["star True False", "basins True False", "blocked"], done.stderr


def test_the_text_names_what_it_solves() -> None:
    text = action_source(CLAIMS["basins"]())
    assert "def root(gap" in text and text.count("= root(lambda") == 2 and "def gap_r1" in text
    explicit = action_source(claimed(*basins((X**4, sp.Abs(Y)), inverses=((sp.sqrt(X),) * 2, (Y**2,) * 2))))
    assert "root(" not in explicit.replace("safe_root(", "").replace("sqrt(", "")
