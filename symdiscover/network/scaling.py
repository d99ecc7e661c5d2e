"""Positive scaling of hidden units: W -> diag(s) W, b -> s b, V -> V diag(s^-k), exact for all inputs.

If sigma(c z) = c^k sigma(z) for c > 0, then V diag(s^-k) sigma(diag(s) (W x + b)) = V sigma(W x + b): the
outputs of the network do not move (Zhao et al. 2022, Prop. 4.2, for diagonal g; Armenta et al. 2023). Grade:
global.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import is_parametrized

from symdiscover.errors import NotAdmissible, SymmetryError
from symdiscover.network.activation import Homogeneity, expression_of, homogeneity

Parameters = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class ScalingPair:
    """One hidden space: the layer that writes it, the layer that reads it, and why it may be scaled.

    Attributes
    ----------
    writer, reader:
        Names of the two linear layers.
    size:
        The number of hidden units.
    bias:
        Whether the writer has a bias; it moves with its weight.
    degree:
        k, the degree of the activation between them.
    proofs:
        One for each activation on the way.
    """

    writer: str
    reader: str
    size: int
    bias: bool
    degree: float
    proofs: tuple[Homogeneity, ...]

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters that a scaling of this space moves."""
        bias = (f"{self.writer}.bias",) if self.bias else ()
        return (f"{self.writer}.weight", *bias, f"{self.reader}.weight")


@dataclass(frozen=True)
class Scaling:
    """The group of all positive scalings of a network's hidden units, acting on its parameters.

    An element is the vector of logarithms log s of all hidden units, (size,): elements compose by addition,
    the zero vector is the identity and -log s the inverse.

    Notes
    -----
    Laws, to rounding: outputs are equal for every input; ``action(g + h, w) = action(g, action(h, w))``.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)).double()
    >>> action, x = scaling_of(model), torch.ones(1, 2, dtype=torch.float64)
    >>> moved = action(torch.tensor([0.5, -1.0, 2.0]), dict(model.named_parameters()))
    >>> torch.allclose(torch.func.functional_call(model, moved, (x,)), model(x))
    True
    """

    pairs: tuple[ScalingPair, ...]

    @property
    def size(self) -> int:
        """The number of hidden units that are scaled: the dimension of the group."""
        return sum(pair.size for pair in self.pairs)

    def split(self, element: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The logarithms of each pair.

        Raises
        ------
        SymmetryError
            If the element is not a vector of `size` entries.
        """
        if element.shape != (self.size,):
            raise SymmetryError(
                f"an element is log s of {self.size} hidden units, ({self.size},), not {tuple(element.shape)}"
            )
        return element.split([pair.size for pair in self.pairs])

    def __call__(self, element: torch.Tensor, parameters: Parameters) -> dict[str, torch.Tensor]:
        """Move parameters: pure and differentiable. Names that no pair touches stay the same tensors.

        Parameters
        ----------
        element:
            (size,), log s.
        parameters:
            name -> tensor, as `torch.func.functional_call` takes it.

        Raises
        ------
        SymmetryError
            If the element has another shape or a parameter is missing.
        """
        moved = dict(parameters)
        if missing := [name for pair in self.pairs for name in pair.parameters if name not in moved]:
            raise SymmetryError(f"these are not the parameters of the model: {missing[0]} is missing")
        for pair, log_s in zip(self.pairs, self.split(element), strict=True):
            writer, reader = f"{pair.writer}.weight", f"{pair.reader}.weight"
            s = log_s.to(moved[writer]).exp()
            moved[writer] = moved[writer] * s[:, None]
            if pair.bias:
                moved[f"{pair.writer}.bias"] = moved[f"{pair.writer}.bias"] * s
            moved[reader] = moved[reader] * s.pow(-pair.degree)
        return moved


def scaling_of(model: nn.Module) -> Scaling:
    """Find the hidden units of an `nn.Sequential` of linear layers that may be scaled, each with its proof.

    A pair is two linear layers with nothing but positively homogeneous activations between them, whose
    weights are plain, trainable and used nowhere else. A module of any other kind ends a pair; a `Sequential`
    inside counts as its layers.

    Raises
    ------
    NotAdmissible
        If the model is no `nn.Sequential` or none of its hidden units may be scaled: with the place, the
        reason and what would help.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.LeakyReLU(0.1), nn.Linear(8, 3))
    >>> [(pair.writer, pair.reader, pair.size) for pair in scaling_of(model).pairs]
    [('0', '2', 8)]
    """
    if not _sequential(model):
        kind = type(model).__name__
        raise _refusal(
            kind,
            f"{kind} is no plain nn.Sequential: the order of its layers is not known",
            "write it as nn.Sequential",
        )
    plain = _plain_parameters(model)
    uses = Counter(id(module) for _, module in _layers(model))
    pairs: list[ScalingPair] = []
    reasons: list[NotAdmissible] = []
    writer: tuple[str, nn.Linear] | None = None
    between: list[Homogeneity] = []
    for name, module in _layers(model):
        if not isinstance(module, nn.Linear):
            proof = _proof(name, module)
            if isinstance(proof, Homogeneity):
                between.append(proof)
            else:
                reasons += [proof] if writer is not None else []
                writer = None
            continue
        if writer is not None:
            fault = _fault(*writer, ("weight", "bias"), plain, uses) or _fault(
                name, module, ("weight",), plain, uses
            )
            if fault is None:
                pairs.append(_pair(writer, name, between))
            else:
                reasons.append(fault)
        writer, between = (name, module), []
    if not pairs:
        raise reasons[0] if reasons else _refusal(
            "model", "no two linear layers follow each other, so there are no hidden units to scale",
            "a network with a hidden layer",
        )  # fmt: skip
    return Scaling(tuple(pairs))


def _sequential(module: nn.Module) -> bool:
    """Whether the modules inside run one after the other; a subclass may have a `forward` of its own."""
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def _layers(model: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Every layer in the order in which it runs; one that runs twice comes twice (not so: `named_children`)."""
    for name, module in model._modules.items():
        if module is not None:
            inside = (
                _layers(module, f"{prefix}{name}.") if _sequential(module) else [(f"{prefix}{name}", module)]
            )
            yield from inside


def _plain_parameters(model: nn.Module) -> frozenset[str]:
    """Names of the parameters that share no memory with another one: neither tied nor views of each other."""
    stored: dict[object, list[tuple[str, int, int]]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        storage, low, high = _span(parameter)
        stored.setdefault(storage, []).append((name, low, high))
    return frozenset(
        name
        for spans in stored.values()
        for name, low, high in spans
        if not any(other != name and low < last and first < high for other, first, last in spans)
    )


def _span(parameter: torch.Tensor) -> tuple[object, int, int]:
    """The storage of a tensor and the range of bytes that it spans there."""
    if parameter.is_meta or is_lazy(parameter):  # no memory yet
        return id(parameter), 0, 1
    size = parameter.element_size()
    low = int(parameter.storage_offset()) * size
    reach = sum(int(n - 1) * int(step) for n, step in zip(parameter.shape, parameter.stride(), strict=True))
    high = low + (reach + 1) * size if parameter.numel() else low
    return (parameter.device, parameter.untyped_storage().data_ptr()), low, high


def _proof(name: str, module: nn.Module) -> Homogeneity | NotAdmissible:
    expression, kind = expression_of(module), type(module).__name__
    if expression is None:
        remedy = "if it is an activation, give its expression to symdiscover.network.register"
        return _refusal(name, f"{kind} is no activation whose expression is known", remedy)
    proof = homogeneity(expression)
    return proof or _refusal(name, f"{kind} is not positively homogeneous", "LeakyReLU or ReLU in its place")


def _fault(
    name: str, layer: nn.Linear, parts: tuple[str, ...], plain: frozenset[str], uses: Counter[int]
) -> NotAdmissible | None:
    """Why these parameters of a layer may not be moved; None where they may."""
    if type(layer) is not nn.Linear or is_parametrized(layer):
        kind = f"a parametrised {nn.Linear.__name__}" if is_parametrized(layer) else type(layer).__name__
        return _refusal(name, f"{kind} may compute something else than W x + b", "a plain nn.Linear")
    if uses[id(layer)] > 1:
        return _refusal(
            name, "the layer runs more than once, so its weights are tied", "a layer for each place"
        )
    held = dict(layer.named_parameters())
    for part in parts:
        value = getattr(layer, part)
        if value is None:
            continue
        if part not in held:
            reason = f"its {part} is computed from other parameters (weight_norm, pruning ...)"
            return _refusal(name, reason, "a plain nn.Linear")
        if f"{name}.{part}" not in plain:
            return _refusal(name, f"its {part} is tied to another parameter", "a parameter for each place")
        if not value.requires_grad:
            return _refusal(
                name, f"its {part} is frozen, and a scaling would move it", "requires_grad_(True)"
            )
    return None


def _pair(writer: tuple[str, nn.Linear], reader: str, between: list[Homogeneity]) -> ScalingPair:
    name, layer = writer
    degree = 1.0
    for proof in between:
        degree *= float(proof.degree)
    return ScalingPair(name, reader, layer.out_features, layer.bias is not None, degree, tuple(between))


def _refusal(node: str, reason: str, remedy: str) -> NotAdmissible:
    return NotAdmissible(
        f"layer {node}: {reason}; what would help: {remedy}", node=node, reason=reason, remedy=remedy
    )
