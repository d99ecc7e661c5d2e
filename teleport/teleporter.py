"""Teleporter: the object that stands beside an optimizer and moves a model along its symmetry."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from symdiscover.errors import Diverged, NotAdmissible, SymmetryError
from symdiscover.network.scaling import Scaling, ScalingPair, scaling_of
from teleport.closed_form import scaling_optimum
from teleport.schedule import Clock, Schedule, never

Tensors = dict[str, Tensor]

#: Largest relative change of the outputs, computed in float64, that a teleport may cause.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}
#: Of `Teleporter.state_dict`.
SCHEMA = 1

NOT_FINITE = "the loss or its gradient is not finite"
ZERO_GRADIENT = "the gradient is zero"
NOTHING_BETTER = "no scaling within the radius has a better gradient norm"


@dataclass(frozen=True)
class Move:
    """One teleport of a model, made or refused.

    Attributes
    ----------
    step:
        It took place before this optimizer step.
    pairs:
        Hidden spaces moved.
    radius:
        The largest |log s| used.
    gain:
        Squared gradient norm after over before, on this batch, from the closed form.
    loss_before, loss_after:
        On this batch; equal to rounding, since the move is exact.
    output_change:
        Largest change of an output over the largest output, in float64; infinite where it could not be
        computed.
    accepted, reason:
        Whether the model was moved, and why not.
    seconds, gradient_equivalents:
        What it took: one gradient, and three forward passes that check it, counted as another.
    """

    step: int
    pairs: int
    radius: float
    gain: float
    loss_before: float
    loss_after: float
    output_change: float
    accepted: bool
    reason: str
    seconds: float
    gradient_equivalents: float

    @property
    def loss_change(self) -> float:
        """|L after - L before| / |L before|."""
        difference = abs(self.loss_after - self.loss_before)
        return difference / abs(self.loss_before) if difference else 0.0


class Teleporter:
    """Moves a model to where its gradient is largest without changing what it computes.

    It stands beside the optimizer.

    The move is the exact positive scaling of hidden units (`symdiscover.network.scaling`) that maximises the
    squared gradient norm within a radius, in closed form from one gradient. Parameters are changed in place,
    so the optimizer goes on with the tensors it has. A move whose outputs would change by more than rounding
    is undone bit for bit. Gradients in `.grad`, buffers, modes, the random stream and the optimizer's state
    are left alone.

    Parameters
    ----------
    model:
        An `nn.Sequential` of linear layers and positively homogeneous activations (ReLU, LeakyReLU ...),
        float32 or float64. Layers that are frozen, or that the optimizer does not train, stay.
    loss_fn:
        (output, target) -> scalar.
    optimizer:
        The optimizer in use. Its state is kept as it is.
    example_input:
        One batch of inputs, to check that the model runs; optional.
    schedule:
        Clock -> bool: before which steps to teleport.
    radius:
        Bound on |log s| of one teleport.
    minimise:
        Move to the smallest gradient norm instead.
    sweeps:
        Alternating passes over odd and even hidden layers; each is exact given the others, none makes the
        objective worse.
    tolerance:
        Largest relative change of the outputs in float64; by default 1e-12 for float64 models, 1e-5 for
        float32.
    on_failure:
        ``skip`` records a failed teleport and goes on; ``raise`` raises. That there is nothing better is no
        failure.

    Raises
    ------
    NotAdmissible
        If no hidden units of the model may be scaled: with the reason and the nearest remedy.
    SymmetryError
        If an argument is out of range, the model is in half precision, or the optimizer trains none of its
        parameters.

    Notes
    -----
    Zhao et al. 2022, Algorithm 1 with the group of section 4.2. A teleport acts largely like a larger
    learning rate: compare it with plain training at its own best rate. Scaling changes an l2 penalty: with
    weight decay the loss that is kept is the one without it.

    Examples
    --------
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.LeakyReLU(0.1), nn.Linear(8, 1)).double()
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    >>> x, y = torch.randn(16, 4).double(), torch.randn(16, 1).double()
    >>> from teleport import every
    >>> teleporter = Teleporter(model, nn.functional.mse_loss, optimizer, x, schedule=every(1), radius=0.3)
    >>> move = teleporter.step(x, y)
    >>> move.accepted, move.gain > 1, move.loss_change < 1e-12
    (True, True, True)
    """

    def __init__(
        self,
        model: nn.Module,
        loss_fn: Callable[[Tensor, Tensor], Tensor],
        optimizer: torch.optim.Optimizer,
        example_input: Tensor | None = None,
        schedule: Schedule = never,
        radius: float = 0.3,
        *,
        minimise: bool = False,
        sweeps: int = 2,
        tolerance: float | None = None,
        on_failure: Literal["skip", "raise"] = "skip",
    ) -> None:
        if not (math.isfinite(radius) and radius > 0):
            raise SymmetryError(f"the radius bounds |log s| and is positive and finite, not {radius!r}")
        if isinstance(sweeps, bool) or not isinstance(sweeps, int) or sweeps < 1:
            raise SymmetryError(f"sweeps is a whole number of at least 1, not {sweeps!r}")
        if tolerance is not None and not tolerance >= 0:
            raise SymmetryError(f"the tolerance must not be negative, but is {tolerance!r}")
        if on_failure not in ("skip", "raise"):
            raise SymmetryError(f"on_failure is 'skip' or 'raise', not {on_failure!r}")
        self.model, self.loss_fn, self.optimizer = model, loss_fn, optimizer
        self.schedule, self.radius, self.minimise, self.sweeps = schedule, radius, minimise, sweeps
        self.on_failure = on_failure
        self.action: Scaling = self._admissible()
        kinds = {parameter.dtype for parameter in model.parameters()}
        if not kinds <= set(TOLERANCE):
            raise SymmetryError(
                f"parameters must be float32 or float64, not {', '.join(sorted(map(str, kinds)))}"
            )
        self.tolerance = tolerance if tolerance is not None else max(TOLERANCE[kind] for kind in kinds)
        self.history: list[Move] = []
        self._step = self._epoch = self._batch = 0
        if any(group.get("weight_decay") for group in optimizer.param_groups):
            warnings.warn(
                "weight decay is not part of the loss that a teleport keeps: a scaling changes the penalty",
                stacklevel=2,
            )
        if example_input is not None:
            self._outputs({}, example_input)

    def step(self, x: Tensor, y: Tensor) -> Move | None:
        """Call once before the forward pass of each optimizer step; teleports where the schedule says so.

        Returns
        -------
        Move or None
            The record, which is in `history` as well; None where the schedule says no.

        Raises
        ------
        Diverged, SymmetryError
            With ``on_failure="raise"``, if the loss is not finite or the outputs would move.
        """
        clock = Clock(self._step, self._epoch, self._batch)
        self._step, self._batch = self._step + 1, self._batch + 1
        if not self.schedule(clock):
            return None
        move = self.teleport(x, y, step=clock.step)
        self.history.append(move)
        harmless = move.accepted or move.reason in (ZERO_GRADIENT, NOTHING_BETTER)
        if self.on_failure == "raise" and not harmless:
            kind = Diverged if move.reason == NOT_FINITE else SymmetryError
            raise kind(f"the teleport before step {clock.step} was not made: {move.reason}")
        return move

    def epoch(self) -> None:
        """Tell the clock that an epoch has ended; only schedules that ask for epochs need it."""
        self._epoch, self._batch = self._epoch + 1, 0

    def teleport(self, x: Tensor, y: Tensor, step: int = 0) -> Move:
        """Teleport now, whatever the schedule says, on this batch; the record is returned and not kept."""
        begun = time.perf_counter()
        try:
            self.action = self._admissible()  # what has been frozen or tied since must not be moved
        except NotAdmissible as refusal:
            return self._refused(step, math.nan, str(refusal), begun, 0.0)
        loss, gradients = self._gradients(x, y)
        squared = {name: gradient.double().square() for name, gradient in gradients.items()}
        norm = _total(squared)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return self._refused(step, loss, NOT_FINITE, begun)
        if norm == 0:
            return self._refused(step, loss, ZERO_GRADIENT, begun)
        element, moved = self._optimum(squared)
        gain = _total(moved) / norm
        if not math.isfinite(gain):
            return self._refused(step, loss, f"scales within the radius {self.radius:g} overflow", begun)
        if not (gain < 1 if self.minimise else gain > 1):
            return self._refused(step, loss, NOTHING_BETTER, begun)
        return self._commit(element, gain, x, y, loss, step, begun)

    def state_dict(self) -> dict[str, Any]:
        """Clock and history as plain numbers and strings."""
        return {
            "schema": SCHEMA,
            "clock": [self._step, self._epoch, self._batch],
            "history": [asdict(move) for move in self.history],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken.

        Raises
        ------
        SymmetryError
            If the state has another shape or a newer schema; nothing is changed then.
        """
        if not isinstance(state, Mapping) or "schema" not in state:
            raise SymmetryError("this is no state of a Teleporter")
        if state["schema"] != SCHEMA:
            raise SymmetryError(
                f"a state of schema {state['schema']!r} cannot be read: this version writes {SCHEMA}"
            )
        try:
            clock = Clock(*state["clock"])
            history = [_move(entry) for entry in state["history"]]
        except (KeyError, TypeError, ValueError) as error:
            raise SymmetryError(f"this is no state of a Teleporter: {error}") from error
        self._step, self._epoch, self._batch = clock.step, clock.epoch, clock.batch
        self.history = history

    def _admissible(self) -> Scaling:
        """The scalings of the model as it is now that move only what the optimizer trains."""
        trained = {id(parameter) for group in self.optimizer.param_groups for parameter in group["params"]}
        held = {name for name, parameter in self.model.named_parameters() if id(parameter) in trained}
        if not held:
            raise SymmetryError(
                "the optimizer trains no parameter of this model: make it from model.parameters()"
            )
        pairs = scaling_of(self.model).pairs
        chosen = tuple(pair for pair in pairs if held.issuperset(pair.parameters))
        if not chosen:
            node, reason = pairs[0].writer, "the optimizer does not train both layers of any pair"
            raise _refusal(node, reason, "give it the parameters of both")
        for pair in chosen:
            if pair.degree != 1:
                reason = (
                    f"the activation after it has degree {pair.degree:g}, and the closed form is that of 1"
                )
                raise _refusal(pair.writer, reason, "ReLU or LeakyReLU in its place")
        return Scaling(chosen)

    def _trained(self) -> Tensors:
        """The parameters that the optimizer moves: the gradient norm is that in these."""
        held = {id(parameter) for group in self.optimizer.param_groups for parameter in group["params"]}
        named = self.model.named_parameters()
        return {name: value for name, value in named if value.requires_grad and id(value) in held}

    def _loss(self, x: Tensor, y: Tensor) -> Tensor:
        """The loss as training sees it; buffers and the random stream stay as they are."""
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        with self._same_random_stream():
            loss = self.loss_fn(functional_call(self.model, buffers, (x,)), y)
        if not isinstance(loss, Tensor) or loss.ndim:
            kind = (
                f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            )
            raise SymmetryError(f"loss_fn must return a scalar tensor, not {kind}")
        return loss

    @contextmanager
    def _same_random_stream(self) -> Iterator[None]:
        devices = {parameter.device for parameter in self.model.parameters() if parameter.is_cuda}
        with torch.random.fork_rng(devices=list(devices)):
            yield

    def _gradients(self, x: Tensor, y: Tensor) -> tuple[float, Tensors]:
        """The loss on a batch and its gradient; `.grad` is not touched."""
        trained = self._trained()
        with torch.enable_grad():
            loss = self._loss(x, y)
            if not loss.requires_grad:
                return float(loss.detach()), {
                    name: torch.zeros_like(value) for name, value in trained.items()
                }
            values = torch.autograd.grad(
                loss, list(trained.values()), allow_unused=True, materialize_grads=True
            )
        return float(loss.detach()), dict(zip(trained, values, strict=True))

    def _optimum(self, squared: Tensors) -> tuple[Tensor, Tensors]:
        """log s of all pairs by alternating exact optima, and the squared gradients there by equivariance."""
        pairs = self.action.pairs
        logs = [squared[f"{pair.writer}.weight"].new_zeros(pair.size) for pair in pairs]
        here = dict(squared)
        for _ in range(self.sweeps):
            for parity in (0, 1):
                # Pairs of one parity share no weight with each other: their optima are exact jointly.
                for index in range(parity, len(pairs), 2):
                    pair = pairs[index]
                    here = _carried(here, pair, -logs[index])
                    scales, _ = scaling_optimum(*_weights(here, pair), self.radius, self.minimise)
                    logs[index] = scales.log()
                    here = _carried(here, pair, logs[index])
        return torch.cat(logs), here

    def _outputs(self, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """The outputs in float64, as in evaluation: dropout off, running statistics used and kept."""
        modes = {module: module.training for module in self.model.modules()}
        tensors = {**dict(self.model.named_parameters()), **dict(self.model.named_buffers()), **parameters}
        double = {name: _double(value.detach()) for name, value in tensors.items()}
        try:
            self.model.eval()
            with torch.no_grad(), self._same_random_stream():
                outputs = functional_call(self.model, double, (_double(x),))
        finally:
            for module, training in modes.items():
                module.training = training
        if not isinstance(outputs, Tensor):
            raise SymmetryError(f"the model must return one tensor, not {type(outputs).__name__}")
        return outputs

    def _commit(
        self, element: Tensor, gain: float, x: Tensor, y: Tensor, before: float, step: int, begun: float
    ) -> Move:
        """Move the parameters, look at the outputs, and put everything back unless they are the same."""
        names = [name for pair in self.action.pairs for name in pair.parameters]
        named = {name: value for name, value in self.model.named_parameters() if name in set(names)}
        snapshot = {name: value.detach().clone() for name, value in named.items()}
        old = self._outputs({}, x)
        moved = self.action(element, snapshot)
        try:
            with torch.no_grad():
                for name, value in named.items():
                    value.copy_(moved[name])
                change = _relative(self._outputs({}, x), old)
                after = float(self._loss(x, y))
        except BaseException:
            _restore(named, snapshot)
            raise
        reason = "" if math.isfinite(after) else "the loss is not finite after it"
        if not change <= self.tolerance:
            reason = (
                f"the outputs would move by {change:.1e} of the largest one, more than {self.tolerance:.0e}"
            )
        if reason:
            _restore(named, snapshot)
            return self._refused(step, before, reason, begun, 2.0, change)
        radius = float(element.abs().max())
        seconds = time.perf_counter() - begun
        return Move(step, len(self.action.pairs), radius, gain, before, after, change, True, "", seconds, 2.0)

    def _refused(
        self, step: int, loss: float, reason: str, begun: float, gradients: float = 1.0, change: float = 0.0
    ) -> Move:
        seconds = time.perf_counter() - begun
        return Move(step, 0, 0.0, 1.0, loss, loss, change, False, reason, seconds, gradients)


def _refusal(node: str, reason: str, remedy: str) -> NotAdmissible:
    return NotAdmissible(
        f"layer {node}: {reason}; what would help: {remedy}", node=node, reason=reason, remedy=remedy
    )


def _total(squared: Mapping[str, Tensor]) -> float:
    return float(sum(value.sum() for value in squared.values()))


def _weights(squared: Tensors, pair: ScalingPair) -> tuple[Tensor, Tensor]:
    """a_i, b_i of one unscaled pair: its part of the squared gradient norm is Σ_i a_i s_i² + b_i s_i^-2."""
    a = squared[f"{pair.reader}.weight"].sum(dim=0)
    b = squared[f"{pair.writer}.weight"].sum(dim=1)
    return a, b + squared[f"{pair.writer}.bias"] if pair.bias else b


def _carried(squared: Tensors, pair: ScalingPair, log_s: Tensor) -> Tensors:
    """Squared gradients after one pair was scaled: they transform by the inverse of what the weights do."""
    s2 = (2 * log_s).exp()
    moved = dict(squared)
    moved[f"{pair.writer}.weight"] = moved[f"{pair.writer}.weight"] / s2[:, None]
    if pair.bias:
        moved[f"{pair.writer}.bias"] = moved[f"{pair.writer}.bias"] / s2
    moved[f"{pair.reader}.weight"] = moved[f"{pair.reader}.weight"] * s2
    return moved


def _double(value: Tensor) -> Tensor:
    return value.double() if value.is_floating_point() else value


def _relative(new: Tensor, old: Tensor) -> float:
    """The largest change over the largest entry; infinite where either is not finite."""
    change = float((new - old).abs().max()) if old.numel() else 0.0
    if not math.isfinite(change):
        return math.inf
    return change / float(old.abs().max()) if change else 0.0


def _restore(named: Mapping[str, Tensor], snapshot: Mapping[str, Tensor]) -> None:
    """Put every bit back; an interruption meanwhile has to wait."""
    left = dict(snapshot)
    while left:
        try:
            with torch.no_grad():
                for name in list(left):
                    named[name].copy_(left[name])
                    del left[name]
        except KeyboardInterrupt:
            continue


def _move(entry: Mapping[str, Any]) -> Move:
    """A record from plain data, its types checked."""
    move = Move(**entry)
    kinds: dict[str, tuple[type, ...]] = {
        "int": (int,),
        "float": (float, int),
        "bool": (bool,),
        "str": (str,),
    }
    for item in fields(Move):
        value = getattr(move, item.name)
        if not isinstance(value, kinds[str(item.type)]) or (isinstance(value, bool) and item.type != "bool"):
            raise TypeError(f"{item.name} of a move is no {item.type}: {value!r}")
    return move
