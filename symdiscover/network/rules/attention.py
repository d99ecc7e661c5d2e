"""Attention, fused or written out: scores between queries and keys, weights that sum to one, mixed values.

What softmax does not see: a number added to all scores of a query (a shift of the keys' bias); what a sum with weights
that add up to one hands on: a shift of the values.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from symdiscover.network.rules.contraction import contract
from symdiscover.network.rules.elementwise import met
from symdiscover.network.rules.invariance import free_of_ones, sums_to_one
from symdiscover.network.rules.table import Pass, reasoned, rule
from symdiscover.network.trace import Call
from symdiscover.network.value import Value, array, axes


def value_shifts(
    run: Pass,
    call: Call,
    left: tuple[Value, str],
    right: tuple[Value, str],
    result: str,
    names: tuple[str, str],
) -> torch.Tensor | None:
    """The shift of a product of two hidden values: none, unless a softmax swallows it or it is handed on whole."""
    reason = reasoned(call, "a shift does not pass a product of hidden values")
    passed = None
    for (value, letters), (_, others), other in ((left, right, names[1]), (right, left, names[0])):
        if value.shift is None:
            continue
        along = {letters[axis] for axis in axes(value.shift)}
        free = [letter for letter in letters if letter not in others]
        if "k" in along and free and not along & set(free):
            if not free_of_ones(run, call.name, result.index(free[0])):
                run.still(value, reason)
        elif "k" not in along and passed is None and sums_to_one(run, other, others.index("k")):
            order = [letters.index(letter) for letter in result if letter in letters]
            moved = value.shift.select(letters.index("k"), 0) if "k" in letters else value.shift
            order = [i - (i > letters.index("k")) for i in order]
            moved = moved.permute(order)
            for k, letter in enumerate(result):
                if letter not in letters:
                    moved = moved.unsqueeze(k)
            passed = moved.expand(tuple(call.shape or ()))
        else:
            run.still(value, reason)
    return passed


@rule("scaled_dot_product_attention")
def attention(run: Pass, call: Call, values: Any) -> Value:
    """softmax(q k^T / sqrt(d) + mask) v."""
    query, key, value = values[:3]
    mask = run.value(run.argument(call, 3, "attn_mask"))
    if call.kwargs.get("enable_gqa"):
        times = query.shape[-3] // key.shape[-3]
        key, value = (v.moved(lambda t: t.repeat_interleave(times, -3)) for v in (key, value))
    run.still(query, reasoned(call, "a shift of the queries changes the scores"))
    lead = "abcdefgh"[: len(query.shape) - 2]
    scores_shape = (*query.shape[:-1], key.shape[-2])
    scores = contract(
        run, replace(call, shape=scores_shape), (replace(query, shift=None), lead + "ik"),
        (replace(key, shift=None), lead + "jk"), lead + "ij", ("", ""),
    )  # fmt: skip
    if isinstance(mask, Value):
        run.still(mask, reasoned(call, "a shift of a mask changes the scores"))
        factors = met(
            run,
            call,
            [scores, replace(mask, shift=None)],
            scores_shape,
            "a mask that differs from head to head",
        )
        scores = replace(scores, factors=factors)
    scores = replace(scores, zero=False)  # softmax(0) is not 0
    mixed = contract(
        run, call, (scores, lead + "ik"), (replace(value, shift=None), lead + "ko"), lead + "io", ("", "")
    )
    if value.shift is None or len(value.shape) - 2 in axes(value.shift):
        run.still(value, reasoned(call, "a shift that differs from key to key"))
        return mixed
    shift = value.shift.select(-2, 0).unsqueeze(-2).expand(mixed.shape)
    return replace(mixed, shift=shift)


@rule("softmax", "_softmax", "log_softmax", "_log_softmax", "softmin")
def softmax(run: Pass, call: Call, values: Any) -> Value:
    """exp(x) / sum exp(x) along an axis: permutations of the axis pass, nothing else."""
    x = values[0]
    reason = reasoned(call, "softmax leaves permutations only")
    for labels in x.factors:
        run.spaces.scale_free(array(labels), reason)
        run.spaces.sign_free(array(labels))
    run.still(x, reason)
    return replace(x, shift=None, vary=torch.zeros(x.shape, dtype=torch.int8))
