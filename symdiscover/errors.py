"""The errors of the library: what happened, the likely cause, what to change.

All are `SymmetryError`, itself a `ValueError`, so one `except` clause catches what the library refuses to do.
They survive pickling with their attributes, because work that may be killed runs in another process.
"""

from __future__ import annotations

from typing import Any


class SymmetryError(ValueError):
    """The input cannot be used, or the claim about it does not hold."""


class ExpressionError(SymmetryError):
    """The text is not a finite real expression within the limits of the parser.

    `column` is the place in the text, counted from 1, or None where no single place is at fault.

    Examples
    --------
    >>> print(ExpressionError("unknown name 'z'; known names: x, y", column=5))
    unknown name 'z'; known names: x, y (column 5)
    """

    def __init__(self, message: str, column: int | None = None) -> None:
        super().__init__(message if column is None else f"{message} (column {column})")
        self.column = column


class NotInvariant(SymmetryError):
    """The map changes the loss: L(g x) - L(x) is not 0.

    `residual` is that difference (an expression, or a number where it was only measured) and
    `counterexample` the point and element at which it was seen; None where there is none to show.

    Examples
    --------
    >>> error = NotInvariant("the scaling changes x**2 + y", residual=2.25, counterexample={"x": 1, "y": 0})
    >>> error.residual, error.counterexample
    (2.25, {'x': 1, 'y': 0})
    """

    def __init__(self, message: str, residual: Any = None, counterexample: Any = None) -> None:
        super().__init__(message)
        self.residual = residual
        self.counterexample = counterexample


class NotAdmissible(SymmetryError):
    """The group does not act here.

    `node` is the operation that forbids it, `reason` says why, `remedy` the nearest change that allows it.

    Examples
    --------
    >>> error = NotAdmissible("O(4) does not act on this pair", node="softmax", reason="only scales commute")
    >>> error.node, error.reason, error.remedy
    ('softmax', 'only scales commute', None)
    """

    def __init__(
        self, message: str, node: Any = None, reason: str | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(message)
        self.node = node
        self.reason = reason
        self.remedy = remedy


class OutsideDomain(SymmetryError):
    """The point or argument lies outside the domain of the expression, chart or action."""


class RankDeficient(SymmetryError):
    """A matrix that must have full rank does not, so the quantity asked for is not determined."""


class Diverged(SymmetryError):
    """A value left the finite numbers."""


class BudgetExceeded(SymmetryError):
    """The work did not finish within its budget of time or memory."""
