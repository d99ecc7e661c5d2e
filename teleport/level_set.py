"""Teleport within a level set without any symmetry (Mishkin, Bietti and Gower, arXiv:2403.03362).

    w+ in arg max ½ log ‖∇L(w)‖²  subject to  L(w) <= L(w_0)

Each step goes along the ascent direction and is projected on the linearised constraint; a merit function and
backtracking choose its length. It takes one Hessian-vector product, and one gradient for each length tried.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from symdiscover.errors import SymmetryError
from teleport.ascent_result import CODE, MOVES, LevelSetAscent, check_steps
from teleport.point_action import PointAction

LossFunction = Callable[[Tensor], Tensor]

#: Halvings of a step before a row counts as converged, and Newton steps back to the level set at the end.
TRIALS, RETURNS = 25, 10
#: The weight of the constraint in the merit function, in units of its Lagrange multiplier.
WEIGHT = 2.0
#: The share of the slope that a step must gain; one that gains twice as much is followed by a longer one.
SHARE, LOOSE = 0.5, 2.0
#: A first step is at most this many times as long as the minimiser of the loss along -∇L is far.
REACH = 10.0
#: Steps keep this far from a cap on the gain and from the radius, for the way back to the level set.
MARGIN = 0.01
#: The work of a Hessian-vector product on a gradient whose graph is there, in gradients of the loss.
PRODUCT = 2.0


class Translations(NamedTuple):
    """R^n acting on points, as the engine reads a group."""

    name: str
    dimension: int
    compact: bool = False
    element: str = "vector"


@dataclass(frozen=True)
class Displacement:
    """x -> x + d: how a search that needs no symmetry says where it moved a point.

    It has the form of a `PointAction`, but the loss is not unchanged under it: the search keeps to the level
    set.

    Examples
    --------
    >>> Displacement(lambda x: x.square().sum(-1), 2)(torch.tensor([1.0, 0.0]), torch.tensor([2.0, 3.0]))
    tensor([3., 3.])
    """

    loss: LossFunction
    dimension: int

    @property
    def group(self) -> Translations:
        return Translations(f"R^{self.dimension}", self.dimension)

    def __call__(self, element: Tensor, point: Tensor, /) -> Tensor:
        return point + element

    def exp(self, xi: Tensor, /) -> Tensor:
        return xi

    def compose(self, g: Tensor, h: Tensor, /) -> Tensor:
        return g + h


@dataclass(frozen=True)
class LevelSetSettings:
    """The search max ½ log ‖∇L(w)‖² subject to L(w) <= L(w_0), as `descend` takes it; it needs no action.

    Grade of the invariance: approximate. The loss may fall as far as the search takes it, and rise up to the
    tolerance; with `equality` it stays the same up to the tolerance.

    Parameters
    ----------
    steps:
        Ascent steps at most, one Hessian-vector product each. The losses of networks need not have a largest
        gradient on a level set: the number of steps, `max_gain` or `radius` ends the ascent there.
    rho:
        The step size to begin with, ρ_0; it is halved and doubled on the way.
    equality:
        Keep to L(w) = L(w_0) instead of L(w) <= L(w_0).
    tolerance:
        The loss may rise, or with `equality` change, by tolerance · min(1, |L(w_0)|), in units of the
        loss. In float32 a large loss has no other value so near: nothing moves there with `equality`.
    stationarity:
        The ascent has converged where the part of q = H∇L / ‖∇L‖² orthogonal to ∇L has a squared norm of at
        most stationarity · min(1, ‖q‖²), and the constraint holds.
    max_gain:
        Cap on the growth of ‖∇L‖².
    radius:
        Bound on the distance ‖w - w_0‖; a tensor (...,) gives each row its own.

    Raises
    ------
    SymmetryError
        If a number is out of range.

    Notes
    -----
    Mishkin, Bietti and Gower, AISTATS 2025, arXiv:2403.03362, whose defaults these are.

    Examples
    --------
    >>> import teleport as tp
    >>> loss = lambda x: x[..., 0] ** 2 + 9 * x[..., 1] ** 2
    >>> path = tp.descend(loss, torch.tensor([3.0, 0.1]), 0.05, 1, schedule=tp.at(0), teleport=tp.LevelSetSettings())
    >>> record = path.teleports[0]
    >>> record.reason, round(float(record.gain), 2), bool(record.loss_after <= record.loss_before + 1e-6)
    ('converged', 8.34, True)
    """

    steps: int = 50
    rho: float = 0.1
    equality: bool = False
    tolerance: float = 1e-6
    stationarity: float = 1e-6
    max_gain: float | None = None
    radius: float | Tensor | None = None

    def __post_init__(self) -> None:
        check_steps(self.steps)
        if not (math.isfinite(self.rho) and self.rho > 0):
            raise SymmetryError(f"the step size rho must be positive and finite, not {self.rho!r}")
        for name in ("tolerance", "stationarity"):
            if not 0 <= getattr(self, name) < math.inf:
                raise SymmetryError(
                    f"the {name} must be finite and not negative, not {getattr(self, name)!r}"
                )
        if self.max_gain is not None and not self.max_gain > 1:
            raise SymmetryError(f"max_gain is a factor above 1, not {self.max_gain!r}")
        if self.radius is not None and not bool(torch.as_tensor(self.radius > 0).all()):
            raise SymmetryError(f"the radius must be positive, not {self.radius!r}")

    def __call__(
        self, action: PointAction, point: Tensor, generator: torch.Generator | None = None
    ) -> LevelSetAscent:
        return level_set_ascent(action.loss, point, self)

    def violation(self, before: Tensor, after: Tensor) -> Tensor:
        """By how much the constraint is broken: [L - L_0]_+, or |L - L_0| with `equality`."""
        change = after - before
        return change.abs() if self.equality else change.clamp(min=0.0)

    def keeps(self, before: Tensor, after: Tensor) -> Tensor:
        """Whether the constraint holds up to the tolerance; never where a loss is not finite."""
        return self.violation(before, after) <= self.tolerance * before.abs().clamp(max=1.0)


def level_set_ascent(
    loss_fn: LossFunction, point: Tensor, settings: LevelSetSettings | None = None
) -> LevelSetAscent:
    """Climb ½ log ‖∇L‖² from w_0 within L(w) <= L(w_0): w + ρq - max(v, 0) g, v = (ρ qᵀg + δ) / ‖g‖².

    Here g = ∇L, q = Hg / ‖g‖² and δ = L(w) - L(w_0). A step is taken if the merit ½ log ‖g‖² - γ [δ]_+ gains
    enough, else halved. Of the points visited that keep the constraint the one with the largest gradient is
    returned; at the end a few Newton steps w - δ g / ‖g‖² lead back to the level set. Rows are independent.

    Parameters
    ----------
    loss_fn:
        w: (..., n) -> (...,), twice differentiable by torch.
    point:
        (..., n), float32 or float64; not changed.

    Raises
    ------
    SymmetryError
        If the points are not float32 or float64.

    Notes
    -----
    Mishkin, Bietti and Gower, arXiv:2403.03362, Algorithm 1, but for γ. There it is 0.1 where the constraint
    holds, which depends on the units of the loss; here it is twice |qᵀg| / ‖g‖², the multiplier of the
    constraint at a solution, from where on the merit has the solution for a maximum.

    Examples
    --------
    >>> found = level_set_ascent(lambda w: w[0] ** 2 + 9 * w[1] ** 2, torch.tensor([3.0, 0.1]))
    >>> found.reason, found.hessian_products, round(float(found.gain), 2)
    ('converged', 14, 8.34)
    """
    if point.dtype not in (torch.float32, torch.float64):
        raise SymmetryError(
            f"points must be float32 or float64, not {point.dtype}: convert with point.float()"
        )
    climb = _Climb(loss_fn, point.detach(), settings or LevelSetSettings())
    while climb.products < climb.settings.steps and bool(climb.alive.any()):
        climb.step()
    climb.come_back()
    return climb.result()


class _Look(NamedTuple):
    """Points with losses, gradients and their squared norms; `graph` is the gradient as a function of `leaf`."""

    point: Tensor
    loss: Tensor
    gradient: Tensor
    square: Tensor
    leaf: Tensor
    graph: Tensor

    @classmethod
    def at(cls, loss_fn: LossFunction, point: Tensor) -> _Look:
        with torch.enable_grad():
            leaf = point.detach().clone().requires_grad_()
            loss = loss_fn(leaf)
            graph = torch.zeros_like(leaf)
            if loss.requires_grad:
                (graph,) = torch.autograd.grad(
                    loss.sum(), leaf, create_graph=True, allow_unused=True, materialize_grads=True
                )
        gradient = graph.detach()
        return cls(leaf.detach(), loss.detach(), gradient, gradient.square().sum(-1), leaf, graph)

    def plain(self) -> _Look:
        """The same without the graph, which holds on to memory."""
        return self._replace(leaf=self.point, graph=self.gradient)

    def hessian_product(self) -> Tensor:
        """H∇L, (..., n); rows are independent, so that one product serves all."""
        if not self.graph.requires_grad:
            return torch.zeros_like(self.gradient)
        (product,) = torch.autograd.grad(
            self.graph, self.leaf, self.gradient, allow_unused=True, materialize_grads=True
        )
        return product


class _Climb:
    """The ascent under way: where each row stands, its step size, and the best point that it has seen."""

    def __init__(self, loss_fn: LossFunction, point: Tensor, settings: LevelSetSettings) -> None:
        self.loss_fn, self.settings = loss_fn, settings
        self.looks = self.products = 0
        self.here = self._look(point)
        self.start = self.best = self.here.plain()
        self.taken = torch.zeros_like(self.start.loss, dtype=torch.long)
        self.rho = torch.full_like(self.start.loss, settings.rho)
        limits = (math.inf if limit is None else limit for limit in (settings.radius, settings.max_gain))
        self.radius, gain = (torch.as_tensor(limit).to(self.start.loss) for limit in limits)
        self.cap = gain * self.start.square
        self.alive = self.start.loss.isfinite() & self.start.square.isfinite()
        self.code = torch.where(self.alive, CODE["steps used"], CODE["not finite"])
        self._stop(self.start.square == 0, "zero gradient")

    def step(self) -> None:
        """One step of every row that is under way: a Hessian-vector product, and a gradient a length tried."""
        here, settings = self.here, self.settings
        q = here.hessian_product() / here.square[..., None]
        self.products += 1
        slope = (q * here.gradient).sum(-1)
        across = (q - (slope / here.square)[..., None] * here.gradient).square().sum(-1)
        total = q.square().sum(-1)
        flat = (across <= settings.stationarity * total.clamp(max=1.0)) & self._keeps(here)
        self._stop(~total.isfinite() & (self.taken == 0), "not finite")
        self._stop(flat & (self.taken == 0), "already stationary on the level set")
        self._stop(flat | ~total.isfinite(), "converged")
        if self.products == 1:
            # ‖g‖³ / |gᵀHg| is that far; without the cap 25 halvings do not get near a close minimum.
            far = here.square.sqrt() / slope.abs()
            self.rho = torch.minimum(self.rho, REACH * far / across.sqrt())
        self._search(q, slope, total)
        near = self._keeps(self.here)
        self._stop(
            near & (self._distance(self.here.point) >= (1 - 2 * MARGIN) * self.radius), "radius reached"
        )
        self._stop(near & (self.here.square >= (1 - 2 * MARGIN) * self.cap), "gain reached")

    def _search(self, q: Tensor, slope: Tensor, total: Tensor) -> None:
        """Halve ρ until the merit gains its share of the slope; double it where that was far from tight."""
        here, point = self.here, self.here.point
        delta = here.loss - self.start.loss
        over = self._violation(here)
        weight = WEIGHT * slope.abs() / here.square
        pending = self.alive
        for _ in range(TRIALS):
            self._shorten(q, slope, delta, pending)
            v = self._back(slope, delta)
            moved = here.point + self.rho[..., None] * q - v[..., None] * here.gradient
            there = self._look(torch.where(pending[..., None], moved, point))
            rise = (there.square / here.square).log() / 2 - weight * (
                self._violation(there) - (1 - SHARE) * over
            )
            bound = SHARE / 2 * (self.rho * total - v * slope)
            inside = self._distance(there.point) <= (1 - MARGIN / 2) * self.radius
            take = pending & rise.isfinite() & (rise >= bound) & inside
            take = take & (there.square <= (1 - MARGIN / 2) * self.cap)
            point = torch.where(take[..., None], there.point, point)
            self.taken = self.taken + take.long()
            # Past the top of a parabola the gain falls below half the slope: short of it, go further.
            longer = take & (rise >= LOOSE * bound)
            pending = pending & ~take
            self.rho = self.rho * torch.where(longer, 2.0, torch.where(pending, 0.5, 1.0))
            if not bool(pending.any()):
                break
        # Rows that took an earlier length were looked at again where they stand.
        self.here = self._look(point) if bool(pending.any()) else there
        self._keep()
        self._stop(pending, "converged")

    def come_back(self) -> None:
        """Newton steps to the level set for the rows that ended off it."""
        for _ in range(RETURNS):
            here = self.here
            astray = (self.taken > 0) & ~self._keeps(here) & here.square.isfinite() & (here.square > 0)
            if not bool(astray.any()):
                break
            share = torch.where(astray, (here.loss - self.start.loss) / here.square, 0.0)
            back = here.point - share[..., None] * here.gradient
            self.here = self._look(torch.where(astray[..., None], back, here.point))
            self._keep()

    def result(self) -> LevelSetAscent:
        moved = self.best.square > self.start.square
        stays = ~moved & (self.code < MOVES)
        start, end = self.start.point, self.best.point
        return LevelSetAscent(
            point=end,
            element=torch.where(moved[..., None], end - start, 0.0),
            before=self.start.square,
            after=self.best.square,
            radius=torch.where(moved, self._distance(end), 0.0),
            steps=torch.where(moved, self.taken, 0),
            evaluations=self.looks,
            gradient_equivalents=self.looks + PRODUCT * self.products,
            code=torch.where(stays, CODE["no larger gradient within the tolerance"], self.code),
            loss_before=self.start.loss,
            loss_after=self.best.loss,
            hessian_products=self.products,
        )

    def _look(self, point: Tensor) -> _Look:
        self.looks += 1
        return _Look.at(self.loss_fn, point)

    def _keep(self) -> None:
        """Remember the rows that stand better than ever before, within all bounds."""
        here = self.here
        better = self._keeps(here) & (here.square > self.best.square) & (here.square <= self.cap)
        better = better & here.square.isfinite() & (self._distance(here.point) <= self.radius)
        self.best = self.best._replace(
            point=torch.where(better[..., None], here.point, self.best.point),
            loss=torch.where(better, here.loss, self.best.loss),
            square=torch.where(better, here.square, self.best.square),
        )

    def _shorten(self, q: Tensor, slope: Tensor, delta: Tensor, pending: Tensor) -> None:
        """Halve ρ while the step would leave the radius; this costs no gradient."""
        for _ in range(TRIALS):
            v = self._back(slope, delta)
            step = self.rho[..., None] * q - v[..., None] * self.here.gradient
            limit = (1 - MARGIN) * self.radius
            far = pending & (self._distance(self.here.point + step) > limit)
            if not bool(far.any()):
                break
            self.rho = torch.where(far, self.rho / 2, self.rho)

    def _back(self, slope: Tensor, delta: Tensor) -> Tensor:
        """v, the multiple of -∇L that keeps to the linearised constraint."""
        v = (self.rho * slope + delta) / self.here.square
        return v if self.settings.equality else v.clamp(min=0.0)

    def _violation(self, look: _Look) -> Tensor:
        return self.settings.violation(self.start.loss, look.loss)

    def _keeps(self, look: _Look) -> Tensor:
        return self.settings.keeps(self.start.loss, look.loss)

    def _distance(self, point: Tensor) -> Tensor:
        return torch.linalg.vector_norm(point - self.start.point, dim=-1)

    def _stop(self, rows: Tensor, reason: str) -> None:
        rows = rows & self.alive
        self.code = torch.where(rows, CODE[reason], self.code)
        self.alive = self.alive & ~rows
