"""The routes in order: known answers, honest empty ones, budgets that hold, and nothing claimed twice or falsely."""

from __future__ import annotations

import importlib
import time
from types import SimpleNamespace

import pytest
import sympy as sp

import symdiscover as sd
from symdiscover import Loss, SymmetryError, catalogue, derive
from symdiscover.budget import Deadline
from symdiscover.derive import Derivation
from symdiscover.routes import NoSymmetry, Route, routes

MODULE = importlib.import_module("symdiscover.derive")  # the name of the function hides it
CONTINUOUS = ("translations", "quadratic", "peel", "affine")

# name in the catalogue, size -> group, route, transitive
KNOWN: dict[tuple[str, int | None], tuple[str, str, bool]] = {
    ("rosenbrock", None): ("SO(2)", "peel", True),
    ("booth", None): ("SO(2)", "quadratic", True),
    ("matyas", None): ("SO(2)", "quadratic", True),
    ("ellipse", None): ("SO(2)", "quadratic", True),
    ("ellipsoid", None): ("O(3)", "quadratic", True),
    ("sphere", 2): ("SO(2)", "quadratic", True),
    ("sphere", 4): ("O(4)", "quadratic", True),
    ("sum-of-squares", 3): ("O(3)", "quadratic", True),
    ("trid", 2): ("SO(2)", "quadratic", True),
    ("trid", 3): ("O(3)", "quadratic", True),
    ("rotated-hyper-ellipsoid", 3): ("O(3)", "quadratic", True),
    ("rosenbrock-uncoupled", 4): ("O(4)", "peel", True),
    ("saddle-product", None): ("O(1, 1)", "quadratic", True),
    ("saddle-difference", None): ("O(1, 1)", "quadratic", True),
    ("minkowski-form", None): ("O(3, 1)", "quadratic", True),
    ("degenerate-quadratic", None): ("R^2", "translations", True),
    ("cube", None): ("SO(2)", "peel", True),
    ("drop-wave", None): ("SO(2)", "quadratic", True),
    ("linear-chain", None): ("PositiveScaling(2)", "affine", True),
    ("wood", None): ("SO(2)", "peel", False),
    ("symmetric-factorisation", None): ("SO(2)", "affine", False),
}


@pytest.mark.parametrize(("name", "size"), KNOWN, ids=str)
def test_known_answers(name: str, size: int | None) -> None:
    group, route, transitive = KNOWN[name, size]
    derivation = derive(catalogue.load(name, size).loss, only=CONTINUOUS)
    first = derivation.certificates[0]
    assert (first.group.name, first.symmetry.route, first.transitive) == (group, route, transitive)
    assert first.status == "proved" and first.group_law
    assert all(certificate.status == "proved" for certificate in derivation.certificates)


@pytest.mark.parametrize(
    "name",
    ["three-hump-camel", "six-hump-camel", "himmelblau", "beale", "goldstein-price", "styblinski-tang", "rastrigin",
     "ackley", "griewank", "easom", "branin", "mccormick", "eggholder", "schwefel-2-20", "powell-sum"],
)  # fmt: skip
def test_no_continuous_symmetry_is_invented(name: str) -> None:
    """None in the families tried, and the list of them; what is discrete may be found."""
    derivation = derive(catalogue.load(name).loss, only=CONTINUOUS)
    assert not [s for s in derivation if s.group.dimension]
    assert [attempt.route for attempt in derivation.tried] == list(CONTINUOUS)
    assert all(attempt.outcome and "failed" not in attempt.outcome for attempt in derivation.tried)
    assert "no symmetry in the families tried" in str(derivation) or len(derivation)


def test_no_symmetry_twin() -> None:
    """The same functions of x^2 + y^2 have one."""
    for text in (
        "2*{r} - 1.05*{r}**2 + {r}**3/6",
        "({r} - 11)**2 + ({r} - 7)**4",
        "20 - 20*exp(-0.2*sqrt({r}/2)) - cos({r})",
    ):
        derivation = derive(Loss.parse(text.format(r="(x**2 + y**2)")), only=CONTINUOUS)
        assert derivation[0].group.name == "SO(2)", text


def test_constants_stay_symbolic() -> None:
    """What is proved of Rosenbrock's function holds for all a and b: the map holds both."""
    certificate = derive(catalogue.load("rosenbrock").loss, only=CONTINUOUS).certificates[0]
    assert certificate.loss.constants and set(certificate.loss.constants) <= set().union(
        *(image.free_symbols for image in certificate.symmetry.map)
    )


def test_linear_and_constant_functions() -> None:
    linear = derive(Loss.parse("3*x + 2*y - z"))
    assert linear[0].group.name == "R^2" and linear.certificates[0].transitive
    single = derive(Loss.parse("x"), only=CONTINUOUS)
    assert len(single) == 0
    constant = derive(Loss.parse("7", variables="x, y"))
    assert [s.group.name for s in constant][:1] == ["R^2"] and constant.certificates[0].transitive
    assert any("constant loss" in attempt.outcome for attempt in constant.tried)


def test_nothing_is_found_twice() -> None:
    for text in (
        "(x + y)**2 + z**2",
        "x**2 + y**2 + z**2",
        "x*y",
        "(x - 1)**2 + (y - x**2)**2",
        "x**2 - y**2 + z",
    ):
        derivation = derive(Loss.parse(text), only=CONTINUOUS)
        names = [symmetry.group.name for symmetry in derivation]
        assert len(names) == len(set(names)), (text, names)


def test_order_of_the_findings() -> None:
    """Those that move a whole level set first, discrete ones last."""
    derivation = derive(Loss.parse("x**2 + 3*y**2 - 2*z"), only=CONTINUOUS)
    assert [c.transitive for c in derivation.certificates] == sorted(
        (c.transitive for c in derivation.certificates), reverse=True
    )
    assert derivation.certificates[0].transitive and not derivation.certificates[-1].transitive


def test_it_is_a_sequence() -> None:
    derivation = derive(Loss.parse("x**2 + y**2"), only=CONTINUOUS)
    assert len(derivation) == len(list(derivation)) == len(derivation.certificates) == 1
    assert derivation[0] is derivation.certificates[0].symmetry and derivation[-1] is derivation[0]
    assert derivation[0:1] == (derivation[0],)
    with pytest.raises(IndexError):
        derivation[1]


def test_as_dict_is_what_the_command_prints() -> None:
    import json

    derivation = derive(Loss.parse("x*y"), only=["quadratic", "peel"])
    printed = json.loads(json.dumps(derivation.as_dict()))
    assert set(printed) == {"expression", "variables", "seconds", "symmetries", "tried"}
    assert printed["symmetries"][0]["group"] == "O(1, 1)" and printed["symmetries"][0]["status"] == "proved"
    assert [a["route"] for a in printed["tried"]] == ["quadratic", "peel"]
    assert all(set(a) == {"route", "outcome", "seconds"} for a in printed["tried"])


def test_only_and_progress() -> None:
    seen: list[str] = []
    derivation = derive(Loss.parse("x**2 + y**2"), only=["peel", "quadratic"], progress=seen.append)
    assert seen == ["quadratic", "peel"] == [a.route for a in derivation.tried]
    with pytest.raises(SymmetryError, match="unknown route nonsense"):
        derive(Loss.parse("x"), only=["nonsense"])


def test_every_route_is_tried_in_its_order() -> None:
    derivation = derive(Loss.parse("x**2 + y**2"))
    assert [a.route for a in derivation.tried] == [route.name for route in routes()]
    assert [route.order for route in routes()] == sorted(route.order for route in routes())


# --- time ------------------------------------------------------------------------------------------------------------------

HARD = {
    "a large power": "(x + y + z + u + v + w)**64",
    "a sum of large powers": "(x + 2*y + 3*z)**64 + (x*y - z)**40",
    "nested": "sin(exp(cos(x*y)**3 + x)**2)**2 + log(1 + x**2*y**4)",
    "nested powers": "((x**8 + y**8)**8 + 1)**(-8)*(x + y)**64",
    "many terms": "+".join(f"sin({k}*x + {k + 1}*y)**2*exp(-{k}*x**2)" for k in range(1, 12)),
}


@pytest.mark.parametrize("name", HARD)
def test_hard_expressions_end(name: str) -> None:
    """A finding, or what did not finish: never a hang, never a traceback, within the budget and a little."""
    loss = Loss.parse(HARD[name])
    start = time.monotonic()
    derivation = derive(loss, budget=6, only=CONTINUOUS)
    assert time.monotonic() - start < 60
    assert len(derivation.tried) == 4
    assert all("failed" not in a.outcome for a in derivation.tried), derivation.tried
    assert all(c.status == "proved" for c in derivation.certificates)


def test_a_large_power_is_proved() -> None:
    """(x + y)^64, and the power of a form that cannot be expanded."""
    assert derive(Loss.parse("(x + y)**64"), only=["translations"])[0].group.name == "R"
    six = derive(Loss.parse(HARD["a large power"]), only=["translations"], budget=20)
    assert len(six) == 1 or "not finished" in six.tried[0].outcome or "more terms" in six.tried[0].outcome
    turned = derive(Loss.parse("(x**2 + y**2 + z**2)**32"), only=["quadratic"])
    assert turned.certificates[0].group.name == "O(3)" and turned.certificates[0].status == "proved"


def test_a_spent_budget_is_said() -> None:
    derivation = derive(Loss.parse("x**2 + y**2"), budget=0.0)
    assert len(derivation) == 0
    assert all("budget" in attempt.outcome for attempt in derivation.tried)
    assert len(derive(Loss.parse("x**2 + y**2"), only=CONTINUOUS)) == 1


# --- routes that misbehave -------------------------------------------------------------------------------------------------


def misbehaving(monkeypatch: pytest.MonkeyPatch, find: object, order: int = 15) -> None:
    """One more route, second in line, run in this process."""
    real = routes()
    monkeypatch.setattr(
        MODULE,
        "routes",
        lambda: tuple(sorted((*real, Route("bad", order, find)), key=lambda r: r.order)),
    )  # type: ignore[arg-type]


def test_a_route_that_fails_costs_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(loss: Loss, found: tuple) -> list:
        raise ZeroDivisionError("a mistake\nin two lines")

    misbehaving(monkeypatch, find)
    derivation = derive(Loss.parse("x**2 + y**2"), only=["bad", "quadratic"])
    assert derivation[0].group.name == "SO(2)"
    assert derivation.tried[0].outcome == "failed: ZeroDivisionError: a mistake"


def test_a_false_claim_of_a_route_is_not_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(loss: Loss, found: tuple) -> list:
        chart = sd.Chart.identity(loss.variables)
        foreign = sd.Symmetry(
            loss, sd.SO(2), chart, route="bad", reduced=sp.Symbol("f", real=True), map=loss.variables
        )
        return [
            sd.Symmetry(loss, sd.O(1, 1), chart, route="bad"),
            foreign,
            sd.Symmetry(loss, sd.SO(2), chart, route="bad"),
        ]

    misbehaving(monkeypatch, find)
    derivation = derive(Loss.parse("x**2 + y**2"), only=["bad"])
    assert [s.group.name for s in derivation] == ["SO(2)"]
    outcome = derivation.tried[0].outcome
    assert "O(1, 1) claimed and refuted" in outcome and "not decided" in outcome and "SO(2) proved" in outcome


def test_a_route_with_nothing_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(loss: Loss, found: tuple) -> list:
        raise NoSymmetry("not today")

    misbehaving(monkeypatch, find)
    assert derive(Loss.parse("x**2 + y**2"), only=["bad"]).tried[0].outcome == "not today"
    misbehaving(monkeypatch, lambda loss, found: [])
    assert derive(Loss.parse("x**2 + y**2"), only=["bad"]).tried[0].outcome == "nothing claimed"


def test_routes_see_what_was_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def find(loss: Loss, found: tuple) -> list:
        seen.append([symmetry.group.name for symmetry in found])
        raise NoSymmetry("only looking")

    misbehaving(monkeypatch, find, order=35)
    derive(Loss.parse("x**2 + y**2"), only=["bad", "quadratic"])
    derive(
        Loss.parse("(x + z)**2 + y**2"), only=["bad", "quadratic", "translations"]
    )  # as of the loss without translations
    derive(Loss.parse("x**4 + y**2*x"), only=["bad", "quadratic"])
    assert seen == [["SO(2)"], ["SO(2)"], []]


def test_without_the_quotient_the_routes_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the translations are not found in time the loss is taken as it is."""

    def slow(loss: Loss) -> None:
        raise NoSymmetry("more terms than the linear algebra is tried on")

    monkeypatch.setattr(MODULE, "quotient", slow)
    assert derive(Loss.parse("x**2 + y**2"), only=["quadratic"])[0].group.name == "SO(2)"


def test_empty_derivations_print() -> None:
    loss = Loss.parse("x**4 + y**3")
    empty = Derivation(loss, (), (), 0.0)
    assert "no symmetry in the families tried" in str(empty) and empty.as_dict()["symmetries"] == []
    assert isinstance(empty._repr_markdown_(), str)
    assert SimpleNamespace(left=Deadline(1).left()).left <= 1
