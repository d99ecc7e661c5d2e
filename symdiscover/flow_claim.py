"""Claims whose action is a flow along the level set: do their parts fit together, and what the flow does to the loss.

That the field is tangent, dQ(X) = 0, is an identity like others, proved in `verify`. What is measured here is a flow in
float64 (`symdiscover.flow`), which the generated code repeats in torch: how far it moves the loss, whether level curves
close, and whether elements add.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mpmath
import numpy as np
import sympy as sp

from symdiscover.errors import OutsideDomain, SymmetryError
from symdiscover.floats import Array, compiled
from symdiscover.flow import LevelFlow, Truths, Velocity
from symdiscover.images import refutation
from symdiscover.rounding import evaluate_digits
from symdiscover.symmetry import Identity, Symmetry

#: Sample points, half the side of the box they are drawn from, and the steps for which they are followed.
POINTS, BOX, STEPS = 8, 3.0, 300
#: A loss that moves by more than this, relative to its size and its slope at the point, is another loss.
MOVED = 1e-11
#: The share of a period for which points flow, and the power of the rounding unit that bounds the errors of steps: less
#: strict than in the generated code, since what is measured is how far the loss moves.
SHARE, ACCURACY = 0.4, 0.5
#: Digits in which the losses of a point and of its image are compared.
DIGITS = 30


def check_flow(symmetry: Symmetry) -> None:
    """What a claim with a flow must and must not have.

    Raises
    ------
    SymmetryError
        With the first contradiction in its data.
    """
    group, chart, flow = symmetry.group, symmetry.chart, symmetry.flow
    if symmetry.kind != "numerical":
        raise SymmetryError(f"a flow along the level set is a claim of kind numerical, not {symmetry.kind}")
    if group.basis or group.discrete or symmetry.map is not None or symmetry.parameters:
        raise SymmetryError("a claim has a flow, or matrices, or a map: not two of these")
    if chart.conditions:
        raise SymmetryError("a flow is claimed on the whole domain of the loss: leave the conditions out")
    if symmetry.reduced_loss.free_symbols & set(chart.coordinates[group.size :]):
        raise SymmetryError("the loss depends on coordinates that the flow does not move")
    if flow not in (None, ()) and (len(flow or ()) != group.size or group.element != "time"):
        raise SymmetryError(
            f"a field has {group.size} components, as many as coordinates move, and its elements are times"
        )
    sizes = {"angle": 2, "time": 2, "vector": group.size}
    if not flow and (sizes.get(group.element) != group.size or group.size < 2):
        raise SymmetryError(
            f"{group.name} does not move {group.size} coordinates: level curves in two have angles or times, "
            "level sets in more have vectors"
        )


def tangency(symmetry: Symmetry) -> tuple[str, list[sp.Expr]]:
    """dQ(X), which has to vanish, and the statement that it does."""
    q, moved = symmetry.reduced_loss, symmetry.chart.coordinates[: symmetry.group.size]
    slopes = [sp.diff(q, u) for u in moved]
    if symmetry.flow:
        terms = [slope * velocity for slope, velocity in zip(slopes, symmetry.flow, strict=True)]
        return "dQ(X) = 0", [sp.Add(*terms)]
    pairs = [(a, b) for i, a in enumerate(slopes) for b in slopes[i + 1 :]]
    return "dQ(Omega grad Q) = 0, Omega antisymmetric", [a * b - b * a for a, b in pairs]


def flow_identities(symmetry: Symmetry) -> list[Identity]:
    """What the flow does at sample points: the loss of the images, closed curves, and whether elements add.

    Raises
    ------
    NotInvariant
        With the first image whose loss is another.
    SymmetryError
        If the gradient is zero or not finite at every sample point, or angles are claimed and no level curve closes.
    """
    sample = _sample(symmetry)
    u = sample.points
    if not len(u):
        raise SymmetryError(
            "the gradient is zero or not finite at every sample point: there is no level set to move on"
        )
    times = _times(symmetry, sample)
    moved, reached = sample.flow.move(sample.velocity, u, times)
    reached = reached & (times != 0)
    error = _compare(symmetry, sample, moved, reached)
    plain = sample.flow.euler(sample.velocity, u, times)
    before, after = sample.flow.slope(u)[0], sample.flow.slope(plain)[0]
    with np.errstate(all="ignore"):
        drift = float(np.nanmax(np.abs(after - before) / np.abs(before), initial=0.0))
    image = Identity(
        "map",
        "L(a(g, x)) = L(x)",
        "numerical" if reached.any() else "unchecked",
        f"{int(reached.sum())} of {len(u)} points move, relative error {error:.1e} "
        f"({drift:.1e} by Euler's steps without projection)",
    )
    if symmetry.group.element == "vector":
        statement = "not claimed: flows of different Omega do not commute"
        return [image, Identity("composition", statement, "unchecked", "a word, no action of R^k")]
    return [image, _composition(symmetry, sample, times, moved, reached)]


@dataclass(frozen=True)
class _Sample:
    """Points at which the flow is looked at, the velocity there, and the values of the constants."""

    points: Array
    flow: LevelFlow
    velocity: Velocity
    constants: dict[sp.Symbol, sp.Rational]


def regular_points(flow: LevelFlow, size: int, count: int = POINTS) -> Array:
    """At most `count` points of the box where the loss is regular, of four times as many."""
    drawn = np.random.default_rng(0).uniform(-BOX, BOX, (4 * count, size))
    return drawn[flow.regular(drawn)][:count]


def _sample(symmetry: Symmetry) -> _Sample:
    moved = symmetry.chart.coordinates[: symmetry.group.size]
    constants = {s: sp.Rational(k + 4, 2 * k + 5) for k, s in enumerate(symmetry.loss.constants)}
    try:
        flow = LevelFlow(symmetry.reduced_loss.xreplace(constants), moved, STEPS, ACCURACY)
        points = regular_points(flow, len(moved))
        velocity: Velocity = flow.turning if symmetry.group.element == "angle" else flow.arc
        if symmetry.flow:
            velocity = compiled([e.xreplace(constants) for e in symmetry.flow], moved)
        elif symmetry.group.element == "vector":
            velocity = flow.sloping(_antisymmetric(len(points), len(moved)))
    except OutsideDomain as error:
        raise SymmetryError(f"there is no flow along the level set: {error}") from error
    return _Sample(points, flow, velocity, constants)


def _antisymmetric(count: int, size: int) -> Array:
    upper = np.triu(np.random.default_rng(1).normal(size=(count, size, size)), 1)
    return upper - np.swapaxes(upper, -1, -2)


def _times(symmetry: Symmetry, sample: _Sample) -> Array:
    """For how long each sample point flows: a share of its period for angles, zero where its curve does not close."""
    count = len(sample.points)
    if symmetry.group.element == "angle":
        periods = sample.flow.period(sample.points)
        if not np.isfinite(periods).any():
            raise SymmetryError(
                "no level curve through a sample point was seen to close: its elements are no angles"
            )
        return np.where(np.isfinite(periods), SHARE * periods, 0.0)
    if symmetry.group.element == "vector":
        return np.ones(count)
    times = np.resize([1.0, -1.0, 0.3, -2.0], count)
    if symmetry.flow:  # a field may be steep, and its flow run away: as far as the point is from the origin
        speed = np.linalg.norm(sample.velocity(sample.points), axis=-1)
        times = times * (1 + np.linalg.norm(sample.points, axis=-1)) / np.where(speed > 0, 2 * speed, np.inf)
    return times


def _compare(symmetry: Symmetry, sample: _Sample, moved: Array, reached: Truths) -> float:
    """The largest relative difference of the loss between points and their images, in many digits."""
    worst = 0.0
    slopes = sample.flow.slope(sample.points)[1]
    for u, v, slope in zip(sample.points[reached], moved[reached], slopes[reached], strict=True):
        point: dict[sp.Symbol, mpmath.mpf] = {}
        with mpmath.workdps(DIGITS):
            try:
                before, point = _loss_at(symmetry, sample, u)
                after, _ = _loss_at(symmetry, sample, v)
            except (ArithmeticError, SymmetryError):
                continue
            difference = float(abs(after - before))
            size = abs(float(before)) + float(np.linalg.norm(u) * np.linalg.norm(slope))
            if difference > MOVED * size:
                raise refutation(symmetry, "the loss moves", point, mpmath.nstr(after - before, 12))
            worst = max(worst, difference / abs(float(before)) if before else difference)
    return worst


def _loss_at(
    symmetry: Symmetry, sample: _Sample, u: Sequence[float]
) -> tuple[mpmath.mpf, dict[sp.Symbol, mpmath.mpf]]:
    """The loss at psi(u), the coordinates that stay being zero, and the point."""
    chart, rest = symmetry.chart, symmetry.chart.coordinates[symmetry.group.size :]
    values = {s: mpmath.mpf(int(v.p)) / int(v.q) for s, v in sample.constants.items()}
    values |= dict.fromkeys(rest, mpmath.mpf(0))
    values |= {s: mpmath.mpf(float(v)) for s, v in zip(chart.coordinates, u, strict=False)}
    for variable, expression in chart.inverse:
        values[variable] = evaluate_digits(expression, values)
    point = {x: values[x] for x in chart.variables}
    return evaluate_digits(symmetry.loss.expression, values), point


def _composition(
    symmetry: Symmetry, sample: _Sample, times: Array, moved: Array, reached: Truths
) -> Identity:
    """a(s, a(t, x)) = a(s + t, x), measured: for angles where s + t is a whole turn, for times in two halves."""
    start, flow, velocity = sample.points, sample.flow, sample.velocity
    if symmetry.group.element == "angle":
        again, back = flow.move(
            velocity, moved, times * (1 - SHARE) / SHARE
        )  # the period is that of the curve
        statement, goal = (
            f"a(2 pi - t, a(t, x)) = x; {int(reached.sum())} of {len(start)} level curves close",
            start,
        )
    else:
        middle, there = flow.move(velocity, start, times / 2)
        again, back = flow.move(velocity, middle, times / 2)
        statement, goal, back = "a(t/2, a(t/2, x)) = a(t, x)", moved, back & there
    both = reached & back
    if not both.any():
        return Identity("composition", statement, "unchecked", "no sample point moves twice")
    error = np.abs(again - goal)[both].max(-1) / (1 + np.abs(goal[both]).max(-1))
    method = f"{int(both.sum())} points, error {np.median(error):.1e}, at most {error.max():.1e}; not proved"
    return Identity("composition", statement, "numerical", method)
