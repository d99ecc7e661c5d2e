"""Actions: the operations of their groups, the spectrum of the gradient norm, constants, files."""

from __future__ import annotations

import ast
import math
import os
import stat
from pathlib import Path

import pytest
import sympy as sp
import torch
from torch import Tensor

import symdiscover as sd
from symdiscover import action as action_module
from tests.symdiscover.claims import CLAIMS, VALUES, action, bare_action, claim

DOUBLE = torch.float64
GROUPS = [name for name in CLAIMS if name != "without composition"]


def random(of: sd.Action, batch: tuple[int, ...] = (6,), seed: int = 0) -> Tensor:
    return of.random(batch, scale=0.4, generator=torch.Generator().manual_seed(seed))


def points(of: sd.Action, batch: tuple[int, ...] = (6,)) -> Tensor:
    return 0.5 + torch.rand(*batch, of.dimension, dtype=DOUBLE, generator=torch.Generator().manual_seed(5))


# Elements


@pytest.mark.parametrize("name", GROUPS)
def test_identity_inverse_and_composition(name: str) -> None:
    of = action(name)
    g, h, x = random(of), random(of, seed=1), points(of)
    assert torch.allclose(of(of.identity(x), x), x, rtol=1e-14)
    assert torch.allclose(of(of.inverse(g), of(g, x)), x, rtol=1e-10)
    assert torch.allclose(of(of.compose(g, h), x), of(g, of(h, x)), rtol=1e-10)
    if name != "one square":
        assert not torch.allclose(of(g, of(g, x)), x, rtol=1e-3)
        assert not torch.allclose(of(of.compose(g, of.inverse(h)), x), of(g, of(h, x)), rtol=1e-3)


@pytest.mark.parametrize("name", GROUPS)
def test_the_exponential_is_a_homomorphism_on_lines(name: str) -> None:
    of = action(name)
    k = of.group.dimension or {"vector": 1, "time": 1, "angle": 1, "matrix": 0}[of.group.element]
    xi, x = 0.3 * torch.ones(k, dtype=DOUBLE), points(of)
    assert torch.allclose(of(of.exp(2 * xi), x), of(of.exp(xi), of(of.exp(xi), x)), rtol=1e-10)
    assert torch.allclose(of(of.exp(0 * xi), x), x, rtol=1e-14)
    if k:
        assert not torch.allclose(of(of.exp(3 * xi), x), of(of.exp(xi), of(of.exp(xi), x)), rtol=1e-3)


@pytest.mark.parametrize("name", GROUPS)
def test_generators_are_those_of_the_group(name: str) -> None:
    """d/dt a(exp(t e_k), x) at 0 is the field of the k-th generator, by the chain rule through the chart."""
    of, symmetry = action(name), claim(name)
    group, x = of.group, points(of, ())
    if not group.basis:
        pytest.skip("no generators")
    loss, chart = symmetry.loss, symmetry.chart
    at = {s: VALUES[s.name] for s in loss.constants} | dict(zip(loss.variables, x.tolist(), strict=True))
    u = {c: e.subs(at) for c, e in zip(chart.coordinates, chart.forward, strict=True)}
    jacobian = torch.tensor(
        [[float(e.diff(v).subs(at)) for v in loss.variables] for e in chart.forward], dtype=DOUBLE
    )
    for k, generator in enumerate(group.basis):
        direction = torch.eye(group.dimension, dtype=DOUBLE)[k]
        _, velocity = torch.func.jvp(lambda t: of(of.exp(t), x), (0 * direction,), (direction,))
        field = torch.tensor([float(sp.sympify(e).subs(u)) for e in symmetry.field(generator)], dtype=DOUBLE)
        assert torch.allclose(jacobian @ velocity, field, rtol=1e-10, atol=1e-12)
        assert not torch.allclose(-jacobian @ velocity, field, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["ellipsoid", "saddle", "one square"])
def test_random_elements_reach_every_component(name: str) -> None:
    of = action(name)
    g = random(of, (200,))
    form = torch.diag(torch.tensor([float(e) for e in of.group.form.diagonal()], dtype=DOUBLE))
    assert torch.allclose(g.mT @ form @ g, form.expand_as(g), atol=1e-12)
    signs = (
        {tuple(s.sign().tolist()) for s in g.diagonal(dim1=-2, dim2=-1)}
        if name == "saddle"
        else set(g.det().sign().tolist())
    )
    assert len(signs) == {"ellipsoid": 2, "saddle": 4, "one square": 2}[name]
    rotations = of.exp(torch.randn(200, of.group.dimension, dtype=DOUBLE))
    assert set(rotations.det().sign().tolist()) == {1.0}


def test_random_elements_of_a_finite_group_are_all_of_it() -> None:
    loss = sd.Loss.parse("x**4 + y**4 + z**4")
    symmetry = sd.Symmetry(loss, sd.SignedPermutation(3), sd.Chart.identity(loss.variables), kind="discrete")
    of = sd.to_torch(sd.verify(symmetry))
    found = {tuple(g.flatten().tolist()) for g in random(of, (4000,))}
    assert len(found) == 48
    one_pass = [torch.tensor(g.tolist(), dtype=DOUBLE) for g in of.group.discrete]
    assert len({tuple(g.flatten().tolist()) for g in one_pass}) < 48


def test_random_elements_are_repeated_by_their_seed() -> None:
    for name in ("booth", "ellipsoid", "translations", "translation"):
        of = action(name)
        assert torch.equal(random(of), random(of))
        assert not torch.equal(random(of), random(of, seed=1))
        state = torch.random.get_rng_state()
        random(of)
        assert torch.equal(torch.random.get_rng_state(), state)
        of.random()
        assert name == "one square" or not torch.equal(torch.random.get_rng_state(), state)


def test_angles_fill_the_circle_and_their_scale_cuts_it() -> None:
    of = action("booth")
    angles = of.random((2000,), generator=torch.Generator().manual_seed(0))
    assert 0 <= angles.min() < 0.02 and 2 * math.pi - 0.02 < angles.max() < 2 * math.pi
    half = of.random((2000,), scale=0.5, generator=torch.Generator().manual_seed(0))
    assert math.pi - 0.02 < half.max() < math.pi
    assert torch.allclose(of(angles + 2 * math.pi, points(of, ())), of(angles, points(of, ())))
    assert not torch.allclose(of(angles + math.pi, points(of, ())), of(angles, points(of, ())))


def test_a_map_that_was_not_proved_to_compose_has_no_product() -> None:
    of = action("without composition")
    g = torch.tensor(0.3, dtype=DOUBLE)
    for call in (lambda: of.compose(g, g), lambda: of.inverse(g)):
        with pytest.raises(sd.SymmetryError, match="not proved that this map composes"):
            call()
    proved = action("by hand")
    assert proved.certificate is not None and proved.certificate.group_law
    assert proved.inverse(g) == -g
    x = points(of, ())
    assert not torch.allclose(of(g + g, x), of(g, of(g, x)))


# The gradient norm on circles


@pytest.mark.parametrize("name", ["booth", "ellipse", "rosenbrock"])
def test_the_spectrum_is_that_of_the_squared_gradient_norm(name: str) -> None:
    of = action(name)
    assert of.spectrum is not None and of.image is not None
    for start in points(of, (3,)):
        angles = torch.linspace(0, 6, 7, dtype=DOUBLE)
        slopes = torch.func.vmap(torch.func.grad(of.loss))(of(angles, start))
        norms = slopes.square().sum(-1)
        for coefficients in (of.spectrum(*start.tolist()), of.spectrum(*start)):
            waves = [torch.ones_like(angles)]
            for k in range(1, (len(coefficients) + 1) // 2):
                waves += [torch.cos(k * angles), torch.sin(k * angles)]
            total = sum((c * w for c, w in zip(coefficients, waves, strict=True)), torch.zeros_like(angles))
            assert torch.allclose(total, norms, rtol=1e-9)
            assert not torch.allclose(total - coefficients[1] * waves[1] + 0.1, norms, rtol=1e-9)
        moved = of.image(math.cos(0.7), math.sin(0.7), *start.tolist())
        assert all(isinstance(c, float) for c in moved)
        assert torch.allclose(torch.tensor(moved, dtype=DOUBLE), of(0.7, start), rtol=1e-12)


def test_where_there_is_no_spectrum_there_is_none() -> None:
    for name in ("ellipsoid", "translation", "logarithmic", "oblique"):
        assert action(name).spectrum is None
    for name in ("ellipsoid", "translation", "scalings"):
        assert action(name).image is None
    assert action("logarithmic").image is None  # not made of arithmetic alone
    assert action("oblique").image is not None


# What an action says of itself


def test_what_an_action_says_of_itself() -> None:
    of = action("ellipsoid")
    assert repr(of) == "Action(O(3), proved)"
    assert (of.status, of.dimension, of.group) == ("proved", 3, claim("ellipsoid").group)
    bare = bare_action(claim("ellipsoid"))
    assert repr(bare) == "Action(O(3), unchecked)"
    assert bare.status == "unchecked"
    assert of.at() is not of and of.at().constants == {}


# Files


def test_a_saved_file_is_the_source(tmp_path: Path) -> None:
    of = action("rosenbrock")
    target = of.save(tmp_path / "rosenbrock_action.py")
    assert target == tmp_path / "rosenbrock_action.py"
    assert target.read_text(encoding="utf-8") == of.source
    assert list(tmp_path.iterdir()) == [target]
    assert of.save(str(target)).read_text(encoding="utf-8") == of.source
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    other = action("booth").save(target)
    assert other.read_text(encoding="utf-8") != of.source


@pytest.mark.parametrize("fails", ["write", "replace", "chmod"])
def test_a_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, fails: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "action.py"
    target.write_text("the old one")
    of = action("booth")

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt if fails == "chmod" else OSError(28, "No space left on device")

    if fails == "write":

        class Full:
            def __init__(self, handle: int, *_: object, **__: object) -> None:
                os.close(handle)

            def __enter__(self) -> Full:
                return self

            def __exit__(self, *_: object) -> None:
                return None

            write = fail

        monkeypatch.setattr(action_module.os, "fdopen", Full)
    else:
        monkeypatch.setattr(action_module.os, fails, fail)
    with pytest.raises((OSError, KeyboardInterrupt)):
        of.save(target)
    monkeypatch.undo()
    assert target.read_text() == "the old one"
    assert list(tmp_path.iterdir()) == [target]
    of.save(target)
    assert target.read_text() == of.source


def test_files_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    of = action("booth")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    for target, kind in (
        (tmp_path / "folder", IsADirectoryError),
        (tmp_path / "none" / "action.py", FileNotFoundError),
        (tmp_path / "file" / "action.py", NotADirectoryError),
    ):
        with pytest.raises(kind) as caught:
            of.save(target)
        assert caught.value.filename == str(target)
    assert of.save(tmp_path / "folder" / "action.py").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError) as caught:
        action("booth").save(tmp_path / "action.py")
    assert caught.value.filename == str(tmp_path / "action.py")
    tmp_path.chmod(0o700)
    assert action("booth").save(tmp_path / "action.py").exists()


def test_long_file_names_are_written(tmp_path: Path) -> None:
    name = f"{'a' * 250}.py"
    assert action("booth").save(tmp_path / name).name == name
    with pytest.raises(OSError, match="too long"):
        action("booth").save(tmp_path / f"{'a' * 300}.py")


def test_the_source_is_python_of_every_supported_version() -> None:
    for name in ("rosenbrock", "ellipsoid"):
        assert ast.parse(action(name).source, feature_version=(3, 11))
    with pytest.raises(SyntaxError):
        ast.parse("type A = int", feature_version=(3, 11))
