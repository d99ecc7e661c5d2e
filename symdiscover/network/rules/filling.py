"""Values filled with one number: the same everywhere, and zeros are transformed by anything into themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from symdiscover.network.rules.table import MOVES, Pass, rule
from symdiscover.network.trace import Call
from symdiscover.network.value import Value, constant

#: Operation -> the number it fills in; None: it is the argument after the shape.
NUMBERS = {
    "zeros": 0, "zeros_like": 0, "new_zeros": 0, "ones": 1, "ones_like": 1, "new_ones": 1,
    "full": None, "full_like": None, "new_full": None, "scalar_tensor": None,
}  # fmt: skip


@rule(*NUMBERS)
def fill(run: Pass, call: Call, values: Any) -> Value:
    """A tensor of one number, whatever value lent it its shape."""
    number = NUMBERS[call.op]
    if number is None:
        position = {"new_full": 2, "scalar_tensor": 0}.get(call.op, 1)
        number = run.argument(call, position, "s" if call.op == "scalar_tensor" else "fill_value")
    return replace(constant(call.shape or ()), zero=isinstance(number, int | float) and number == 0)


for _name in NUMBERS:
    MOVES[_name] = fill
