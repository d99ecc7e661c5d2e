"""The route discrete: finite groups and periods, and functions that only look as if they had them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sympy as sp
import torch

from symdiscover.catalogue import load
from symdiscover.derive import derive
from symdiscover.errors import NotInvariant
from symdiscover.generate import to_torch
from symdiscover.group import Group
from symdiscover.invariance import assert_invariant
from symdiscover.loss import Loss
from symdiscover.routes import NoSymmetry
from symdiscover.routes._affine_maps import FiniteGroup, affine, fixed_point, lattice_basis
from symdiscover.routes._centres import automorphisms
from symdiscover.routes.discrete import find
from symdiscover.routes.peel import find as peel
from symdiscover.routes.quadratic import find as quadratic
from symdiscover.symmetry import Symmetry
from symdiscover.verify import verify

#: Names of groups that are isomorphic.
SAME = {"Permutation(2)": "Z2", "Permutation(3)": "D3", "SignedPermutation(2)": "D4"}

#: The functions of the catalogue whose stated group is finite and made of affine maps.
STATED = [
    "ackley", "alpine-1", "alpine-2", "aluffi-pentini", "bartels-conn", "bohachevsky-1", "bohachevsky-2",
    "bohachevsky-3", "box-three-dimensional", "brent", "carrom-table", "cosine-mixture", "cross-in-tray", "csendes",
    "deckkers-aarts", "easom", "egg-crate", "griewank", "holder-table", "jennrich-sampson", "keane", "levy",
    "mccormick", "monkey-saddle", "powell-badly-scaled", "price-1", "price-2", "qing", "quintic", "rastrigin",
    "schaffer-2", "schaffer-4", "schwefel-2-21", "schwefel-2-22", "schwefel-2-26", "schwefel-2-36", "schwefel-2-6",
    "six-hump-camel", "styblinski-tang", "tanh-network", "three-hump-camel", "treccani", "ursem-1", "venter",
    "wayburn-seader-2", "yang-2", "yang-3", "yang-4", "zettl",
]  # fmt: skip


@pytest.mark.parametrize("name", STATED)
def test_catalogue(name: str) -> None:
    function = load(name)
    claims = find(function.loss)
    finite = claims[0].group.name
    assert SAME.get(finite, finite) == SAME.get(function.group, function.group)
    assert verify(claims[0]).status == "proved"


OTHERS = [
    ("x**3*y - x*y**3", ["Z4"]),
    ("abs(x + 2*y - 7) + abs(2*x + y - 5)", ["D4"]),
    ("x**4 + x*y + y**2", ["Z2 x Z2"]),
    ("(x - 3)**4 + (y + 1)**6 + (x - 3)*(y + 1)", ["Z2"]),
    ("cos(x)*cos(y)", ["SignedPermutation(2)", "Z^2"]),
    ("tan(3*x) + y**4", ["Z2", "Z"]),
    ("sin(x)**2 + sin(y/2) + x*0", ["Z2 x Z2", "Z^2"]),
    ("(x - y)**2 + exp((1 - sin(x))**2)*cos(y) + exp((1 - cos(y))**2)*sin(x)", ["Z2", "Z"]),
    ("x1*x2**3 + x3*x4**3 + x5*x6**3", ["SignedPermutation(3)"]),
    ("x1*sin(x2) + x3*sin(x4) + x5*sin(x6) + x2**3 + x4**3 + x6**3 + x1 + x3 + x5", ["Permutation(3)"]),
    ("x1**4 + x2**4 + x3**4 + x4**4 + x5**4 + x6**4 + x7**4", ["SignedPermutation(7)"]),
    ("exp(a1 + a2 + a3 + a4 + a5) + a1**3 + a2**3 + a3**3 + a4**3 + a5**3", ["Permutation(5)"]),
]


@pytest.mark.parametrize(("text", "names"), OTHERS)
def test_other_functions(text: str, names: list[str]) -> None:
    claims = find(Loss.parse(text))
    assert [claim.group.name for claim in claims] == names
    assert all(verify(claim).status == "proved" for claim in claims)
    assert all(claim.kind == "discrete" for claim in claims)


def test_symbolic_constants_go_into_the_chart() -> None:
    finite, period = find(Loss.parse("(x - a)**4 + cos(k*y)", positive=["a", "k"]))
    assert finite.group.name == "Z2 x Z2" and period.group.name == "Z"
    assert not any(matrix.free_symbols for c in (finite, period) for matrix in c.group.discrete)
    assert verify(finite).status == verify(period).status == "proved"


def test_a_centre_must_exist_for_all_constants() -> None:
    (claim,) = find(Loss.parse("(a + b)*x**2 + x + exp(y)", positive=["a", "b"]))
    assert (
        set(claim.loss.constants) <= claim.chart.forward[0].free_symbols and verify(claim).status == "proved"
    )
    for text in ["(a - b)*x**2 + x + exp(y)", "x**3 + cos((a - b)*x + 1) + exp(y) - x**3"]:
        with pytest.raises(NoSymmetry):
            find(Loss.parse(text, positive=["a", "b"]))


NEGATIVE = [
    "x**2 + y**2 + y**3 + x/1000 + x**5",  # almost even
    "(x**2 + 2*y**2 + x*y**4)*10**-30 + (x**3 + y**5)*10**-30",  # tiny values
    "(x + 2*y + exp(x) + y**3)*10**-30 + 1",  # tiny beside a constant
    "x**3*y + 1.000000001*y**3*x + x",  # constants that differ little
    "sin(x) + sin(sqrt(2)*x) + exp(y)",  # two periods, none in common
    "max(0, x - 1000) + exp(y)",  # constant in a narrow sample
    "max(0, x - 1000)*x + max(0, y - 999)*y",
    "exp(x/100000) + y**3 + exp(y)",  # hardly varies
    "floor(x) + x*y**3 + exp(y)",
    "floor(x + y/3) + exp(y)",
    "floor(x**2 + x**3/1000000) + exp(y)",
    "sin(x) + x/10**12 + exp(y)",  # almost periodic
    "abs(x) + abs(x - 1/1000) + abs(x - 1) + exp(y)",
    "x1*x2**3 + x3*x4**3 + 1.0001*x5*x6**3 + x1 + 2*x3 + 3*x5 + x2 + x4 + x6",
]


@pytest.mark.parametrize("text", NEGATIVE)
def test_claims_nothing_where_there_is_nothing(text: str) -> None:
    with pytest.raises(NoSymmetry):
        find(Loss.parse(text))


TWINS = [
    # what has a group, what must not have all of it, and what is left
    ("x**4 + y**4", "x**4 + y**4*1.0000001", "Z2 x Z2"),
    ("sin(x)**4 + sin(y)**4", "sin(x)**4 + 1.00001*sin(y)**4", "Z2 x Z2"),
    ("max(x, 0) + max(-x, 0) + y**4", "max(x, 0) + max(-x, 0) + max(x - 10**6, 0) + y**4", "Z2"),
    ("floor(x**2) + y**4", "floor(x**2) + floor(x/10**9) + y**4", "Z2"),
    (
        "x1**4 + x2**4 + x3**4 + x4**4 + x5**4",
        "x1**4 + x2**4 + x3**4 + x4**4 + x5**4 + x5/10**9",
        "SignedPermutation(4)",
    ),
]


@pytest.mark.parametrize(("symmetric", "twin", "left"), TWINS)
def test_twins(symmetric: str, twin: str, left: str) -> None:
    assert find(Loss.parse(symmetric))[0].group.name != left
    assert find(Loss.parse(twin))[0].group.name == left


def test_a_wrong_generator_is_refuted() -> None:
    claim = find(Loss.parse("x**4 + y**4*2"))[0]
    swap = sp.ImmutableMatrix([[0, 1], [1, 0]])
    wrong = replace(claim.group, discrete=(*claim.group.discrete, swap))
    with pytest.raises(NotInvariant):
        verify(Symmetry(claim.loss, wrong, claim.chart, "discrete"))


def test_a_wrong_period_is_refuted() -> None:
    claim = find(Loss.parse("sin(3*x) + exp(y)"))[-1]
    (shift,) = claim.group.discrete
    assert shift[0, 2] == 2 * sp.pi / 3
    wrong = sp.ImmutableMatrix(
        shift + sp.Matrix(3, 3, lambda i, j: sp.Rational(1, 10**9) * int((i, j) == (0, 2)))
    )
    with pytest.raises(NotInvariant):
        verify(Symmetry(claim.loss, Group("Z", 2, (), (wrong,), affine=True), claim.chart, "discrete"))


@pytest.mark.parametrize(
    ("text", "route", "left"),
    [
        ("x**2 + 2*x*y + 5*y**2 + z**2", quadratic, None),
        ("x**2 + y**2 + z**4 + cos(z)", peel, "Z2"),
        ("(x**2 - y)**2 + (x - 1)**2", peel, None),
    ],
)
def test_only_what_is_new_is_reported(text: str, route, left: str | None) -> None:  # type: ignore[no-untyped-def]
    loss = Loss.parse(text)
    if left is None:
        with pytest.raises(NoSymmetry):
            find(loss, tuple(route(loss)))
    else:
        assert [claim.group.name for claim in find(loss, tuple(route(loss)))] == [left]
        assert find(loss)[0].group.name != left


def test_reflections_of_a_circle_are_reported_once() -> None:
    derivation = derive(load("wolfe").loss, only=["peel", "affine", "fibre", "discrete"])
    assert [c.group.name for c in derivation.certificates] == ["SO(2)", "Permutation(2)"]


@pytest.mark.parametrize(
    "text", ["(x - 3)**4 + (x - 3)*y + y**6", "x1**4 + x2**4 + x3**4 + cos(x4)", "cos(x)*cos(y)"]
)
def test_generated_code_leaves_the_loss_equal(text: str) -> None:
    for claim in find(Loss.parse(text)):
        action = to_torch(verify(claim))
        points = torch.randn(
            12, action.dimension, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
        )
        elements = action.random((12,), generator=torch.Generator().manual_seed(1))
        assert elements.shape == (12, claim.group.matrix_size, claim.group.matrix_size)
        assert assert_invariant(action, points, elements) <= 8
        assert not torch.equal(action(elements, points), points)
        wrong = elements.clone()
        wrong[:, 0, 0] += 0.5
        with pytest.raises(NotInvariant):
            assert_invariant(action, points, wrong)


def test_names_and_orders() -> None:
    flips = [affine(sp.diag(*[-1 if i == k else 1 for i in range(3)]), [0, 0, 0]) for k in range(3)]
    swap = affine(sp.Matrix([[0, 1, 0], [1, 0, 0], [0, 0, 1]]), [0, 0, 0])
    cycle = affine(sp.Matrix([[0, 1, 0], [0, 0, 1], [1, 0, 0]]), [0, 0, 0])
    minus = affine(-sp.eye(3), [0, 0, 0])
    table = [
        ([flips[0]], 2, "Z2"),
        ([swap], 2, "Permutation(2)"),
        (flips, 8, "Z2 x Z2 x Z2"),
        ([cycle], 3, "Z3"),
        ([cycle, swap], 6, "Permutation(3)"),
        ([cycle, minus], 6, "Z6"),
        ([cycle, swap, minus], 12, "D6"),
        ([swap, flips[0]], 8, "SignedPermutation(2)"),
        ([swap, flips[2]], 4, "Permutation(2) x Z2"),
        ([cycle, swap, flips[0]], 48, "SignedPermutation(3)"),
        ([cycle, flips[0]], 24, "finite group of order 24"),
    ]
    for maps, order, name in table:
        assert (FiniteGroup(maps).order, FiniteGroup(maps).name) == (order, name)
    shear = sp.ImmutableMatrix([[1, 1, 0], [0, 1, 0], [0, 0, 1]])
    assert FiniteGroup([shear]).order is None


def test_fixed_points_and_lattices() -> None:
    left, right = affine(sp.diag(-1, 1), [1, 0]), affine(sp.diag(-1, 1), [2, 0])
    assert fixed_point([left]) == (1, 0) and fixed_point([left, right]) is None
    assert lattice_basis([(1, 1), (1, -1), (2, 0)]) == [[1, 1], [0, 2]]
    assert lattice_basis([(4, 0), (6, 0)]) == [[2, 0]]


def test_automorphisms_of_the_expression_graph() -> None:
    a, b, c, d = sp.symbols("a b c d", real=True)
    assert list(automorphisms(a * sp.sin(b) + c * sp.sin(d), [a, b, c, d])) == [[2, 3, 0, 1]]
    assert list(automorphisms(a * sp.sin(b) + 2 * c * sp.sin(d), [a, b, c, d])) == []
