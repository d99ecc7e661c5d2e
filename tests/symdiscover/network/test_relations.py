"""Relations that are reported hold, and relations that are not reported fail, of the values that torch computes."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from symdiscover.identity import value_at
from symdiscover.network.activation import SLOPE, Z, expression_of
from symdiscover.network.pieces import split
from symdiscover.network.relations import Homogeneity, Relations, homogeneity, rational, relations
from tests.symdiscover.network.test_activation import CONSTANTS, MODULES, computed, kinks

#: torch functions with their expressions, beyond the modules.
FUNCTIONS = {
    "abs": (torch.abs, sp.Abs(Z)),
    "square": (torch.square, Z**2),
    "cube": (lambda x: x**3, Z**3),
    "relu squared": (lambda x: x.relu() ** 2, sp.Max(Z, 0) ** 2),
    "signed root": (lambda x: x.sign() * x.abs().sqrt(), sp.sign(Z) * sp.sqrt(sp.Abs(Z))),
    "exp": (torch.exp, sp.exp(Z)),
    "expm1": (torch.expm1, sp.exp(Z) - 1),
    "power of two": (lambda x: 3 * 2 ** (-x), 3 * 2 ** (-Z)),
    "affine": (lambda x: 3 - 2 * x, 3 - 2 * Z),
    "constant": (lambda x: 0 * x + 3, sp.Integer(3)),
    "sin": (torch.sin, sp.sin(Z)),
    "cos": (torch.cos, sp.cos(Z)),
    "sin + 1": (lambda x: x.sin() + 1, sp.sin(Z) + 1),
    "sin squared": (lambda x: x.sin() ** 2, sp.sin(Z) ** 2),
    "sin, a shift": (lambda x: (x + 0.5).sin(), sp.sin(Z + sp.Rational(1, 2))),
    "|sin|": (lambda x: x.sin().abs(), sp.Abs(sp.sin(Z))),
    "sin 2z + cos 3z": (lambda x: (2 * x).sin() + (3 * x).cos(), sp.sin(2 * Z) + sp.cos(3 * Z)),
    "snake": (lambda x: x + x.sin() ** 2, Z + sp.sin(Z) ** 2),
    "atan": (torch.atan, sp.atan(Z)),
    "asinh": (torch.asinh, sp.asinh(Z)),
    "erf": (torch.erf, sp.erf(Z)),
    "cosh": (torch.cosh, sp.cosh(Z)),
    "sinh": (torch.sinh, sp.sinh(Z)),
    "sign": (torch.sign, sp.sign(Z)),
    "log cosh": (lambda x: x + torch.log1p(torch.exp(-2 * x)), Z + sp.log(1 + sp.exp(-2 * Z))),
    "tanh written out": (lambda x: 2 * torch.sigmoid(2 * x) - 1, 2 / (1 + sp.exp(-2 * Z)) - 1),
    "relu from abs": (lambda x: (x + x.abs()) / 2, (Z + sp.Abs(Z)) / 2),
    "a shifted relu": (lambda x: (x - 1).relu(), sp.Max(Z - 1, 0)),
    "relu + 1": (lambda x: x.relu() + 1, sp.Max(Z, 0) + 1),
    "falling": (lambda x: -x - x.tanh(), -Z - sp.tanh(Z)),
    "bump": (lambda x: torch.exp(-x * x), sp.exp(-(Z**2))),
}
CASES = {
    **{repr(module): (module, expression_of(module)) for module in MODULES},
    **FUNCTIONS,
}
#: Bijections whose inverse is no expression that is looked for.
WITHOUT_FORMULA = {repr(nn.Tanhshrink()), "falling", "snake"}
GRID = [k * 0.83 + 0.01 for k in range(-60, 61)]


def same(a: float, b: float, *scale: float) -> bool:
    return abs(a - b) <= 1e-9 * max(abs(a), abs(b), *map(abs, scale), 1e-12)


class Measured:
    """What the values of a function in double precision say of it: each relation, or None."""

    def __init__(self, function, expression: sp.Expr) -> None:
        self.function = function
        near = sorted({abs(kink) for kink in kinks(expression)})
        self.beside = [kink + step for kink in near for step in (-1e-9, 0.0, 1e-9)]
        self.at = sorted({*GRID, *(-z for z in GRID), *self.beside, *(-z for z in self.beside)})

    def of(self, points: list[float]) -> list[float]:
        return computed(self.function, points)

    def pairs(self, move) -> list[tuple[float, float]]:
        return list(zip(self.of(self.at), self.of([move(z) for z in self.at]), strict=True))

    def constant(self) -> bool:
        return len(set(self.of(self.at))) == 1

    def degree(self) -> float | None:
        low, two, one, minus, minus_two = self.of([0.0, 2.0, 1.0, -1.0, -2.0])
        ratios = [b / a for a, b in ((one, two), (minus, minus_two)) if a]
        if low or not ratios or min(ratios) <= 0 or not same(ratios[0], ratios[-1]) or same(ratios[0], 1):
            return None
        k = math.log2(ratios[0])
        scales = (0.01, 0.3, 2.0, 7.0)
        holds = all(same(b, c**k * a) for c in scales for a, b in self.pairs(lambda z, c=c: c * z))
        return round(k, 6) if holds else None

    def parity(self) -> tuple[str | None, float | None]:
        pairs = self.pairs(lambda z: -z)
        kappa = sum(pairs[0])
        if all(same(a, b) for a, b in pairs):
            return "even", None
        if all(same(a, -b) for a, b in pairs):
            return "odd", None
        return (
            ("affine", round(kappa, 6)) if all(same(a + b, kappa, a, b) for a, b in pairs) else (None, None)
        )

    def slope(self) -> float | None:
        shifts = (0.1, 1.0, 5.0, 60.0)
        steps = [(t, b - a, a, b) for t in shifts for a, b in self.pairs(lambda z, t=t: z + t)]
        m = steps[0][1] / steps[0][0]
        return round(m, 6) if all(same(step, m * t, a, b) for t, step, a, b in steps) else None

    def growth(self) -> float | None:
        low, high = self.of([0.0, 1.0])
        if low * high <= 0:
            return None
        k = math.log(high / low)
        holds = all(
            same(b, math.exp(k * t) * a)
            for t in (0.1, 5.0, 60.0)
            for a, b in self.pairs(lambda z, t=t: z + t)
        )
        return round(k, 6) if holds else None

    def shift(self, sign: int) -> float | None:
        """The smallest q = n pi/12 with sigma(z + q) = +-sigma(z), up to 4 pi, the periods of sines among them."""
        for n in range(1, 49):
            q = n * math.pi / 12
            if all(same(sign * a, b, 1e-3) for a, b in self.pairs(lambda z, q=q: z + q)):
                return round(q, 6)
        return None

    def monotone(self) -> bool:
        """Strictly near 0, where double precision resolves it, weakly elsewhere, and without jumps."""
        inner, outer = self.of([k / 50 for k in range(-250, 251)]), self.of(self.at)
        steps = [b - a for a, b in itertools.pairwise(inner)]
        if not (min(steps) > 0 or max(steps) < 0):
            return False
        further = [b - a for a, b in itertools.pairwise(outer)]
        jumps = [b - a for a, b in zip(self.of([z - 1e-9 for z in self.at]), outer, strict=True)]
        return all(step * steps[0] >= 0 for step in further) and max(map(abs, jumps)) < 1e-3 * (
            1 + max(map(abs, outer))
        )

    def all(self) -> dict[str, object]:
        if self.constant():
            return {"constant": True, "slope": 0.0, "parity": "even"}
        parity, kappa = self.parity()
        found = {
            "degree": self.degree(),
            "parity": parity,
            "kappa": kappa,
            "slope": self.slope(),
            "growth": self.growth(),
            "period": self.shift(1),
            "half_period": self.shift(-1),
            "range": self.monotone() or None,
        }
        return {name: value for name, value in found.items() if value is not None}


def reported(found: Relations) -> dict[str, object]:
    """The relations as numbers, as `Measured` has them."""
    numbers = {
        name: round(float(value), 6)
        for name in ("degree", "kappa", "slope", "growth", "period", "half_period")
        if (value := getattr(found, name)) is not None
    }
    rest = {"parity": found.parity, "constant": found.constant or None, "range": found.range and True}
    return numbers | {name: value for name, value in rest.items() if value is not None}


@pytest.mark.parametrize("name", CASES)
def test_what_is_reported_holds_and_what_is_not_fails(name) -> None:
    function, expression = CASES[name]
    known = expression.subs(SLOPE, sp.Rational(str(CONSTANTS.get(type(function), 1))))
    found = relations(known)
    assert reported(found) == Measured(function, known).all()
    assert len(found.proofs) == len(reported(found)) - sum((found.kappa is not None, 2 * found.constant)) + (
        found.inverse is not None
    )
    assert all("proved" in str(proof) for proof in found.proofs)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("Sigmoid()", {"kappa": sp.Integer(2)}),
        ("Tanh()", {"parity": "even"}),
        ("ReLU()", {"degree": sp.Integer(2)}),
        ("ReLU()", {"slope": sp.Integer(1)}),
        ("ReLU()", {"period": sp.pi}),  # true of all z and z + pi below 0
        ("GELU(approximate='none')", {"parity": "odd"}),
        ("SiLU()", {"degree": sp.Integer(1)}),
        ("exp", {"growth": None}),
        ("sin", {"half_period": None}),
        ("sin", {"period": sp.pi}),
        ("Softplus(beta=1.0, threshold=20.0)", {"range": (0, sp.oo)}),
        ("ReLU6()", {"range": (0, 6)}),
        ("Hardshrink(0.5)", {"degree": sp.Integer(1)}),
        ("Threshold(threshold=0.5, value=2.0)", {"constant": True}),
    ],
)
def test_a_relation_too_many_or_too_few_is_contradicted_by_the_values(name, wrong) -> None:
    function, expression = CASES[name]
    assert reported(replace(relations(expression), **wrong)) != Measured(function, expression).all()


@pytest.mark.parametrize("name", CASES)
def test_the_range_is_reached_and_the_inverse_undoes_the_function(name) -> None:
    function, expression = CASES[name]
    found = relations(expression)
    assert (found.inverse is None) == (found.range is None or name in WITHOUT_FORMULA)
    if found.range is None:
        return
    at = [k / 8 + 1 / 99 for k in range(-32, 33)]
    values, far = computed(function, at), sorted(computed(function, [-1e3, -300.0, 300.0, 1e3]))
    for end, reached, inner in ((found.range[0], far[0], far[1]), (found.range[1], far[-1], far[-2])):
        if end.is_infinite:
            assert abs(reached) > 7 and reached != inner
        else:
            assert abs(reached - float(end)) < 2e-3
    assert all(float(found.range[0]) < value < float(found.range[1]) for value in values)
    if found.inverse is not None:
        undone = [float(value_at(found.inverse, {Z: sp.Rational(value)}, 30) or "nan") for value in values]
        assert max(abs(a - b) for a, b in zip(at, undone, strict=True)) < 1e-6


@pytest.mark.parametrize("slope", [SLOPE, sp.Symbol("b", positive=True)])
def test_a_relation_holds_for_every_value_of_a_constant(slope) -> None:
    leaky = relations(sp.Piecewise((Z, Z >= 0), (slope * Z, True)))
    assert leaky.degree == 1
    # of the slopes -1, 1 and all positive ones, these are true for the last alone
    assert (leaky.parity, leaky.slope) == (None, None)
    assert (leaky.range is not None) == bool(slope.is_positive)
    assert relations(sp.Max(Z, slope * Z)).degree == 1
    assert relations(sp.Max(Z, slope)).degree is None
    assert relations(slope * Z).slope == slope
    assert relations(sp.exp(slope * Z)).growth == slope
    assert relations(Z**2 + slope).parity == "even"
    assert relations(sp.tanh(Z) + slope).kappa == 2 * slope
    assert relations(sp.sin(slope * Z)).period == (2 * sp.pi / slope if slope.is_positive else None)


@pytest.mark.parametrize(
    ("expression", "degree", "parity", "domain"),
    [
        (sp.sqrt(Z), sp.Rational(1, 2), None, sp.Interval(0, sp.oo)),
        (1 / sp.sqrt(Z), -sp.Rational(1, 2), None, sp.Interval.open(0, sp.oo)),
        (1 / Z, -1, "odd", sp.Reals - sp.FiniteSet(0)),
        (1 / Z**2, -2, "even", sp.Reals - sp.FiniteSet(0)),
        (sp.log(Z), None, None, sp.Interval.open(0, sp.oo)),
        (sp.log(sp.Abs(Z)), None, "even", sp.Reals - sp.FiniteSet(0)),
        (sp.log(1 + Z), None, None, sp.Interval.open(-1, sp.oo)),
        (sp.sqrt(1 - Z**2), None, "even", sp.Interval(-1, 1)),
        (1 / (Z - 1), None, None, sp.Reals - sp.FiniteSet(1)),
        (sp.Piecewise((sp.log(Z), Z > 1), (0, True)), None, None, sp.Reals),
        (sp.Piecewise((-Z, Z < 0)), 1, None, sp.Interval.open(-sp.oo, 0)),
    ],
)
def test_relations_of_what_is_not_everywhere_real_are_those_of_its_domain(
    expression, degree, parity, domain
) -> None:
    found = relations(expression)
    assert (found.degree, found.parity, found.domain) == (degree, parity, domain)
    assert (found.slope, found.growth, found.period) == (None, None, None)
    where = all(", where " in proof.statement for proof in found.proofs)
    assert where == (domain != sp.Reals) or not found.proofs


@pytest.mark.parametrize(
    "expression",
    [
        sp.Max(Z, 0) + sp.Rational(1, 10**90) * Z**2,  # too little for any sample
        sp.sinh(Z) + sp.Rational(1, 10**90) * Z**2,
        sp.exp(Z) + sp.Rational(1, 10**150),
        sp.Piecewise((Z, sp.Abs(Z) < 1000), (Z + 1, True)),  # beyond every sample but for those at the kinks
        sp.Piecewise((Z, sp.Ne(Z, 3)), (4, True)),  # at one point alone
        sp.Max(Z - 10**6, 0),
        sp.Piecewise((0, Z < 10**4), (sp.sin(Z - 10**4), True)),
    ],
    ids=str,
)
def test_what_is_nearly_a_relation_is_not_reported(expression) -> None:
    assert set(reported(relations(expression))) <= {"range"}


def test_a_period_that_is_nearly_smaller_is_not_taken() -> None:
    assert relations(sp.sin(Z) + sp.Rational(1, 10**40) * sp.sin(Z / 1000)).period == 2000 * sp.pi


def test_what_is_no_symmetry_by_itself_is_not_reported() -> None:
    for kind in (nn.GELU, nn.SiLU, nn.Softplus):
        expression = expression_of(kind())
        assert relations(expression).parity is None
    gelu = expression_of(nn.GELU())
    assert relations(gelu - Z / 2).parity == "even"  # sigma(-z) = sigma(z) - z says this


@pytest.mark.parametrize(
    "expression",
    [
        sp.Function("f")(Z),
        sp.floor(Z),
        sp.Max(Z**5 - Z - 1, 0),
        sp.nan * Z,
        Z * sp.Symbol("w"),  # not known to be real
        sp.Piecewise((Z, SLOPE > 0), (-2 * Z, True)),
        sp.exp(sp.I * Z),
        sp.Max(Z**3 - 3 * Z + 1, Z),  # its kinks are real and written with i
        Z**Z,
    ],
    ids=str,
)
def test_of_what_cannot_be_split_nothing_is_claimed(expression) -> None:
    found = relations(expression)
    assert found == Relations(expression, domain=found.domain)
    assert "no relation is proved" in str(found)


def test_a_function_that_cannot_be_split_keeps_what_its_structure_proves() -> None:
    assert relations(sp.tan(Z)).parity == "odd" and relations(sp.tan(Z)).period == sp.pi
    assert relations(sp.Function("f")(sp.sin(Z))).period == 2 * sp.pi
    assert relations(sp.Function("f")(sp.cos(Z) * Z**2)).period is None


def test_floats_of_an_expression_are_the_decimals_that_they_show() -> None:
    assert rational(sp.Float(0.1) * Z) == Z / 10
    assert relations(0.5 * Z + 0.25).kappa == sp.Rational(1, 2)
    assert relations(sp.Max(Z, sp.Float("inf"))).proofs == ()


def numbers(low: int, high: int) -> st.SearchStrategy[sp.Rational]:
    return st.integers(low, high).map(lambda n: sp.Rational(n, 2))


#: Piecewise linear functions.
LINEAR = st.recursive(
    st.builds(lambda a, b: a * Z + b, numbers(-3, 3), st.sampled_from([sp.Integer(0), sp.Integer(1)])),
    lambda inner: st.one_of(
        st.builds(sp.Max, inner, inner),
        st.builds(sp.Min, inner, inner),
        st.builds(sp.Abs, inner),
        st.builds(lambda a, b: a + b, inner, inner),
        st.builds(lambda a, c: c * a, inner, numbers(-3, 3)),
    ),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None)
@given(LINEAR)
def test_of_piecewise_linear_functions_all_is_known_exactly(expression) -> None:
    """Two values beyond all kinks, and those at them, determine the function, so that samples decide."""
    found, pieces = relations(expression), split(expression)
    assert all(branch is not None and sp.diff(branch, Z, 2) == 0 for branch in pieces.branches)
    span = max([1, *(abs(kink) for kink in pieces.kinks)])
    at = sorted(
        {
            *pieces.kinks,
            *(-kink for kink in pieces.kinks),
            0,
            span + 1,
            -span - 1,
            2 * span + 2,
            -2 * span - 2,
        }
    )
    value = {z: expression.subs(Z, z) for z in (*at, *(3 * z for z in at))}
    odd, even = (all(value[-z] == sign * value[z] for z in at) for sign in (-1, 1))
    affine = all(value[-z] + value[z] == 2 * value[0] for z in at)
    assert found.constant == (len(set(value.values())) == 1)
    assert found.parity == ("even" if even else "odd" if odd else "affine" if affine else None)
    homogeneous = all(value[3 * z] == 3 * value[z] for z in at) and not found.constant
    assert found.degree == (1 if homogeneous else None)
    assert (found.slope is not None) == (not pieces.kinks)


@pytest.mark.parametrize(
    ("expression", "degree"),
    [
        (Z**2, 2),
        (sp.Max(Z, 0) ** 2, 2),
        (Z * sp.Abs(Z), 2),
        (Z**3, 3),
        (sp.Abs(Z), 1),
        (sp.sqrt(sp.Abs(Z)), sp.Rational(1, 2)),
        (sp.Max(Z, 0), 1),
        (sp.Max(-3 * Z, 0), 1),
        (sp.sqrt(Z**2 + Z * sp.Abs(Z)), 1),
        (expression_of(nn.LeakyReLU(-2.0)), 1),
        (expression_of(nn.PReLU()), 1),
        (expression_of(nn.Dropout(0.3)), 1),
        (expression_of(nn.Hardtanh(0.0, math.inf)), 1),
    ],
)
def test_the_degree_of_homogeneity_is_found_with_its_proof(expression, degree) -> None:
    proof = homogeneity(expression)
    assert proof == Homogeneity(expression, degree)
    assert "proved" in str(proof)


@pytest.mark.parametrize(
    "expression",
    [
        sp.Max(Z - 1, 0),  # a shifted ReLU
        sp.Max(Z, 0) + 1,
        sp.Max(Z, 0) + sp.Rational(1, 10**6) * Z**2,
        Z**3 + Z,
        sp.Piecewise((Z, Z >= 0), (Z**2, True)),  # one degree on each half-line
        sp.Piecewise((Z, Z > 0), (1, sp.Eq(Z, 0)), (Z, True)),  # wrong at 0 alone
        sp.sign(Z),  # degree 0 leaves nothing to hand on
        sp.Integer(0),
        sp.Integer(1),
        1 / Z,  # not defined at 0
        sp.sqrt(Z),  # not real for negative arguments
        sp.cbrt(Z),
        expression_of(nn.LeakyReLU(0.1)).subs(sp.Rational(1, 10), sp.nan),
        expression_of(nn.Threshold(0.1, 0.0)),
        expression_of(nn.Threshold(0.0, 1.0)),
    ],
    ids=str,
)
def test_what_is_not_homogeneous_on_all_of_the_line_is_refused(expression) -> None:
    assert homogeneity(expression) is None
