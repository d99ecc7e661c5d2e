"""Does a map leave a loss unchanged? In 60 digits, and in float64 to the rounding that the evaluation allows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import mpmath
import sympy as sp
import torch

from symdiscover.action import Action
from symdiscover.errors import NotInvariant, OutsideDomain, SymmetryError
from symdiscover.group import Group
from symdiscover.root import solve_digits, solve_tracked
from symdiscover.rounding import EPSILON, Tracked, evaluate_digits, evaluate_tracked
from symdiscover.symmetry import Symmetry

#: Below it float64 has no full precision.
UNDERFLOW = 2.0**-1000


def exact_residual(
    symmetry: Symmetry,
    element: Any,
    point: Sequence[Any],
    constants: Mapping[str, Any] | None = None,
    digits: int = 60,
) -> float:
    """|L(psi(g phi(x))) - L(x)| / |L(x)| in `digits`-digit arithmetic.

    Parameters
    ----------
    element:
        A matrix of the group as an mpmath matrix, for instance from ``symmetry.group.exp``; for a claim by hand
        the values of its parameters.
    point:
        n numbers, taken as exact.
    constants:
        Values of the constants of the loss, by name.

    Raises
    ------
    OutsideDomain
        Where the loss, the chart or the map is not real and finite.

    Examples
    --------
    >>> import symdiscover as sd
    >>> symmetry = sd.derive(sd.Loss.parse("x**2 + 4*y**2"))[0]
    >>> with mpmath.workdps(60):
    ...     matrix = symmetry.group.exp([mpmath.mpf(1)])
    >>> exact_residual(symmetry, matrix, [3, 4]) < 1e-40
    True
    """
    loss, m = symmetry.loss, symmetry.group.size
    with mpmath.workdps(digits):
        values: dict[sp.Symbol, Any] = {s: mpmath.mpf(str(_constant(constants, s))) for s in loss.constants}
        values |= dict(zip(loss.variables, [mpmath.mpf(x) for x in point], strict=True))
        before = evaluate_digits(loss.expression, values)
        if _by_hand(symmetry):
            parameters = dict(zip(symmetry.parameters, [mpmath.mpf(t) for t in element], strict=True))
            moved = _mapped(symmetry, values | parameters, evaluate_digits)
        else:
            u = [evaluate_digits(expression, values) for expression in symmetry.chart.forward]
            head = mpmath.matrix([*u[:m], 1] if symmetry.group.affine else u[:m])
            moved = _solved(symmetry, values, [*list(element * head)[:m], *u[m:]], solve_digits)
        after = evaluate_digits(loss.expression, moved)
        return float(abs(after - before) / abs(before)) if before else float(abs(after))


def tracked_image(
    symmetry: Symmetry,
    element: Any,
    point: Sequence[float | Tracked],
    constants: Mapping[str, Any] | None = None,
) -> list[Tracked]:
    """a(g, x) in float64 with bounds of its rounding error: one value for each variable.

    A running error analysis of chart, group element and inverse chart, as the generated code evaluates them.

    Parameters
    ----------
    element:
        One element as the action takes it: a number, a list of them, or a matrix as nested lists.
    point:
        n numbers, taken as exact, or tracked values.
    """
    loss, chart, group = symmetry.loss, symmetry.chart, symmetry.group
    values = _tracked_values(symmetry, point, constants)
    if _by_hand(symmetry):
        moved = _mapped(symmetry, values | _coordinates(symmetry.parameters, element), evaluate_tracked)
    else:
        u = [evaluate_tracked(expression, values) for expression in chart.forward]
        head = [*u[: group.size], *([Tracked(1.0)] if group.affine else [])]
        image = []
        for row in _matrix(symmetry, element, values)[: group.size]:
            terms = [
                entry * coordinate
                for entry, coordinate in zip(row, head, strict=True)
                if entry.value or entry.error
            ]
            image.append(sum(terms[1:], terms[0]) if terms else Tracked(0.0))
        moved = _solved(symmetry, values, [*image, *u[group.size :]], solve_tracked)
    return [moved[x] for x in loss.variables]


def rounding_bound(
    symmetry: Symmetry, element: Any, point: Sequence[float], constants: Mapping[str, Any] | None = None
) -> float:
    """How far rounding alone may move L(a(g, x)) - L(x) in float64.

    The bound follows the condition number of this evaluation at this point, not the size of its terms alone.

    Parameters
    ----------
    element, point:
        As in `tracked_image`.
    """
    expression = symmetry.loss.expression
    before = evaluate_tracked(expression, _tracked_values(symmetry, point, constants))
    image = tracked_image(symmetry, element, point, constants)
    after = evaluate_tracked(expression, _tracked_values(symmetry, image, constants))
    return float(EPSILON * (before.error + after.error) + UNDERFLOW)


def assert_invariant(
    action: Action, points: torch.Tensor, elements: torch.Tensor, factor: float = 2.0
) -> float:
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
        How many times the bound of `rounding_bound` is allowed. The bound is one for the operations as they are written;
        the generated code shares common parts, which may round differently.

    Returns
    -------
    float
        The largest ratio of error to bound, at most `factor`.

    Raises
    ------
    NotInvariant
        With the first point at which the loss moves by more.
    OutsideDomain
        If the loss is not finite at a point or at its image.
    SymmetryError
        If the action carries no certificate, or points or elements have another shape or dtype.

    Examples
    --------
    >>> import symdiscover as sd
    >>> action = sd.to_torch(sd.derive(sd.Loss.parse("x**2 + 4*y**2")).certificates[0])
    >>> assert_invariant(action, 1e4 * torch.ones(3, 2, dtype=torch.float64), torch.tensor([0.1, 1.0, 2.0])) < 2
    True
    """
    if action.certificate is None:
        raise SymmetryError("this action has no certificate to take the condition number from")
    if points.dtype != torch.float64 or points.ndim != 2 or len(points) != len(elements):
        raise SymmetryError("assert_invariant needs float64 points (k, n) and k elements on the first axis")
    symmetry = action.certificate.symmetry
    elements = elements.to(points)
    before, after = action.loss(points), action.loss(action(elements, points))
    worst = 0.0
    for point, element, old, new in zip(
        points.tolist(), elements.tolist(), before.tolist(), after.tolist(), strict=True
    ):
        if not (math.isfinite(old) and math.isfinite(new)):
            raise OutsideDomain(f"the loss is {old} at {point} and {new} at its image: not finite in float64")
        ratio = abs(new - old) / rounding_bound(symmetry, element, point, action.constants)
        if not ratio <= factor:
            raise NotInvariant(
                f"the loss moves from {old:.17g} to {new:.17g}, {ratio:.3g} times what rounding allows, at {point}",
                residual=new - old,
                counterexample={s.name: str(x) for s, x in zip(symmetry.loss.variables, point, strict=True)},
            )
        worst = max(worst, ratio)
    return worst


def _by_hand(symmetry: Symmetry) -> bool:
    """Whether the claim is a map without matrices."""
    if symmetry.flow is not None:
        raise SymmetryError(
            "the points of a flow have no bound of their rounding: compare the losses themselves"
        )
    return not (symmetry.group.basis or symmetry.group.discrete)


def _constant(constants: Mapping[str, Any] | None, symbol: sp.Symbol) -> Any:
    try:
        value = (constants or {})[symbol.name]
        return value.item() if isinstance(value, torch.Tensor) else value
    except KeyError:
        raise SymmetryError(f"the constant {symbol.name} of the loss needs a value") from None
    except (RuntimeError, ValueError):
        raise SymmetryError(f"the constant {symbol.name} must have one value here, not a batch") from None


def _tracked_values(
    symmetry: Symmetry, point: Sequence[float | Tracked], constants: Mapping[str, Any] | None
) -> dict[sp.Symbol, Tracked]:
    loss = symmetry.loss
    tracked = [x if isinstance(x, Tracked) else Tracked(float(x)) for x in point]
    values = {s: Tracked(float(_constant(constants, s))) for s in loss.constants}
    return values | dict(zip(loss.variables, tracked, strict=True))


def _solved(
    symmetry: Symmetry, values: Mapping[sp.Symbol, Any], image: Sequence[Any], solve: Callable[..., Any]
) -> dict[sp.Symbol, Any]:
    """The variables at the given chart coordinates, with the constants kept."""
    chart = symmetry.chart
    moved = {s: values[s] for s in symmetry.loss.constants} | dict(zip(chart.coordinates, image, strict=True))
    for variable, expression in chart.inverse:
        moved[variable] = solve(expression, moved)
    return moved


def _mapped(
    symmetry: Symmetry, values: Mapping[sp.Symbol, Any], evaluate: Callable[..., Any]
) -> dict[sp.Symbol, Any]:
    """The variables after the written-out map, with the constants kept."""
    images = zip(symmetry.loss.variables, symmetry.map or (), strict=True)
    return {s: values[s] for s in symmetry.loss.constants} | {
        x: evaluate(image, values) for x, image in images
    }


def _coordinates(parameters: Sequence[sp.Symbol], element: Any) -> dict[sp.Symbol, Tracked]:
    listed = element if isinstance(element, Sequence) else [element]
    return {t: Tracked(float(x)) for t, x in zip(parameters, listed, strict=True)}


def _matrix(symmetry: Symmetry, element: Any, values: Mapping[sp.Symbol, Tracked]) -> list[list[Tracked]]:
    """The matrix by which an element acts on chart coordinates: as it is given, or from the group's closed form."""
    group = symmetry.group
    if group.element == "matrix":
        return [[Tracked(float(entry), 2 * abs(float(entry))) for entry in row] for row in element]
    parameters, closed = _closed_form(group)
    if closed is None:
        raise SymmetryError(f"{group.name} has no closed form to bound the rounding of")
    at = {**values, **_coordinates(parameters, element)}
    return [[evaluate_tracked(entry, at) for entry in row] for row in closed.tolist()]


@lru_cache(maxsize=256)
def _closed_form(group: Group) -> tuple[list[sp.Symbol], sp.ImmutableMatrix | None]:
    """Parameters that no loss holds, and `Group.matrix` of them."""
    parameters = [sp.Dummy(symbol.name, real=True) for symbol in group.parameters]
    return parameters, group.matrix(parameters)
