"""Norms, convolutions, attention, embeddings and recurrence."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from tests.symdiscover.network.models import Net, parameter, rows, style

TOKENS = (2, 5, 4)
NORMED = "0.weight:0 0.bias:0 1.weight:0 1.bias:0 -> 3.weight:1"


def normed(norm: nn.Module, *rest: nn.Module) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    return nn.Sequential(nn.Linear(4, 6), norm, *rest, nn.Linear(6, 3)), (rows(),)


# --- norms ---


@style("PositiveScaling(6): 1.weight:0 1.bias:0 -> 3.weight:1")
def batch_norm():  # the running statistics are buffers: what writes them stays
    return normed(nn.BatchNorm1d(6), nn.ReLU())


@style("PositiveScaling(6): 1.weight:0 1.bias:0 -> 3.weight:1")
def batch_norm_in_evaluation_mode():
    net, inputs = normed(nn.BatchNorm1d(6), nn.ReLU())
    return net.eval(), inputs


@style(
    f"Scales(6): {NORMED}", "R^6: 0.bias:0 ->", "Signs(6): 0.weight:0 0.bias:0 1.weight:0 ->", free=["0.bias"]
)
def batch_norm_without_statistics():  # the mean takes the bias away, gamma takes a sign
    return normed(nn.BatchNorm1d(6, track_running_stats=False), nn.ReLU())


@style(f"Scales(6): {NORMED}", "R^5: 0.weight:0 0.bias:0 ->")
def layer_norm():
    return normed(nn.LayerNorm(6), nn.ReLU())


@style(
    "Monomial(6): 0.weight:0 0.bias:0 1.weight:0 1.bias:0 -> 2.weight:1", "R^5: 0.weight:0 0.bias:0 ->",
    "R^6: 1.bias:0 -> 2.bias:0", "R^3: -> 2.weight:1 2.bias:0",
    "O(5): 0.weight:0 0.bias:0 1.bias:0 -> 2.weight:1",
)  # fmt: skip
def layer_norm_before_a_linear_layer():
    return normed(nn.LayerNorm(6))


@style(
    "Monomial(6): a.weight:0 a.bias:0 n.weight:0 n.bias:0 -> o.weight:1", "R^5: a.weight:0 a.bias:0 ->",
    "R^6: n.bias:0 -> o.bias:0",
)  # fmt: skip
def layer_norm_whose_result_is_turned_round():  # the reader does not see gamma in its order
    parts = {"a": nn.Linear(4, 6), "n": nn.LayerNorm(6), "o": nn.Linear(6, 3)}
    return Net(lambda s, x: s.o(s.n(s.a(x)).flip(-1)), **parts), (rows(),)


@style("Permutation(6): 0.weight:0 0.bias:0 -> 3.weight:1", "R^5: 0.weight:0 0.bias:0 ->")
def layer_norm_without_gain():
    return normed(nn.LayerNorm(6, elementwise_affine=False), nn.ReLU())


@style(
    "Monomial(6): 0.weight:0 0.bias:0 1.weight:0 -> 2.weight:1", "Signs(6): 0.weight:0 0.bias:0 -> 2.weight:1",
    "O(6): 0.weight:0 0.bias:0 -> 2.weight:1",
)  # fmt: skip
def rms_norm_before_a_linear_layer():  # the gain moves, or it stays and the reader takes it along
    return normed(nn.RMSNorm(6))


@style(
    "Scales(6): 0.weight:0 0.bias:0 1.weight:0 -> 3.weight:1", "Signs(6): 0.weight:0 0.bias:0 1.weight:0 ->"
)
def rms_norm_with_gain_before_an_activation():  # gamma and the row take one sign, and nothing reads it
    return normed(nn.RMSNorm(6), nn.ReLU())


@style("O(6): 0.weight:0 0.bias:0 -> 2.weight:1")
def rms_norm_without_gain():
    return normed(nn.RMSNorm(6, elementwise_affine=False))


@style("Permutation(6): 0.weight:0 0.bias:0 -> 3.weight:1")
def rms_norm_without_gain_before_an_activation():
    return normed(nn.RMSNorm(6, elementwise_affine=False), nn.GELU())


@style(f"Scales(3): {NORMED}", f"Scales(3): {NORMED}")
def group_norm():  # channels of one group are alike
    return normed(nn.GroupNorm(2, 6), nn.ReLU())


# --- convolutions ---

HEAD = ("GL(5): {0}.weight:0 {0}.bias:0 -> {1}.weight:1", "R^5: {0}.bias:0 -> {1}.bias:0")


def pooled(*layers: nn.Module) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """Layers to five channels, their means over the image, and a linear layer."""
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2))
    return net, (torch.randn(2, 3, 6, 6),)


@style("Scales(4): 0.weight:0 0.bias:0 -> 3.weight:1", "Scales(5): 3.weight:0 3.bias:0 -> 6.weight:1")
def convolutions():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(20, 2),
    ), (torch.randn(2, 3, 8, 8),)  # fmt: skip


@style("PositiveScaling(4): 1.weight:0 1.bias:0 -> 3.weight:1", *(t.format(3, 6) for t in HEAD))
def convolution_and_batch_norm():
    return pooled(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1))


@style(
    "Scaling(4): 0.weight:0 0.bias:0 -> 1.weight:0", "PositiveScaling(4): 1.weight:0 1.bias:0 -> 3.weight:1",
    "Permutation(4): 0.weight:0 0.bias:0 1.weight:0 1.bias:0 -> 3.weight:1", "R^4: 0.bias:0 -> 1.bias:0",
    *(t.format(3, 6) for t in HEAD),
)  # fmt: skip
def depthwise():
    return pooled(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, groups=4), nn.ReLU(), nn.Conv2d(4, 5, 1))


@style(
    *2 * ("Scales(2): 0.weight:0 0.bias:0 -> 2.weight:1",), *2 * ("Scales(3): 2.weight:0 2.bias:0 -> 4.weight:1",),
    *(t.format(4, 7) for t in HEAD),
)  # fmt: skip
def grouped():
    layers = nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 6, 3, groups=2), nn.ReLU(), nn.Conv2d(6, 5, 1)
    return pooled(*layers)


@style("Scales(3): 0.weight:0 0.bias:0 -> 3.weight:0", "Scales(4): 3.weight:1 3.bias:0 -> 5.weight:1")
def transposed():
    return nn.Sequential(
        nn.Linear(4, 12), nn.Unflatten(1, (3, 2, 2)), nn.ReLU(), nn.ConvTranspose2d(3, 4, 2), nn.ReLU(), nn.Conv2d(4, 2, 1)
    ), (rows(),)  # fmt: skip


@style("Permutation(4): 0.weight:0 0.bias:0 -> 3.weight:1", "Scales(5): 3.weight:0 3.bias:0 -> 7.weight:1")
def convolution_along_a_line():  # max(-a) is not -max(a)
    return nn.Sequential(
        nn.Conv1d(3, 4, 3), nn.Tanh(), nn.MaxPool1d(2), nn.Conv1d(4, 5, 2), nn.ReLU(), nn.AvgPool1d(2), nn.Flatten(),
        nn.LazyLinear(2),
    ), (torch.randn(2, 3, 12),)  # fmt: skip


@style("Scales(4): a.weight:0 a.bias:0 b.weight:0 b.bias:0 -> b.weight:1 o.weight:1")
def residual_convolution():
    def forward(s, x):
        h = torch.relu(s.a(x))
        return s.o(torch.relu(h + s.b(h)).mean((2, 3)))

    return Net(
        forward, a=nn.Conv2d(3, 4, 3, padding=1), b=nn.Conv2d(4, 4, 3, padding=1), o=nn.Linear(4, 2)
    ), (torch.randn(2, 3, 6, 6),)


# --- attention ---

IN = "{p}in_proj_weight:0 {p}in_proj_bias:0"


def fused(out: str, prefix: str = "", heads: int = 2, width: int = 2) -> list[str]:
    """The pairs of `nn.MultiheadAttention`: for each head Q with K and V with O, free key biases, value biases."""
    own = IN.format(p=prefix)
    bias = f"{prefix}in_proj_bias:0"
    one = [
        f"GL({width}): {own} -> {own}", f"GL({width}): {own} -> {out}.weight:1",
        f"R^{width}: {bias} ->", f"R^{width}: {bias} -> {out}.bias:0",
    ]  # fmt: skip
    return [*one * heads, f"Permutation({heads}): {own} -> {out}.weight:1"]


@style(*fused("out_proj"), free=["in_proj_bias"])
def multihead_attention():
    x = torch.randn(*TOKENS)
    return nn.MultiheadAttention(4, 2, batch_first=True), (x, x, x)


@style(
    *fused("self_attn.out_proj", "self_attn."),
    "Scales(7): linear1.weight:0 linear1.bias:0 -> linear2.weight:1",
    # what writes the stream before each norm
    "R^5: self_attn.out_proj.weight:0 self_attn.out_proj.bias:0 ->", "R^8: linear2.weight:0 linear2.bias:0 ->",
    # what reads it after the first
    "R^7: -> linear1.weight:1 linear1.bias:0", "R^4: linear2.bias:0 norm1.bias:0 -> linear1.bias:0",
    free=["self_attn.in_proj_bias"],
)  # fmt: skip
def transformer_encoder_layer():
    return nn.TransformerEncoderLayer(4, 2, 7, batch_first=True), (torch.randn(*TOKENS),)


@style(
    *fused("self_attn.out_proj", "self_attn."),
    "Permutation(7): linear1.weight:0 linear1.bias:0 -> linear2.weight:1",
    "Scaling(4): norm1.weight:0 norm1.bias:0 -> self_attn.in_proj_weight:1",
    "R^4: norm1.bias:0 -> self_attn.in_proj_bias:0",
    "R^12: -> self_attn.in_proj_weight:1 self_attn.in_proj_bias:0",
    "Scaling(4): norm2.weight:0 norm2.bias:0 -> linear1.weight:1",
    "R^4: norm2.bias:0 -> linear1.bias:0", "R^7: -> linear1.weight:1 linear1.bias:0",
    free=["self_attn.in_proj_bias"],
)  # fmt: skip
def transformer_encoder_layer_with_norms_first():
    layer = nn.TransformerEncoderLayer(4, 2, 7, batch_first=True, norm_first=True, activation="gelu")
    return layer, (torch.randn(*TOKENS),)


def split_heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2)


class Attention(nn.Module):
    """Self-attention from four linear layers; `mixed` says how the heads are mixed."""

    def __init__(
        self, mixed, heads: int = 2, keys: int = 2, bias: bool = True, width: int = 4, **parts
    ) -> None:
        super().__init__()
        self.q = nn.Linear(4, width, bias=bias)
        self.k, self.v = (nn.Linear(4, width // heads * keys, bias=bias) for _ in range(2))
        self.o = nn.Linear(width, 3, bias=bias)
        self.heads, self.keys, self.mixed = heads, keys, mixed
        for name, part in parts.items():
            if isinstance(part, nn.Parameter):
                setattr(self, name, part)
            else:
                self.register_buffer(name, part)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            split_heads(self.q(x), self.heads),
            split_heads(self.k(x), self.keys),
            split_heads(self.v(x), self.keys),
        )
        return self.o(self.mixed(self, q, k, v).transpose(-3, -2).flatten(-2))


def split(heads: int = 2, width: int = 2, permuted: str = " ", query_bias: bool = True) -> list[str]:
    """The pairs of `Attention` with as many key heads as heads; `permuted`: what else moves with the heads, None if they do not."""
    one = [
        f"GL({width}): q.weight:0 q.bias:0 -> k.weight:0 k.bias:0", f"GL({width}): v.weight:0 v.bias:0 -> o.weight:1",
        f"R^{width}: k.bias:0 ->", f"R^{width}: v.bias:0 -> o.bias:0",
    ]  # fmt: skip
    whole = "q.weight:0 q.bias:0 k.weight:0 k.bias:0 v.weight:0 v.bias:0"
    return [*one * heads, *([f"Permutation({heads}): {whole}{permuted}-> o.weight:1"] if permuted else [])]


def scores(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    return q @ k.mT / math.sqrt(q.shape[-1])


@style(*split(), free=["k.bias"])
def fused_attention():
    return Attention(lambda s, q, k, v: F.scaled_dot_product_attention(q, k, v)), (torch.randn(*TOKENS),)


@style(*split(), free=["k.bias"])
def attention_by_hand_with_a_causal_mask():
    def mixed(s, q, k, v):
        mask = torch.tril(torch.ones(5, 5)).bool()
        return scores(q, k).masked_fill(~mask, float("-inf")).softmax(-1) @ v

    return Attention(mixed), (torch.randn(*TOKENS),)


@style(*split(), free=["k.bias"])
def attention_by_einsum():
    def mixed(s, q, k, v):
        a = torch.einsum("bhid,bhjd->bhij", q, k) * 0.7
        return torch.einsum("bhij,bhjd->bhid", a.softmax(-1), v)

    return Attention(mixed), (torch.randn(*TOKENS),)


@style(*split(), free=["k.bias"])
def attention_with_one_mask_for_all_heads():
    def mixed(s, q, k, v):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=s.mask)

    return Attention(mixed, mask=torch.randn(5, 5)), (torch.randn(*TOKENS),)


@style(*split(permuted=""), free=["k.bias"])
def attention_with_a_mask_for_each_head():  # heads keep their places
    def mixed(s, q, k, v):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=s.mask)

    return Attention(mixed, mask=torch.randn(2, 5, 5)), (torch.randn(*TOKENS),)


@style(*split(permuted=""), free=["k.bias"])
def attention_by_hand_with_a_mask_for_each_head():
    def mixed(s, q, k, v):
        return (scores(q, k) + s.mask).softmax(-1) @ v

    return Attention(mixed, mask=torch.randn(2, 5, 5)), (torch.randn(*TOKENS),)


def rotary(x: torch.Tensor) -> torch.Tensor:
    """Positions as angles of planes: entries i and i + 2 of each head turn by the same angle."""
    angle = torch.arange(x.shape[-2])[:, None] * torch.tensor([1.0, 0.1, 1.0, 0.1])
    first, second = x.chunk(2, -1)
    return x * angle.cos() + torch.cat([-second, first], -1) * angle.sin()


ROTARY = (
    *2 * ("Scaling(2): q.weight:0 -> k.weight:0", "GL(4): v.weight:0 -> o.weight:1"),
    "Permutation(2): q.weight:0 k.weight:0 v.weight:0 -> o.weight:1",
)  # fmt: skip


@style(*ROTARY, "SO(2)^4: q.weight:0 k.weight:0 ->")
def rotary_attention():
    def mixed(s, q, k, v):
        return F.scaled_dot_product_attention(rotary(q), rotary(k), v, is_causal=True)

    return Attention(mixed, bias=False, width=8), (torch.randn(*TOKENS),)


@style(*ROTARY)
def rotary_attention_without_rotated_keys():  # scales of a plane pass, turns do not
    def mixed(s, q, k, v):
        return F.scaled_dot_product_attention(rotary(q), k, v)

    return Attention(mixed, bias=False, width=8), (torch.randn(*TOKENS),)


GROUPED = (
    *2 * ("GL(2): q.weight:0 q.bias:0 -> k.weight:0 k.bias:0", "GL(2): v.weight:0 v.bias:0 -> o.weight:1",
          "R^2: k.bias:0 ->", "R^2: v.bias:0 -> o.bias:0"),
)  # fmt: skip


@style(
    *GROUPED,
    "Permutation(2): q.weight:0 q.bias:0 k.weight:0 k.bias:0 v.weight:0 v.bias:0 -> o.weight:1", free=["k.bias"],
)  # fmt: skip
def grouped_query_attention():
    def mixed(s, q, k, v):
        return F.scaled_dot_product_attention(q, k, v, enable_gqa=True)

    return Attention(mixed, heads=4, keys=2, width=8), (torch.randn(*TOKENS),)


@style(
    *GROUPED,
    "Permutation(2): q.weight:0 q.bias:0 k.weight:0 k.bias:0 v.weight:0 v.bias:0 -> o.weight:1", free=["k.bias"],
)  # fmt: skip
def grouped_query_attention_by_repetition():
    def mixed(s, q, k, v):
        k, v = (t.repeat_interleave(2, 1) for t in (k, v))
        return scores(q, k).softmax(-1) @ v

    return Attention(mixed, heads=4, keys=2, width=8), (torch.randn(*TOKENS),)


# --- embeddings and recurrence ---


@style(
    "GL(5): e.weight:1 -> a.weight:1",
    "R^5: e.weight:1 -> a.bias:0",
    "Scales(6): a.weight:0 a.bias:0 -> o.weight:1",
)
def embedding():
    net = Net(
        lambda s, i: s.o(torch.relu(s.a(s.e(i).mean(1)))),
        e=nn.Embedding(7, 5),
        a=nn.Linear(5, 6),
        o=nn.Linear(6, 3),
    )
    return net, (torch.randint(0, 7, (2, 4)),)


@style("O(4): e.weight:1 -> e.weight:1")
def embedding_tied_to_the_output():
    return Net(lambda s, i: s.e(i) @ s.e.weight.mT, e=nn.Embedding(7, 4)), (torch.randint(0, 7, (2, 3)),)


@style()
def lstm():
    net = Net(lambda s, x: s.o(s.l(x)[0][:, -1]), l=nn.LSTM(4, 5, batch_first=True), o=nn.Linear(5, 2))
    return net, (torch.randn(2, 3, 4),)


@style(
    "Signed(5): i.weight:0 i.bias:0 h.weight:0 h.bias:0 -> h.weight:1 o.weight:1", "R^5: i.bias:0 h.bias:0 ->",
)  # fmt: skip
def recurrence_by_hand():
    def forward(s, x):
        h = torch.zeros(x.shape[0], 5)
        for t in range(x.shape[1]):
            h = torch.tanh(s.i(x[:, t]) + s.h(h))
        return s.o(h)

    return Net(forward, i=nn.Linear(4, 5), h=nn.Linear(5, 5), o=nn.Linear(5, 2)), (torch.randn(2, 3, 4),)


@style("Scales(3): a:1 -> o.weight:1")
def raw_batch_of_matrices():
    net = Net(
        lambda s, x: s.o(torch.relu(torch.bmm(x, s.a.expand(2, 4, 3)))), a=parameter(4, 3), o=nn.Linear(3, 2)
    )
    return net, (torch.randn(*TOKENS),)
