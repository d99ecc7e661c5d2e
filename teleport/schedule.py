"""When to teleport: the set K of steps of Algorithm 1 (Zhao et al. 2022), as plain functions of a clock.

A schedule takes a `Clock`, or the bare step number, and says whether to teleport *before* that step. Any
function of that form is a schedule; the ones here are those of the papers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from symdiscover.errors import SymmetryError


@dataclass(frozen=True)
class Clock:
    """Where training stands: `step` counts optimizer steps, `batch` those of this `epoch`; all from 0.

    Examples
    --------
    >>> Clock(step=12, epoch=1, batch=2)
    Clock(step=12, epoch=1, batch=2)
    """

    step: int
    epoch: int = 0
    batch: int = 0

    def __post_init__(self) -> None:
        for name in ("step", "epoch", "batch"):
            _count(getattr(self, name), f"the {name} of a clock", least=0)


Schedule = Callable[[Clock | int], bool]


def at(*steps: int) -> Schedule:
    """Teleport before step t for every t in `steps`: K = {t_1, t_2, ...}.

    Raises
    ------
    SymmetryError
        If no step is given, or one is not a whole number of at least 0.

    Examples
    --------
    >>> [t for t in range(20) if at(5, 10)(t)]
    [5, 10]
    """
    if not steps:
        raise SymmetryError("at() needs at least one step; use never for no teleport at all")
    chosen = frozenset(_count(step, "a step of at()", least=0) for step in steps)
    return _named(lambda clock: _step(clock) in chosen, f"at({', '.join(map(str, steps))})")


def every(k: int) -> Schedule:
    """Teleport before every step t = k - 1 (mod k): after k - 1, 2k - 1, ... steps.

    Never at t = 0, unless k = 1.

    Raises
    ------
    SymmetryError
        If `k` is not a whole number of at least 1.

    Examples
    --------
    >>> [t for t in range(20) if every(5)(t)]
    [4, 9, 14, 19]
    """
    period = _count(k, "the period of every()", least=1)
    return _named(lambda clock: _step(clock) % period == period - 1, f"every({period})")


def first(batches: int, after_epoch: int = 1) -> Schedule:
    """Teleport on the first `batches` mini-batches once `after_epoch` epochs are over (Algorithm 2).

    Raises
    ------
    SymmetryError
        If a number is not whole or too small; and when the schedule is asked about a bare step, which does
        not tell the epoch.

    Examples
    --------
    >>> schedule = first(4, after_epoch=1)
    >>> [(epoch, batch) for epoch in range(3) for batch in range(6) if schedule(Clock(0, epoch, batch))]
    [(1, 0), (1, 1), (1, 2), (1, 3)]
    """
    count = _count(batches, "the number of batches of first()", least=1)
    start = _count(after_epoch, "after_epoch of first()", least=0)

    def fires(clock: Clock | int) -> bool:
        if not isinstance(clock, Clock):
            raise SymmetryError(
                "first() needs a Clock(step, epoch, batch): a step number does not tell the epoch"
            )
        return clock.epoch == start and clock.batch < count

    return _named(fires, f"first({count}, after_epoch={start})")


def either(*schedules: Schedule) -> Schedule:
    """Teleport whenever one of `schedules` does: the union of their steps.

    Examples
    --------
    >>> [t for t in range(12) if either(at(0), every(5))(t)]
    [0, 4, 9]
    """
    if not schedules:
        raise SymmetryError("either() needs at least one schedule; use never for no teleport at all")
    names = ", ".join(getattr(schedule, "__name__", "schedule") for schedule in schedules)
    return _named(lambda clock: any(schedule(clock) for schedule in schedules), f"either({names})")


def never(clock: Clock | int) -> bool:
    """Do not teleport: K is empty.

    Examples
    --------
    >>> any(never(t) for t in range(1000))
    False
    """
    return False


def _named(schedule: Callable[[Clock | int], bool], name: str) -> Schedule:
    # The name is what the settings of a run show.
    schedule.__name__ = schedule.__qualname__ = name
    return schedule


def _step(clock: Clock | int) -> int:
    return clock.step if isinstance(clock, Clock) else _count(clock, "a step", least=0)


def _count(value: int, what: str, least: int) -> int:
    # bool is an int in Python, and True as a step is a slip.
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise SymmetryError(f"{what} must be a whole number of at least {least}, not {value!r}")
    return value
