"""Sums over an axis that two values share: linear layers, matrix products, convolutions, embeddings."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import torch

from symdiscover.network.rules.elementwise import total
from symdiscover.network.rules.table import FOLDING, Pass, reasoned, rule
from symdiscover.network.spaces import Pending, Reason, Relation, some
from symdiscover.network.trace import Call, Ref
from symdiscover.network.value import Value, array, axes, constant, core, plain

ONE = Fraction(1)
FOLDING |= {"linear", "matmul", "mm", "bmm", "mv", "addmm", "baddbmm", "einsum"}


@rule("linear")
def linear(run: Pass, call: Call, values: Any) -> Value:
    """y = x W^T + b: the columns of W are dual to x, its rows transform y."""
    x, weight = values[:2]
    lead = "abcdefgh"[: len(x.shape) - 1]
    y = contract(run, call, (x, lead + "k"), (weight, "ok"), lead + "o")
    bias = values[2] if len(values) > 2 else None
    return y if bias is None else total(run, call, y, bias)


@rule("matmul", "mm", "bmm", "mv", "dot")
def matmul(run: Pass, call: Call, values: Any) -> Value:
    """x y over the last axis of x and the last but one of y."""
    x, y = values[:2]
    return contract(run, call, *_matmul_letters(x, y))


@rule("addmm", "baddbmm")
def addmm(run: Pass, call: Call, values: Any) -> Any:
    """beta b + alpha x y."""
    if call.kwargs.get("alpha", 1) != 1 or call.kwargs.get("beta", 1) not in (0, 1):
        return run.unknown(call, reasoned(call, "a scaled addmm"))
    y = contract(run, call, *_matmul_letters(values[1], values[2]))
    return y if call.kwargs.get("beta", 1) == 0 else total(run, call, y, values[0])


def _matmul_letters(x: Value, y: Value) -> tuple[tuple[Value, str], tuple[Value, str], str]:
    if len(y.shape) == 1:
        lead = "abcdefgh"[: len(x.shape) - 1]
        return (x, lead + "k"), (y, "k"), lead
    if len(x.shape) == 1:
        lead = "abcdefgh"[: len(y.shape) - 2]
        return (x, "k"), (y, lead + "ko"), lead + "o"
    most = max(len(x.shape), len(y.shape)) - 2
    lead = "abcdefgh"[:most]
    return (
        (x, lead[most - len(x.shape) + 2 :] + "ik"),
        (y, lead[most - len(y.shape) + 2 :] + "ko"),
        lead + "io",
    )


@rule("einsum")
def einsum(run: Pass, call: Call, values: Any) -> Any:
    """A product of two values that is summed over one axis that both have."""
    equation, operands = call.args[0].replace(" ", ""), values[1]
    inputs, _, result = equation.partition("->")
    sides = inputs.split(",")
    summed = set(sides[0]) & set(sides[-1]) - set(result)
    plain_letters = all(s.isalpha() and len(set(s)) == len(s) for s in sides)
    if (
        len(sides) != 2
        or len(summed) != 1
        or not plain_letters
        or set("".join(sides)) - summed != set(result)
    ):
        return run.unknown(
            call, reasoned(call, f"einsum {equation} has no rule", "einsum of two values over one axis")
        )
    (k,) = summed
    names = str.maketrans({"k": "K", k: "k"})
    left, right = ((v, s.translate(names)) for v, s in zip(operands, sides, strict=True))
    refs = [a.name if isinstance(a, Ref) else "" for a in call.args[1]]
    if left[0].weights_only and not right[0].weights_only:
        left, right, refs = right, left, refs[::-1]
    return contract(run, call, left, right, result.translate(names), (refs[0], refs[1]))


def contract(
    run: Pass,
    call: Call,
    left: tuple[Value, str],
    right: tuple[Value, str],
    result: str,
    names: tuple[str, str] | None = None,
) -> Value:
    """sum_k of a product, with the axes named by letters as in einsum; the letter k is the one that is summed.

    `names` are the nodes of both values, where they are not the last two arguments of the call.
    """
    shape = tuple(call.shape or ())
    (x, a), (y, b) = left, right
    if x.zero or y.zero:
        return replace(constant(shape), zero=True)
    _take_gain_along(run, call, x, (y, b), last=a[-1] == "k")
    sides = [_spread(x, a, result), _spread(y, b, result)]
    size = x.shape[a.index("k")]
    summed = [[f for f in side if _along_k(f, size)] for side in sides]
    kept = [[f for f in side if not _along_k(f, size)] for side in sides]
    reason = reasoned(call, "it reads values on which nothing acts", "")
    if len(summed[0]) == len(summed[1]) == 1:
        u, v = torch.broadcast_tensors(core(summed[0][0]), core(summed[1][0]))
        run.spaces.equal(u.numpy(), -v.numpy(), reason)
    else:
        for labels in (*summed[0], *summed[1]):
            run.spaces.fix(array(labels), reason)
    for value, inside, outside in zip((x, y), summed, kept, strict=True):
        if value.weights_only:
            run.spaces.read += [some(array(labels)) for labels in inside]
            run.spaces.written += [some(array(labels)) for labels in outside]
    batch = [k for k, letter in enumerate(result + "k") if letter in a and letter in b and letter != "k"]
    factors = [f.narrow(-1, 0, 1)[..., 0] for side in kept for f in side]
    where = [f for f in factors if _only_places(run, f)]
    if len(where) < len(factors):  # the units themselves say which place they stand at
        factors = [f for f in factors if not _only_places(run, f)]
        if not any(set(axes(f)) & set(batch) for f in factors):
            for labels in where:
                run.spaces.not_permuted(array(labels), reasoned(call, "places share their units"))
    places = _places(run, [f for side in sides for f in side], batch)
    if places is not None:
        for labels in (*summed[0], *summed[1], *kept[0], *kept[1]):
            u, p = torch.broadcast_tensors(core(labels), places)
            if set(axes(labels)) & set(batch):
                run.spaces.touch(u.numpy(), p.numpy())
                run.spaces.event(p.numpy(), u.numpy())
        if not factors:
            factors.append(_event_units(run, places, reason)[..., 0].expand(shape))
    for side in sides:
        for labels in side:
            run.spaces.touch(array(labels), None)
    shift = _through(run, call, left, right, result, names or _operands(call))
    vary = torch.zeros(shape, dtype=torch.int8)
    wide = tuple(f.expand(shape) for f in factors if bool(f.any()))
    return Value(shape, wide, shift, vary, x.weights_only and y.weights_only)


def _take_gain_along(run: Pass, call: Call, x: Value, right: tuple[Value, str], last: bool) -> None:
    """Note that weights read a value with a folded gain; freeze it where they cannot take the gain along."""
    y, b = right
    for value in (x, y):
        if value.folded is None:
            continue
        if value is x and last and y.leaf and len(b) == 2 and run.uses(y.leaf) == 1:
            run.folds.append((y.leaf, b.index("k"), value.folded))
        else:
            run.freeze(value, Reason(call.name, "it does not take a gain along"))


def _spread(value: Value, letters: str, result: str) -> list[torch.Tensor]:
    """Factors with an axis for each letter of the result and one for k, of size 1 where the value has none."""
    order = [letters.index(letter) for letter in result + "k" if letter in letters]
    present = [letter in letters for letter in result + "k"]
    spread = []
    for labels in value.factors:
        moved = core(labels).permute(order)
        for k, here in enumerate(present):
            if not here:
                moved = moved.unsqueeze(k)
        spread.append(moved)
    return spread


def _along_k(labels: torch.Tensor, size: int) -> bool:
    return labels.shape[-1] > 1 or (size == 1 and labels.numel() == 1)


def _places(run: Pass, factors: list[torch.Tensor], batch: list[int]) -> torch.Tensor | None:
    """A number for each place of the batch axes at which other units stand; None where all places are alike."""
    cut = [f for f in factors if set(axes(f)) & set(batch)]
    if not cut or not batch:
        return None
    dims = len(factors[0].shape)
    shape = [max(f.shape[k] for f in cut) if k in batch else 1 for k in range(dims)]
    kinds = []
    for labels in cut:
        others = [k for k in range(dims) if k not in batch]
        flat = labels.permute(*batch, *others).reshape(*[labels.shape[k] for k in batch], -1)
        kinds.append(flat.expand(*[shape[k] for k in batch], flat.shape[-1]))
    rows = torch.cat(kinds, -1).reshape(-1, sum(k.shape[-1] for k in kinds))
    different, places = torch.unique(rows, dim=0, return_inverse=True)
    places = places + run.spaces.new_places(len(different))
    return places.view(*[shape[k] if k in batch else 1 for k in range(dims)])


def _only_places(run: Pass, labels: torch.Tensor) -> bool:
    return run.spaces.places.issuperset(np.abs(array(labels)).ravel().tolist())


def _event_units(run: Pass, places: torch.Tensor, reason: Any) -> torch.Tensor:
    """A unit for each place, which may change places with others and nothing else."""
    first = int(places.min())
    units = run.spaces.new_units(int(places.max()) - first + 1)
    run.spaces.places.update(units.tolist())
    run.spaces.scale_free(units, reason)
    run.spaces.sign_free(units)
    run.spaces.touch(units, np.arange(len(units)))
    labels = torch.from_numpy(units[places.numpy() - first])
    run.spaces.event(places.numpy(), labels.numpy())
    return labels


def _operands(call: Call) -> tuple[str, str]:
    arguments = call.args[1:3] if call.op in ("addmm", "baddbmm") else call.args[:2]
    first, second = (a.name if isinstance(a, Ref) else "" for a in arguments)
    return first, second


def _through(
    run: Pass,
    call: Call,
    left: tuple[Value, str],
    right: tuple[Value, str],
    result: str,
    names: tuple[str, str],
) -> torch.Tensor | None:
    """The shift of the result: a shift that goes through weights waits for a bias that takes it up."""
    from symdiscover.network.rules.attention import value_shifts

    (x, a), (y, b) = left, right
    reason = reasoned(call, "a shift does not pass it")
    if x.weights_only or y.weights_only:
        run.still(y, reason)
        rows = b.replace("k", "")
        alone = x.shift is not None and set(axes(x.shift)) <= {a.index("k")}
        if x.weights_only or not alone or len(b) != 2 or rows not in result or not names[1]:
            run.still(x, reason)
            return None
        assert x.shift is not None
        sources = core(x.shift).reshape(-1).numpy()
        form = "linear rows" if b[0] == rows else "linear columns"
        return waiting(run, call, names[1], sources, form, result.index(rows))
    return value_shifts(run, call, left, right, result, names)


def waiting(run: Pass, call: Call, weights: str, sources: np.ndarray, form: str, axis: int) -> torch.Tensor:
    """A new shift along an axis of the result: the weights of a node applied to the shifts `sources`."""
    shape = tuple(call.shape or ())
    numbers = run.spaces.new_shifts(shape[axis])
    run.spaces.owners.append((np.zeros_like(numbers), numbers))
    run.spaces.pendings.append(Pending(call.name, numbers, sources[sources != 0]))
    run.images[call.name] = (weights, sources, form)
    return torch.from_numpy(numbers).view([-1 if k == axis else 1 for k in range(len(shape))]).expand(shape)


@rule("embedding")
def embedding(run: Pass, call: Call, values: Any) -> Value:
    """Rows of a table, chosen by indices that are data."""
    table = values[0]
    reason = reasoned(call, "rows are chosen by indices that are data")
    factors = []
    for labels in table.factors:
        if 0 in axes(labels) or (table.shape[0] == 1 and 1 not in axes(labels) and table.shape[1] > 1):
            run.spaces.fix(array(labels), reason)
        else:
            run.spaces.written.append(some(array(labels)))
            factors.append(labels[0].expand(call.shape))
    shift = None if table.shift is None else table.shift[0].expand(call.shape)
    return Value(tuple(call.shape or ()), tuple(factors), shift, plain(call.shape).vary, False)


@rule("conv1d", "conv2d", "conv3d")
def convolution(run: Pass, call: Call, values: Any) -> Any:
    """A convolution: its channels are the rows and columns of a linear layer, of each group apart."""
    x, kernel = values[:2]
    groups = int(run.argument(call, 6, "groups", 1))
    y = _channels(run, call, x, kernel, groups, transposed=False)
    bias = values[2] if len(values) > 2 else None
    return y if bias is None or y is None else _with_bias(run, call, y, bias)


@rule("convolution")
def any_convolution(run: Pass, call: Call, values: Any) -> Any:
    """The one operation behind all convolutions: (x, kernel, bias, stride, padding, dilation, transposed, ..., groups)."""
    transposed, groups = bool(call.args[6]), int(call.args[8])
    if transposed and groups != 1:
        return run.unknown(call, reasoned(call, "a grouped transposed convolution has no rule"))
    y = _channels(run, call, values[0], values[1], groups, transposed)
    return y if values[2] is None else _with_bias(run, call, y, values[2])


@rule("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def transposed_convolution(run: Pass, call: Call, values: Any) -> Any:
    """The same with input and output channels exchanged in the kernel."""
    if int(run.argument(call, 6, "groups", 1)) != 1:
        return run.unknown(call, reasoned(call, "a grouped transposed convolution has no rule"))
    y = _channels(run, call, values[0], values[1], 1, transposed=True)
    bias = values[2] if len(values) > 2 else None
    return y if bias is None else _with_bias(run, call, y, bias)


def _with_bias(run: Pass, call: Call, y: Value, bias: Value) -> Value:
    return total(run, call, y, bias.moved(lambda t: t.view(-1, *[1] * (len(y.shape) - 2))))


def _channels(run: Pass, call: Call, x: Value, kernel: Value, groups: int, transposed: bool) -> Value:
    shape, spatial = tuple(call.shape or ()), len(kernel.shape) - 2
    axis = len(x.shape) - spatial - 1  # the channels; a batch axis may be missing
    reason = reasoned(call, "it reads values on which nothing acts")
    inputs = torch.zeros(x.shape[axis], dtype=torch.int64)
    for labels in x.factors:
        along = set(axes(labels))
        if axis in along or (x.shape[axis] == 1 and labels.any()):
            small = core(
                labels
            )  # units that differ from place to place are convolved: one element for all places
            first = small[tuple(slice(None) if k == axis else slice(0, 1) for k in range(small.ndim))]
            run.spaces.equal(small.numpy(), first.numpy(), reason)
            inputs = first.reshape(-1)
        else:
            run.spaces.fix(
                array(labels), reasoned(call, "units that stand at different places are convolved")
            )
    rows, columns = _kernel_units(kernel, transposed, reason, run)
    run.still(kernel, reason)
    outputs, per = shape[axis], x.shape[axis] // groups
    read = inputs.view(groups, 1, per).expand(groups, outputs // groups, per).reshape(outputs, per)
    if groups > 1 and per == 1:  # depthwise: rows of the kernel and its inputs are one to one
        out = _depthwise(run, rows, columns[:, 0], read[:, 0], reason)
    else:
        u, v = (read[:1], columns[:1]) if groups == 1 else (read, columns)
        run.spaces.equal(u.numpy(), -v.numpy(), reason)
        run.spaces.read.append(some(columns.numpy()))
        out = rows
    run.spaces.written.append(some(rows.numpy()))
    group = np.repeat(np.arange(groups), outputs // groups) if per > 1 else None
    run.spaces.touch(out.numpy(), group)
    run.spaces.touch(inputs.numpy(), np.repeat(np.arange(groups), per) if per > 1 else None)
    shift = _convolved_shift(run, call, x, axis, kernel, groups, transposed)
    wide = out.view(-1, *[1] * spatial).expand(shape)
    vary = torch.zeros(shape, dtype=torch.int8)
    return Value(shape, (wide,) if bool(wide.any()) else (), shift, vary)


def _kernel_units(
    kernel: Value, transposed: bool, reason: Any, run: Pass
) -> tuple[torch.Tensor, torch.Tensor]:
    """Units of the output channels, (O,), and of the inputs of each, (O, I)."""
    out_axis = 1 if transposed else 0
    rows = torch.zeros(kernel.shape[out_axis], dtype=torch.int64)
    columns = torch.zeros(kernel.shape[out_axis], kernel.shape[1 - out_axis], dtype=torch.int64)
    single = next((f for f in kernel.factors if not axes(f)), None)
    for labels in kernel.factors:
        along = set(axes(labels)) - {0, 1}
        flat = labels.reshape(*labels.shape[:2], -1)[:, :, 0]
        if along:
            run.spaces.fix(array(labels), reason)
        elif set(axes(labels)) == {out_axis} or (labels is single and kernel.shape[out_axis] == 1):
            rows = flat.select(1 - out_axis, 0)
        else:
            columns = flat if out_axis == 0 else flat.mT
    return rows, columns


def _depthwise(
    run: Pass, rows: torch.Tensor, columns: torch.Tensor, read: torch.Tensor, reason: Any
) -> torch.Tensor:
    """out = row + input; the second axis of the kernel, of size one, does nothing of its own."""
    run.spaces.fix(columns.numpy(), reason)
    live = (read != 0).numpy()
    out = np.array(rows.numpy())
    new = run.spaces.new_units(int(live.sum()))
    out[live] = new
    run.spaces.relations.append(Relation((ONE, -ONE, -ONE), (new, rows.numpy()[live], read.numpy()[live])))
    run.spaces.parities.append((new, rows.numpy()[live], read.numpy()[live]))
    return torch.from_numpy(out)


def _convolved_shift(
    run: Pass, call: Call, x: Value, axis: int, kernel: Value, groups: int, transposed: bool
) -> torch.Tensor | None:
    """A constant goes through a convolution without padding as through a linear layer."""
    if x.shift is None:
        return None
    padding = run.argument(call, 4, "padding", 0)
    padded = padding != "valid" and np.any(np.asarray(0 if isinstance(padding, str) else padding) != 0)
    padded |= isinstance(padding, str) and padding != "valid"
    weights = call.args[1]
    if transposed or padded or set(axes(x.shift)) != {axis} or not isinstance(weights, Ref) \
            or not kernel.weights_only:  # fmt: skip
        run.still(x, reasoned(call, "a shift does not pass the zeros around an image"))
        return None
    return waiting(run, call, weights.name, core(x.shift).reshape(-1).numpy(), "convolution rows", axis)


__all__ = ["contract", "waiting"]
