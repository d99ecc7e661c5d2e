"""Claims by lemma as data: saved, read and proved again; what was tampered with is refused or not proved."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sympy as sp

import symdiscover as sd
from symdiscover.cli import main
from symdiscover.lemma import LEMMAS, lemma_literal, read_lemma
from symdiscover.literal import from_literal, to_literal
from symdiscover.saved import verify_file
from symdiscover.source import action_source
from tests.symdiscover.lemmas import basins, claimed, star, x, y

R = sp.Rational
CLAIMS = {
    "star": claimed(*star("(x - 1)**2 + x**2*y**2 + exp(y**2)", centre=(1, 0), floor=1, far=R(1, 2), ceiling=R(11, 10))),
    "basins": claimed(*basins((x**2 - 10 * sp.cos(2 * sp.pi * x), y**4 + y**2), R(2, 5), R(1, 10))),
    "formulas": claimed(*basins((x**4, 3 * sp.Abs(y)), inverses=((sp.sqrt(x), sp.sqrt(x)), (y**2 / 3, y**2 / 3)))),
}  # fmt: skip


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_comes_back_and_is_proved_again(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    claim = CLAIMS[name]
    literal = to_literal(claim)
    assert from_literal(literal) == claim and to_literal(from_literal(literal)) == literal
    path = tmp_path / "action.py"
    path.write_text(action_source(claim), encoding="utf-8")
    proof = verify_file(path)
    assert proof.status == sd.verify(claim).status == "proved" and to_literal(proof.symmetry) == literal
    assert main(["verify", str(path)]) == 0 and "proved" in capsys.readouterr().out
    path.write_text(action_source(claim).replace("def root(gap", "def root (gap") + " ", encoding="utf-8")
    assert main(["verify", str(path)]) != 0


@pytest.mark.parametrize("name", CLAIMS)
def test_a_lemma_comes_back(name: str) -> None:
    lemma = CLAIMS[name].chart.lemma
    assert lemma is not None
    read = lambda text: sd.Loss.parse(f"{text} + 0*x", variables=["x", "y"]).expression  # noqa: E731
    assert read_lemma(lemma_literal(lemma), read) == lemma
    other = CLAIMS["star" if name != "star" else "basins"].chart.lemma
    assert other is not None and read_lemma(lemma_literal(other), read) != lemma
    assert LEMMAS[lemma.name] is type(lemma)


def tampered(claim: str, **entries: Any) -> dict[str, Any]:
    """The literal with other data of the lemma, and a chart that fits them."""
    literal = copy.deepcopy(to_literal(CLAIMS[claim]))
    literal["lemma"].update(entries)
    return literal


@pytest.mark.parametrize(
    ("name", "entries"),
    [
        ("star", {"name": "proof"}), ("star", {"name": ["star"]}), ("star", {"extra": "1"}), ("star", {"centre": "1"}),
        ("star", {"centre": ["1"]}), ("star", {"centre": ["x", "0"]}), ("star", {"far": "oo"}), ("star", {"floor": 1}),
        ("star", {"frame": [["1", "0"]]}), ("star", {"frame": [["1", "0"], ["1", "0"]]}), ("star", {"frame": "1"}),
        ("star", {"near": "__import__('os')"}), ("star", {"far": "1/3"}), ("star", {"ceiling": "10"}),
        ("basins", {"barrier": "0"}), ("basins", {"barrier": "1 + y**2"}), ("basins", {"parts": ["x**2"]}),
        ("basins", {"inverses": [["x"], []]}), ("basins", {"lows": ["-oo", "-2/5"]}), ("basins", {"outer": "x + y"}),
        ("basins", {"centres": ["y", "0"]}), ("basins", {"highs": ["1", "1"]}), ("basins", {"barrier": {}}),
        ("formulas", {"inverses": [[], []]}), ("formulas", {"parts": ["x**4", "y"]}),
    ],
)  # fmt: skip
def test_tampered_data_are_refused(name: str, entries: dict[str, Any]) -> None:
    with pytest.raises(sd.SymmetryError):
        from_literal(tampered(name, **entries))
    from_literal(tampered(name))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("star", {"centre": (sp.Integer(1), R(1, 10))}), ("star", {"ceiling": sp.Integer(2)}),
        ("star", {"floor": R(9, 10)}), ("basins", {"barrier": sp.Integer(30)}), ("basins", {"centres": (R(1, 10), sp.Integer(0))}), ("basins", {"outer": 2 * x}),
        ("formulas", {"inverses": ((sp.sqrt(x), sp.sqrt(x) / 2), (y**2 / 3, y**2 / 3))}),
    ],
)  # fmt: skip
def test_a_file_that_fits_a_false_lemma_is_not_proved(
    name: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    claim = CLAIMS[name]
    path = tmp_path / "action.py"
    path.write_text(
        action_source(claimed(claim.loss, replace(claim.chart.lemma, **changes))), encoding="utf-8"
    )
    try:
        assert verify_file(path, budget=6).status != "proved"
    except sd.NotInvariant as refuted:
        assert refuted.counterexample


@pytest.mark.parametrize("name", CLAIMS)
def test_a_chart_that_is_not_the_lemmas_is_refused(name: str) -> None:
    claim = CLAIMS[name]
    chart = claim.chart
    for other in (
        replace(chart, forward=(chart.forward[0] * 2, *chart.forward[1:])),
        replace(chart, conditions=chart.conditions[1:])
        if chart.conditions
        else replace(chart, conditions=(x > 0,)),
        replace(
            chart,
            lemma=replace(chart.lemma, **({"far": R(1, 3)} if name == "star" else {"barrier": R(1, 20)})),
        ),
    ):
        with pytest.raises(sd.SymmetryError, match="lemma"):
            sd.verify(replace(claim, chart=other))
    with pytest.raises(sd.SymmetryError, match="reduced loss"):
        sd.verify(replace(claim, reduced=claim.reduced + R(1, 10**30)))
    with pytest.raises(sd.SymmetryError, match="lemma that makes"):
        replace(chart, lemma=None)


def test_the_text_of_a_saved_lemma_may_not_change(tmp_path: Path) -> None:
    path = tmp_path / "action.py"
    source = action_source(CLAIMS["star"])
    for old, new in (
        ('"far": "1/2"', '"far": "1/3"'),
        ('"ceiling": "11/10"', '"ceiling": "12/10"'),
        ('"name": "star"', '"name": "stars"'),
    ):
        assert old in source
        path.write_text(source.replace(old, new), encoding="utf-8")
        with pytest.raises(sd.SymmetryError) as refused:
            verify_file(path)
        assert re.search("lemma", str(refused.value))
