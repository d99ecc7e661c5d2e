"""Zero or not: proofs, exact refutations at every scale, and no more certainty than there is."""

from __future__ import annotations

import itertools
from fractions import Fraction

import hypothesis.strategies as st
import mpmath
import pytest
import sympy as sp
from hypothesis import given, settings

from symdiscover.identity import (
    EXPANDED_TERMS,
    decide_zero,
    expanded_terms,
    reduce_circle,
    sample_points,
    simplifies_to_zero,
    vanishes,
    weakest,
)

x, y, t, s = sp.symbols("x y t s", real=True)
a, b = sp.symbols("a b", positive=True)
R = sp.Rational
c, n = sp.cos(t), sp.sin(t)

#: Identities, each with a perturbation that makes it false.
IDENTITIES: dict[str, tuple[sp.Expr, sp.Expr]] = {
    "binomial": ((x + y) ** 5 - sp.expand((x + y) ** 5), x * R(1, 10**50)),
    "rational": (1 / (x + y) + 1 / (x - y) - 2 * x / (x**2 - y**2), R(1, 10**80)),
    "circle": ((x * c - y * n) ** 2 + (x * n + y * c) ** 2 - x**2 - y**2, R(1, 10**60) * x * n),
    "hyperbola": (sp.cosh(t) ** 2 - sp.sinh(t) ** 2 - 1, R(1, 10**70) * t),
    "addition of angles": (sp.cos(s + t) - sp.cos(s) * c + sp.sin(s) * n, R(1, 10**100) * s),
    "exponentials": (sp.exp(2 * t) * (x * sp.exp(-t)) ** 2 - x**2, R(1, 10**100) * sp.exp(-t)),
    "roots of constants": (sp.sqrt(b) * (x - y / sp.sqrt(b)) - sp.sqrt(b) * x + y, R(1, 10**40) * sp.sqrt(b)),
    "logarithms": (sp.log(a * b) - sp.log(a) - sp.log(b), R(1, 10**90)),
    "absolute values": (sp.Abs(x) ** 2 - x**2, R(1, 10**50) * sp.Abs(x)),
    "maximum and minimum": (sp.Max(x, y) + sp.Min(x, y) - x - y, R(1, 10**50) * sp.Max(x, y)),
    "inside a function": (sp.atan(x * (x + 1)) - sp.atan(x**2 + x), R(1, 10**90) * sp.atan(x)),
    "inside floor": (sp.floor((x * c - y * n) ** 2 + (x * n + y * c) ** 2) - sp.floor(x**2 + y**2), sp.floor(x)),
    "a common factor": (
        64 * (x + 2 * y + 3 * a + b) ** 63 * ((x + y) ** 2 - x**2 - 2 * x * y - y**2),
        (x + 2 * y + 3 * a + b) ** 63 * R(1, 10**300),
    ),
    "reciprocals of many sums": (
        sp.Add(*[(x - k * y) ** -12 * ((x + y) ** 2 - x**2 - 2 * x * y - y**2) for k in range(2, 9)]),
        (x - 2 * y) ** -12 * R(1, 10**300),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", IDENTITIES)
def test_proved(name: str) -> None:
    verdict = decide_zero(IDENTITIES[name][0], seconds=5)
    assert verdict.status == "proved", verdict


@pytest.mark.parametrize("name", IDENTITIES)
def test_proved_twin(name: str) -> None:
    """However small the perturbation, it is refuted, with a point at which it shows."""
    zero, perturbation = IDENTITIES[name]
    verdict = decide_zero(sp.Add(zero, perturbation, evaluate=False), seconds=5)
    assert verdict.status == "refuted", verdict
    assert verdict.counterexample.keys() <= {s.name for s in zero.free_symbols | perturbation.free_symbols}


@pytest.mark.parametrize("scale", [R(1, 10**300), R(1), R(10**300)])
@pytest.mark.parametrize("offset", [0, R(10**200)])
def test_no_size_is_taken_for_zero(scale: sp.Expr, offset: sp.Expr) -> None:
    """No tolerance is involved: neither tiny nor huge values, nor a huge offset, hide a difference."""
    for wrong in (scale * x, scale * sp.sin(x), scale * sp.exp(-(x**2)) * y):
        difference = sp.Add(
            sp.log(offset + sp.exp(x) + wrong**2), -sp.log(offset + sp.exp(x)), evaluate=False
        )
        assert decide_zero(difference, seconds=1).status == "refuted"
        assert decide_zero(sp.Add(offset + wrong, -offset, evaluate=False), seconds=1).status == "refuted"
    right = sp.Add(scale * sp.sin(x) ** 2 + offset, scale * sp.cos(x) ** 2 - offset - scale, evaluate=False)
    assert decide_zero(right, seconds=1).status == "proved"


def test_a_zero_factor_is_no_refutation() -> None:
    """A product with a factor that vanishes identically has no term that stands out; it is zero all the same."""
    hidden = sp.sin(sp.pi / 7) * sp.sin(2 * sp.pi / 7) * sp.sin(3 * sp.pi / 7) - sp.sqrt(7) / 8
    for zero in (x * hidden, sp.exp(x * hidden) - 1, x * (sp.cos(2 * t) - 2 * c**2 + 1)):
        assert decide_zero(zero, seconds=1, thorough=False).status in ("proved", "numerical"), zero
    assert decide_zero(x * (hidden + R(1, 10**200)), thorough=False).status == "refuted"


def test_what_is_exact_and_what_is_evidence() -> None:
    """``identity-tested`` is for rational functions over Q, whose values are exact; the rest is ``numerical``."""
    v = sp.symbols("v1:9", real=True)
    large = sp.Add(*[k * e for k, e in enumerate(v, 1)]) ** 12
    moved = large.xreplace({v[0]: v[0] + v[1] * (v[2] + v[3])})
    back = moved.xreplace({v[0]: v[0] - v[1] * v[2] - v[1] * v[3]})
    assert expanded_terms(back) > EXPANDED_TERMS
    verdict = decide_zero(back - large, thorough=False)
    assert verdict.status in ("identity-tested", "proved")
    irrational = x * (sp.sin(sp.pi / 7) * sp.sin(2 * sp.pi / 7) * sp.sin(3 * sp.pi / 7) - sp.sqrt(7) / 8)
    assert irrational.is_rational_function(x)
    assert decide_zero(irrational, thorough=False).status == "numerical"
    assert decide_zero(back - large + R(1, 10**300), thorough=False).status == "refuted"


def test_unchecked_where_nothing_is_real() -> None:
    nowhere = sp.log(-1 - x**2) - sp.log(-1 - x**2 * (1 + sp.sin(x) ** 2 + c**2 - c**2))
    assert decide_zero(nowhere, seconds=1).status == "unchecked"
    assert (
        decide_zero(sp.log(1 + x**2) - sp.log(1 + x**2 * (1 + sp.sin(x) ** 2)), seconds=1).status == "refuted"
    )


def test_conditions_restrict_the_points() -> None:
    difference = sp.sqrt(x**2) - x
    assert decide_zero(difference, conditions=(x > 0,)).status != "refuted"
    assert decide_zero(difference, conditions=(x < 1,)).status == "refuted"
    pieces = sp.Piecewise((x, x > 0), (y, True)) - x
    assert decide_zero(pieces, conditions=(x > 0,)).status == "proved"
    assert decide_zero(pieces, conditions=(x > -1,)).status == "refuted"
    assert decide_zero(pieces, conditions=(y > 0,)).status == "refuted"


def test_text_is_never_evaluated() -> None:
    for text in ("x", "__import__('os').getcwd()", "1 - 1"):
        with pytest.raises(sp.SympifyError):
            decide_zero(text)  # type: ignore[arg-type]
    assert decide_zero(0).status == "proved"  # type: ignore[arg-type]


# --- points --------------------------------------------------------------------------------------------------------------


def test_points_meet_their_assumptions_and_repeat() -> None:
    points = list(sample_points(a * x + y, 3, 30, (x > y,)))
    assert len(points) >= 30  # and some beside the condition's edge
    assert all(p[a] > 0 and p[x] > p[y] for p in points)
    assert points == list(sample_points(a * x + y, 3, 30, (x > y,)))
    assert points != list(sample_points(a * x + y, 4, 30, (x > y,)))
    sizes = sorted(abs(float(p[x])) for p in sample_points(x + y, 0, 300))
    assert sizes[0] < 0.1 and sizes[-1] > 100
    assert not list(sample_points(x, 0, 5, (x**2 < 0,)))


@pytest.mark.parametrize(
    "expression",
    [
        sp.Abs(x - 1000),
        sp.Max(x, R(1, 10**6)) + y,
        sp.sign(3 * x - 7 * y + 10**6),
        sp.Piecewise((1, x > 10**8), (2, x > 10**8 - 1), (3, True)),
        sp.Heaviside(sp.exp(x) - 2),
        sp.Abs(x**3 + x - y),
    ],
)
def test_points_on_both_sides_of_every_seam(expression: sp.Expr) -> None:
    """Where pieces meet, some points lie on each side, and close."""
    from symdiscover.identity import _seams

    for seam in _seams([expression]):
        values = [float(sp.N(seam.xreplace(point))) for point in sample_points(expression, 0, 6)]
        scale = max(1.0, max(abs(v) for v in values))
        assert any(0 < v < 0.1 * scale for v in values) and any(-0.1 * scale < v < 0 for v in values), seam


def test_seams_twin() -> None:
    """Without the search beside seams no point would come near this one."""
    far = sp.Abs(x - 10**7)
    generic = itertools.islice(sample_points(x, 0, 500), 500)
    assert all(abs(float(point[x]) - 1e7) > 1e5 for point in generic)
    assert any(abs(float(point[x]) - 1e7) < 1e5 for point in sample_points(far, 0, 3))


def test_vanishes_is_exact_for_rational_functions() -> None:
    point = {x: R(1, 3), y: R(2, 7)}
    assert vanishes(3 * x - 1, point) is True
    assert vanishes(3 * x - 1 + R(1, 10**5000) * y, point) is False
    assert vanishes(1 / (3 * x - 1), point) is None
    assert vanishes(sp.sqrt(x - 1), point) is None
    assert vanishes(sp.log(x - 1) - sp.log(x - 1) + x, point) is False


@settings(max_examples=60)
@given(
    st.fractions(-5, 5, max_denominator=30),
    st.fractions(-5, 5, max_denominator=30),
    st.integers(1, 400),
)
def test_vanishes_against_a_zero_of_known_size(u: Fraction, v: Fraction, digits: int) -> None:
    """sin^2 + cos^2 - 1 vanishes everywhere; 10^-k beside it never does."""
    point = {x: R(u.numerator, u.denominator), y: R(v.numerator, v.denominator)}
    zero = sp.sin(x * y) ** 2 + sp.cos(x * y) ** 2 - 1
    assert vanishes(zero, point) is True
    assert vanishes(zero + R(1, 10**digits), point) is False


# --- parts ---------------------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=3), st.integers(0, 3))
def test_expanded_terms_is_an_upper_bound(sizes: list[int], power: int) -> None:
    symbols = iter(sp.symbols("v1:20"))
    product = sp.Mul(*[sp.Add(*[next(symbols) for _ in range(k)]) ** power for k in sizes])
    assert len(sp.Add.make_args(sp.expand(product))) <= expanded_terms(product)


def test_expanded_terms_of_what_must_not_be_expanded() -> None:
    v = sp.symbols("v1:13")
    assert expanded_terms(sp.Add(*v) ** 64) > 1e12
    assert expanded_terms((sp.Add(*v) ** 64) ** 64 + 1) > 1e12
    assert expanded_terms(sp.Add(*v) ** 2) == 78


def test_reduce_circle() -> None:
    assert reduce_circle(sp.expand((x * c - y * n) ** 2 + (x * n + y * c) ** 2)) == x**2 + y**2
    assert reduce_circle(sp.sinh(t) ** 4 - (sp.cosh(t) ** 2 - 1) ** 2) == 0
    assert reduce_circle(n**3 + c**3) != 0


def test_simplification_in_bounded_time() -> None:
    assert simplifies_to_zero(sp.gamma(a + 1) / sp.gamma(a) - a, 10)
    assert not simplifies_to_zero(sp.gamma(a + 1) / sp.gamma(a) - a + 1, 10)
    assert not simplifies_to_zero(sp.gamma(a + 1) / sp.gamma(a) - a, 0)


def test_weakest() -> None:
    assert weakest(["proved", "numerical", "identity-tested"]) == "numerical"
    assert weakest(["proved", "proved"]) == "proved" == weakest([])
    assert weakest(["unchecked", "numerical"]) == "unchecked"


def test_the_precision_of_the_caller_stays() -> None:
    before = mpmath.mp.dps
    decide_zero(sp.sin(x) ** 2 + sp.cos(x) ** 2 - 1)
    assert mpmath.mp.dps == before
