"""The table of actions: one row for each pattern of layers, and the proof of each.

W, b write a hidden space and V, c read it; g is a matrix, t a shift, c_i > 0 and d_i != 0 are scales, s_i signs.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

import sympy as sp

from symdiscover.network.finder import Proof
from symdiscover.network.pair_action import (
    PairAction,
    Rewrite,
    inside,
    product,
    scaled,
    shifted,
    turned,
    undone,
)

# --- the symbols of the table ---

_n, _d, _m, _k, _q = sp.symbols("n d m k q", integer=True, positive=True)
_M = sp.MatrixSymbol
_x, _W, _b, _V, _c = _M("x", _n, 1), _M("W", _d, _n), _M("b", _d, 1), _M("V", _m, _d), _M("c", _m, 1)
_g, _t = _M("g", _d, _d), _M("t", _d, 1)
# Two units that read two numbers and are read by two: where a function stands between.
x, W, b, V, c = _M("x", 2, 1), _M("W", 2, 2), _M("b", 2, 1), _M("V", 2, 2), _M("c", 2, 1)
t = _M("t", 2, 1)
_sigma = sp.Function("sigma")
_scales = sp.symbols("c_1 c_2", positive=True)
_nonzero = sp.symbols("d_1 d_2", real=True, nonzero=True)
_signs = sp.symbols("s_1 s_2", real=True)
_turns = sp.symbols("m_1 m_2", integer=True)
D, N = (sp.ImmutableMatrix(sp.diag(*entries)) for entries in (_scales, _nonzero))
S = sp.ImmutableMatrix(sp.diag(*_signs))
_every_sign = tuple(
    dict(zip(_signs, signs, strict=True)) for signs in itertools.product((sp.S.One, -sp.S.One), repeat=2)
)
_hidden = (W * x + b).applyfunc(_sigma)
_degree, _rate, _period = sp.symbols("k lambda p", real=True)
_kappa = sp.Symbol("kappa", real=True)
_ones = sp.ones(2, 1).as_immutable()


def _pair(name: str, moves: Mapping[Any, Any], given: str, *rewrites: Rewrite, **more: Any) -> PairAction:
    """A pair with an unknown activation: V sigma(W x + b) + c."""
    return PairAction(name, (V * _hidden + c,), moves, given, rewrites, **more)


def _activations() -> list[PairAction]:
    flipped = _ones - S * _ones
    powers = sp.ImmutableMatrix(sp.diag(*(s**-_degree for s in _scales)))
    shifts = sp.ImmutableMatrix([_period * m for m in _turns])
    alternating = sp.ImmutableMatrix(sp.diag(*((-1) ** m for m in _turns)))
    decayed = sp.ImmutableMatrix(sp.diag(*(sp.exp(-_rate * t[j, 0]) for j in range(2))))
    lengths = [_period * m for m in _turns]
    return [
        _pair(
            "homogeneous activation", {W: D * W, b: D * b, V: V * powers}, "sigma(c z) = c^k sigma(z), c > 0",
            scaled(_sigma, _scales, _degree),
        ),
        _pair(
            "odd activation", {W: S * W, b: S * b, V: V * S}, "sigma(-z) = -sigma(z), s = +-1",
            turned(_sigma, -1), cases=_every_sign,
        ),
        _pair(
            "even activation", {W: S * W, b: S * b}, "sigma(-z) = sigma(z), s = +-1",
            turned(_sigma, 1), cases=_every_sign,
        ),
        _pair(
            "affine-odd activation", {W: S * W, b: S * b, V: V * S, c: c + _kappa * V * flipped / 2},
            "sigma(-z) = kappa - sigma(z), s = +-1", turned(_sigma, -1, _kappa), cases=_every_sign,
        ),
        _pair(
            "exponential activation", {b: b + t, V: V * decayed}, "sigma(z + t) = exp(lambda t) sigma(z)",
            shifted(_sigma, list(t), lambda u: sp.exp(_rate * u)),
        ),
        _pair(
            "periodic activation", {b: b + shifts}, "sigma(z + m p) = sigma(z), m whole",
            shifted(_sigma, lengths, lambda u: sp.S.One),
        ),
        _pair(
            "half periods", {b: b + shifts, V: V * alternating}, "sigma(z + m p) = (-1)^m sigma(z), m whole",
            shifted(_sigma, lengths, lambda u: (-1) ** (u / _period)),
        ),
    ]  # fmt: skip


def _linear() -> list[PairAction]:
    moves = {_W: _g * _W, _b: _g * _b + _t, _V: _V * _g.I, _c: _c - _V * _g.I * _t}
    h, b2, gain, beta = _M("h", _d, 1), _M("b2", _d, 1), _M("G", _d, _d), _M("beta", _d, 1)
    K0, K1, V0, V1 = _M("K0", _d, _n), _M("K1", _d, _n), _M("V0", _m, _d), _M("V1", _m, _d)
    x0, x1, x2 = (_M(f"x{i}", _n, 1) for i in range(3))
    O = _M("O", _d, _d)
    H, left, back = _M("H", _n, _k), _M("H^+", _k, _n), sp.Function("tau")
    entry = sp.Symbol("z", real=True)
    sigma = sp.Lambda(entry, _sigma(entry))
    target = (_g * (_W * H).applyfunc(sigma)).applyfunc(sp.Lambda(entry, back(entry)))
    return [
        PairAction("linear pair", (_V * (_W * _x + _b) + _c,), moves),
        PairAction(
            "convolution", (V0 * (K0 * x0 + K1 * x1 + _b) + V1 * (K0 * x1 + K1 * x2 + _b) + _c,),
            {K0: _g * K0, K1: _g * K1, _b: _g * _b + _t, V0: V0 * _g.I, V1: V1 * _g.I,
             _c: _c - (V0 + V1) * _g.I * _t},
        ),
        PairAction("shift into the next bias", (_V * (h + _b) + _c,), {_b: _b + _t, _c: _c - _V * _t}),
        PairAction("two biases of one sum", (h + _b + b2,), {_b: _b + _t, b2: b2 - _t}),
        PairAction(
            "tied weights", (_W.T * (_W * _x + _b) + _c,), {_W: O * _W, _b: O * _b}, "O^T O = 1",
            (product(O.T, O, sp.Identity(_d)),),
        ),
        PairAction(
            "bijective activation, on the batch", (_V * (_W * H).applyfunc(sigma),),
            {_W: _W + (target - _W * H) * left, _V: _V * _g.I},
            "H^+ H = 1 on the batch H, sigma(tau(y)) = y",
            (product(left, H, sp.Identity(_k)), undone(back, _sigma)),
        ),
        PairAction(
            "norm of a rotated value", ((_W * _x + _b).T * (_W * _x + _b), _V * (_W * _x + _b)),
            {_W: O * _W, _b: O * _b, _V: _V * O.T}, "O^T O = 1", (product(O.T, O, sp.Identity(_d)),),
        ),
        PairAction(
            "gain taken along by its readers",
            ((_W * _x + _b).T * (_W * _x + _b), _V * (gain * (_W * _x + _b) + beta)),
            {_W: O * _W, _b: O * _b, beta: gain * O * gain.I * beta, _V: _V * gain * O.T * gain.I},
            "O^T O = 1, G = diag(gamma)", (product(O.T, O, sp.Identity(_d)),),
        ),
    ]  # fmt: skip


def _attention() -> list[PairAction]:
    X, Y, one, ones = _M("X", _n, _k), _M("Y", _n, _m), _M("1", _k, 1), _M("1'", _m, 1)
    Wq, Wk, bq, bk = _M("W_q", _d, _n), _M("W_k", _d, _n), _M("b_q", _d, 1), _M("b_k", _d, 1)
    Wv, bv, Wo, bo = _M("W_v", _d, _n), _M("b_v", _d, 1), _M("W_o", _q, _d), _M("b_o", _q, 1)
    p = _M("p", _m, 1)
    u = _M("u", 2, 1)
    query, keys, offset = _M("q", 2, 1), _M("K", 2, 3), _M("b_k", 2, 1)
    scores = (query.T * (keys + offset * sp.ones(1, 3))).as_explicit()
    alpha, beta, r, s = sp.symbols("alpha beta a_1 a_2", real=True, nonzero=True)
    A = sp.ImmutableMatrix([[r, -s], [s, r]])
    Q2, K2 = _M("W_q", 2, 2), _M("W_k", 2, 2)
    y = _M("y", 2, 1)

    def rotation(angle: sp.Expr) -> sp.ImmutableMatrix:
        return sp.ImmutableMatrix([[sp.cos(angle), -sp.sin(angle)], [sp.sin(angle), sp.cos(angle)]])

    return [
        PairAction(
            "queries and keys", ((Wq * X + bq * one.T).T * (Wk * Y + bk * ones.T),),
            {Wq: _g * Wq, bq: _g * bq, Wk: _g.T.I * Wk, bk: _g.T.I * bk},
        ),
        PairAction(
            "queries and keys, rotary", ((rotation(alpha) * Q2 * x).T * (rotation(beta) * K2 * y),),
            {Q2: A * Q2, K2: A.T.inv() * K2}, "one frequency, R(alpha) its rotation", seen="(R(alpha) W_q x)^T R(beta) W_k y",
        ),
        PairAction(
            "bias of the keys", (_softmax(scores),), {offset: offset + u},
            seen="softmax(q^T (K + b_k 1^T))",
        ),
        PairAction(
            "values and outputs", (Wo * (Wv * Y + bv * ones.T) * p + bo,),
            {Wv: _g * Wv, bv: _g * bv + _t, Wo: Wo * _g.I, bo: bo - Wo * _g.I * _t}, "weights p with 1^T p = 1",
            (product(ones.T, p, sp.Identity(1)),),
        ),
    ]  # fmt: skip


def _softmax(scores: Any) -> sp.ImmutableMatrix:
    weights = [sp.exp(s) for s in scores]
    return sp.ImmutableMatrix([[w / sp.Add(*weights) for w in weights]])


def _normed(values: Any, eps: sp.Expr) -> sp.ImmutableMatrix:
    """(z - mean) / sqrt(var + eps), entry by entry, over all entries."""
    mean = sp.Add(*values) / len(values)
    centred = [sp.expand(v - mean) for v in values]
    return sp.ImmutableMatrix(
        [v / sp.sqrt(sp.expand(sp.Add(*(w**2 for w in centred)) / len(values)) + eps) for v in centred]
    )


def _norms() -> list[PairAction]:
    eps = sp.Symbol("epsilon", positive=True)
    beta, y = _M("beta", 2, 1), _M("y", 2, 1)
    Gamma = _M("Gamma", 2, 2)
    W3, b3, r, x1 = _M("W", 3, 1), _M("b", 3, 1), sp.Symbol("r", real=True), sp.Symbol("x", real=True)
    u = sp.Symbol("u", real=True)
    ones = sp.ones(3, 1).as_immutable()
    z = [W3[i, 0] * x1 + b3[i, 0] for i in range(3)]
    g3 = sp.symbols("gamma_1:4", nonzero=True)
    b_ = _M("beta", 3, 1)
    y1, y2 = sp.symbols("y_1 y_2", real=True)
    R, e, v = _M("W", 1, 3), sp.Symbol("b", real=True), sp.Symbol("u", real=True)
    normal = sp.ImmutableMatrix([[1 / entry for entry in g3]])
    on_plane = [sp.ImmutableMatrix([y1, y2, level - y1 - y2]) for level in (0, 1)]
    read = R * (sp.ImmutableMatrix(sp.diag(*g3)) * on_plane[0] + b_) + sp.ImmutableMatrix([[e]])
    batch = sp.symbols("x_1:4", real=True)
    scale, (w, a, shift) = _scales[0], sp.symbols("w b t", real=True)
    return [
        PairAction(
            "norm gain", (V * (Gamma * y + beta) + c,),
            {Gamma: N * Gamma, beta: N * beta + t, V: V * N.inv(), c: c - V * N.inv() * t},
            "y what a norm hands on, Gamma = diag(gamma), d != 0",
        ),
        PairAction(
            "ones before a norm", (_normed(z, eps),), {W3: W3 + u * ones, b3: b3 + r * ones},
            seen="(z - mean(z)) / sqrt(var(z) + epsilon), z = W x + b",
        ),
        PairAction(
            "ones before a softmax", (_softmax(z),), {W3: W3 + u * ones, b3: b3 + r * ones}, seen="softmax(W x + b)"
        ),
        PairAction(
            "plane after a norm", (read,), {R: R + v * normal, e: e - v * (normal * b_)[0, 0]},
            "1^T y = 0, the value is gamma y + beta",
        ),
        PairAction(
            "plane after a softmax", (R * on_plane[1] + sp.ImmutableMatrix([[e]]),),
            {R: R + v * sp.ones(1, 3).as_immutable(), e: e - v}, "1^T y = 1",
        ),
        PairAction(
            "scale before BatchNorm", (_normed([w * xi + a for xi in batch], sp.S.Zero),),
            {w: scale * w, a: scale * a}, "epsilon = 0", seen="(z - mean(z)) / sqrt(var(z) + epsilon) over a batch, z = w x + b",
        ),
        PairAction(
            "bias before BatchNorm", (_normed([w * xi + a for xi in batch], eps),), {a: a + shift},
            seen="(z - mean(z)) / sqrt(var(z) + epsilon) over a batch, z = w x + b",
        ),
    ]  # fmt: skip


def _others() -> list[PairAction]:
    x2, U, bu = _M("x2", 2, 1), _M("U", 2, 2), _M("b_u", 2, 1)
    first, second = W * x + b, W * x2 + b
    larger = (first + second + (first - second).applyfunc(sp.Abs)) / 2
    gain, direction = _M("G", 2, 2), sp.symbols("v_11 v_12 v_21 v_22", real=True)
    rows = [direction[:2], direction[2:]]
    weight = sp.ImmutableMatrix([[v / sp.sqrt(sp.Add(*(w**2 for w in row))) for v in row] for row in rows])
    other = sp.symbols("e_1 e_2", positive=True)
    lengths = {v: other[i] * v for i, row in enumerate(rows) for v in row}
    P, W3, b3, V3 = _M("P", 3, 3), _M("W", 3, 1), _M("b", 3, 1), _M("V", 1, 3)
    gate, up = _hidden, U * x + bu
    every = tuple({P: sp.ImmutableMatrix(m)} for m in _permutation_matrices(3))
    z = _M("z", 1, 1)
    heads = sp.Function("a")
    Q3, K3, Wv3, O3 = (_M(name, 3, 1) for name in ("Q", "K", "W_v", "O"))
    sum_of_heads = sp.Add(*(O3[i, 0] * heads(Q3[i, 0], K3[i, 0], Wv3[i, 0]) for i in range(3)))
    return [
        PairAction(
            "gate", (V * sp.HadamardProduct(up, gate) + c,), {U: N * U, bu: N * bu, V: V * N.inv()}, "d != 0"
        ),
        PairAction(
            "maximum", (V * larger + c,),
            {W: D * W, b: D * b + t, V: V * D.inv(), c: c - V * D.inv() * t},
            "max(a, b) = (a + b + |a - b|) / 2, c > 0", (inside(sp.Abs, lambda e: sp.Abs(sp.factor(e))),),
        ),
        PairAction(
            "weight norm", (V * (gain * weight * x + b).applyfunc(_sigma) + c,),
            {gain: D * gain, b: D * b, V: V * sp.ImmutableMatrix(sp.diag(*(1 / s for s in _scales))), **lengths},
            "the weight is Gamma v / |v|, sigma(c z) = c sigma(z), c > 0, e > 0", (scaled(_sigma, _scales, sp.S.One),),
        ),
        PairAction(
            "permutation of units", (V3 * (W3 * z + b3).applyfunc(_sigma),),
            {W3: P * W3, b3: P * b3, V3: V3 * P.T}, "any elementwise sigma", cases=every,
        ),
        PairAction(
            "permutation of heads", (sum_of_heads,),
            {Q3: P * Q3, K3: P * K3, Wv3: P * Wv3, O3: P * O3}, "each head is one function a", cases=every,
        ),
    ]  # fmt: skip


def _permutation_matrices(n: int) -> list[sp.Matrix]:
    return [
        sp.Matrix(n, n, lambda i, j, order=order: int(order[i] == j))
        for order in itertools.permutations(range(n))
    ]


def _table() -> Mapping[str, PairAction]:
    rows = [*_linear(), *_activations(), *_attention(), *_norms(), *_others()]
    return MappingProxyType({row.name: row for row in rows})


#: One row for each pattern.
ACTIONS: Mapping[str, PairAction] = _table()


@cache
def proof_of(name: str) -> Proof:
    """The proof of one action, made once.

    Raises
    ------
    NotInvariant
        If SymPy does not prove it.

    Examples
    --------
    >>> proof_of("linear pair").how
    'matrices of any size'
    """
    return ACTIONS[name].prove()
