"""The table of actions is proved, wrong actions are not, and the torch code does what the table says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
import sympy as sp
import torch
from torch import nn
from torch.nn import functional as F

from symdiscover.errors import NotInvariant
from symdiscover.network import find_pairs, trace
from symdiscover.network.pair_action import PairAction
from symdiscover.network.pair_proofs import proofs_of
from symdiscover.network.pair_table import ACTIONS, proof_of
from symdiscover.network.pairs import Pair


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_of_the_table_is_proved(name: str) -> None:
    assert proof_of(name).statement == ACTIONS[name].statement


def wrong(action: PairAction) -> dict[str, PairAction]:
    """The action with one image of the wrong sign, for each parameter whose sign matters."""
    unseen = {"b"} if "BatchNorm" in action.name else {"b_k"} if action.name == "bias of the keys" else set()
    seen = [key for key in action.moves if str(key) not in unseen]
    if action.name == "weight norm":
        seen = [key for key in seen if not str(key).startswith("v_")]
    return {str(key): replace(action, moves={**action.moves, key: -action.moves[key]}) for key in seen}


#: A rotation may be followed by a reflection, and the row of an even function by a sign.
FREE = {"tied weights", "norm of a rotated value", "even activation"}


@pytest.mark.parametrize("name", ACTIONS)
def test_a_wrong_sign_is_not_proved(name: str) -> None:
    for twin in [] if name in FREE else wrong(ACTIONS[name]).values():
        with pytest.raises(NotInvariant) as caught:
            twin.prove()
        assert caught.value.residual != 0


@pytest.mark.parametrize(
    "name", [*sorted(FREE), "bias of the keys", "bias before BatchNorm", "scale before BatchNorm"]
)
def test_a_wrong_length_is_not_proved(name: str) -> None:
    """What these do not see is a sign, or a parameter as a whole: here without the function that does not see it."""
    action = ACTIONS[name]
    if name in FREE:
        twin = replace(action, moves={key: 2 * image for key, image in action.moves.items()})
    else:
        twin = replace(action, before=tuple(action.moves))
    with pytest.raises(NotInvariant):
        twin.prove()


@pytest.mark.parametrize("name", [name for name, action in ACTIONS.items() if action.rewrites])
def test_nothing_follows_without_what_is_given(name: str) -> None:
    """Norms of maxima apart, whose rewrite only makes SymPy see that |c z| = c |z|."""
    if name == "maximum":
        return
    with pytest.raises(NotInvariant):
        replace(ACTIONS[name], rewrites=()).prove()


# --- the torch code ---


class Two(nn.Module):
    """A forward pass of one's own over named parts."""

    def __init__(self, forward: Callable[..., torch.Tensor], **parts: Any) -> None:
        super().__init__()
        for key, part in parts.items():
            setattr(self, key, part)
        self._forward = forward

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self._forward(self, *inputs)


class Exp(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.exp()


class Sine(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sin()


class SquaredReLU(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.relu() ** 2


def mlp(*between: nn.Module, width: int = 2) -> nn.Module:
    return nn.Sequential(nn.Linear(2, width), *between, nn.Linear(width, 2))


MLP = {"W": "0.weight", "b": "0.bias", "V": "2.weight", "c": "2.bias"}


def attention(m: Any, x: torch.Tensor) -> torch.Tensor:
    weights = torch.softmax(m.q(x) @ m.k(x).mT, -1)
    return m.o(weights @ m.v(x))


def attending() -> nn.Module:
    return Two(attention, **{name: nn.Linear(2, 2) for name in "qkvo"})


ATTENTION = {"W_q": "q.weight", "b_q": "q.bias", "W_k": "k.weight", "b_k": "k.bias",
             "W_v": "v.weight", "b_v": "v.bias", "W_o": "o.weight", "b_o": "o.bias"}  # fmt: skip


def column(values: torch.Tensor) -> sp.Matrix:
    return sp.Matrix(values.tolist())


def matrix(element: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    g = sp.Matrix(element["matrix"].tolist())
    return {"g": g, "O": g, "t": sp.zeros(len(element["matrix"]), 1)}


def scales(element: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    values = element["log_scale"].exp() * element.get("sign", torch.ones(2))
    return {f"{letter}_{i + 1}": float(v) for letter in "cd" for i, v in enumerate(values)}


def signs(element: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    return {f"s_{i + 1}": float(v) for i, v in enumerate(element["sign"])}


def turns(element: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    return {f"m_{i + 1}": int(v) for i, v in enumerate(element["turns"])}


def shift(element: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    return {"t": column(element["shift"]), "u": column(element["shift"]), "g": sp.eye(len(element["shift"]))}


def permutation(element: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    return {"P": sp.Matrix(torch.eye(3)[element["permutation"]].tolist())}


def none(element: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Case:
    """A model, the pair in it whose group starts so and that moves this parameter, and what the symbols stand for."""

    action: str
    model: Callable[[], nn.Module]
    group: str
    moved: str
    symbols: Mapping[str, str]
    element: Callable[[Mapping[str, torch.Tensor]], dict[str, Any]]
    constants: Mapping[str, Any] | None = None
    inputs: int = 2


def normed(norm: nn.Module, width: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(1, width), norm, nn.Linear(width, 1))


CASES = [
    Case("linear pair", lambda: nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2)), "GL", "0.bias",
         {"W": "0.weight", "b": "0.bias", "V": "1.weight", "c": "1.bias"}, matrix),
    Case("shift into the next bias", lambda: nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2)), "R^", "1.bias",
         {"b": "0.bias", "V": "1.weight", "c": "1.bias"}, shift),
    Case("homogeneous activation", lambda: mlp(SquaredReLU()), "PositiveScaling", "0.bias", MLP, scales, {"k": 2}),
    Case("odd activation", lambda: mlp(nn.Tanh()), "SignedPermutation", "0.bias", MLP, signs),
    Case("affine-odd activation", lambda: mlp(nn.Sigmoid()), "SignedPermutation", "2.bias", MLP, signs, {"kappa": 1}),
    Case("exponential activation", lambda: mlp(Exp()), "R^", "2.weight", MLP, shift, {"lambda": 1}),
    Case("half periods", lambda: mlp(Sine()), "Z^", "2.weight", MLP, turns, {"p": sp.pi}),
    Case("tied weights", lambda: Two(lambda m, x: F.linear(F.linear(x, m.w), m.w.mT), w=nn.Parameter(torch.randn(2, 2))),
         "O(", "w", {"W": "w"}, matrix),
    Case("queries and keys", attending, "GL", "q.weight", ATTENTION, matrix),
    Case("values and outputs", attending, "GL", "v.weight", ATTENTION, matrix),
    Case("values and outputs", attending, "R^", "o.bias", ATTENTION, shift),
    Case("bias of the keys", attending, "R^", "k.bias", ATTENTION, shift),
    Case("two biases of one sum", lambda: Two(lambda m, x: m.o((m.a(x) + m.b(x)).tanh()), a=nn.Linear(2, 2), b=nn.Linear(2, 2),
                                             o=nn.Linear(2, 2)), "R^", "a.bias", {"b": "a.bias", "b2": "b.bias"}, shift),
    Case("gate", lambda: Two(lambda m, x: m.o(m.u(x) * F.silu(m.a(x))), u=nn.Linear(2, 2), a=nn.Linear(2, 2),
                             o=nn.Linear(2, 2)), "Monomial", "u.weight", {"U": "u.weight", "b_u": "u.bias", "V": "o.weight"},
         scales),
    Case("ones before a norm", lambda: normed(nn.LayerNorm(3)), "R^", "0.bias", {"W": "0.weight", "b": "0.bias"},
         lambda e: {"u": float(e["shift"][0]), "r": float(e["shift"][1])}, inputs=1),
    Case("plane after a softmax", lambda: normed(nn.Softmax(-1)), "R^", "2.bias", {"W": "2.weight", "b": "2.bias"},
         lambda e: {"u": float(e["shift"][0])}, inputs=1),
    Case("plane after a norm", lambda: normed(nn.LayerNorm(3)), "R^", "2.weight",
         {"W": "2.weight", "b": "2.bias", "beta": "1.bias", "gamma": "1.weight"},
         lambda e: {"u": float(e["shift"][0])}, inputs=1),
    Case("permutation of units", lambda: nn.Sequential(nn.Linear(1, 3), nn.GELU(), nn.Linear(3, 1)), "Permutation", "0.bias",
         {"W": "0.weight", "b": "0.bias", "V": "2.weight"}, permutation, inputs=1),
]  # fmt: skip


def found(case: Case) -> tuple[Pair, dict[str, torch.Tensor]]:
    """The pair of a case, without the parts of its group that the action is not about, and generic weights."""
    torch.manual_seed(0)
    model = case.model().double()
    pairs = find_pairs(trace(model, torch.randn(3, case.inputs, dtype=torch.float64)))
    (pair,) = [p for p in pairs if p.group.startswith(case.group) and case.moved in p.parameters]
    weights = {key: torch.randn_like(value) for key, value in model.named_parameters()}
    return pair, weights


def element_of(pair: Pair, case: Case) -> dict[str, torch.Tensor]:
    element = pair.random(generator=torch.Generator().manual_seed(1))
    if case.element is not permutation and "permutation" in element:
        element["permutation"] = torch.arange(len(element["permutation"]))
    return element


def images(
    case: Case, action: PairAction, element: Mapping[str, torch.Tensor], weights: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The images of the parameters, from the expressions of the table at these numbers."""
    numbers: dict[str, Any] = {**(case.constants or {}), **case.element(element)}
    for name, key in case.symbols.items():
        value = weights[key]
        entries = value.reshape(-1, 1) if value.ndim == 1 else value
        numbers[name] = sp.ImmutableMatrix(entries.tolist())
        if name == "gamma":  # the entries of a diagonal matrix
            numbers |= {f"{name}_{i + 1}": float(v) for i, v in enumerate(value)}

    def evaluated(expression: sp.Basic) -> sp.Basic:
        atoms = expression.atoms(sp.Symbol, sp.MatrixSymbol)
        values = {a: numbers[a.name] for a in atoms if a.name in numbers}
        scalars = {
            a: sp.sympify(
                v[0, 0] if isinstance(v, sp.MatrixBase) and not isinstance(a, sp.MatrixSymbol) else v
            )
            for a, v in values.items()
        }
        return expression.xreplace(scalars).doit()

    result = {}
    for symbol, image in action.moves.items():
        key = case.symbols.get(str(symbol))
        if key is not None:
            value = evaluated(image)
            entries = (
                list(value.as_explicit()) if isinstance(value, sp.MatrixExpr | sp.MatrixBase) else [value]
            )
            result[key] = torch.tensor([float(e) for e in entries], dtype=torch.float64).reshape(
                weights[key].shape
            )
    return result


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.action} {case.group}")
def test_torch_moves_parameters_as_the_table_says(case: Case) -> None:
    pair, weights = found(case)
    assert proof_of(case.action) in pair.proofs
    element = element_of(pair, case)
    moved = pair.act(element, weights)
    expected = images(case, ACTIONS[case.action], element, weights)
    assert set(pair.parameters) <= set(expected) | {"a.weight", "a.bias"}  # a gate is permuted, not scaled
    for key, value in expected.items():
        torch.testing.assert_close(moved[key], value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.action} {case.group}")
def test_a_wrong_expression_differs_from_torch(case: Case) -> None:
    pair, weights = found(case)
    element = element_of(pair, case)
    moved = pair.act(element, weights)
    for symbol, twin in wrong(ACTIONS[case.action]).items():
        if (key := case.symbols.get(symbol)) is not None:
            assert not torch.allclose(moved[key], images(case, twin, element, weights)[key], rtol=1e-6)


# --- what a pair rests on ---


def test_a_pair_names_the_relations_of_the_functions_between() -> None:
    model = mlp(SquaredReLU()).double()
    (pair,) = find_pairs(trace(model, torch.ones(1, 2).double()))
    statements = [proof.statement for proof in pair.proofs]
    assert statements[0] == ACTIONS["homogeneous activation"].statement
    assert statements[-1].startswith("sigma(c z) = c^2 sigma(z) for c > 0, for sigma(z) = ")
    assert pair.status == "proved"


def test_a_pair_on_the_meta_device_is_unchecked() -> None:
    with torch.device("meta"):
        model = mlp(nn.ReLU())
    (pair,) = find_pairs(trace(model, torch.ones(1, 2, device="meta")))
    assert pair.status == "unchecked"
    assert pair.proofs


def test_a_pair_that_rests_on_nothing_is_not_called_proved() -> None:
    model = mlp(nn.ReLU())
    (pair,) = find_pairs(trace(model, torch.ones(1, 2)))
    bare = replace(pair, parts=())
    assert proofs_of(bare) == ()
    assert bare.status == "numerical"


def test_heads_and_stems_of_a_transformer_name_their_actions() -> None:
    block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True).double()
    pairs = find_pairs(trace(block, torch.randn(2, 3, 8).double()))
    stated = {proof.statement for pair in pairs for proof in pair.proofs}
    named = {name for name in ACTIONS if ACTIONS[name].statement in stated}
    assert all(pair.proofs for pair in pairs)
    assert named >= {
        "queries and keys", "values and outputs", "bias of the keys", "permutation of heads", "norm gain",
        "plane after a norm", "homogeneous activation", "shift into the next bias",
    }  # fmt: skip
    assert "tied weights" not in named
