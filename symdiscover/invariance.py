"""Does a map leave a loss unchanged? In 60 digits, and in float64 to the rounding that the evaluation allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import mpmath
import sympy as sp
import torch

from symdiscover.action import Action
from symdiscover.errors import NotInvariant, SymmetryError
from symdiscover.rounding import Tracked, evaluate_digits, evaluate_tracked
from symdiscover.symmetry import Symmetry

EPSILON = torch.finfo(torch.float64).eps


def exact_residual(
    symmetry: Symmetry, matrix: Any, point: Sequence[Any], constants: Mapping[str, Any] | None = None, digits: int = 60
) -> float:
    """|L(psi(g phi(x))) - L(x)| / |L(x)| in `digits`-digit arithmetic.

    Parameters
    ----------
    matrix:
        A matrix of the group as an mpmath matrix, for instance from ``symmetry.group.exp``.
    point:
        n numbers, taken as exact.

    Examples
    --------
    >>> import symdiscover as sd
    >>> symmetry = sd.derive(sd.Loss.parse("x**2 + 4*y**2"))[0]
    >>> with mpmath.workdps(60):
    ...     matrix = symmetry.group.exp([mpmath.mpf(1)])
    >>> exact_residual(symmetry, matrix, [3, 4]) < 1e-40
    True
    """
    chart, loss, m = symmetry.chart, symmetry.loss, symmetry.group.size
    with mpmath.workdps(digits):
        values: dict[sp.Symbol, Any] = {s: mpmath.mpf(str((constants or {})[s.name])) for s in loss.constants}
        values |= dict(zip(loss.variables, [mpmath.mpf(x) for x in point], strict=True))
        before = evaluate_digits(loss.expression, values)
        u = [evaluate_digits(expression, values) for expression in chart.forward]
        head = mpmath.matrix([*u[:m], 1] if symmetry.group.affine else u[:m])
        image = list(matrix * head)[:m] + u[m:]
        after = evaluate_digits(loss.expression, _solved(symmetry, values, image, evaluate_digits))
        return float(abs(after - before) / abs(before)) if before else float(abs(after))


def _solved(symmetry: Symmetry, values: Mapping[sp.Symbol, Any], image: Sequence[Any], evaluate: Any) -> dict[sp.Symbol, Any]:
    """The variables at the given chart coordinates, with the constants kept."""
    chart = symmetry.chart
    moved = {s: values[s] for s in symmetry.loss.constants} | dict(zip(chart.coordinates, image, strict=True))
    for variable, expression in chart.inverse:
        moved[variable] = evaluate(expression, moved)
    return moved


def rounding_bound(
    symmetry: Symmetry, matrix: Sequence[Sequence[float]], point: Sequence[float], constants: Mapping[str, Any] | None = None
) -> float:
    """How far rounding alone may move L(psi(g phi(x))) - L(x) in float64, to first order.

    The bound is machine epsilon times a running error analysis of chart, matrix, inverse chart and loss: the condition
    number of this evaluation, not the size of its terms.
    """
    chart, loss, group = symmetry.chart, symmetry.loss, symmetry.group
    values = {s: Tracked(float((constants or {})[s.name])) for s in loss.constants}
    values |= {s: Tracked(float(x)) for s, x in zip(loss.variables, point, strict=True)}
    before = evaluate_tracked(loss.expression, values)
    u = [evaluate_tracked(expression, values) for expression in chart.forward]
    head = [*u[: group.size], *([Tracked(1.0)] if group.affine else [])]
    image = []
    for row in list(matrix)[: group.size]:
        total = Tracked(0.0)
        for entry, coordinate in zip(row, head, strict=True):
            total = total + Tracked(float(entry), 2 * abs(float(entry))) * coordinate
        image.append(total)
    after = evaluate_tracked(loss.expression, _solved(symmetry, values, [*image, *u[group.size :]], evaluate_tracked))
    return float(EPSILON * (before.error + after.error))


def matrix_of(action: Action, element: torch.Tensor) -> torch.Tensor:
    """The matrix by which one element acts on chart coordinates, (m, m) or (m + 1, m + 1), float64."""
    group = action.group
    element = element.detach().to(torch.float64)
    if group.element == "matrix":
        return element
    coordinates = element.reshape(-1)
    basis = torch.tensor([[[float(e) for e in row] for row in b.tolist()] for b in group.basis], dtype=torch.float64)
    return torch.matrix_exp(torch.einsum("k,kij->ij", coordinates, basis))


def assert_invariant(action: Action, points: torch.Tensor, elements: torch.Tensor, factor: float = 8.0) -> float:
    """Check L(action(g, x)) = L(x) in float64, point by point, to the rounding that the evaluation allows.

    Parameters
    ----------
    action:
        An action with a certificate.
    points:
        (k, n), float64.
    elements:
        k elements, stacked on the first axis.
    factor:
        How many times the first-order rounding bound is allowed.

    Returns
    -------
    float
        The largest ratio of error to bound, at most `factor`.

    Raises
    ------
    NotInvariant
        With the first point at which the loss moves by more.
    SymmetryError
        If the action carries no certificate.

    Examples
    --------
    >>> import symdiscover as sd
    >>> action = sd.to_torch(sd.derive(sd.Loss.parse("x**2 + 4*y**2")).certificates[0])
    >>> assert_invariant(action, 1e4 * torch.ones(3, 2, dtype=torch.float64), torch.tensor([0.1, 1.0, 2.0])) < 8
    True
    """
    if action.certificate is None:
        raise SymmetryError("this action has no certificate to take the condition number from")
    symmetry = action.certificate.symmetry
    before, after = action.loss(points), action.loss(action(elements, points))
    worst = 0.0
    for point, element, old, new in zip(points.tolist(), elements, before.tolist(), after.tolist(), strict=True):
        matrix = matrix_of(action, element).tolist()
        bound = rounding_bound(symmetry, matrix, point, action.constants)
        ratio = abs(new - old) / bound if bound else (0.0 if new == old else float("inf"))
        if not ratio <= factor:
            raise NotInvariant(
                f"the loss moves from {old:.17g} to {new:.17g}, {ratio:.3g} times what rounding allows, at {point}",
                residual=new - old,
                counterexample={s.name: str(x) for s, x in zip(symmetry.loss.variables, point, strict=True)},
            )
        worst = max(worst, ratio)
    return worst
