from __future__ import annotations

import pytest

from symdiscover.errors import SymmetryError
from teleport.schedule import Clock, at, either, every, first, never


def fired(schedule, steps=1000):
    return [t for t in range(steps) if schedule(Clock(step=t, epoch=t))]


def test_at_fires_before_the_steps_it_names() -> None:
    assert fired(at(5, 10)) == [5, 10]
    assert fired(at(4)) == [4]


def test_every_fires_at_k_minus_one_modulo_k_and_never_at_zero() -> None:
    assert fired(every(100)) == [99, 199, 299, 399, 499, 599, 699, 799, 899, 999]
    assert 0 not in fired(every(2))
    assert fired(every(1), 3) == [0, 1, 2]


def test_first_fires_on_the_first_batches_of_one_epoch() -> None:
    schedule = first(4, after_epoch=1)
    clocks = [Clock(10 * epoch + batch, epoch, batch) for epoch in range(4) for batch in range(10)]
    assert [(c.epoch, c.batch) for c in clocks if schedule(c)] == [(1, 0), (1, 1), (1, 2), (1, 3)]


def test_first_refuses_a_bare_step() -> None:
    with pytest.raises(SymmetryError, match="epoch"):
        first(4)(7)


def test_bare_steps_and_clocks_agree_where_only_the_step_counts() -> None:
    for schedule in (at(0, 3), every(7), either(at(2), every(5)), never):
        assert [schedule(t) for t in range(50)] == [schedule(Clock(t)) for t in range(50)]


def test_either_is_the_union_and_never_is_empty() -> None:
    assert fired(either(at(0), every(400))) == [0, 399, 799]
    assert fired(never) == []


def test_a_schedule_is_named_after_what_it_does() -> None:
    assert every(100).__name__ == "every(100)"
    assert either(at(0, 2), first(3)).__name__ == "either(at(0, 2), first(3, after_epoch=1))"


@pytest.mark.parametrize(
    "make",
    [
        lambda: at(),
        lambda: at(-1),
        lambda: at(1.5),
        lambda: at(True),
        lambda: every(0),
        lambda: every("3"),
        lambda: first(0),
        lambda: first(4, after_epoch=-1),
        lambda: either(),
        lambda: Clock(-1),
        lambda: Clock(0, epoch=1.0),
        lambda: every(3)(-1),
        lambda: at(3)(2.0),
    ],
)
def test_bad_numbers_are_refused(make) -> None:
    with pytest.raises(SymmetryError):
        make()
