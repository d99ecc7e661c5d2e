"""Dense models: how layers are written, skips, gates, activations, several inputs and outputs, ties, dtypes, wrappers."""

from __future__ import annotations

import copy
import itertools

import torch
import torch.nn.functional as F
from torch import nn

from tests.symdiscover.network.models import Net, parameter, rows, style

SEQUENTIAL = "0.weight:0 0.bias:0 -> 2.weight:1"
NAMED = "a.weight:0 a.bias:0 -> o.weight:1"


def mlp(act=nn.ReLU, widths=(4, 6, 3), bias=True) -> nn.Sequential:
    layers: list[nn.Module] = []
    for m, n in itertools.pairwise(widths):
        layers += [nn.Linear(m, n, bias=bias), act()]
    return nn.Sequential(*layers[:-1])


def hidden(function, inputs=4, outputs=3, width=6, **parts):
    """o(function(a(x)))."""
    net = Net(
        lambda s, x: s.o(function(s.a(x))),
        a=nn.Linear(inputs, width),
        o=nn.Linear(width, outputs),
        **parts,
    )
    return net, (rows(),)


# --- ways to write a layer ---


@style(f"Scales(6): {SEQUENTIAL}")
def sequential():
    return mlp(), (rows(),)


@style(f"Scales(6): {NAMED}")
def functional_relu():
    return hidden(F.relu)


@style(
    "Signed(6): ls.0.weight:0 ls.0.bias:0 -> ls.1.weight:1",
    "Signed(5): ls.1.weight:0 ls.1.bias:0 -> ls.2.weight:1",
)
def loop_over_module_list():
    def forward(s, x):
        for layer in s.ls[:-1]:
            x = torch.tanh(layer(x))
        return s.ls[-1](x)

    return Net(forward, ls=nn.ModuleList([nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(5, 3)])), (rows(),)


@style("Scales(6): w:1 b:0 -> v:0")
def raw_matrices():
    return Net(
        lambda s, x: F.leaky_relu(x @ s.w + s.b, 0.1) @ s.v + s.c,
        w=parameter(4, 6), b=parameter(6), v=parameter(6, 3), c=parameter(3),
    ), (rows(),)  # fmt: skip


@style("GL(6): w:1 b:0 -> v:0", "R^6: b:0 -> c:0")
def raw_linear():
    return Net(
        lambda s, x: (x @ s.w + s.b) @ s.v + s.c,
        w=parameter(4, 6), b=parameter(6), v=parameter(6, 3), c=parameter(3),
    ), (rows(),)  # fmt: skip


@style("Scales(6): w:0 -> v:1")
def einsum():
    def forward(s, x):
        return torch.einsum("oh,bh->bo", s.v, torch.relu(torch.einsum("hi,bi->bh", s.w, x)))

    return Net(forward, w=parameter(6, 4), v=parameter(3, 6)), (rows(),)


@style(f"Scales(6): {SEQUENTIAL}", "Scales(6): 2.weight:0 2.bias:0 -> 4.weight:1")
def shared_activation_module():
    act = nn.ReLU()
    return nn.Sequential(nn.Linear(4, 6), act, nn.Linear(6, 6), act, nn.Linear(6, 3)), (rows(),)


@style("Signed(6): 0.weight:0 0.bias:0 2.weight:0 2.bias:0 -> 2.weight:1 6.weight:1")
def layer_called_twice():
    layer = nn.Linear(6, 6)
    parts = [nn.Linear(4, 6), nn.Tanh(), layer, nn.Tanh(), layer, nn.Tanh(), nn.Linear(6, 3)]
    return nn.Sequential(*parts), (rows(),)


@style("Scales(6): 0.weight:0 0.bias:0 2.weight:0 2.bias:0 -> 2.weight:1 6.weight:1")
def homogeneous_layer_called_twice():
    layer = nn.Linear(6, 6)
    parts = [nn.Linear(4, 6), nn.ReLU(), layer, nn.ReLU(), layer, nn.ReLU(), nn.Linear(6, 3)]
    return nn.Sequential(*parts), (rows(),)


@style()
def layer_called_on_input_and_hidden():  # its columns read the input, so the hidden space is the input's
    layer = nn.Linear(4, 4)
    return nn.Sequential(layer, nn.ReLU(), layer, nn.ReLU(), nn.Linear(4, 3)), (rows(),)


@style(
    "GL(6): 0.weight:0 0.bias:0 -> 1.weight:1", "R^6: 0.bias:0 -> 1.bias:0",
    "GL(5): 1.weight:0 1.bias:0 -> 2.weight:1", "R^5: 1.bias:0 -> 2.bias:0",
)  # fmt: skip
def deep_linear():
    return nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(5, 3)), (rows(),)


@style("GL(6): 0.weight:0 -> 1.weight:1")
def deep_linear_without_biases():
    return nn.Sequential(nn.Linear(4, 6, bias=False), nn.Linear(6, 3, bias=False)), (rows(),)


@style("GL(6): 0.weight:0 -> 1.weight:1")
def deep_linear_with_the_last_bias():  # nothing adds a shift
    return nn.Sequential(nn.Linear(4, 6, bias=False), nn.Linear(6, 3)), (rows(),)


@style("GL(6): 0.weight:0 0.bias:0 -> 1.weight:1")
def deep_linear_with_the_first_bias():  # nothing takes a shift up
    return nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3, bias=False)), (rows(),)


@style("GL(1): 0.weight:0 0.bias:0 -> 1.weight:1", "R^1: 0.bias:0 -> 1.bias:0")
def one_unit():
    return nn.Sequential(nn.Linear(4, 1), nn.Linear(1, 3)), (rows(),)


@style("Scales(6): a.weight:0 a.bias:0 -> o.weight:1")
def flatten_of_tokens():
    net = Net(lambda s, x: s.o(torch.relu(s.a(x)).flatten(1)), a=nn.Linear(4, 6), o=nn.Linear(30, 3))
    return net, (torch.randn(2, 5, 4),)


@style(f"Scales(6): {NAMED}")
def mean_over_tokens():
    return Net(lambda s, x: s.o(torch.relu(s.a(x)).mean(1)), a=nn.Linear(4, 6), o=nn.Linear(6, 3)), (
        torch.randn(2, 5, 4),
    )


@style("Scales(3): a.weight:0 a.bias:0 -> o.weight:1", "Signed(5): b.weight:0 b.bias:0 -> o.weight:1")
def cat():
    def forward(s, x):
        return s.o(torch.cat([torch.relu(s.a(x)), torch.tanh(s.b(x))], -1))

    return Net(forward, a=nn.Linear(4, 3), b=nn.Linear(4, 5), o=nn.Linear(8, 2)), (rows(),)


@style("Scales(3): a.weight:0 a.bias:0 -> o.weight:1")
def cat_with_the_input():
    net = Net(lambda s, x: s.o(torch.cat([torch.relu(s.a(x)), x], -1)), a=nn.Linear(4, 3), o=nn.Linear(7, 2))
    return net, (rows(),)


@style(f"Monomial(3): {NAMED}")
def chunk():
    def forward(s, x):
        u, g = s.a(x).chunk(2, -1)
        return s.o(u * torch.sigmoid(g))

    return Net(forward, a=nn.Linear(4, 6), o=nn.Linear(3, 2)), (rows(),)


@style(f"Monomial(3): {NAMED}")
def glu():
    return Net(lambda s, x: s.o(F.glu(s.a(x))), a=nn.Linear(4, 6), o=nn.Linear(3, 2)), (rows(),)


@style("Monomial(6): gate.weight:0 up.weight:0 -> down.weight:1")
def swiglu():
    return Net(
        lambda s, x: s.down(F.silu(s.gate(x)) * s.up(x)),
        gate=nn.Linear(4, 6, bias=False), up=nn.Linear(4, 6, bias=False), down=nn.Linear(6, 3, bias=False),
    ), (rows(),)  # fmt: skip


@style("Signed(6): z.weight:0 z.bias:0 h.weight:0 h.bias:0 -> o.weight:1")
def gated_cell():
    def forward(s, x):
        z = torch.sigmoid(s.z(x))
        return s.o((1 - z) * torch.tanh(s.h(x)))

    return Net(forward, z=nn.Linear(4, 6), h=nn.Linear(4, 6), o=nn.Linear(6, 3)), (rows(),)


@style(
    "Scaling(6): a.weight:0 -> o.weight:1", "Scaling(6): b.weight:0 -> o.weight:1",
    "Permutation(6): a.weight:0 b.weight:0 -> o.weight:1",
)  # fmt: skip
def product_of_two():
    return Net(
        lambda s, x, y: s.o(s.a(x) * s.b(y)),
        a=nn.Linear(4, 6, bias=False), b=nn.Linear(3, 6, bias=False), o=nn.Linear(6, 2),
    ), (rows(4), rows(3))  # fmt: skip


# --- skips ---


@style(
    "GL(6): i.weight:0 i.bias:0 b.weight:0 b.bias:0 -> a.weight:1 o.weight:1",
    "R^6: i.bias:0 -> a.bias:0 o.bias:0", "R^6: b.bias:0 -> o.bias:0",
    "Scales(5): a.weight:0 a.bias:0 -> b.weight:1",
)  # fmt: skip
def skip():
    def forward(s, x):
        h = s.i(x)
        return s.o(h + s.b(torch.relu(s.a(h))))

    parts = {"i": nn.Linear(4, 6), "a": nn.Linear(6, 5), "b": nn.Linear(5, 6), "o": nn.Linear(6, 3)}
    return Net(forward, **parts), (rows(),)


@style("Scales(6): i.weight:0 i.bias:0 a.weight:0 a.bias:0 -> a.weight:1 o.weight:1")
def skip_before_the_activation():
    def forward(s, x):
        h = torch.relu(s.i(x))
        return s.o(torch.relu(h + s.a(h)))

    return Net(forward, i=nn.Linear(4, 6), a=nn.Linear(6, 6), o=nn.Linear(6, 3)), (rows(),)


@style("Scales(6): a.weight:0 a.bias:0 -> b.weight:1", "R^4: b.bias:0 -> o.bias:0")
def skip_of_the_input():  # the stream is the input itself
    net = Net(
        lambda s, x: s.o(x + s.b(torch.relu(s.a(x)))), a=nn.Linear(4, 6), b=nn.Linear(6, 4), o=nn.Linear(4, 3)
    )
    return net, (rows(),)


@style(
    "Scales(6): w.weight:0 w.bias:0 b.weight:0 -> o.weight:1",
    "GL(2): a.weight:0 -> b.weight:1",
)
def low_rank_beside():
    return Net(
        lambda s, x: s.o(torch.relu(s.w(x) + 2.0 * s.b(s.a(x)))),
        w=nn.Linear(4, 6), a=nn.Linear(4, 2, bias=False), b=nn.Linear(2, 6, bias=False), o=nn.Linear(6, 3),
    ), (rows(),)  # fmt: skip


@style("Scales(6): w:0 b:0 -> o.weight:1", "GL(2): a:0 -> b:1")
def low_rank_merged():
    return Net(
        lambda s, x: s.o(torch.relu(F.linear(x, s.w + s.b @ s.a))),
        w=parameter(6, 4), a=parameter(2, 4), b=parameter(6, 2), o=nn.Linear(6, 3),
    ), (rows(),)  # fmt: skip


# --- activations ---


@style(f"Signed(6): {NAMED}")
def tanh():
    return hidden(torch.tanh)


@style(f"Signed(6): {NAMED}")
def softsign():
    return hidden(F.softsign)


@style(f"Signed(6): {NAMED}")
def hardtanh():
    return hidden(F.hardtanh)


@style("Signed(6): a.weight:0 a.bias:0 -> o.weight:1 o.bias:0")
def sigmoid():  # sigma(-z) = 1 - sigma(z): the next bias takes the 1 up
    return hidden(torch.sigmoid)


@style("Permutation(6): a.weight:0 a.bias:0 -> o.weight:1")
def sigmoid_without_a_bias_to_take_the_one():
    net = Net(lambda s, x: s.o(torch.sigmoid(s.a(x))), a=nn.Linear(4, 6), o=nn.Linear(6, 3, bias=False))
    return net, (rows(),)


@style(f"Permutation(6): {NAMED}")
def gelu():
    return hidden(F.gelu)


@style(f"Permutation(6): {NAMED}")
def softplus():
    return hidden(F.softplus)


@style(f"Permutation(6): {NAMED}")
def elu():
    return hidden(F.elu)


@style(f"Permutation(6): {NAMED}")
def relu6():
    return hidden(F.relu6)


@style(f"Monomial(6): {NAMED}")
def square():
    return hidden(torch.square)


@style(f"Monomial(6): {NAMED}")
def cube():
    return hidden(lambda h: h**3)


@style(f"Scales(6): {NAMED}")
def relu_squared():  # of degree 2, but not even
    return hidden(lambda h: torch.relu(h) ** 2)


@style(f"Scales(6): {NAMED}", "Signs(6): a.weight:0 a.bias:0 ->")
def absolute():
    return hidden(torch.abs)


@style(f"Signed(6): {NAMED}", "Z^6: a.bias:0 -> o.weight:1")
def sine():
    return hidden(lambda h: torch.sin(30 * h))


@style("Signed(6): a.weight:0 a.bias:0 -> o.weight:1", "Z^6: a.bias:0 -> o.weight:1")
def cosine():
    return hidden(torch.cos)


@style(f"Permutation(6): {NAMED}", "R^6: a.bias:0 -> o.weight:1")
def exponential():
    return hidden(torch.exp)


@style(f"Permutation(6): {NAMED}")
def swish_by_hand():
    return hidden(lambda h: h * torch.sigmoid(1.702 * h))


@style(f"Scales(6): {NAMED}")
def leaky_relu_by_hand():
    return hidden(lambda h: torch.maximum(0.1 * h, h))


@style(
    "Scales(6): a.weight:0 a.bias:0 b.weight:0 b.bias:0 -> o.weight:1",
    "R^6: a.bias:0 b.bias:0 -> o.bias:0",
)
def maxout():
    net = Net(
        lambda s, x: s.o(torch.maximum(s.a(x), s.b(x))),
        a=nn.Linear(4, 6), b=nn.Linear(4, 6), o=nn.Linear(6, 3),
    )  # fmt: skip
    return net, (rows(),)


@style("Scales(6): 0.weight:0 0.bias:0 1.weight:0 -> 2.weight:1")
def prelu_with_a_slope_for_each_unit():
    return nn.Sequential(nn.Linear(4, 6), nn.PReLU(6), nn.Linear(6, 3)), (rows(),)


@style(f"Scales(6): {SEQUENTIAL}")
def prelu_with_one_slope():
    return mlp(nn.PReLU), (rows(),)


@style("O(6): a.weight:0 -> o.weight:1")
def radial():
    def forward(s, x):
        h = s.a(x)
        return s.o(h * torch.tanh(h.norm(dim=-1, keepdim=True)))

    return Net(forward, a=nn.Linear(4, 6, bias=False), o=nn.Linear(6, 3)), (rows(),)


@style(f"Scales(6): {SEQUENTIAL}", "R^7: 2.weight:0 2.bias:0 ->")
def softmax_at_the_end():
    return nn.Sequential(*mlp(), nn.Softmax(-1)), (rows(),)


@style(f"Permutation(6): {SEQUENTIAL}", "R^5: 0.weight:0 0.bias:0 ->", "R^3: -> 2.weight:1 2.bias:0")
def softmax_inside():
    return nn.Sequential(nn.Linear(4, 6), nn.Softmax(-1), nn.Linear(6, 3)), (rows(),)


# --- inputs, outputs, modes ---


@style(
    "Scales(6): a.weight:0 a.bias:0 b.weight:0 b.bias:0 -> o.weight:1",
    "R^6: a.bias:0 b.bias:0 ->",
)
def two_inputs():
    net = Net(
        lambda s, x, y: s.o(torch.relu(s.a(x) + s.b(y))),
        a=nn.Linear(4, 6), b=nn.Linear(3, 6), o=nn.Linear(6, 2),
    )  # fmt: skip
    return net, (rows(4), rows(3))


@style(f"Scales(6): {NAMED}")
def dictionary_of_inputs():
    def forward(s, batch):
        return {"logits": s.o(torch.relu(s.a(batch["x"]))), "seen": batch["y"]}

    return Net(forward, a=nn.Linear(4, 6), o=nn.Linear(6, 2)), ({"x": rows(), "y": rows()},)


@style("Scales(6): a.weight:0 a.bias:0 -> o.weight:1 p.weight:1")
def dictionary_of_outputs():
    def forward(s, x):
        h = torch.relu(s.a(x))
        return {"o": s.o(h), "rest": [s.p(h), None, 3]}

    return Net(forward, a=nn.Linear(4, 6), o=nn.Linear(6, 2), p=nn.Linear(6, 3)), (rows(),)


@style()
def hidden_value_returned():
    def forward(s, x):
        h = torch.relu(s.a(x))
        return s.o(h), h

    return Net(forward, a=nn.Linear(4, 6), o=nn.Linear(6, 2)), (rows(),)


@style("Permutation(6): a.weight:0 a.bias:0 -> o.weight:1")
def sum_of_hidden_units_returned():
    def forward(s, x):
        h = torch.relu(s.a(x))
        return s.o(h), h.sum(-1)

    return Net(forward, a=nn.Linear(4, 6), o=nn.Linear(6, 2)), (rows(),)


@style(f"Scales(6): {NAMED}")
def keywords():
    def forward(s, x, *, weight=None, flip=False):
        h = torch.relu(s.a(x if weight is None else x * weight))
        return -s.o(h) if flip else s.o(h)

    net = Net(forward, a=nn.Linear(4, 6), o=nn.Linear(6, 3))
    return net, (rows(),), {"weight": rows(), "flip": True}


@style("Scales(6): 0.weight:0 0.bias:0 -> 3.weight:1")
def dropout_in_training_mode():
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 3))
    return net.train(), (rows(),)


@style("PositiveScaling(6): a.weight:0 a.bias:0 -> o.weight:1")
def buffer_that_multiplies_units():  # different numbers meet different units: they keep their places
    return Net(
        lambda s, x: s.o(torch.relu(s.a(x)) * s.mask),
        a=nn.Linear(4, 6),
        o=nn.Linear(6, 3),
        mask=torch.rand(6),
    ), (rows(),)


@style("R^6: a.bias:0 -> o.bias:0")
def buffer_added_to_units():  # no scale, and no permutation; a shift passes
    net = Net(lambda s, x: s.o(s.a(x) + s.mask), a=nn.Linear(4, 6), o=nn.Linear(6, 3), mask=torch.rand(6))
    return net, (rows(),)


@style(f"Scales(6): {NAMED}")
def unused_layer():
    return Net(
        lambda s, x: s.o(torch.relu(s.a(x))), a=nn.Linear(4, 6), o=nn.Linear(6, 3), z=nn.Linear(7, 7)
    ), (rows(),)


# --- ties, frozen and parametrised weights ---


@style("Signed(6): w:0 -> w:0")
def tied_autoencoder():
    return Net(lambda s, x: F.linear(torch.tanh(F.linear(x, s.w)), s.w.t()), w=parameter(6, 4)), (rows(),)


@style("O(6): w:0 -> w:0")
def tied_linear():
    return Net(lambda s, x: F.linear(F.linear(x, s.w), s.w.t()), w=parameter(6, 4)), (rows(),)


@style("Scales(5): 2.weight:0 2.bias:0 -> 4.weight:1")
def frozen_layer():
    net = mlp(widths=(4, 6, 5, 3))
    net[0].requires_grad_(False)
    return net, (rows(),)


@style()
def frozen_reader():
    net = mlp()
    net[2].requires_grad_(False)
    return net, (rows(),)


@style()
def frozen_bias():  # the producer's bias always moves with it
    net = mlp()
    net[0].bias.requires_grad_(False)
    return net, (rows(),)


@style("PositiveScaling(6): a.weight:0 a.bias:0 -> o.weight:1")
def masked_weights():
    net = Net(
        lambda s, x: s.o(torch.relu(F.linear(x, s.a.weight * s.mask, s.a.bias))),
        a=nn.Linear(4, 6), o=nn.Linear(6, 3), mask=(torch.rand(6, 4) > 0.5).float(),
    )  # fmt: skip
    return net, (rows(),)


@style(f"Scales(6): {NAMED}", "Signs(6): a.weight:0 ->", "Signs(4): a.weight:1 ->")
def absolute_weights():
    net = Net(
        lambda s, x: s.o(torch.relu(F.linear(x, s.a.weight.abs(), s.a.bias))),
        a=nn.Linear(4, 6),
        o=nn.Linear(6, 3),
    )
    return net, (rows(),)


WEIGHT_NORM = (
    "PositiveScaling(6): 0.bias:0 {g}:0 -> 2.weight:1",
    "PositiveScaling(6): {v}:0 ->",
    "Permutation(6): 0.bias:0 {g}:0 {v}:0 -> 2.weight:1",
    "Signs(6): {g}:0 {v}:0 ->",
)


@style(
    *(
        t.format(g="0.parametrizations.weight.original0", v="0.parametrizations.weight.original1")
        for t in WEIGHT_NORM
    )
)
def weight_norm():
    net = mlp()
    nn.utils.parametrizations.weight_norm(net[0])
    return net, (rows(),)


@style(*(t.format(g="0.weight_g", v="0.weight_v") for t in WEIGHT_NORM))
def old_weight_norm():
    import warnings

    net = mlp()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nn.utils.weight_norm(net[0])
    return net, (rows(),)


@style()
def spectral_norm():
    net = mlp()
    nn.utils.parametrizations.spectral_norm(net[0])
    return net, (rows(),)


@style()
def orthogonal():
    net = mlp(widths=(4, 4, 3))
    nn.utils.parametrizations.orthogonal(net[0])
    return net, (rows(),)


# --- dtypes, devices, wrappers ---


@style(f"Scales(6): {SEQUENTIAL}")
def half():
    return mlp().half(), (rows().half(),)


@style(f"Signed(6): {SEQUENTIAL}")
def bfloat16():
    return mlp(nn.Tanh).bfloat16(), (rows().bfloat16(),)


@style(f"Scales(6): {SEQUENTIAL}")
def meta():
    with torch.device("meta"):
        return mlp(), (torch.randn(3, 4),)


@style(f"Scales(6): {SEQUENTIAL}")
def lazy():
    return nn.Sequential(nn.LazyLinear(6), nn.ReLU(), nn.LazyLinear(3)), (rows(),)


@style(f"Scales(6): {SEQUENTIAL}")
def compiled():
    return torch.compile(mlp()), (rows(),)


@style("Scales(6): module.0.weight:0 module.0.bias:0 -> module.2.weight:1")
def wrapper():
    return Net(lambda s, *a, **k: s.module(*a, **k), module=mlp()), (rows(),)


@style(f"Scales(6): {SEQUENTIAL}")
def data_parallel():
    return nn.DataParallel(mlp()), (rows(),)


@style(f"Scales(6): {SEQUENTIAL}")
def deep_copy():
    return copy.deepcopy(mlp()), (rows(),)


@style(refused="data-dependent")
def branch_on_data():
    def forward(s, x):
        return s.o(torch.relu(s.a(x))) if x.sum() > 0 else s.o(s.a(x))

    return Net(forward, a=nn.Linear(4, 6), o=nn.Linear(6, 3)), (rows(),)


@style(refused="could not be traced")
def number_read_from_data():
    return Net(lambda s, x: s.a(x) * x.sum().item() + torch.zeros(int(x.abs().sum())), a=nn.Linear(4, 6)), (
        rows(),
    )


@style(refused="could not be traced")
def wrong_inputs():
    return mlp(), (rows(5),)


@style(
    "GL(6): 0.weight:0 0.bias:0 -> 1.weight:1", "GL(5): 1.weight:0 -> 2.weight:1", "R^6: 0.bias:0 -> 2.bias:0",
)  # fmt: skip
def linear_layers_with_none_to_take_up_a_shift_between():  # it goes on to the last bias
    return nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 5, bias=False), nn.Linear(5, 3)), (rows(),)
