"""The errors: one family, attributes that survive pickling, sentences that stay as they were written."""

from __future__ import annotations

import pickle

import pytest

from symdiscover import errors
from symdiscover.errors import ExpressionError, NotAdmissible, NotInvariant, SymmetryError

CHILDREN = (
    "ExpressionError",
    "NotInvariant",
    "NotAdmissible",
    "OutsideDomain",
    "RankDeficient",
    "Diverged",
    "BudgetExceeded",
)


@pytest.mark.parametrize("name", CHILDREN)
def test_one_except_clause_catches_every_error(name: str) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, SymmetryError) and issubclass(kind, ValueError)
    with pytest.raises(SymmetryError, match="the sentence"):
        raise kind("the sentence")


def test_no_error_is_missing_from_the_list() -> None:
    defined = {
        name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)
    }
    assert defined == {*CHILDREN, "SymmetryError"}


@pytest.mark.parametrize(
    ("error", "attributes"),
    [
        (ExpressionError("bad"), {"column": None}),
        (ExpressionError("bad", column=3), {"column": 3}),
        (NotInvariant("no"), {"residual": None, "counterexample": None}),
        (NotInvariant("no", residual="x**2", counterexample={"x": 1}), {"residual": "x**2"}),
        (
            NotAdmissible("no", node="softmax", reason="why", remedy="how"),
            {"node": "softmax", "remedy": "how"},
        ),
        (NotAdmissible("no"), {"node": None, "reason": None, "remedy": None}),
    ],
)
def test_attributes_and_text_survive_pickling(error: SymmetryError, attributes: dict[str, object]) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error) and str(copy) == str(error)
    assert vars(copy) == vars(error)
    assert {name: getattr(copy, name) for name in attributes} == attributes


def test_the_column_is_part_of_the_sentence_once() -> None:
    error = ExpressionError("unknown name", column=7)
    assert str(error) == "unknown name (column 7)"
    assert str(pickle.loads(pickle.dumps(error))).count("column") == 1
    assert "column" not in str(ExpressionError("unknown name"))
