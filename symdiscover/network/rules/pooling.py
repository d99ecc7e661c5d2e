"""Means, sums, extrema and pooling."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import torch

from symdiscover.network.rules.elementwise import square_of
from symdiscover.network.rules.normalisation import norm_over
from symdiscover.network.rules.table import Pass, flat, reasoned, rule
from symdiscover.network.trace import Call
from symdiscover.network.value import Value, array, axes, core


@rule("mean", "sum", "amax", "amin", "max", "min", "logsumexp")
def reduce(run: Pass, call: Call, values: Any) -> Any:
    """Reduction over axes: units along other axes pass; along the axes themselves only permutations do."""
    x = values[0]
    square = squared(run, call) if call.op in ("mean", "sum") else None
    dims = run.argument(call, 1, "dim")
    if square is not None:
        return norm_over(run, call, square, dims, euclidean=True)
    if call.op in ("max", "min") and (dims is None or call.shape is None):
        return run.unknown(call, reasoned(call, f"the {call.op} of all entries, or with its place"))
    dims = range(len(x.shape)) if dims is None or dims == [] else [dims] if isinstance(dims, int) else dims
    over = {int(d) % len(x.shape) for d in dims}
    shape = tuple(call.shape or ())
    keep = len(shape) == len(x.shape)
    linear = call.op in ("mean", "sum")

    def shrunk(labels: torch.Tensor) -> torch.Tensor:
        for axis in sorted(over, reverse=True):
            labels = labels.narrow(axis, 0, 1) if keep else labels.select(axis, 0)
        return labels.expand(shape)

    reason = reasoned(call, f"{call.op} over the units leaves their permutations only")
    factors = []
    for labels in x.factors:
        if set(axes(labels)) & over or (not axes(labels) and len(over) == len(x.shape)):
            run.spaces.scale_free(array(labels), reason)
            run.spaces.sign_free(array(labels))
            if set(axes(labels)) - over:
                run.spaces.touch(array(labels), _rest(labels, over))
            continue
        if not linear:
            run.spaces.not_linear(array(labels), reasoned(call, f"{call.op} lets positive scales pass"))
            run.spaces.sign_free(array(labels))
            if call.op == "logsumexp":
                run.spaces.scale_free(array(labels), reason)
        factors.append(shrunk(labels))
    count = 1
    for axis in over:
        count *= x.shape[axis]
    shift = None
    if x.shift is not None:
        if linear and not set(axes(x.shift)) & over:
            shifted = run.scaled_shift(x, Fraction(count if call.op == "sum" else 1))
            shift = None if shifted is None else shrunk(shifted)
        else:
            run.still(x, reasoned(call, "a shift does not pass a reduction over the units"))
    return Value(shape, tuple(factors), shift, torch.zeros(shape, dtype=torch.int8))


def squared(run: Pass, call: Call) -> Value | None:
    """The value x of which a call reduces the squares."""
    source = square_of(run, call)
    value = run.values[source] if source is not None else None
    return value if isinstance(value, Value) and not value.plain else None


def _rest(labels: torch.Tensor, over: set[int]) -> Any:
    small = core(labels)
    kept = [k for k in range(small.ndim) if k not in over]
    number = torch.zeros([1] * small.ndim, dtype=torch.int64)
    for k in kept:
        number = number * small.shape[k] + torch.arange(small.shape[k]).view(
            [-1 if a == k else 1 for a in range(small.ndim)]
        )
    return number.expand(small.shape).numpy()


_DIMENSIONS = {"1d": 1, "2d": 2, "3d": 3}


@rule(
    "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d",
    "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "max_pool1d", "max_pool2d", "max_pool3d", "adaptive_max_pool2d",
    "max_pool2d_with_indices", "max_pool1d_with_indices", "upsample_nearest2d", "upsample_bilinear2d",
    "upsample_nearest1d", "upsample_linear1d", "upsample_bicubic2d", "constant_pad_nd", "pad", "reflection_pad2d",
    "replication_pad2d", "reflection_pad1d", "replication_pad1d", "_upsample_nearest_exact2d",
)  # fmt: skip
def pool(run: Pass, call: Call, values: Any) -> Any:
    """Over places, one channel apart from the other: means let all pass, maxima positive scales and permutations."""
    x = values[0]
    shape = call.shape
    if shape is None:
        first = next((u for u in run.users[call.name] if u.op == "getitem" and u.args[1] == 0), None)
        if first is None or len(run.users[call.name]) != 1:
            return run.unknown(call, reasoned(call, "the places of maxima are used"))
        shape = first.shape
    assert shape is not None
    changed = {k for k, (a, b) in enumerate(zip(x.shape, shape, strict=True)) if a != b} | _spatial(
        call, len(x.shape)
    )
    fill = run.argument(call, 2, "value", 0) if call.op in ("constant_pad_nd", "pad") else 0
    maximum = "max" in call.op
    factors = []
    for labels in x.factors:
        if (
            set(axes(labels)) & changed
        ):  # units that differ from place to place are pooled: one element for all places
            run.spaces.equal(
                array(labels), array(_stretched(labels, changed, x.shape)), reasoned(call, "pooling")
            )
        if maximum:
            run.spaces.not_linear(array(labels), reasoned(call, "max pooling lets positive scales pass"))
            run.spaces.sign_free(array(labels))
        if fill not in (0, None):
            run.spaces.scale_free(array(labels), reasoned(call, "padding with a number"))
        factors.append(_stretched(labels, changed, shape))
    shift = x.shift
    if shift is not None:
        padded = "pad" in call.op or ("pool" in call.op and "adaptive" not in call.op and _padded(run, call))
        if set(axes(shift)) & changed or padded:
            run.still(x, reasoned(call, "a shift does not pass padding"))
            shift = None
        else:
            shift = _stretched(shift, changed, shape)
    result = Value(tuple(shape), tuple(factors), shift, torch.zeros(shape, dtype=torch.int8))
    return result if call.shape is not None else [result, None]


def _spatial(call: Call, rank: int) -> set[int]:
    if "pool" in call.op or "upsample" in call.op:
        dims = next((n for key, n in _DIMENSIONS.items() if key in call.op), 2)
        return set(range(rank - dims, rank))
    return set()


def _padded(run: Pass, call: Call) -> bool:
    padding = run.argument(call, 3, "padding", 0)
    return any(padding) if isinstance(padding, list | tuple) else bool(padding)


def _stretched(labels: torch.Tensor, changed: set[int], shape: tuple[int, ...]) -> torch.Tensor:
    for axis in changed:
        labels = labels.narrow(axis, 0, 1)
    return labels.expand(shape)


@rule("output")
def output(run: Pass, call: Call, values: Any) -> None:
    """What the model returns is what must not change."""
    for value in flat(values):
        run.freeze(
            value, reasoned(call, "it is an output of the model", "only hidden values may be transformed")
        )
