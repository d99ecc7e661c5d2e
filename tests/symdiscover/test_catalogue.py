"""Every function of the catalogue parses, takes its minimum where it says, and falls nowhere below it."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass, replace

import mpmath as mp
import numpy as np
import pytest
import sympy as sp

from symdiscover.catalogue import Family, TestFunction, UnknownFunction, all_functions, load, names, table
from symdiscover.catalogue_data import FIXED
from symdiscover.catalogue_families import FAMILIES
from symdiscover.errors import SymmetryError
from symdiscover.loss import Loss

DIGITS = 60
EXACT = mp.mpf(10) ** -25  # error allowed to an exact minimum evaluated in 60 digits
STEP = mp.mpf(10) ** -20  # of difference quotients in 60 digits
NEWTON = 1e-11  # relative length of the Newton step allowed at a minimiser
KINK = 1e-6  # difference allowed between the one-sided derivatives
SLACK = 1e-9  # relative rounding allowed to a sampled value
SAMPLES = 3000

REQUIRED = (
    "rosenbrock booth matyas ellipse ellipsoid sphere sum-of-squares trid rotated-hyper-ellipsoid "
    "rosenbrock-uncoupled rosenbrock-chain dixon-price three-hump-camel six-hump-camel himmelblau beale "
    "goldstein-price ackley rastrigin styblinski-tang griewank levy zakharov schwefel-1-2 schwefel-2-20 "
    "schwefel-2-21 schwefel-2-22 schwefel-2-23 brent bohachevsky-1 bohachevsky-2 bohachevsky-3 easom "
    "mccormick branin bukin-6 cross-in-tray drop-wave eggholder schaffer-2 schaffer-4 holder-table "
    "powell-singular powell-sum wood helical-valley freudenstein-roth brown-badly-scaled cube exponential "
    "salomon chung-reynolds alpine-1 alpine-2 quartic deckkers-aarts price-2 keane parsopoulos "
    "rotated-ellipse-1 rotated-ellipse-2 schumer-steiglitz sargan zettl aluffi-pentini treccani giunta "
    "saddle-product saddle-difference degenerate-quadratic matrix-factorisation two-layer-linear-network "
    "logistic-regression softmax-cross-entropy"
)

ALL = list(all_functions())
WITH_MINIMUM = [function for function in ALL if function.minimum is not None]
SADDLES = [function for function in ALL if function.minimum is None]
OTHER_SIZES = [
    family.at(n)
    for family in FAMILIES
    for n in (family.smallest, family.default + family.step)
    if n != family.default and n <= family.largest
]


def label(function: TestFunction) -> str:
    return f"{function.name}({function.dimension})"


@dataclass
class Evaluator:
    """A function at the default values of its constants: in 60 digits and, over many points, in float64."""

    function: TestFunction

    def __post_init__(self) -> None:
        loss: Loss = self.function.at()
        self.precise = sp.lambdify(loss.variables, loss.expression, modules="mpmath")
        self.fast = sp.lambdify(loss.variables, loss.expression, modules="numpy")
        defaults = self.function.constants
        self.constants = {
            symbol: sp.Rational(defaults[symbol.name]) for symbol in self.function.loss.constants
        }

    def number(self, expression: sp.Expr) -> mp.mpf:
        return mp.mpf(str(sp.N(expression.xreplace(self.constants), DIGITS)))

    def sample(self, points: np.ndarray) -> np.ndarray:
        """The values at points (N, n); NaN where the function has none."""
        with np.errstate(all="ignore"):
            values = np.broadcast_to(self.fast(*points.T), len(points))
        return np.where(np.isfinite(values), values, np.nan)


def sampled_points(function: TestFunction, minimisers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Uniform points of the box, and points around each minimiser, from 1/10 to 1e-4 of its width away."""
    low, high = np.array(function.box).T
    anywhere = rng.uniform(low, high, (SAMPLES, function.dimension))
    near = [
        minimiser + rng.normal(size=(50, function.dimension)) * (high - low) * scale
        for minimiser in minimisers
        for scale in (1e-1, 1e-2, 1e-3, 1e-4)
    ]
    return np.clip(np.concatenate([anywhere, *near]), low, high)


def stationarity(evaluator: Evaluator, x: list[mp.mpf]) -> list[str]:
    """What contradicts that x is stationary in the box: a kink, or a slope that does not point out of it."""
    found = []
    value = evaluator.precise(*x)
    slopes, curvatures, kinks = [], [], []
    for i in range(len(x)):
        ahead, behind = (evaluator.precise(*x[:i], x[i] + h, *x[i + 1 :]) for h in (STEP, -STEP))
        slopes.append((ahead - behind) / (2 * STEP))
        curvatures.append(abs(ahead - 2 * value + behind) / STEP**2)
        kinks.append(abs(ahead - 2 * value + behind) / STEP)
    scale = 1 + max(curvatures) * (1 + max(abs(entry) for entry in x))
    for i, (slope, kink, (low, high)) in enumerate(zip(slopes, kinks, evaluator.function.box, strict=True)):
        if kink > KINK * max(1, abs(value)):
            found.append(f"kink {mp.nstr(kink, 3)} in coordinate {i}")
        held = (x[i] <= low and slope >= 0) or (x[i] >= high and slope <= 0)
        if not held and abs(slope) > NEWTON * scale:
            found.append(f"slope {mp.nstr(slope, 3)} in coordinate {i}")
    return found


def contradictions(function: TestFunction) -> list[str]:
    """Everything found against the minimum that a function states; empty for a right one."""
    evaluator = Evaluator(function)
    found = []
    with mp.workdps(DIGITS):
        lowest = evaluator.number(function.lowest)
        size = max(1, abs(lowest))
        tolerance = EXACT if function.exact else mp.mpf(function.minimum_tolerance)
        points = [[evaluator.number(entry) for entry in point] for point in function.points]
        for point in points:
            if not all(low <= entry <= high for entry, (low, high) in zip(point, function.box, strict=True)):
                found.append(f"minimiser {point} outside the box")
            value = evaluator.precise(*point)
            if not abs(value - lowest) <= tolerance * size:
                found.append(f"value {mp.nstr(value, 20)} instead of {mp.nstr(lowest, 20)}")
            if function.differentiable:
                found.extend(stationarity(evaluator, point))
    minimisers = np.array([[float(entry) for entry in point] for point in points])
    values = evaluator.sample(sampled_points(function, minimisers, np.random.default_rng(20)))
    if np.isnan(values).mean() > 0.01:
        found.append("no value at more than one sampled point of a hundred")
    if (below := float(lowest) - np.nanmin(values)) > SLACK * float(size):
        found.append(f"a sampled value lies {below:.3g} below the minimum")
    return found


def falls_without_bound(function: TestFunction) -> bool:
    """Whether the loss takes both signs and ten times as far out is ten times as low as its lowest sample."""
    evaluator = Evaluator(function)
    low, high = np.array(function.box).T
    points = np.random.default_rng(21).uniform(low, high, (SAMPLES, function.dimension))
    values = evaluator.sample(points)
    lowest = points[[np.argmin(values)]]
    return bool(values.min() < 0 < values.max() and evaluator.sample(10 * lowest)[0] <= 10 * values.min())


@pytest.mark.parametrize("function", WITH_MINIMUM, ids=label)
def test_the_minimum_is_what_and_where_the_row_says(function: TestFunction) -> None:
    assert contradictions(function) == []


@pytest.mark.parametrize("function", OTHER_SIZES, ids=label)
def test_families_state_their_minimum_at_other_sizes_too(function: TestFunction) -> None:
    assert contradictions(function) == []


@pytest.mark.parametrize("function", WITH_MINIMUM, ids=label)
def test_a_moved_minimiser_is_contradicted(function: TestFunction) -> None:
    moved = tuple(
        tuple(f"{entry} + {i}/16" for i, entry in enumerate(point, start=1)) for point in function.minimisers
    )
    assert contradictions(replace(function, minimisers=moved))


@pytest.mark.parametrize("shift", ["1/1000", "-1/1000"])
@pytest.mark.parametrize("name", ["booth", "six-hump-camel", "branin", "michalewicz", "trid"])
def test_a_wrong_minimum_is_contradicted(name: str, shift: str) -> None:
    function = load(name)
    wrong = replace(function, minimum=f"{function.minimum} + {shift}")
    assert any("instead of" in reason for reason in contradictions(wrong))


def test_a_local_minimum_is_contradicted_by_the_samples() -> None:
    # The six-hump camel has this local minimum beside its two global ones.
    local = replace(
        load("six-hump-camel"),
        minimum="-0.2154638243837176",
        minimisers=(("1.703606714969981", "-0.7960835686726251"),),
        minimum_tolerance=1e-9,
    )
    reasons = contradictions(local)
    assert len(reasons) == 1 and "below the minimum" in reasons[0]


def test_a_kink_called_differentiable_is_contradicted() -> None:
    smooth = replace(load("schwefel-2-20"), differentiable=True)
    assert any("kink" in reason for reason in contradictions(smooth))


def test_a_minimiser_outside_the_box_is_contradicted() -> None:
    outside = replace(load("booth"), bounds=(("2", "10"), ("-10", "10")))
    assert any("outside" in reason for reason in contradictions(outside))


@pytest.mark.parametrize("function", SADDLES, ids=label)
def test_functions_without_a_minimum_fall_without_bound(function: TestFunction) -> None:
    assert falls_without_bound(function)
    assert function.lowest is None and function.points == ()


def test_a_function_with_a_minimum_does_not_fall_without_bound() -> None:
    assert not falls_without_bound(load("sphere"))
    assert not falls_without_bound(load("drop-wave"))


def test_rosenbrock_is_minimal_for_all_its_constants() -> None:
    function = load("rosenbrock")
    substitution = dict(zip(function.loss.variables, function.points[0], strict=True))
    assert function.loss.expression.xreplace(substitution) == 0
    assert [sp.expand(slope.xreplace(substitution)) for slope in function.loss.gradient] == [0, 0]
    wrong = dict(zip(function.loss.variables, reversed(function.points[0]), strict=True))
    assert function.loss.expression.xreplace(wrong) != 0


def test_constants_take_their_default_or_the_given_value() -> None:
    x1, x2 = sp.symbols("x1 x2", real=True)
    function = load("rosenbrock")
    assert {symbol.name for symbol in function.loss.constants} == {"a", "b"}
    assert function.at().expression == 100 * (x1**2 - x2) ** 2 + (x1 - 1) ** 2
    assert function.at(b=7).expression == 7 * (x1**2 - x2) ** 2 + (x1 - 1) ** 2
    with pytest.raises(SymmetryError):
        function.at(c=1)
    with pytest.raises(SymmetryError):
        function.at(a=-1)


def test_the_catalogue_is_large_and_has_the_classics() -> None:
    assert len(names()) >= 64
    assert set(REQUIRED.split()) <= set(names())
    assert names() == sorted(set(names())) == [function.name for function in ALL]


def test_no_name_stands_in_two_rows() -> None:
    rows = [row.name for row in (*FIXED, *FAMILIES)]
    assert len(rows) == len(set(rows)) == len(names())
    assert len([*rows, "booth"]) != len({*rows, "booth"})


def describes_itself(function: TestFunction) -> bool:
    """A lower-case hyphenated name, a title, a source with its year, and a group in the words of the rows."""
    named = "O|GL|E|Permutation|SignedPermutation|PositiveScaling|Translation"
    group = rf"(({named})\(\d+(, \d+)?\)|Z2( x Z2)*|D3)?"
    return bool(
        re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", function.name)
        and function.title
        and re.search(r"\b(19|20)\d\d\b", function.source)
        and re.fullmatch(group, function.group)
    )


@pytest.mark.parametrize("function", ALL, ids=label)
def test_rows_describe_themselves(function: TestFunction) -> None:
    assert describes_itself(function)
    assert function.loss.dimension == function.dimension == len(function.box)


@pytest.mark.parametrize(
    "field",
    [{"name": "Booth"}, {"name": "booth_2"}, {"title": ""}, {"source": "folklore"}, {"group": "some"}],
)
def test_a_row_that_does_not_describe_itself_is_noticed(field: dict[str, str]) -> None:
    assert not describes_itself(replace(load("booth"), **field))


def test_families_have_members_of_every_size_they_name() -> None:
    assert load("sphere", n=5).variables == ("x1", "x2", "x3", "x4", "x5")
    assert load("sphere", n=5).group == "O(5)"
    assert load("rosenbrock-uncoupled", n=6).dimension == 6
    assert load("matrix-factorisation", n=3).dimension == 18
    assert load("trid", n=6).minimum == "-50" and load("trid", n=10).minimum == "-210"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_largest_member_still_parses(family: Family) -> None:
    largest = family.largest - family.largest % family.step
    assert family.at(largest).loss.dimension == len(family.at(largest).variables)


@pytest.mark.parametrize(
    ("name", "n"),
    [
        ("sphere", 0),
        ("sphere", -1),
        ("sphere", 10**9),
        ("sphere", True),
        ("rosenbrock-uncoupled", 3),
        ("booth", 3),
    ],
)
def test_sizes_that_do_not_exist_are_refused(name: str, n: int) -> None:
    with pytest.raises(SymmetryError, match=name):
        load(name, n=n)


def test_a_function_of_fixed_size_accepts_its_own() -> None:
    assert load("booth", n=2) is load("booth")


@pytest.mark.parametrize("name", ["rosenbrok", "Rosenbrock", "ROSENBROCK ", "rosenbrock_"])
def test_an_unknown_name_is_answered_with_the_nearest(name: str) -> None:
    with pytest.raises(UnknownFunction, match="did you mean rosenbrock"):
        load(name)


def test_a_hopeless_name_is_answered_with_where_to_look() -> None:
    with pytest.raises(UnknownFunction, match=r"names\(\)"):
        load("qqqqqqqq")


def test_rows_of_unequal_length_are_refused() -> None:
    booth = load("booth")
    with pytest.raises(SymmetryError, match="one entry for each"):
        replace(booth, minimisers=(("1", "3", "5"),))
    with pytest.raises(SymmetryError, match="one entry for each"):
        replace(booth, bounds=(("0", "1"),))
    with pytest.raises(SymmetryError, match="neither"):
        replace(booth, minimum=None)
    assert replace(booth, minimum=None, minimisers=()).lowest is None


def test_the_table_has_a_whole_row_for_every_function() -> None:
    header, rule, *rows = table().splitlines()
    assert len(rows) == len(names())
    # An unescaped bar in a cell would shift the columns after it.
    assert {line.count("|") for line in (header, rule, *rows)} == {7}
    assert rows[names().index("booth")].startswith("| `booth` | Booth | 2 | `0` | O(2) | ")
    assert " | 3+ | " in rows[names().index("sphere")]
    assert " | none | " in rows[names().index("monkey-saddle")]


def test_rows_are_read_and_parsed_only_when_asked_for() -> None:
    code = (
        "import sys, symdiscover.catalogue as c\n"
        "before = 'symdiscover.catalogue_data' in sys.modules\n"
        "row = c.load('booth')\n"
        "parsed = 'loss' in vars(row)\n"
        "row.loss\n"
        "print(before, 'symdiscover.catalogue_data' in sys.modules, parsed, 'loss' in vars(row))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "False", "True"]
