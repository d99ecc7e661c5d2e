from __future__ import annotations

import inspect
import math

import pytest
import sympy as sp
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from symdiscover.errors import SymmetryError
from symdiscover.identity import value_at
from symdiscover.network import activation
from symdiscover.network.activation import (
    EXPRESSIONS,
    OPERATIONS,
    SLOPE,
    Z,
    expression_of,
    expression_of_op,
    register,
)
from symdiscover.network.formula import Undecided
from symdiscover.network.pieces import split

MODULES = [
    *(kind(0.5, 2.0) if kind is nn.Threshold else kind() for kind in EXPRESSIONS),
    nn.GELU("tanh"),
    nn.CELU(0.7),
    nn.ELU(1.3),
    nn.Softplus(2.0, 10.0),
    nn.Softplus(1.0, math.inf),
    nn.Hardtanh(-2.0, 1.0),
    nn.Hardtanh(0.0, math.inf),
    nn.Threshold(0.0, 0.0),
    nn.Hardshrink(0.0),
    nn.Softshrink(1.25),
    nn.LeakyReLU(-1.0),
    nn.LeakyReLU(1 / 3),
]
#: The values of the constants that a module has learned, or that a mask has in evaluation mode.
CONSTANTS = {nn.PReLU: 0.25, nn.RReLU: 11 / 48, nn.Dropout: 1.0}


def known(module: nn.Module) -> sp.Expr:
    """The expression of a module, its constants set to their values."""
    return expression_of(module).subs(SLOPE, sp.Rational(str(CONSTANTS.get(type(module), 1))))


def kinks(expression: sp.Expr) -> list[float]:
    try:
        return [float(kink) for kink in split(expression).kinks]
    except Undecided:
        return []


def points(expression: sp.Expr) -> list[float]:
    """From -50 to 50, and on both sides of every kink and at it."""
    beside = [kink + step for kink in kinks(expression) for step in (-1e-9, 0.0, 1e-9)]
    return [*(k * 1.67 for k in range(-30, 31)), *beside]


def computed(function, at: list[float]) -> list[float]:
    if isinstance(function, nn.Module):
        function = function.double().eval()
    with torch.no_grad():
        return function(torch.tensor(at, dtype=torch.float64)).tolist()


def value(expression: sp.Expr, point: float) -> float:
    found = value_at(expression, {Z: sp.Rational(point)}, 40)
    return math.nan if found is None else float(found)


def disagreement(function, expression: sp.Expr) -> float:
    """The largest difference from an expression, relative to the value and to what rounding the argument allows."""
    at = points(expression)
    pairs = [(z, a, value(expression, z)) for z, a in zip(at, computed(function, at), strict=True)]
    assert any(math.isfinite(b) for _, _, b in pairs)
    if any(math.isfinite(a) != math.isfinite(b) for _, a, b in pairs):
        return math.inf
    return max(abs(a - b) / (abs(b) + 1e-3 * (1 + abs(z))) for z, a, b in pairs if not math.isnan(b))


@pytest.mark.parametrize("module", MODULES, ids=repr)
def test_every_expression_is_the_function_that_torch_computes(module) -> None:
    assert disagreement(module, known(module)) < 1e-12


def test_an_expression_of_another_function_is_told_apart() -> None:
    assert disagreement(nn.SiLU(), known(nn.GELU())) > 1e-3
    assert disagreement(nn.GELU(), known(nn.GELU("tanh"))) > 1e-6
    assert disagreement(nn.LeakyReLU(0.1), known(nn.LeakyReLU(0.1000001))) > 1e-8
    assert disagreement(nn.Softplus(), known(nn.Softplus(1.0, 21.0))) > 1e-11
    assert (
        disagreement(nn.Hardshrink(0.5), sp.Piecewise((0, sp.Abs(Z) < 0.5), (Z, True))) > 0.1
    )  # at the kink alone


def test_every_activation_of_torch_is_known_or_is_not_elementwise() -> None:
    listed = {getattr(nn.modules.activation, name) for name in nn.modules.activation.__all__}
    whole = {nn.GLU, nn.MultiheadAttention, nn.Softmin, nn.Softmax, nn.Softmax2d, nn.LogSoftmax}
    assert listed - whole <= set(EXPRESSIONS)
    assert not whole & set(EXPRESSIONS)


@settings(max_examples=25)
@given(st.floats(-4, 4).map(lambda slope: round(slope, 3)))
def test_every_slope_of_a_leaky_relu_is_read_from_the_module(slope) -> None:
    assert expression_of(nn.LeakyReLU(slope)).subs(Z, -1) == -sp.Rational(str(slope))


def test_a_setting_is_the_shortest_rational_that_rounds_to_it() -> None:
    assert expression_of(nn.LeakyReLU(1 / 3)).subs(Z, -1) == -sp.Rational(1, 3)
    assert expression_of_op("mul", [Z, 0.1]) == Z / 10
    assert expression_of_op("add", [Z, -2.5]) == Z - sp.Rational(5, 2)


def test_a_subclass_is_not_taken_for_its_parent() -> None:
    class Shifted(nn.ReLU):
        def forward(self, x):
            return super().forward(x - 1)

    assert expression_of(Shifted()) is None
    assert expression_of(nn.ReLU()) is not None


class Elementwise(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def composed(module: nn.Module) -> sp.Expr | None:
    """The expression of the one operation after another of the exported program."""
    example = (torch.ones(2, 3, dtype=torch.float64),)
    program = torch.export.export(module.double().eval(), example, strict=False).run_decompositions({})
    values: dict[object, object] = {}
    for node in program.graph.nodes:
        if node.op == "placeholder":
            values[node] = Z
        elif node.op == "call_function":
            name = node.target.__name__.partition(".")[0]
            arguments = [values.get(argument, argument) for argument in node.args]
            keywords = {key: values.get(item, item) for key, item in node.kwargs.items()}
            values[node] = last = expression_of_op(name, arguments, keywords)
    return last


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * torch.sigmoid(1.702 * x),
        lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        lambda x: torch.maximum(0.1 * x, x),
        lambda x: torch.where(x > 0, x, 0.1 * x),
        lambda x: F.relu(x) ** 2,
        lambda x: x.clamp(min=0.25),
        lambda x: 1 - x.tanh(),
        lambda x: x.add(2).mul_(3).relu_(),
        lambda x: x.abs().sqrt().neg(),
        lambda x: x / (1 + x.abs()),
        lambda x: torch.rsqrt(x.square() + 1e-5) * x,
        lambda x: F.softshrink(x, 0.75) - F.hardshrink(x, 0.75),
        lambda x: F.gelu(x, approximate="tanh"),
        lambda x: x + torch.sin(x) ** 2,
    ],
    ids=inspect.getsource,
)
def test_a_chain_of_operations_composes_to_what_it_computes(function) -> None:
    expression = composed(Elementwise(function))
    assert disagreement(function, expression) < 1e-12
    assert disagreement(lambda x: function(x) + 1e-6 * x, expression) > 1e-8


@pytest.mark.parametrize(
    "module",
    [nn.Hardshrink(), nn.Softshrink(), nn.Tanhshrink(), nn.Softsign(), nn.CELU(0.7), nn.Softplus(2.0)],
    ids=repr,
)
def test_a_module_and_its_exported_operations_are_one_function(module) -> None:
    expression = composed(module)
    assert all(abs(value(expression - known(module), z)) < 1e-30 for z in points(known(module)))


#: Further arguments of operations.
ARGUMENTS = {
    "threshold": (0.5, 2.0),
    "clamp": (-1.0, 2.0),
    "clamp_min": (0.5,),
    "clamp_max": (0.5,),
    "pow": (3,),
    "add": (2.5,),
    "sub": (2.5,),
    "rsub": (2.5,),
    "mul": (2.5,),
    "div": (2.5,),
}
CONDITIONS = {"gt", "ge", "lt", "le", "where"}


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in CONDITIONS])
def test_every_operation_is_that_of_aten(name) -> None:
    operation = getattr(torch.ops.aten, name)
    if name in ("maximum", "minimum"):
        assert disagreement(lambda x: operation(x, 0.5 * x), expression_of_op(name, [Z, Z / 2])) < 1e-12
    elif name == "prelu":
        weight = torch.tensor([0.3], dtype=torch.float64)
        assert disagreement(lambda x: operation(x, weight), expression_of_op(name, [Z, 0.3])) < 1e-12
    else:
        further = ARGUMENTS.get(name, ())
        assert disagreement(lambda x: operation(x, *further), expression_of_op(name, [Z, *further])) < 1e-12


@pytest.mark.parametrize("name", sorted(CONDITIONS - {"where"}))
def test_comparisons_choose_the_branch_that_torch_chooses(name) -> None:
    chosen = expression_of_op("where", [expression_of_op(name, [Z, 0.5]), Z, 7.0])
    compare = getattr(torch, name)
    assert disagreement(lambda x: torch.where(compare(x, 0.5), x, 7.0), chosen) < 1e-12
    assert disagreement(lambda x: torch.where(compare(x, 0.5), 7.0, x), chosen) > 1


@pytest.mark.parametrize(
    ("name", "arguments", "keywords"),
    [
        ("softmax", [Z, -1], {}),
        ("div", [Z, 2], {"rounding_mode": "floor"}),
        ("gelu", [Z], {"approximate": "cubic"}),
        ("add", [Z, torch.ones(3)], {}),
        ("add", [Z, math.nan], {}),
        ("relu", [Z, Z], {}),
        ("exp", [Z], {"out": Z}),
        ("clamp", [Z], {"middle": 0}),
    ],
)
def test_operations_that_are_not_known_have_no_expression(name, arguments, keywords) -> None:
    assert expression_of_op(name, arguments, keywords) is None


@pytest.fixture
def tables(monkeypatch) -> None:
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(activation, "EXPRESSIONS", dict(EXPRESSIONS))
    monkeypatch.setattr(activation, "OPERATIONS", dict(OPERATIONS))


class Bent(nn.Module):
    def __init__(self, slope: float = 0.2) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x):
        return x * x.abs() + self.slope * x


@pytest.mark.usefixtures("tables")
def test_an_activation_of_ones_own_is_registered() -> None:
    assert expression_of(Bent()) is None
    register(Bent, lambda module: Z * sp.Abs(Z) + module.slope * Z)
    assert disagreement(Bent(0.3), expression_of(Bent(0.3))) < 1e-12
    assert disagreement(Bent(0.3), expression_of(Bent(0.2))) > 1e-3
    register(Bent, Z * sp.Abs(Z) + 0.2 * Z)
    assert expression_of(Bent()) == Z * sp.Abs(Z) + Z / 5


@pytest.mark.usefixtures("tables")
def test_an_operation_of_ones_own_is_registered() -> None:
    assert expression_of_op("snake", [Z]) is None
    register("snake", Z + sp.sin(Z) ** 2)
    assert expression_of_op("snake", [2 * Z]) == 2 * Z + sp.sin(2 * Z) ** 2
    register("snake", lambda z, alpha: z + sp.sin(alpha * z) ** 2 / alpha)
    assert expression_of_op("snake", [Z, 0.5]) == Z + 2 * sp.sin(Z / 2) ** 2
    assert expression_of_op("snake", [Z]) is None
    register("snake", lambda z: "z")
    with pytest.raises(SymmetryError, match="snake gives a str"):
        expression_of_op("snake", [Z])


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (sp.Symbol("x", real=True) ** 2, "not in z"),
        (sp.Symbol("z") + Z, "not in z"),
        (Z * sp.Symbol("a"), "declare it real"),
        (Z > 0, "StrictGreaterThan"),
        ("z**2", "str"),
        (3, "int"),
    ],
    ids=str,
)
def test_what_is_no_expression_in_z_alone_is_refused(expression, message) -> None:
    with pytest.raises(SymmetryError, match=message):
        register(Bent, expression)
    assert expression_of(Bent()) is None
    register(Bent, lambda module: expression)
    with pytest.raises(SymmetryError, match=message):
        expression_of(Bent())
    register(Bent, Z * sp.Symbol("a", real=True))
    assert expression_of(Bent()).has(Z)


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize("key", [Bent(), 3, int])
def test_what_is_no_module_class_and_no_name_is_refused(key) -> None:
    with pytest.raises(SymmetryError, match="a module class or an operation's name"):
        register(key, Z)
