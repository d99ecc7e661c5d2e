"""Generated code under torch: autograd of both orders, vmap, compile, dtypes, batches, constants, and alone."""

from __future__ import annotations

import copy
import inspect
import os
import pickle
import subprocess
import sys
import traceback
from pathlib import Path

import mpmath
import pytest
import sympy as sp
import torch
from torch import Tensor

import symdiscover as sd
from symdiscover.generate import TorchLoss, to_torch
from symdiscover.rounding import evaluate_digits
from tests.symdiscover.claims import CLAIMS, VALUES, action, certificate, claim

DOUBLE = torch.float64


def element(of: sd.Action, batch: tuple[int, ...] = (), seed: int = 0, dtype: torch.dtype = DOUBLE) -> Tensor:
    return of.random(batch, scale=0.4, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def points(of: sd.Action, batch: tuple[int, ...] = (), seed: int = 1, dtype: torch.dtype = DOUBLE) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return 0.5 + torch.rand(*batch, of.dimension, dtype=dtype, generator=draw)


MATRICES = ("ellipsoid", "saddle", "one square", "linear", "shears")


def test_the_elements_of_some_claims_are_matrices() -> None:
    assert tuple(name for name in CLAIMS if claim(name).group.element == "matrix") == MATRICES


@pytest.mark.parametrize("name", [name for name in CLAIMS if name not in MATRICES])
def test_the_code_computes_the_written_map(name: str) -> None:
    of, symmetry = action(name), claim(name)
    g, x = element(of), points(of)
    values = dict(zip(symmetry.loss.variables, map(mpmath.mpf, x.tolist()), strict=True))
    values |= {s: mpmath.mpf(VALUES[s.name]) for s in symmetry.loss.constants}
    values |= dict(zip(symmetry.parameters, map(mpmath.mpf, g.reshape(-1).tolist()), strict=True))
    assert symmetry.map is not None
    with mpmath.workdps(30):
        wanted = torch.tensor([float(evaluate_digits(image, values)) for image in symmetry.map], dtype=DOUBLE)
    assert torch.allclose(of(g, x), wanted, rtol=1e-13, atol=1e-13)
    assert not torch.allclose(
        of(of.inverse(g), x) if name != "without composition" else of(-g, x), wanted, rtol=1e-6
    )


@pytest.mark.parametrize("name", CLAIMS)
def test_the_code_leaves_the_loss_equal(name: str) -> None:
    of = action(name)
    g, x = element(of, (20,)), points(of, (20,))
    before, after = of.loss(x), of.loss(of(g, x))
    assert torch.allclose(before, after, rtol=1e-11, atol=1e-12)
    assert not torch.allclose(before, of.loss(of(g, x) + 1e-6), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", CLAIMS)
def test_gradients_of_both_orders(name: str) -> None:
    of = action(name)
    g, x = element(of).requires_grad_(), points(of, (2,)).requires_grad_()
    assert torch.autograd.gradcheck(lambda e, p: (of(e, p), of.loss(p)), (g, x))
    assert torch.autograd.gradgradcheck(lambda e, p: of(e, p), (g, x))
    assert not torch.autograd.gradcheck(
        lambda e, p: of(e, p.detach()) + 0 * p.sum(), (g, x), raise_exception=False
    )


@pytest.mark.parametrize("name", CLAIMS)
def test_functional_transforms(name: str) -> None:
    of = action(name)
    g, x = element(of, (4,)), points(of, (4,))
    assert torch.allclose(torch.func.vmap(of)(g, x), of(g, x), rtol=1e-13)
    assert torch.allclose(torch.func.vmap(of, in_dims=(None, 0))(g[0], x), of(g[0], x), rtol=1e-13)
    slopes = torch.func.vmap(torch.func.grad(of.loss))(x)
    leaf = x.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(of.loss(leaf).sum(), leaf)
    assert torch.allclose(slopes, wanted)
    jacobian = torch.func.jacrev(of, argnums=1)(g[0], x[0])
    assert torch.allclose(jacobian, torch.func.jacfwd(of, argnums=1)(g[0], x[0]))
    # L(a(g, x)) = L(x): the gradient at the start is that at the image, pulled back.
    pulled = jacobian.mT @ torch.func.grad(of.loss)(of(g[0], x[0]))
    assert torch.allclose(pulled, slopes[0], rtol=1e-9, atol=1e-10)
    assert not torch.allclose(pulled, slopes[1], rtol=1e-9, atol=1e-10)
    assert torch.func.hessian(of.loss)(x[0]).shape == (of.dimension, of.dimension)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("name", ["rosenbrock", "ellipsoid", "translations", "scalings", "logarithmic"])
def test_compiled_whole(name: str, backend: str) -> None:
    of = action(name)
    g, x = element(of, (3,)), points(of, (3,)).requires_grad_()
    torch._dynamo.reset()

    def moved_loss(e: Tensor, p: Tensor) -> Tensor:
        return of.loss(
            of(of.compose(e, of.inverse(of.exp(torch.zeros(3, max(of.group.dimension, 1), dtype=DOUBLE)))), p)
        )

    compiled = torch.compile(moved_loss, backend=backend, fullgraph=True)
    assert torch.allclose(compiled(g, x), moved_loss(g, x), rtol=1e-12)
    (slope,) = torch.autograd.grad(compiled(g, x).sum(), x)
    (wanted,) = torch.autograd.grad(moved_loss(g, x).sum(), x)
    assert torch.allclose(slope, wanted, rtol=1e-9)
    assert not torch.allclose(slope, 1.001 * wanted, rtol=1e-9)


def test_what_cannot_be_compiled_whole_is_noticed() -> None:
    of = action("booth")
    torch._dynamo.reset()

    def broken(p: Tensor) -> Tensor:
        torch._dynamo.graph_break()
        return of.loss(p)

    with pytest.raises(torch._dynamo.exc.Unsupported):
        torch.compile(broken, backend="eager", fullgraph=True)(points(of))


# Dtypes and shapes


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", CLAIMS)
def test_the_dtype_of_the_point_is_kept(name: str, dtype: torch.dtype) -> None:
    of = action(name)
    g, x = element(of), points(of)
    exact = of(g, x)
    moved = of(g, x.to(dtype))
    assert moved.dtype == of.loss(x.to(dtype)).dtype == dtype
    tolerance = 30 * torch.finfo(dtype).eps
    assert torch.allclose(moved.double(), exact, rtol=tolerance, atol=tolerance)
    assert not torch.allclose(
        moved.double(), exact + 3 * tolerance * (1 + exact.abs()), rtol=tolerance, atol=tolerance
    )
    xi = torch.full(
        (max(of.group.dimension, 1) if of.group.element != "matrix" else of.group.dimension,),
        0.1,
        dtype=dtype,
    )
    if of.group.element != "vector" or of.group.dimension:
        assert (
            of.exp(xi).dtype == of.inverse(of.exp(xi)).dtype == dtype
            if name != "without composition"
            else True
        )


@pytest.mark.parametrize(
    "bad",
    [
        torch.tensor([1, 2]), torch.tensor([True, False]), torch.tensor([1 + 1j, 2]), torch.tensor(1.0), torch.ones(3), torch.ones(2, 0),
        torch.ones(2, 3), [1.0, 2.0], None, 3.0,
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_point_is_refused(bad: object) -> None:
    of = action("booth")
    for call in (of.loss, lambda p: of(0.3, p), to_torch(claim("booth").loss)):
        with pytest.raises(ValueError, match=r"points are a floating-point tensor of shape \(..., 2\), not"):
            call(bad)  # type: ignore[arg-type]
    assert of(0.3, torch.ones(2)).shape == (2,)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("translations", (3,)), ("translations", ()), ("ellipsoid", (2, 2)), ("ellipsoid", (3,))],
)
def test_what_is_no_element_is_refused(name: str, shape: tuple[int, ...]) -> None:
    of = action(name)
    with pytest.raises(ValueError, match="elements have shape"):
        of(torch.ones(shape, dtype=DOUBLE), points(of))
    assert of(element(of), points(of)).shape == (3,)


@pytest.mark.parametrize(
    "name", ["rosenbrock", "ellipsoid", "translations", "translation", "one square", "shears"]
)
def test_batches_broadcast(name: str) -> None:
    of = action(name)
    g, x = element(of, (5, 1)), points(of, (3,))
    moved = of(g, x)
    assert moved.shape == (5, 3, of.dimension)
    assert of.loss(moved).shape == (5, 3)
    for i in range(5):
        for j in range(3):
            assert torch.allclose(moved[i, j], of(g[i, 0], x[j]), rtol=1e-12)
    if name != "one square":
        assert not torch.allclose(moved[0, 0], of(g[1, 0], x[0]), rtol=1e-12)
    assert of(g[0, 0], points(of, (0,))).shape == (0, of.dimension)
    assert of(element(of, (0,)), points(of)).shape == (0, of.dimension)
    assert of.loss(points(of, (2, 0, 4))).shape == (2, 0, 4)


def test_numbers_lists_and_arrays_are_elements_too() -> None:
    of = action("booth")
    x = points(of, (2,))
    wanted = of(torch.tensor([0.5, 0.5], dtype=DOUBLE), x)
    assert torch.equal(of(0.5, x), wanted)
    assert torch.equal(of([0.5, 0.5], x), wanted)
    assert not torch.equal(of(0.6, x), wanted)


# Constants


def test_constants_are_numbers_or_tensors() -> None:
    proof = certificate("rosenbrock")
    x, angle = torch.tensor([[-1.0, -1.0], [0.5, 2.0]], dtype=DOUBLE), torch.tensor([0.3, 1.0], dtype=DOUBLE)
    plain = to_torch(proof, a=1, b=100)
    wanted = plain(angle, x)
    for b in (
        100.0,
        sp.Integer(100),
        torch.tensor(100),
        torch.tensor(100.0),
        torch.tensor([100.0, 100.0], dtype=DOUBLE),
    ):
        assert torch.equal(to_torch(proof, a=1.0, b=b)(angle, x), wanted)
    assert not torch.equal(to_torch(proof, a=1.0, b=99.0)(angle, x), wanted)
    each = to_torch(proof).at(a=torch.tensor([1.0, 2.0]), b=100)
    assert torch.equal(each(angle, x)[0], wanted[0])
    assert not torch.equal(each(angle, x)[1], wanted[1])
    assert each.loss(x[0]).shape == (2,)
    single = x.float()
    assert to_torch(proof, a=torch.tensor(1.0, dtype=DOUBLE), b=100)(angle, single).dtype == torch.float32
    assert to_torch(proof, a=torch.ones(2, dtype=DOUBLE), b=100).loss(single).dtype == torch.float32


def test_gradients_flow_into_constants() -> None:
    a, b = (torch.tensor(v, dtype=DOUBLE, requires_grad=True) for v in (1.2, 3.0))
    x, angle = torch.tensor([-1.0, -1.0], dtype=DOUBLE), torch.tensor(0.7, dtype=DOUBLE)
    proof, loss = certificate("rosenbrock"), claim("rosenbrock").loss
    assert torch.autograd.gradcheck(lambda a, b: to_torch(proof, a=a, b=b)(angle, x), (a, b))
    assert torch.autograd.gradcheck(lambda a, b: to_torch(loss, a=a, b=b)(x), (a, b))
    assert torch.func.vmap(lambda a: to_torch(proof, a=a, b=2.0).loss(x))(torch.tensor([1.0, 2.0])).shape == (
        2,
    )
    assert not torch.autograd.gradcheck(
        lambda a, b: to_torch(loss, a=a.detach(), b=b)(x) + 0 * a, (a, b), raise_exception=False
    )


@pytest.mark.parametrize(
    "bad", [0, -1.0, float("nan"), float("inf"), "1", b"1", None, 1j, [1.0], sp.Symbol("c")], ids=str
)
def test_a_constant_that_is_not_positive_is_refused(bad: object) -> None:
    with pytest.raises(sd.SymmetryError, match="the constant b must be a positive number"):
        to_torch(certificate("rosenbrock"), a=1.0, b=bad)
    with pytest.raises(sd.SymmetryError, match="the constant b must be a positive number"):
        to_torch(claim("rosenbrock").loss, a=1.0, b=bad)
    assert to_torch(claim("rosenbrock").loss, a=1.0, b=1e-300).constants == {"a": 1.0, "b": 1e-300}


def test_constants_without_a_value_are_asked_for() -> None:
    open_action = to_torch(certificate("rosenbrock"))
    x = torch.zeros(2)
    for call in (lambda: open_action(0.1, x), lambda: open_action.loss(x), lambda: open_action.spectrum):
        with pytest.raises(sd.SymmetryError, match=r"a, b; use action\.at\(a=\.\.\., b=\.\.\.\)"):
            call()
    with pytest.raises(sd.SymmetryError, match="no constant is called c"):
        open_action.at(c=1)
    for constants in ({}, {"a": 1}, {"a": 1, "b": 2, "c": 3}):
        with pytest.raises(sd.SymmetryError, match="has the constants a, b"):
            to_torch(claim("rosenbrock").loss, **constants)
    with pytest.raises(sd.SymmetryError, match="has the constants none"):
        to_torch(claim("booth").loss, a=1)
    assert open_action.at(a=1).at(b=2).loss(x) == 1


def test_constant_losses() -> None:
    x = sp.Symbol("x", real=True)
    a = sp.Symbol("a", positive=True)
    seven = to_torch(sd.Loss(sp.Integer(7), (x,)))
    assert torch.equal(seven(torch.zeros(3, 1)), torch.full((3,), 7.0))
    root = to_torch(sd.Loss(sp.sqrt(a), (x,), (a,)), a=4.0)
    assert torch.equal(root(torch.zeros(3, 1)), torch.full((3,), 2.0))
    assert not torch.equal(root(torch.zeros(3, 1)), torch.full((3,), 4.0))


# What to_torch takes


def test_only_losses_and_certificates_become_code() -> None:
    for other in (claim("booth"), "x**2", sp.Symbol("x"), None):
        with pytest.raises(sd.SymmetryError, match="verify a claim first"):
            to_torch(other)  # type: ignore[call-overload]
    assert isinstance(to_torch(claim("booth").loss), TorchLoss)
    assert isinstance(to_torch(certificate("booth")), sd.Action)


def test_a_refuted_claim_never_becomes_code() -> None:
    proof = copy.copy(certificate("booth"))
    object.__setattr__(proof, "status", "refuted")
    with pytest.raises(sd.NotInvariant):
        to_torch(proof)
    for status in ("proved", "identity-tested", "numerical", "unchecked"):
        object.__setattr__(proof, "status", status)
        assert to_torch(proof).status == status


# Copies


@pytest.mark.parametrize("name", CLAIMS)
def test_pickles_and_copies_do_the_same(name: str) -> None:
    of = action(name)
    g, x = element(of, (3,)), points(of, (3,))
    for twin in (pickle.loads(pickle.dumps(of)), copy.deepcopy(of), copy.copy(of)):
        assert torch.equal(twin(g, x), of(g, x))
        assert torch.equal(twin.loss(x), of.loss(x))
        assert twin.certificate == of.certificate
        assert (twin.source, twin.status) == (of.source, of.status)
    proof = certificate(name)
    assert pickle.loads(pickle.dumps(proof)) == copy.deepcopy(proof) == proof
    assert pickle.loads(pickle.dumps(claim(name))) == claim(name)
    assert proof != certificate("one square" if name != "one square" else "booth")


def test_losses_and_derivations_can_be_pickled() -> None:
    loss = sd.Loss.parse("a*x**2 + y**2", positive="a", name="bowl")
    compiled = to_torch(loss, a=torch.tensor(2.0))
    x = torch.tensor([1.0, 2.0])
    for twin in (pickle.loads(pickle.dumps(compiled)), copy.deepcopy(compiled)):
        assert twin(x) == compiled(x) == 6
    derivation = sd.derive(loss, only=["quadratic"])
    twin = pickle.loads(pickle.dumps(derivation))
    assert twin == derivation
    assert twin != sd.derive(sd.Loss.parse("x**2 + y**2"), only=["quadratic"])
    assert to_torch(twin.certificates[0], a=2.0)(0.0, x).tolist() == [1.0, 2.0]


def test_a_pickle_holds_no_module() -> None:
    assert b"symdiscover_action_" not in pickle.dumps(action("booth"))
    state = action("booth").__getstate__()
    assert set(state) == {"group", "source", "certificate", "constants"}


def test_actions_are_told_apart_by_identity() -> None:
    """Their constants may be tensors, which neither compare to one truth value nor hash by value."""
    one, other = action("rosenbrock"), copy.copy(action("rosenbrock"))
    assert one == one and one != other
    assert len({one, other}) == 2
    with pytest.raises(AttributeError):
        one.source = ""  # type: ignore[misc]


def test_the_mapping_of_constants_is_a_copy() -> None:
    constants = {"a": 1.0, "b": 2.0}
    of = sd.Action(claim("rosenbrock").group, action("rosenbrock").source, None, constants)
    constants["a"] = 5.0
    assert of.constants["a"] == 1.0


# Tracebacks


def test_python_shows_the_lines_of_generated_code() -> None:
    of = action("booth")
    assert "torch.cos(theta)" in inspect.getsource(sys.modules[of._module.__name__].act)
    try:
        of(0.3, torch.ones(5))
    except ValueError as error:
        shown = "".join(traceback.format_exception(error))
        assert 'raise ValueError(f"points are' in shown
        assert "act(" in shown
    assert of._module is to_torch(certificate("booth"))._module
    assert of._module is not action("saddle")._module


# Alone

BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"symdiscover", "sympy", "mpmath", "networkx", "matplotlib"}:
            raise ModuleNotFoundError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
"""
USE = """
import importlib, pathlib, torch
for path in sorted(pathlib.Path(".").glob("*_action.py")):
    module = importlib.import_module(path.stem)
    constants = dict.fromkeys(getattr(module, "CONSTANTS", []), 2.0)
    n = len(module.SYMMETRY["variables"])
    g = module.random((4,), 0.4, torch.Generator().manual_seed(0))
    x = 0.5 + torch.rand(4, n, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    moved = module.act(g, x, **constants)
    same = torch.allclose(module.loss(moved, **constants), module.loss(x, **constants), rtol=1e-10, atol=1e-12)
    back = torch.allclose(module.act(module.inverse(g), moved, **constants), x, rtol=1e-9)
    print(path.stem, same, back, torch.equal(moved, x))
print(*sorted({"sympy", "symdiscover"} & set(sys.modules)))
"""


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


def test_saved_modules_need_torch_alone(tmp_path: Path) -> None:
    names = [name for name in CLAIMS if name != "without composition"]
    for name in names:
        sd.to_torch(certificate(name)).save(tmp_path / f"{name.replace(' ', '_')}_action.py")
    done = run(BLOCKED + USE, tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:-1] == [f"{name.replace(' ', '_')}_action True True False" for name in sorted(names)]
    assert lines[-1] == ""


def test_a_module_that_needs_more_is_noticed(tmp_path: Path) -> None:
    source = action("booth").source
    (tmp_path / "needy_action.py").write_text(source.replace("import torch", "import torch\nimport sympy"))
    assert "sympy is blocked" in run(BLOCKED + USE, tmp_path).stderr
    (tmp_path / "needy_action.py").write_text(source.replace("torch.sin(theta)", "torch.cos(theta)"))
    assert "needy_action False" in run(BLOCKED + USE, tmp_path).stdout


def test_the_saved_rosenbrock_is_imported_by_its_name(tmp_path: Path) -> None:
    to_torch(certificate("rosenbrock")).save(tmp_path / "rosenbrock_action.py")
    done = run(
        "import rosenbrock_action as r, torch; print(r.loss(torch.tensor([-1., -1.]), a=1, b=100))", tmp_path
    )
    assert done.stdout.strip() == "tensor(404.)", done.stderr
    assert run("import rosenbrock_acton", tmp_path).returncode == 1
