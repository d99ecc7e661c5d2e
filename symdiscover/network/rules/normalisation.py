"""Norms: what they leave of the group of the values they normalise, and the gain and bias after them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import torch

from symdiscover.network.rules.elementwise import product, total
from symdiscover.network.rules.table import Pass, reasoned, rule
from symdiscover.network.spaces import Relation, some
from symdiscover.network.trace import Call
from symdiscover.network.value import Value, array, axes, core, plain


def _gained(
    run: Pass, call: Call, n: Value, weight: Value | None, bias: Value | None, axis: int = -1
) -> Value:
    """gamma n + beta along an axis."""
    shape = [1] * len(n.shape)
    shape[axis] = -1
    if weight is not None:
        view = weight if axis == -1 else weight.moved(lambda t: t.view(shape))
        n = product(run, replace(call, args=()), n, view, Fraction(1))
    if bias is not None:
        n = total(run, call, n, bias if axis == -1 else bias.moved(lambda t: t.view(shape)))
    return n


@rule("layer_norm", "native_layer_norm")
def layer_norm(run: Pass, call: Call, values: Any) -> Any:
    """(x - mean) / std gamma + beta over the last axes: permutations pass, scales do not."""
    x, dims = values[0], len(call.args[1])
    reason = reasoned(call, "LayerNorm leaves permutations of what it normalises, and no scale")
    if run.folding and dims == 1:
        normed(run, call, x)
        run.spaces.ones += [some(array(labels)) for labels in x.factors]
    for labels in x.factors if not run.folding or dims != 1 else ():
        run.spaces.scale_free(array(labels), reason)
        run.spaces.sign_free(array(labels))
    run.still(x, reasoned(call, "LayerNorm sees a shift that is not the same in all units"))
    n = replace(x, shift=None, vary=torch.zeros(x.shape, dtype=torch.int8))
    if dims == 1:
        n = _gained(run, call, n, *[*values[2:4], None, None][:2])
    else:
        for weight in values[2:4]:
            if weight is not None:
                run.freeze(weight, reasoned(call, "a gain over several axes"))
        run.freeze(n, reasoned(call, "a norm over several axes"))
    return n if call.op == "layer_norm" else [n, None, None]


@rule("rms_norm", "_fused_rms_norm")
def rms_norm(run: Pass, call: Call, values: Any) -> Any:
    """x / rms(x) gamma over the last axis: rotations pass, before gamma."""
    x = values[0]
    normed(run, call, x)
    run.still(x, reasoned(call, "a norm sees every shift"))
    n = replace(x, shift=None, vary=torch.zeros(x.shape, dtype=torch.int8))
    n = _gained(run, call, n, values[2] if len(values) > 2 else None, None)
    return n if call.op == "rms_norm" else [n, None]


def normed(run: Pass, call: Call, x: Value) -> None:
    """The length of x along its last axis must stay: rotations, signs and permutations pass, scales do not."""
    reason = reasoned(call, "a norm leaves rotations of what it normalises, and no scale")
    for labels in x.factors:
        run.spaces.unscaled.append((some(array(labels)), reason))
        run.spaces.orthogonal.append((some(array(labels)), reason))


@rule("linalg_vector_norm")
def vector_norm(run: Pass, call: Call, values: Any) -> Any:
    """|x| along axes: rotations pass where the norm is Euclidean and the axes are those of the units."""
    x, order = values[0], run.argument(call, 1, "ord", 2)
    dims = run.argument(call, 2, "dim")
    return norm_over(run, call, x, dims, euclidean=order == 2)


def norm_over(run: Pass, call: Call, x: Value, dims: Any, euclidean: bool) -> Value:
    """A reduction that sees only the length along the given axes."""
    dims = range(len(x.shape)) if dims is None else [dims] if isinstance(dims, int) else dims
    over = {int(d) % len(x.shape) for d in dims}
    run.still(x, reasoned(call, "a norm sees every shift"))
    kept = []
    for labels in x.factors:
        along = set(axes(labels))
        if along <= over and along and euclidean:
            normed(run, call, replace(x, factors=(labels,)))
        elif along <= over and along:
            run.spaces.scale_free(array(labels), reasoned(call, "a norm that is not Euclidean"))
        elif not along & over and euclidean:
            run.spaces.not_linear(array(labels), reasoned(call, "a norm of single units"))
            run.spaces.sign_free(array(labels))
            kept.append(labels)
        else:
            run.spaces.fix(array(labels), reasoned(call, "a norm over a part of the axes"))
    keep = bool(call.shape is not None and len(call.shape) == len(x.shape))
    shape = tuple(call.shape or ())
    result = []
    for labels in kept:
        for axis in sorted(over, reverse=True):
            labels = labels.narrow(axis, 0, 1) if keep else labels.select(axis, 0)
        result.append(labels.expand(shape))
    return Value(shape, tuple(result), None, torch.zeros(shape, dtype=torch.int8))


@rule("_weight_norm", "_weight_norm_interface")
def weight_norm(run: Pass, call: Call, values: Any) -> Any:
    """g v / |v|, a norm for each row: a scale of g scales the row; the length of a row of v is not seen at all."""
    v, g = values[:2]
    dim = int(run.argument(call, 2, "dim", 0))
    reason = reasoned(call, "weight_norm sees the direction of a row of v alone")
    shape = v.shape
    gain = next((f for f in g.factors if set(axes(f)) <= {dim} and (axes(f) or g.shape[dim] == 1)), None)
    for labels in g.factors:
        if labels is not gain:
            run.spaces.fix(array(labels), reason)
    factors = []
    for labels in v.factors:
        if set(axes(labels)) == {dim} and gain is not None:
            rows, scale = (core(t).reshape(-1).numpy() for t in (labels, gain))
            new = run.spaces.new_units(len(rows))
            run.spaces.relations.append(
                Relation((Fraction(1), Fraction(-1), Fraction(0)), (new, scale, rows))
            )
            run.spaces.parities.append((new, scale, rows))
            run.spaces.alone.append(rows)
            view = [-1 if k == dim else 1 for k in range(len(shape))]
            factors.append(torch.from_numpy(new).view(view).expand(shape))
        else:
            normed(run, call, replace(v, factors=(labels,)))
            factors.append(labels)
    for value in (v, g):
        run.still(value, reason)
    result = Value(shape, tuple(factors), None, torch.zeros(shape, dtype=torch.int8), v.weights_only)
    return result if call.shape is not None else [result, None]


@rule("group_norm", "native_group_norm")
def group_norm(run: Pass, call: Call, values: Any) -> Any:
    """Each group of channels normalised: channels of one group change places, scales do not pass."""
    x = values[0]
    weight, bias = [*values[2:4], None, None][:2] if call.op == "group_norm" else (values[1], values[2])
    groups = int(call.args[1] if call.op == "group_norm" else call.args[6])
    channels = x.shape[1]
    reason = reasoned(call, "GroupNorm leaves permutations within a group, and no scale")
    for labels in x.factors:
        if set(axes(labels)) - {1}:
            run.spaces.fix(array(labels), reason)
            continue
        run.spaces.scale_free(array(labels), reason)
        run.spaces.sign_free(array(labels))
        if groups not in (1, channels):
            place = torch.arange(channels) // (channels // groups)
            run.spaces.touch(labels[(0, slice(None), *[0] * (len(x.shape) - 2))].numpy(), place.numpy())
    run.still(x, reasoned(call, "GroupNorm sees a shift that is not the same in all units"))
    n = replace(x, shift=None, vary=torch.zeros(x.shape, dtype=torch.int8))
    n = _gained(run, call, n, weight, bias, axis=1)
    return n if call.op == "group_norm" else [n, None, None]


@rule(
    "batch_norm",
    "native_batch_norm",
    "_native_batch_norm_legit_no_training",
    "_native_batch_norm_legit",
    "instance_norm",
)
def batch_norm(run: Pass, call: Call, values: Any) -> Any:
    """Each channel normalised with its running statistics, which are buffers and stay: gain and bias move."""
    x, weight, bias = values[:3]
    buffers = call.op != "_native_batch_norm_legit" and values[3] is not None
    if buffers:
        reason = reasoned(
            call, "BatchNorm has running statistics, which are buffers and are not moved",
            "the gain and bias after it do move",
        )  # fmt: skip
        run.freeze(x, reason)
        n = plain(x.shape)
    else:
        reason = reasoned(call, "a norm of each channel leaves no scale (its eps is not 0)")
        for labels in x.factors:
            run.spaces.scale_free(array(labels), reason)
        if x.shift is not None and set(axes(x.shift)) - {1}:
            run.still(
                x, reasoned(call, "a norm sees a shift that is not the same everywhere")
            )  # the mean takes others away
        n = replace(x, shift=None, vary=torch.zeros(x.shape, dtype=torch.int8))
    n = _gained(run, call, n, weight, bias, axis=1)
    return n if call.shape is not None else [n, None, None, None, None]
