"""The group of every function of the catalogue, by the routes whose charts need no lemma."""

from __future__ import annotations

import pytest

from symdiscover import catalogue, derive
from tests.catalogue_groups import GROUPS
from tests.laws import BUDGET, SWEPT, sweep


def test_every_function_stands_here() -> None:
    assert set(GROUPS) == set(catalogue.names()) and len(GROUPS) >= 60


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(GROUPS) - set(sweep())))
def test_groups(name: str) -> None:
    """All of them and no other, each proved; the others are compared where the laws look at them (test_laws.py)."""
    certificates = derive(catalogue.load(name).loss, budget=BUDGET, only=SWEPT).certificates
    assert [certificate.group.name for certificate in certificates] == GROUPS[name]
    assert all(certificate.status == "proved" for certificate in certificates)
