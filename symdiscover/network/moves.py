"""How one group element moves one parameter. A pair is a list of moves; each is pure, differentiable and keeps dtype and device.

An element of a pair is a mapping: ``matrix`` (n, n), ``log_scale`` (n,), ``sign`` (n,) of +1 and -1, ``turns`` (n,) of whole
numbers, ``angle`` (n,), ``permutation`` (n,) of indices, ``shift`` (k,); what the pair has no use for is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

Element = Mapping[str, torch.Tensor]
Weights = Mapping[str, torch.Tensor]


def front(
    weight: torch.Tensor, axes: Sequence[int]
) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
    """The weight as a matrix whose rows are the places along some axes, and the way back."""
    rest = [axis for axis in range(weight.ndim) if axis not in axes]
    order = [*axes, *rest]
    moved = weight.permute(order)
    shape = moved.shape

    def back(matrix: torch.Tensor) -> torch.Tensor:
        inverse = [order.index(axis) for axis in range(len(order))]
        return matrix.reshape(shape).permute(inverse)

    return moved.reshape(int(np.prod(shape[: len(axes)], dtype=int)), -1), back


@dataclass(frozen=True)
class MatrixMove:
    """W -> g W along an axis, or V -> V g^{-1} where the axis reads the space (`dual`).

    Attributes
    ----------
    places:
        (n, copies): where along the axes the n units stand; each copy carries the same g.
    gain, power:
        A parameter gamma that stays in place: with power 1 the axis reads gamma n, so V -> V gamma g^{-1} gamma^{-1}; with power
        -1 it is added to it, beta -> gamma g gamma^{-1} beta.
    """

    key: str
    axes: tuple[int, ...]
    places: np.ndarray
    dual: bool
    orthogonal: bool = False
    gain: str | None = None
    power: int = 1

    def act(self, element: Element, weights: Weights) -> dict[str, torch.Tensor]:
        """The moved parameter."""
        weight = weights[self.key]
        g = element["matrix"].to(weight)
        rows, back = front(weight, self.axes)
        places = torch.from_numpy(self.places).to(weight.device)
        block = rows[places]  # (n, copies, rest)
        n = len(block)
        flat = block.reshape(n, -1)
        gain = None
        if self.gain is not None:
            gain = weights[self.gain].to(weight)[places[:, 0]][:, None] ** self.power
            flat = flat * gain
        if not self.dual or self.orthogonal:
            moved = g @ flat
        else:
            moved = torch.linalg.solve(g.mT, flat)
        if gain is not None:
            moved = moved / gain
        return {self.key: back(rows.index_put((places,), moved.reshape(block.shape)))}


@dataclass(frozen=True)
class ScaleMove:
    """W -> W * exp(power * log_scale[member]) entry by entry along some axes: rows times s, columns times s^{-k}."""

    key: str
    member: np.ndarray
    power: np.ndarray
    name: str = "log_scale"

    def act(self, element: Element, weights: Weights) -> dict[str, torch.Tensor]:
        """The moved parameter."""
        weight = weights[self.key]
        member = torch.from_numpy(self.member).to(weight.device)
        power = torch.from_numpy(self.power).to(weight)
        return {self.key: weight * (power * element[self.name].to(weight)[member]).exp()}


@dataclass(frozen=True)
class SignMove:
    """W -> W * sign[member] where the member's sign counts; for ``turns`` the sign is (-1)^turns."""

    key: str
    member: np.ndarray
    counts: np.ndarray
    name: str = "sign"

    def act(self, element: Element, weights: Weights) -> dict[str, torch.Tensor]:
        """The moved parameter."""
        weight = weights[self.key]
        member = torch.from_numpy(self.member).to(weight.device)
        sign = element[self.name].to(weight)
        sign = (1 - 2 * (sign % 2) if self.name == "turns" else sign)[member]
        counts = torch.from_numpy(self.counts).to(weight.device)
        return {self.key: torch.where(counts, weight * sign, weight)}


@dataclass(frozen=True)
class PermutationMove:
    """W[place of i] -> W[place of permutation[i]] along some axes; members may have several places each."""

    key: str
    axes: tuple[int, ...]
    places: np.ndarray

    def act(self, element: Element, weights: Weights) -> dict[str, torch.Tensor]:
        """The moved parameter."""
        weight = weights[self.key]
        rows, back = front(weight, self.axes)
        places = torch.from_numpy(self.places).to(weight.device)
        source = places[element["permutation"].to(weight.device)]
        return {self.key: back(rows.index_put((places,), rows[source]))}


@dataclass(frozen=True)
class TurnMove:
    """Rows p and q of W turn by angle[i]: (cos p - sin q, sin p + cos q), for each plane i and each of its copies.

    Attributes
    ----------
    first, second:
        (n, copies): places of the first and second rows of each plane.
    """

    key: str
    axes: tuple[int, ...]
    first: np.ndarray
    second: np.ndarray

    def act(self, element: Element, weights: Weights) -> dict[str, torch.Tensor]:
        """The moved parameter."""
        weight = weights[self.key]
        rows, back = front(weight, self.axes)
        first, second = (torch.from_numpy(p).to(weight.device) for p in (self.first, self.second))
        angle = element["angle"].to(weight)[:, None, None]
        p, q = rows[first], rows[second]
        turned = rows.index_put((first,), angle.cos() * p - angle.sin() * q)
        return {self.key: back(turned.index_put((second,), angle.sin() * p + angle.cos() * q))}


@dataclass(frozen=True)
class Image:
    """A shift that goes through weights: the weights of a node, applied to shifts.

    Attributes
    ----------
    weights:
        What computes them from the parameters.
    form:
        ``linear rows`` (W t), ``linear columns`` (t W) or ``convolution rows`` (sum of the kernel, times t, group by group).
    sources, targets:
        Indices into the vector of shifts.
    responses:
        (index of a shift, index of the target, coefficient): what takes the image up.
    """

    weights: Callable[[Weights], torch.Tensor]
    form: str
    sources: np.ndarray
    targets: np.ndarray
    responses: tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class ShiftMove:
    """b -> b + t, and c -> c - V t for every bias that takes up what the shift becomes on its way.

    Attributes
    ----------
    count:
        Number of shifts that take part.
    seeds:
        (index of a shift, member, coefficient): what an element adds at the start.
    images:
        In the order of the pass.
    leaves:
        (key, index of the shift of each entry of the last axis, -1 for none).
    """

    count: int
    seeds: tuple[np.ndarray, np.ndarray, np.ndarray]
    images: tuple[Image, ...]
    leaves: tuple[tuple[str, np.ndarray], ...]
    name: str = "shift"

    def act(self, element: Element, weights: Weights) -> dict[str, torch.Tensor]:
        """The moved parameters."""
        t = element[self.name]
        like = next((weights[key] for key, _ in self.leaves), t)
        t = t.to(like)
        index, member, coefficient = self.seeds
        shifts = torch.zeros(self.count + 1, dtype=like.dtype, device=like.device)
        shifts = shifts.index_add(
            0, _index(index, like), t[_index(member, like)] * _number(coefficient, like)
        )
        for image in self.images:
            values = _applied(image.form, image.weights(weights), shifts[_index(image.sources, like)])
            live = image.targets >= 0
            total = torch.zeros_like(shifts).index_put(
                (_index(image.targets[live], like),), values[torch.from_numpy(live)]
            )
            at, target, coefficient = image.responses
            shifts = (shifts + total).index_add(  # what no bias takes up goes on to the next weights
                0, _index(at, like), total[_index(target, like)] * _number(coefficient, like)
            )
        return {key: weights[key] + shifts[_index(entries, like)] for key, entries in self.leaves}


def _index(values: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(values).to(like.device)


def _number(values: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(values).to(like)


def _applied(form: str, weights: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    t = t.to(weights)
    if form == "linear rows":
        return weights @ t
    if form == "linear columns":
        return t @ weights
    kernel = weights.flatten(2).sum(-1)
    groups = t.view(-1, kernel.shape[1])  # each output channel reads the inputs of its group
    return (kernel * groups.repeat_interleave(len(kernel) // len(groups), 0)).sum(1)


@dataclass(frozen=True)
class OnesMove:
    """W -> W + 1 u^T along an axis: what follows does not see a number added to all units (before LayerNorm, softmax).

    Attributes
    ----------
    axis:
        The axis of the units.
    start:
        Where the numbers of this parameter begin in the element's ``shift``.
    """

    key: str
    axis: int
    start: int
    size: int

    def act(self, element: Element, weights: Weights) -> dict[str, torch.Tensor]:
        """The moved parameter."""
        weight = weights[self.key]
        shape = [1 if k == self.axis % weight.ndim else s for k, s in enumerate(weight.shape)]
        u = element["shift"][self.start : self.start + self.size].to(weight)
        return {self.key: weight + u.reshape(shape)}


@dataclass(frozen=True)
class NormalMove:
    """W -> W + u n^T, b -> b - u (n . beta): the values that W reads lie on a plane n . (y - beta) = 0.

    After LayerNorm n = 1/gamma, as sum_j (y_j - beta_j) / gamma_j = 0; after a softmax n = 1 and n . y = 1.

    Attributes
    ----------
    axis:
        Of W, along which it reads.
    gain, offset:
        Names of gamma and beta, or None.
    level:
        n . (y - beta): 0 after a norm, 1 after a softmax.
    bias:
        The name of b, or None where nothing is to be taken up.
    """

    key: str
    axis: int
    gain: str | None
    offset: str | None
    level: float
    bias: str | None

    def act(self, element: Element, weights: Weights) -> dict[str, torch.Tensor]:
        """The moved parameters."""
        weight = weights[self.key]
        u = element["shift"].to(weight)
        size = weight.shape[self.axis]
        normal = torch.ones(size, dtype=weight.dtype, device=weight.device)
        if self.gain is not None:
            normal = 1 / weights[self.gain].to(weight)
        rows = weight.movedim(self.axis, -1)
        moved = {self.key: (rows + u[:, None] * normal).movedim(-1, self.axis)}
        if self.bias is not None:
            level = (
                self.level if self.offset is None else self.level + normal @ weights[self.offset].to(weight)
            )
            moved[self.bias] = weights[self.bias] - u * level
        return moved


Move = MatrixMove | ScaleMove | SignMove | PermutationMove | TurnMove | ShiftMove | OnesMove | NormalMove
