"""Claims as literals: they come back as they were, and nothing else comes back at all."""

from __future__ import annotations

import ast
import copy
import json
from typing import Any

import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

import symdiscover as sd
from symdiscover.literal import SCHEMA, WIDTH, from_literal, literal_text, plain_name, to_literal
from tests.symdiscover.claims import CLAIMS, claim


def changed(name: str, **entries: Any) -> dict[str, Any]:
    """A literal with other entries; those of the group are written group_size and so on."""
    literal = copy.deepcopy(to_literal(claim(name)))
    for key, value in entries.items():
        place = literal["group"] if key.startswith("group_") else literal
        place[key.removeprefix("group_")] = value
    return literal


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_comes_back_as_it_was(name: str) -> None:
    literal = to_literal(claim(name))
    assert from_literal(literal) == claim(name)
    assert to_literal(from_literal(literal)) == literal


@pytest.mark.parametrize("name", CLAIMS)
def test_another_claim_comes_back_as_another(name: str) -> None:
    other = "one square" if name != "one square" else "saddle"
    assert from_literal(to_literal(claim(other))) != claim(name)
    assert from_literal(changed(name, note="another note")) != claim(name)


@pytest.mark.parametrize("name", CLAIMS)
def test_the_text_of_a_literal_reads_back(name: str) -> None:
    text = literal_text(to_literal(claim(name)))
    assert ast.literal_eval(text) == to_literal(claim(name))
    assert all(len(line) <= WIDTH + 10 for line in text.splitlines())
    assert ast.literal_eval(text.replace('"schema": 1', '"schema": 2')) != to_literal(claim(name))


plain_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(plain_data)
def test_any_plain_data_reads_back(data: Any) -> None:
    assert ast.literal_eval(literal_text(data)) == data


@given(st.text(alphabet="ab \n\t'\"\\{}", min_size=200, max_size=400))
def test_long_strings_are_cut_and_read_back(text: str) -> None:
    assert ast.literal_eval(literal_text({"map": [text, text]})) == {"map": [text, text]}


def test_a_literal_is_json_too() -> None:
    literal = to_literal(claim("rosenbrock"))
    assert json.loads(json.dumps(literal, allow_nan=False)) == literal


# Names


def test_coordinates_and_parameters_get_names_of_the_notation() -> None:
    loss = sd.Loss.parse("x**2 + y**2")
    x, y = loss.variables
    odd = sp.symbols(["__import__('os').system('x')", "lambda"], real=True)
    theta = sp.Symbol("\u03b8\n", real=True)
    chart = sd.Chart(loss.variables, tuple(odd), (x, y), ((x, odd[0]), (y, odd[1])))
    symmetry = sd.Symmetry(loss, sd.SO(2), chart, reduced=odd[0] ** 2 + odd[1] ** 2, parameters=(theta,))
    literal = to_literal(symmetry)
    assert literal["coordinates"] == ["v__import____os___system__x__", "lambda_"]
    assert literal["parameters"] == ["v__"]
    again = from_literal(literal)
    assert sd.verify(again).status == "proved"
    assert to_literal(again) == literal


def test_equal_names_of_different_symbols_are_told_apart() -> None:
    loss = sd.Loss.parse("x**2 + y**2")
    x, y = loss.variables
    u = (sp.Symbol("x", positive=True), sp.Dummy("y", real=True))
    chart = sd.Chart(loss.variables, u, (x, y), ((x, u[0]), (y, u[1])))
    assert to_literal(sd.Symmetry(loss, sd.SO(2), chart))["coordinates"] == ["x_", "y_"]


@given(st.text(max_size=60), st.sets(st.text(alphabet="abx_", max_size=3)))
def test_plain_names_are_names_and_not_taken(name: str, taken: set[str]) -> None:
    plain = plain_name(name, taken)
    assert plain not in taken
    assert sd.Loss.parse(f"{plain}**2").variables == (sp.Symbol(plain, real=True),)


# What is refused


@pytest.mark.parametrize(
    "data", [None, [], 3, "SYMMETRY", {}, {"schema": "1"}, {"schema": True}, {"schema": 1}]
)
def test_other_data_is_no_claim(data: Any) -> None:
    with pytest.raises(sd.SymmetryError, match="no saved action"):
        from_literal(data)


def test_a_newer_schema_is_named() -> None:
    with pytest.raises(sd.SymmetryError, match=f"newer version.*{SCHEMA + 1}"):
        from_literal(changed("booth", schema=SCHEMA + 1))


@pytest.mark.parametrize("key", [*to_literal(claim("booth")), *to_literal(claim("booth"))["group"]])
def test_a_missing_or_mistyped_field_is_named(key: str) -> None:
    literal = to_literal(claim("booth"))
    for place in (literal, literal["group"]):
        if key in place:
            lacking = {k: v for k, v in place.items() if k != key}
            wrong = {**place, key: 1.5}
            for other in (lacking, wrong):
                with pytest.raises(
                    sd.SymmetryError, match=f"schema|no saved action.*{key}|SYMMETRY is missing"
                ):
                    from_literal(other if place is literal else {**literal, "group": other})


def test_a_field_that_is_not_read_is_refused() -> None:
    with pytest.raises(sd.SymmetryError, match="should not have 'remark'"):
        from_literal(changed("booth", remark="proved by me"))


@pytest.mark.parametrize(
    "entries",
    [
        {"kind": "certain"},
        {"group_element": "quaternion"},
        {"group_size": 0},
        {"group_size": -1},
        {"group_size": 10**12},
        {"group_basis": [[[0, 5, "1"]]]},
        {"group_basis": [[[0, -1, "1"]]]},
        {"group_basis": [[[0, True, "1"]]]},
        {"group_basis": [[[0, 1]]]},
        {"group_basis": [[["0", 1, "1"]]]},
        {"group_basis": ["x"]},
        {"group_basis": [[[0, 1, 3]]]},
        {"inverse": [["x", "u1", "u2"]]},
        {"inverse": [["q", "u1"], ["y", "u2"]]},
        {"inverse": ["x"]},
        {"coordinates": ["u1"]},
        {"conditions": ["x > 0), (2, True"]},
        {"conditions": ["x"]},
        {"conditions": ["3 > 2"]},
        {"chart": ["x +", "y"]},
        {"chart": ["__import__('os').system('x')", "y"]},
        {"chart": ["z", "y"]},
        {"expression": "(" * 10_000},
        {"expression": "9**9**9"},
        {"expression": "x + 1" * 10_000},
        {"expression": "x\0"},
        {"reduced": "x"},
        {"variables": ["x", "x"]},
        {"variables": ["x", "sin"]},
        {"variables": []},
        {"positive": ["x"]},
        {"parameters": ["t"]},
        {"map": ["theta", "z"]},
    ],
    ids=lambda entries: next(iter(entries)) if isinstance(entries, dict) else str(entries),
)
def test_a_malformed_claim_is_refused_in_one_sentence(entries: dict[str, Any]) -> None:
    try:
        symmetry = from_literal(changed("booth", **entries))
    except sd.SymmetryError as error:
        assert len(str(error).splitlines()) == 1
    else:  # it can be read; then it is no claim that holds
        with pytest.raises(sd.SymmetryError):
            sd.verify(symmetry)


def test_the_claim_that_was_not_malformed_is_accepted() -> None:
    assert sd.verify(from_literal(changed("booth"))).status == "proved"


# Long texts


def test_texts_that_the_library_wrote_may_be_long() -> None:
    loss = sd.Loss.parse("Sum((x[i] - 1234567890123)**2, (i, 1, 90))")
    assert len(str(loss.expression)) > 2_000
    with pytest.raises(sd.ExpressionError, match="2000 characters"):
        sd.Loss.parse(str(loss.expression))
    symmetry = sd.Symmetry(loss, sd.group.Reflection(), sd.Chart.identity(loss.variables))
    assert from_literal(to_literal(symmetry)) == symmetry


def test_a_long_map_is_compared_and_not_read() -> None:
    symmetry = claim("ellipsoid")
    assert symmetry.map is not None
    literal = to_literal(symmetry)
    literal["map"] = ["(" * 100_000] * 3
    with pytest.raises(sd.ExpressionError, match="characters"):
        from_literal(literal)
    literal["map"] = None
    assert from_literal(literal) == symmetry
