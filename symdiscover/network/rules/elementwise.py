"""Operations on entries: activations, sums and products."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import sympy as sp
import torch

from symdiscover.network.activation import SLOPE, expression_of_op
from symdiscover.network.formula import Z
from symdiscover.network.relations import Relations, relations
from symdiscover.network.rules.table import FOLDING, POINTWISE, RULES, Pass, distinct, reasoned, rule
from symdiscover.network.spaces import Array, Jump, Period, Reason, Relation
from symdiscover.network.trace import Call, Ref
from symdiscover.network.value import Fold, Value, array, axes, constant, core

ONE = Fraction(1)
#: Operations of one value whose expressions compose: a chain of them is read as one function.
FOLDING |= {"add", "layer_norm", "rms_norm"}
POINTWISE |= {"add", "sub", "mul", "div", "rsub", "where", "masked_fill", "pow", "maximum", "minimum"}


# --- functions of one value ---


def composed(run: Pass, call: Call) -> tuple[str, sp.Expr] | None:
    """The node and the expression of which an elementwise call is a function; None where it is not one of one value."""
    if call.name not in run.composed:
        run.composed[call.name] = _compose(run, call)
    return run.composed[call.name]


def _compose(run: Pass, call: Call) -> tuple[str, sp.Expr] | None:
    sources = set()
    arguments: list[Any] = []
    for argument in (*call.args, *call.kwargs.values()):
        if isinstance(argument, Ref):
            inner = run.calls.get(argument.name)
            found = composed(run, inner) if inner is not None else None
            sources.add(found[0] if found else argument.name)
    if len(sources) != 1:
        return None
    (source,) = sources

    def read(argument: Any) -> Any:
        if not isinstance(argument, Ref):
            return argument
        inner = run.calls.get(argument.name)
        found = composed(run, inner) if inner is not None and argument.name != source else None
        return found[1] if found else Z

    arguments = [read(a) for a in call.args]
    value = run.values.get(source)
    if isinstance(value, Value) and any(
        isinstance(v, Value) and v.shape != (call.shape or ()) for v in [value]
    ):
        return None
    expression = expression_of_op(call.op, arguments, {k: read(v) for k, v in call.kwargs.items()})
    return None if expression is None else (source, expression)


def apply_pointwise(run: Pass, call: Call, values: Any) -> Any:
    """sigma(x) entry by entry: what the proved relations of sigma leave of scales, signs and shifts."""
    found = composed(run, call)
    if found is None:
        return run.unknown(call, reasoned(call, f"{call.op} of several values has no rule"))
    source, expression = found
    if all(_inside(run, user, source) for user in run.users[call.name]):
        return run.values[source]  # they read the source themselves
    return function(run, call, run.values[source], relations(expression))


def _inside(run: Pass, user: Call, source: str) -> bool:
    """Whether a user is a function of the same source, or the mean of its squares, and so reads the source instead."""
    if user.op in ("mean", "sum"):
        return square_of(run, user) == source
    if user.op not in POINTWISE and user.op not in RULES:
        return False
    found = (
        composed(run, user)
        if RULES.get(user.op) in (apply_pointwise, add, multiply, divide, larger)
        else None
    )
    return found is not None and found[0] == source


def square_of(run: Pass, call: Call) -> str | None:
    """The node whose squares a mean or sum takes; None where it takes something else."""
    inner = run.calls.get(call.args[0].name)
    found = composed(run, inner) if inner is not None else None
    return found[0] if found is not None and sp.expand(found[1] - Z**2) == 0 else None


def function(run: Pass, call: Call, x: Value, known: Relations) -> Value:
    """The value of sigma(x)."""
    if known.slope is not None and known.degree == 1:  # a multiple of x: every matrix passes
        if known.slope.is_Rational:
            shift = run.scaled_shift(x, fraction(known.slope))
        else:
            run.still(x, reasoned(call, "a shift does not pass a factor that is not rational"))
            shift = None
        return Value(x.shape, x.factors, shift, x.vary, x.weights_only)
    if known.constant:
        return constant(x.shape)
    run.activations[call.name] = known
    name = _title(call)
    reason = reasoned(call, f"{name} {_admits(known)}", _better(known))
    factors = []
    shift = None
    for labels in x.factors:
        old, place, shape = _unique(labels)
        new = run.spaces.new_units(len(old))
        run.spaces.not_linear(old, reason)
        _scales(run, known, old, new, reason)
        flips = _signs(run, known, old, new)
        if x.shift is not None or known.parity == "affine":
            shift = _shifts(run, call, known, x, labels, (old, new), flips, shift)
        factors.append(torch.from_numpy(new[place].reshape(shape)).expand(x.shape))
    if x.shift is not None and not x.factors:
        run.still(x, reason)
    return Value(x.shape, tuple(factors), shift, x.vary, x.weights_only)


def _unique(labels: torch.Tensor) -> tuple[Array, Array, tuple[int, ...]]:
    """Labels that differ, those that are not 0 first made places: (labels, index of each entry, shape)."""
    small = core(labels)
    old, place = np.unique(small.numpy(), return_inverse=True)
    return old, place, tuple(small.shape)


def _scales(run: Pass, known: Relations, old: Array, new: Array, reason: Reason) -> None:
    live = old != 0
    run.spaces.fix(new[~live], reason)
    old, new = old[live], new[live]
    if known.degree is not None:
        k = fraction(known.degree)
        run.spaces.relations.append(Relation((ONE, -k), (new, old)))
    else:
        run.spaces.relations.append(Relation((Fraction(0), Fraction(0)), (new, old)))
        run.spaces.scale_free(old, reason)
        if known.growth is None:
            run.spaces.scale_free(new, reason)


def _signs(run: Pass, known: Relations, old: Array, new: Array) -> Array | None:
    """Signs; labels of half turns where sigma(z + q) = -sigma(z)."""
    live = old != 0
    old, new = old[live], new[live]
    half = run.spaces.new_units(len(new)) if known.half_period is not None else None
    if half is not None:
        run.spaces.scale_free(half, Reason("", "a half turn has no scale"))
    turned = (half,) if half is not None else ()
    if known.parity == "odd":
        run.spaces.parities.append((new, old, *turned))
    elif known.parity == "even" and half is not None:
        run.spaces.parities.append((new, *turned))
    elif known.parity == "affine":
        run.spaces.parities.append((new, old))
    elif known.parity == "even":
        run.spaces.sign_free(new)
    else:
        run.spaces.sign_free(old)
        if half is not None:
            run.spaces.parities.append((new, *turned))
        else:
            run.spaces.sign_free(new)
    return half


def _shifts(
    run: Pass,
    call: Call,
    known: Relations,
    x: Value,
    labels: torch.Tensor,
    units: tuple[Array, Array],
    half: Array | None,
    before: torch.Tensor | None,
) -> torch.Tensor | None:
    """Shifts of the argument that sigma turns into a scale, lets pass, or that are its periods; the shift of the result."""
    reason = reasoned(call, f"a shift does not pass {_title(call)}")
    old, new = units
    if x.shift is not None:
        shift, label = distinct(*_paired(x.shift, labels))
        live = (shift != 0) & (label != 0)
        run.spaces.no_shift(shift[(shift != 0) & (label == 0)], reason)
        shift, label = shift[live], label[live]
        result = new[np.searchsorted(old, label)]
        if len(np.unique(label)) != len(label) or len(x.factors) > 1:
            run.spaces.no_shift(shift, reason)
        elif known.growth is not None and known.growth.is_Rational:
            k = fraction(known.growth)
            run.spaces.relations.append(Relation((ONE,), (result,), (-k,), (shift,)))
        elif half is not None:
            alive = old[old != 0]
            run.spaces.jumps.append(
                Jump(half[np.searchsorted(alive, label)], shift, float(known.half_period or 0), turn=True)
            )
        elif known.period is not None:
            run.spaces.periods.append(Period(shift, float(known.period)))
        else:
            run.spaces.no_shift(shift, reason)
    if known.parity != "affine" or before is not None or len(x.factors) > 1:
        return before
    live = old != 0
    numbers = np.zeros_like(old)
    numbers[live] = run.spaces.new_shifts(int(live.sum()))
    run.spaces.owners.append((new[live], numbers[live]))
    run.spaces.jumps.append(Jump(old[live], numbers[live], float(known.kappa or 0)))
    place = np.searchsorted(old, core(labels).numpy())
    return torch.from_numpy(numbers[place]).expand(x.shape)


def _paired(a: torch.Tensor, b: torch.Tensor) -> tuple[Array, Array]:
    x, y = torch.broadcast_tensors(core(a), core(b))
    return x.numpy(), y.numpy()


def fraction(number: sp.Rational) -> Fraction:
    """A SymPy rational as a Python one."""
    return Fraction(int(number.p), int(number.q))


def _title(call: Call) -> str:
    return {"leaky_relu": "LeakyReLU", "relu": "ReLU", "gelu": "GELU", "silu": "SiLU"}.get(call.op, call.op)


def _admits(known: Relations) -> str:
    parts = []
    if known.degree is not None:
        parts.append(f"is positively homogeneous of degree {known.degree}")
    if known.parity is not None:
        parts.append({"odd": "is odd", "even": "is even"}.get(known.parity, "is odd up to a constant"))
    if known.growth is not None:
        parts.append("turns shifts into scales")
    if known.period is not None:
        parts.append("is periodic")
    return (
        " and ".join(parts)
        if parts
        else "is neither positively homogeneous nor odd: it leaves permutations only"
    )


def _better(known: Relations) -> str:
    return (
        ""
        if known.degree is not None
        else "ReLU or LeakyReLU in its place admits positive scales, tanh sign flips"
    )


# --- sums and products ---


@rule("add", "add_", "sub", "sub_")
def add(run: Pass, call: Call, values: Any) -> Any:
    """x + y: one element acts on both, and shifts add; a parameter that is added takes any shift."""
    found = composed(run, call)
    if found is not None and isinstance(run.values.get(found[0]), Value):
        return apply_pointwise(run, call, values)
    x, y = (v if v is not None else constant() for v in values[:2])
    sign = -1 if call.op.startswith("sub") else 1
    alpha = Fraction(call.kwargs.get("alpha", 1)) * sign
    return total(run, call, x, y, alpha)


def total(run: Pass, call: Call, x: Value, y: Value, alpha: Fraction = ONE) -> Value:
    """x + alpha y."""
    if x.folded is not None:
        if (
            y.leaf
            and y.shape == x.shape[-1:]
            and x.folded.offset is None
            and alpha == 1
            and run.uses[y.leaf] == 1
        ):
            run.freeze(y, Reason(y.leaf, "it is the offset of a gain"))
            return replace(x, folded=Fold(x.folded.gain, y.leaf))
        run.freeze(x, Reason(call.name, "it does not take a gain along"))
    if y.folded is not None:
        run.freeze(y, Reason(call.name, "it does not take a gain along"))
    shape = tuple(call.shape) if call.shape is not None else tuple(torch.broadcast_shapes(x.shape, y.shape))
    if x.zero or y.zero:
        factors = tuple(f.expand(shape) for v in (x, y) for f in v.factors)
    else:
        factors = met(run, call, [x, y], shape, "a sum of values that are not transformed alike")
    shift = _sum_shifts(run, x, y, alpha, shape, factors)
    vary = torch.broadcast_tensors(x.vary, y.vary)
    both = (
        vary[0] if not any(vary[1].stride()) else vary[1] if not any(vary[0].stride()) else vary[0] + vary[1]
    )
    return Value(shape, factors, shift, both.expand(shape), x.weights_only and y.weights_only)


def met(
    run: Pass, call: Call, values: list[Value], shape: tuple[int, ...], text: str
) -> tuple[torch.Tensor, ...]:
    """The factors that values share which must be transformed alike; what only some of them have is frozen."""
    reason = reasoned(call, text)
    wide = [[f.expand(shape) for f in v.factors] for v in values]
    kept: dict[Any, torch.Tensor] = {}
    for factors in wide:
        for labels in factors:
            kept.setdefault(_kind(labels), labels)
    shared = []
    for kind, labels in kept.items():
        partners = [next((f for f in factors if _kind(f) == kind), None) for factors in wide]
        if all(p is not None for p in partners):
            for other in partners:
                assert other is not None
                run.spaces.equal(*_paired(labels, other), reason)
            shared.append(labels)
            continue
        for value, partner in zip(values, partners, strict=True):
            if partner is None:
                _against_fixed(run, call, value, labels, shape, [p for p in partners if p is not None], text)
                shared += [labels] if not value.factors and labels not in shared else []
        if any(value.factors for value, p in zip(values, partners, strict=True) if p is None):
            for p in partners:
                if p is not None:
                    run.spaces.fix(array(p), reason)
    return tuple({id(s): s for s in shared}.values())


def _kind(labels: torch.Tensor) -> Any:
    return axes(labels) or "one"


def _against_fixed(
    run: Pass,
    call: Call,
    fixed: Value,
    labels: torch.Tensor,
    shape: tuple[int, ...],
    partners: list[torch.Tensor],
    text: str,
) -> None:
    """Labels beside data on which nothing acts: no scale; where the data differ from unit to unit, nothing at all."""
    vary = fixed.vary.expand(shape) if fixed.vary.ndim <= len(shape) else fixed.vary
    differs = any(vary.stride()[axis] != 0 and shape[axis] > 1 for axis in axes(labels))
    for partner in partners:
        if differs:
            run.spaces.fix(
                array(partner), reasoned(call, "fixed data that differ from unit to unit are added")
            )
        else:
            run.spaces.scale_free(array(partner), reasoned(call, "a fixed number is added"))
            run.spaces.sign_free(array(partner))


def _sum_shifts(
    run: Pass, x: Value, y: Value, alpha: Fraction, shape: tuple[int, ...], factors: tuple[torch.Tensor, ...]
) -> torch.Tensor | None:
    parts = [(c, v.shift.expand(shape)) for c, v in ((ONE, x), (alpha, y)) if v.shift is not None]
    if not parts:
        return None
    if len(parts) == 1 and parts[0][0] == 1 and not (x.weights_only or y.weights_only):
        return parts[0][1]
    owner = factors[0] if len(factors) == 1 else torch.zeros((), dtype=torch.int64).expand(shape)
    small = torch.broadcast_tensors(core(owner), *[core(s) for _, s in parts])
    stacked = np.stack([s.numpy().ravel() for s in small])
    rows, place = np.unique(stacked, axis=1, return_inverse=True)
    live = (rows[1:] != 0).any(axis=0)
    numbers = np.zeros(rows.shape[1], dtype=int)
    numbers[live] = run.spaces.new_shifts(int(live.sum()))
    run.spaces.owners.append((rows[0][live], numbers[live]))
    kinds = rows[1:][:, live]
    for pattern in np.unique(kinds != 0, axis=1).T:  # which of the parts have a shift at all
        here = ((kinds != 0) == pattern[:, None]).all(axis=0)
        terms = [(c, kinds[k][here]) for k, (c, _) in enumerate(parts) if pattern[k]]
        run.spaces.relations.append(
            Relation((), (), (ONE, *[-c for c, _ in terms]), (numbers[live][here], *[s for _, s in terms]))
        )
    return torch.from_numpy(numbers[place.ravel()].reshape(small[0].shape)).expand(shape)


@rule("mul", "mul_")
def multiply(run: Pass, call: Call, values: Any) -> Any:
    """x * y entry by entry: log-scales add, signs multiply, permutations are shared."""
    found = composed(run, call)
    if found is not None and isinstance(run.values.get(found[0]), Value):
        return apply_pointwise(run, call, values)
    x, y = (v if v is not None else constant() for v in values[:2])
    return product(run, call, x, y, ONE)


@rule("div", "div_")
def divide(run: Pass, call: Call, values: Any) -> Any:
    """x / y entry by entry."""
    found = composed(run, call)
    if found is not None and isinstance(run.values.get(found[0]), Value):
        return apply_pointwise(run, call, values)
    if call.kwargs.get("rounding_mode") is not None:
        return run.unknown(call, reasoned(call, "a rounded quotient"))
    x, y = (v if v is not None else constant() for v in values[:2])
    return product(run, call, x, y, -ONE)


def product(run: Pass, call: Call, x: Value, y: Value, power: Fraction) -> Value:
    """x * y^power, power 1 or -1."""
    shape = tuple(call.shape) if call.shape is not None else tuple(torch.broadcast_shapes(x.shape, y.shape))
    if x.zero or (y.zero and power == 1):
        return replace(constant(shape), zero=True)
    reason = reasoned(call, "a product entry by entry")
    if (
        run.folding
        and power == 1
        and (folded := _folded_gain(run, x, y) or _folded_gain(run, y, x)) is not None
    ):
        return folded
    shift = _product_shift(run, call, x, y)
    wide = [[f.expand(shape) for f in v.factors] for v in (x, y)]
    factors = []
    rest = list(wide[1])
    for labels in wide[0]:
        partner = next((f for f in rest if _kind(f) == _kind(labels)), None)
        if partner is None:
            factors.append(_beside(run, call, labels, y, shape))
            continue
        rest = [f for f in rest if f is not partner]
        factors.append(_joint(run, labels, partner, power, shape, reason))
    for labels in rest:
        labels = _beside(run, call, labels, x, shape)
        factors.append(labels if power == 1 else -labels)
    vary = torch.broadcast_tensors(x.vary, y.vary)
    return Value(
        shape, tuple(factors), shift, (vary[0] + vary[1]).expand(shape), x.weights_only and y.weights_only
    )


def _folded_gain(run: Pass, gain: Value, x: Value) -> Value | None:
    """x with a gain that stays in place, where it can be folded into what reads the product."""
    last = len(x.shape) - 1
    if (
        not gain.leaf
        or len(gain.shape) != 1
        or x.weights_only
        or x.folded is not None
        or gain.shape != x.shape[-1:]
    ):
        return None
    if len(x.factors) != 1 or axes(x.factors[0]) != (last,):
        return None
    reason = Reason(gain.leaf, "it is a gain, which stays in place here")
    run.freeze(gain, reason)
    run.still(x, reason)
    return replace(x, shift=None, folded=Fold(gain.leaf))


def _joint(
    run: Pass, a: torch.Tensor, b: torch.Tensor, power: Fraction, shape: tuple[int, ...], reason: Reason
) -> torch.Tensor:
    """New units for a product: a(out) = a(x) + power a(y)."""
    left, right = torch.broadcast_tensors(core(a), core(b))
    stacked = np.stack([left.numpy().ravel(), right.numpy().ravel()])
    rows, place = np.unique(stacked, axis=1, return_inverse=True)
    both = (rows != 0).all(axis=0)
    numbers = np.where(rows[0] != 0, rows[0], (1 if power == 1 else -1) * rows[1])
    for side in rows:
        run.spaces.not_permuted(side[~both], reason)
    new = run.spaces.new_units(int(both.sum()))
    numbers[both] = new
    run.spaces.relations.append(Relation((ONE, -ONE, -power), (new, rows[0][both], rows[1][both])))
    run.spaces.parities.append((new, rows[0][both], rows[1][both]))
    return torch.from_numpy(numbers[place.ravel()].reshape(left.shape)).expand(shape)


def _beside(
    run: Pass, call: Call, labels: torch.Tensor, other: Value, shape: tuple[int, ...]
) -> torch.Tensor:
    """Labels that meet no label of the other value: scales pass; no permutation where the other differs from unit to unit."""
    vary = other.vary.expand(shape)
    differs = any(shape[axis] > 1 and vary.stride()[axis] != 0 for axis in axes(labels))
    if differs and not _labelled_along(other, shape, axes(labels)):
        reason = reasoned(call, "fixed data that differ from unit to unit multiply it")
        run.spaces.not_permuted(array(labels), reason, _places(labels, vary))
    elif differs:
        run.spaces.fix(array(labels), reasoned(call, "values that are not transformed alike are multiplied"))
    return labels


def _places(labels: torch.Tensor, vary: torch.Tensor) -> Array:
    """Which of the fixed data stand at each entry of labels: numbers along the axes on which both differ."""
    small = core(labels)
    number = torch.zeros([1] * small.ndim, dtype=torch.int64)
    for axis, size in enumerate(small.shape):
        if size > 1 and vary.stride()[axis] != 0:
            view = [-1 if k == axis else 1 for k in range(small.ndim)]
            number = number * size + torch.arange(size).view(view)
    return number.expand(small.shape).numpy()


def _labelled_along(value: Value, shape: tuple[int, ...], along: tuple[int, ...]) -> bool:
    return any(set(axes(f.expand(shape))) & set(along) for f in value.factors)


def _product_shift(run: Pass, call: Call, x: Value, y: Value) -> torch.Tensor | None:
    """Shifts pass a factor that is one number; every other product stops them."""
    numbers = [a for a in call.args[:2] if isinstance(a, int | float)]
    if len(numbers) == 1 and numbers[0] != 0:
        c = Fraction(numbers[0])
        return run.scaled_shift(x if x.shift is not None else y, 1 / c if call.op.startswith("div") else c)
    for value in (x, y):
        run.still(value, reasoned(call, "a shift does not pass a product"))
    return None


@rule("where", "masked_fill", "masked_fill_")
def choose(run: Pass, call: Call, values: Any) -> Any:
    """where(mask, x, y) and masked_fill(x, mask, number): entries of values that must be transformed alike."""
    if call.op == "where":
        mask, *sides = values[:3]
    else:
        mask, sides = values[1], [values[0], constant()]
    sides = [s if s is not None else constant() for s in sides]
    if mask is None or not mask.plain:
        return run.unknown(call, reasoned(call, "entries are chosen by a mask that depends on hidden values"))
    shape = tuple(call.shape or ())
    fill = call.args[2] if len(call.args) > 2 and isinstance(call.args[2], int | float) else None
    if fill == 0 or fill in (float("inf"), float("-inf")):
        (x,) = [s for s in sides if not s.plain] or [sides[0]]
        for labels in x.factors:
            run.spaces.not_linear(array(labels), reasoned(call, "a mask"))
            if fill:
                run.spaces.scale_free(array(labels), reasoned(call, "a mask with infinite numbers"))
            _beside(run, call, labels.expand(shape), mask, shape)
        factors = tuple(f.expand(shape) for f in x.factors)
        run.still(x, reasoned(call, "a shift does not pass a mask"))
    else:
        factors = met(run, call, sides, shape, "a choice between values that are not transformed alike")
        for labels in factors:
            run.spaces.not_linear(array(labels), reasoned(call, "a mask"))
            _beside(run, call, labels, mask, shape)
        for side in sides:
            run.still(side, reasoned(call, "a shift does not pass a mask"))
    return Value(shape, factors, None, torch.zeros(shape, dtype=torch.int8))


@rule("maximum", "minimum")
def larger(run: Pass, call: Call, values: Any) -> Any:
    """max(x, y): one positive scale for both."""
    found = composed(run, call)
    if found is not None and isinstance(run.values.get(found[0]), Value):
        return apply_pointwise(run, call, values)
    x, y = (v if v is not None else constant() for v in values[:2])
    shape = tuple(call.shape or ())
    factors = met(run, call, [x, y], shape, "the larger of values that are not transformed alike")
    for labels in factors:
        run.spaces.not_linear(
            array(labels), reasoned(call, "the larger of two values lets positive scales pass")
        )
        run.spaces.sign_free(array(labels))
    shift = None
    if x.shift is not None and y.shift is not None and x.shift.shape == y.shift.shape:
        a, b = distinct(*_paired(x.shift, y.shift))
        run.spaces.relations.append(Relation((), (), (ONE, -ONE), (a, b)))
        shift = x.shift
    else:
        for value in (x, y):
            run.still(value, reasoned(call, "a shift of one of two values of which the larger is taken"))
    return Value(shape, factors, shift, torch.zeros(shape, dtype=torch.int8))


@rule("prelu", "_prelu_kernel")
def prelu(run: Pass, call: Call, values: Any) -> Value:
    """PReLU with slopes that are parameters: positively homogeneous for every slope; slopes change places with their units."""
    x, slope = values[:2]
    shape = tuple(call.shape or ())
    reason = reasoned(call, "PReLU lets positive scales pass, its slopes are not scaled")
    if len(slope.shape) == 1 and len(shape) > 1:
        slope = slope.moved(lambda t: t.view([-1 if k == 1 else 1 for k in range(len(shape))]))
    for labels in slope.factors:
        run.spaces.scale_free(array(labels), reason)
        run.spaces.sign_free(array(labels))
    run.still(slope, reason)
    run.still(x, reasoned(call, "a shift does not pass PReLU"))
    run.activations[call.name] = relations(sp.Piecewise((Z, Z >= 0), (SLOPE * Z, True)))
    factors = []
    for labels in x.factors:
        labels = labels.expand(shape)
        run.spaces.not_linear(array(labels), reason)
        run.spaces.sign_free(array(labels))
        partner = next(
            (f.expand(shape) for f in slope.factors if _kind(f.expand(shape)) == _kind(labels)), None
        )
        if partner is not None:
            u, v = distinct(*_paired(labels, partner))
            run.spaces.relations.append(Relation((Fraction(0), Fraction(0)), (u, v)))
        factors.append(labels)
    return Value(shape, tuple(factors), None, torch.zeros(shape, dtype=torch.int8))


@rule("glu")
def glu(run: Pass, call: Call, values: Any) -> Value:
    """u * sigmoid(g) of the two halves of a value."""
    halves = values[0].moved(lambda t: t.chunk(2, int(run.argument(call, 1, "dim", -1))))
    gate = function(run, call, halves[1], relations(1 / (1 + sp.exp(-Z))))
    return product(run, replace(call, args=()), halves[0], gate, ONE)


def _enter_pointwise() -> None:
    names = (
        "relu relu_ relu6 leaky_relu leaky_relu_ gelu silu silu_ mish hardtanh hardtanh_ clamp clamp_min clamp_max "
        "elu elu_ celu selu "
        "softplus softsign hardswish hardsigmoid tanh tanh_ sigmoid sigmoid_ log_sigmoid logsigmoid erf exp expm1 log log1p "
        "sin cos abs neg "
        "square pow rsqrt sqrt reciprocal atan asinh sinh cosh hardshrink softshrink threshold threshold_ rsub "
        "tanhshrink clip sign"
    )
    for name in names.split():
        RULES.setdefault(name, apply_pointwise)
        POINTWISE.add(name)


_enter_pointwise()

__all__ = ["total", "product", "met", "function"]
