"""Does a derived action leave the loss unchanged? Looked at again, at random points and elements, without the proof.

Two halves that share nothing but the claim: the generated torch code in float64, as it would be used, and, where chart
and group have closed forms, the claim itself in 60 digits. Neither uses `symdiscover.verify`. What a half cannot run it
says; only what was looked at counts.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import mpmath
import sympy as sp
import torch

from symdiscover.action import Action
from symdiscover.budget import Deadline
from symdiscover.errors import OutsideDomain, SymmetryError
from symdiscover.generate import to_torch
from symdiscover.invariance import exact_residual, rounding_bound
from symdiscover.loss import Loss
from symdiscover.rounding import EPSILON, Tracked, evaluate_digits, evaluate_tracked
from symdiscover.symmetry import Certificate, Symmetry

#: Images that each half looks at, and random points that are tried for each.
POINTS, TRIES = 12, 50
#: A relative change above `EXACT` in `DIGITS` digits is computed in `MORE`: rounding shrinks there, a change does not.
DIGITS, MORE, EXACT = 60, 180, 1e-40
#: How many times the running error bound the float64 loss may move: matrices of a group are themselves rounded.
FACTOR = 50.0
#: What an action without a closed form may change, relative to the condition of the loss at point and image.
FLOW = 1e-12
#: An image tells nothing where rounding alone may change more than this part of the loss.
TELLING = 1e-3

Verdict = Literal["holds", "false", "not re-checked"]


@dataclass(frozen=True)
class Recheck:
    """What became of one claim.

    Attributes
    ----------
    verdict:
        ``holds``, ``false``, or ``not re-checked`` where no image could be looked at.
    reason:
        What could not be run, and why.
    images:
        How many images were looked at, in float64 and in 60 digits.
    error:
        The largest |L(y) - L(x)| in float64, relative to the condition of its evaluation: |L(x)| + sum_i |x_i L_i(x)|, what a
        relative change of the coordinates does, and the same of every sum and product that the loss is made of; and of y.
    residual:
        The largest relative change in 60 digits.
    counterexample:
        Point, element, residual and arithmetic where the claim is false, each as text.
    """

    verdict: Verdict
    reason: str = ""
    images: tuple[int, int] = (0, 0)
    error: float | None = None
    residual: float | None = None
    counterexample: dict[str, str] | None = None


def recheck(
    loss: Loss,
    claim: Certificate | Symmetry,
    box: Sequence[tuple[float, float]],
    constants: Mapping[str, float] | None = None,
    action: Action | None = None,
    seconds: float = 30.0,
    seed: int = 0,
) -> Recheck:
    """Check L(a(g, x)) = L(x) at random x in a box and in the domain of the claim, and at random g.

    Parameters
    ----------
    loss:
        The loss that is asked about. It need not be the one that the claim carries: a claim about another loss is false.
    claim:
        What was derived.
    box:
        (lowest, highest) for each of the n variables.
    constants:
        Values of the symbolic constants, by name.
    action:
        The code to run; generated from the certificate where none is given.
    seconds:
        After which no further image is begun.
    seed:
        Of the points and elements.

    Examples
    --------
    >>> from symdiscover import derive
    >>> loss, other = Loss.parse("x**2 + 4*y**2"), Loss.parse("x**2 + 5*y**2")
    >>> certificate = derive(loss, only=["quadratic"]).certificates[0]
    >>> recheck(loss, certificate, [(-1, 1), (-1, 1)]).verdict
    'holds'
    >>> recheck(other, certificate, [(-1, 1), (-1, 1)]).verdict
    'false'
    """
    symmetry = claim.symmetry if isinstance(claim, Certificate) else claim
    values, deadline = dict(constants or {}), Deadline(seconds)
    try:
        points = _points(loss, symmetry, box, values, seed)
    except Exception as error:  # conditions of any form, and an unknown one must not pass for a point
        return Recheck("not re-checked", f"no points: {_sentence(error)}")
    if not points:
        return Recheck("not re-checked", "no sampled point of the bounds lies in the domain of the claim")

    def in_float64() -> _Half:
        code = action or to_torch(claim, **values)  # type: ignore[arg-type]  # a claim without proof is refused there
        return _in_float64(loss, symmetry, code, points, values, seed, deadline)

    halves = {
        "float64": _run(in_float64),
        "60 digits": _run(lambda: _in_digits(loss, symmetry, points, values, seed, deadline)),
    }
    return _judged(halves)


@dataclass
class _Half:
    """What one half of the re-check saw."""

    seen: int = 0
    worst: float | None = None
    gaps: list[str] = field(default_factory=list)
    counterexample: dict[str, str] | None = None

    def note(self, size: float) -> None:
        self.seen += 1
        self.worst = max(self.worst or 0.0, min(size, sys.float_info.max))

    def refute(self, point: Sequence[float], element: Any, residual: float, arithmetic: str) -> None:
        if self.counterexample is None:
            self.counterexample = {
                "point": str(list(point)),
                "element": str(element),
                "residual": f"{residual:.3g}",
                "arithmetic": arithmetic,
            }


def _run(half: Callable[[], _Half]) -> _Half:
    try:
        return half()
    except Exception as error:  # torch and SymPy fail in many ways; each is a reason, none a verdict
        return _Half(gaps=[_sentence(error)])


def _judged(halves: Mapping[str, _Half]) -> Recheck:
    floating, digits = halves.values()
    seen = (floating.seen, digits.seen)
    gaps = "; ".join(f"{name}: {', '.join(half.gaps)}" for name, half in halves.items() if half.gaps)
    # In 60 digits first: there a change is one of the claim, and not of the code that was generated from it.
    counterexample = digits.counterexample or floating.counterexample
    verdict: Verdict = "false" if counterexample else "holds" if any(seen) else "not re-checked"
    return Recheck(verdict, gaps, seen, floating.worst, digits.worst, counterexample)


def _points(
    loss: Loss, symmetry: Symmetry, box: Sequence[tuple[float, float]], values: Mapping[str, float], seed: int
) -> list[list[float]]:
    """Points of the box, and of a lemma's region, at which the loss is finite and the conditions of the claim hold."""
    rng = random.Random(seed)
    count = max(POINTS, 2 * len(symmetry.group.discrete))
    known = {s: mpmath.mpf(str(values[s.name])) for s in loss.constants}
    found: list[list[float]] = []
    lemma = symmetry.chart.lemma
    centre, spread = lemma.cell(symmetry.loss) if lemma is not None else ([], [])
    for number in range(TRIES * count):
        point = [rng.uniform(low, high) for low, high in box]
        if lemma is not None and number % 2:  # its region may be a small part of the box, or lie beside it
            z = [rng.uniform(-1, 1) * 10 ** -rng.uniform(0, 2) for _ in centre]
            point = [
                c + sum(m * e for m, e in zip(row, z, strict=True))
                for c, row in zip(centre, spread, strict=True)
            ]
        at = known | dict(zip(loss.variables, map(mpmath.mpf, point), strict=True))
        try:
            with mpmath.workdps(DIGITS):
                inside = all(evaluate_digits(condition, at) for condition in symmetry.chart.conditions)
                if inside and mpmath.isfinite(evaluate_digits(loss.expression, at)):
                    found.append(point)
        except (ArithmeticError, OutsideDomain):
            continue
        if len(found) == count:
            break
    return found


def _in_float64(
    loss: Loss,
    symmetry: Symmetry,
    action: Action,
    points: Sequence[Sequence[float]],
    values: Mapping[str, float],
    seed: int,
    deadline: Deadline,
) -> _Half:
    half, claim = _Half(), _about(symmetry, loss)
    starts = torch.tensor(points, dtype=torch.float64)
    elements = action.random((len(points),), generator=torch.Generator().manual_seed(seed))
    images = action(elements, starts).detach()
    value = to_torch(loss, **values)
    before, condition = _conditioned(value, starts)
    after, condition_after = _conditioned(value, images)
    undefined = hidden = 0
    listed = zip(points, elements.tolist(), images.tolist(), before.tolist(), after.tolist(),
                 (condition + condition_after).tolist(), strict=True)  # fmt: skip
    for point, element, image, old, new, scale in listed:
        if deadline.expired:
            half.gaps.append("the time was used up")
            break
        if not (math.isfinite(old) and math.isfinite(new)):
            undefined += 1
            continue
        rounding = _evaluation(loss, (point, image), values)
        change, allowed = abs(new - old), _allowed(claim, element, point, image, scale, rounding, values)
        if not change <= allowed:
            half.refute(point, element, new - old, "float64")
        if allowed > TELLING * max(abs(old), abs(new)):
            hidden += 1
        else:
            scale += rounding  # no map leaves a loss equal beyond what its own sums and products lose
            half.note(change / scale if scale else change)
    if undefined:
        half.gaps.append(f"{undefined} of {len(points)} images not finite")
    if hidden:
        half.gaps.append(f"{hidden} of {len(points)} images hidden by rounding")
    return half


def _about(symmetry: Symmetry, loss: Loss) -> Symmetry:
    """The same claim about the loss that is asked about."""
    return symmetry if symmetry.loss == loss else replace(symmetry, loss=loss)


def _conditioned(value: Callable[..., Any], points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss, and how far a relative change of the coordinates moves it: |L| + sum_i |x_i L_i|."""
    points = points.detach().requires_grad_()
    loss = value(points)
    slope = torch.zeros_like(points)
    if loss.requires_grad:
        (slope,) = torch.autograd.grad(loss.sum(), points)
    size = loss.abs() + (slope * points).abs().nan_to_num(0.0, 0.0).sum(-1)
    return loss.detach(), size.detach()


def _allowed(
    symmetry: Symmetry,
    element: Any,
    point: Sequence[float],
    image: Sequence[float],
    scale: float,
    rounding: float,
    values: Mapping[str, float],
) -> float:
    """How far rounding may move the loss; where the map has no closed form, `FLOW` and the rounding of the loss."""
    if symmetry.kind not in ("implicit", "numerical"):
        try:
            bound = FACTOR * rounding_bound(symmetry, element, point, values)
            return math.inf if math.isnan(bound) else bound
        except Exception:  # a function or a group whose rounding is not known
            pass
    return FLOW * scale + FACTOR * EPSILON * rounding


def _evaluation(loss: Loss, points: Sequence[Sequence[float]], values: Mapping[str, float]) -> float:
    """How far a relative change in every sum and product moves the loss at these points; 0 where that is not known."""
    constants = {s: Tracked(values[s.name]) for s in loss.constants}
    total = 0.0
    for x in points:
        try:
            at = constants | dict(zip(loss.variables, map(Tracked, x), strict=True))
            total += evaluate_tracked(loss.expression, at).error
        except (ArithmeticError, SymmetryError, ValueError):
            continue  # what is not known is not allowed
    return total if math.isfinite(total) else 0.0


def _in_digits(
    loss: Loss,
    symmetry: Symmetry,
    points: Sequence[Sequence[float]],
    values: Mapping[str, float],
    seed: int,
    deadline: Deadline,
) -> _Half:
    half, claim, undefined = _Half(), _about(symmetry, loss), 0
    for number, point in enumerate(points):
        if deadline.expired:
            half.gaps.append("the time was used up")
            break
        draw = _Draw.of(symmetry, number, seed)
        try:
            residual = exact_residual(claim, draw.element(symmetry, values, DIGITS), point, values, DIGITS)
            moved = residual > EXACT and not (
                exact_residual(claim, draw.element(symmetry, values, MORE), point, values, MORE)
                <= EXACT * residual
            )
        except (ArithmeticError, OutsideDomain):
            undefined += 1
            continue
        half.note(residual)
        if moved:
            half.refute(point, draw, residual, "60 digits")
    if undefined:
        half.gaps.append(f"{undefined} of {len(points)} images not real")
    return half


@dataclass(frozen=True)
class _Draw:
    """A random element: Lie-algebra coordinates (or parameters), and the numbers of the discrete generators after it."""

    coordinates: tuple[float, ...]
    word: tuple[int, ...]

    def __str__(self) -> str:
        return f"coordinates {list(self.coordinates)}, then the discrete generators {list(self.word)}"

    @classmethod
    def of(cls, symmetry: Symmetry, number: int, seed: int) -> _Draw:
        """Element `number`: each discrete generator has its turn, alone or with others."""
        rng, group = random.Random(f"{seed} {number}"), symmetry.group
        size = group.dimension if group.basis or group.discrete else len(symmetry.parameters)
        coordinates = tuple(rng.uniform(-1, 1) for _ in range(size))
        k = len(group.discrete)
        first = [number % k] if k and (not size or number % 2) else []
        rest = [rng.randrange(k) for _ in range(rng.randrange(3))] if first and number >= k else []
        return cls(coordinates, (*first, *rest))

    def element(self, symmetry: Symmetry, values: Mapping[str, float], digits: int) -> Any:
        """The matrix in so many digits, the constants put in; for a claim by hand the values of its parameters."""
        group = symmetry.group
        if not (group.basis or group.discrete):
            return self.coordinates
        with mpmath.workdps(digits + 10):
            matrix = mpmath.eye(group.matrix_size)
            if group.basis:
                total = mpmath.zeros(group.matrix_size)
                for xi, generator in zip(self.coordinates, group.basis, strict=True):
                    total += xi * _numbers(generator, symmetry.loss, values)
                matrix = mpmath.expm(total)
            for index in self.word:
                matrix = _numbers(group.discrete[index], symmetry.loss, values) * matrix
            return matrix


def _numbers(matrix: sp.Matrix, loss: Loss, values: Mapping[str, float]) -> mpmath.matrix:
    constants = {s: mpmath.mpf(str(values[s.name])) for s in loss.constants}
    numbers = mpmath.zeros(matrix.rows)
    for (i, j), entry in matrix.todok().items():
        numbers[i, j] = evaluate_digits(entry, constants)
    return numbers


def _sentence(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
