"""Styles in which models are written, each with the pairs that it must have: what the tests of the layer graph share.

A pair is written ``Group(n): writers -> readers``. The expectations are derived from the actions by hand: a homogeneous
activation leaves scales and permutations, an odd one signs, two linear layers a matrix.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from symdiscover.network import Pair

Claim = tuple[str, frozenset[str], frozenset[str]]
Built = tuple[nn.Module, tuple[Any, ...]] | tuple[nn.Module, tuple[Any, ...], dict[str, Any]]
#: Short names of groups in the tables.
SHORT = {"Scales": "PositiveScaling({n}) x| Permutation({n})", "Signed": "SignedPermutation({n})"}


@dataclass(frozen=True)
class Style:
    """One way to write a model.

    Attributes
    ----------
    build:
        Returns the model and the inputs it is called with.
    claims:
        The pairs it must have, each as often as it occurs.
    refused:
        What the refusal says, where tracing must refuse.
    free:
        Parameters with entries that no output sees at all: any change of theirs is an element.
    """

    name: str
    build: Callable[[], Built]
    claims: Counter[Claim]
    refused: str | None = None
    free: frozenset[str] = frozenset()

    def make(self) -> tuple[nn.Module, tuple[Any, ...], dict[str, Any]]:
        """The model, its inputs and its keywords, the same each time."""
        torch.manual_seed(0)
        model, inputs, *keywords = self.build()
        return model, inputs, keywords[0] if keywords else {}


STYLES: dict[str, Style] = {}


def style(
    *pairs: str, refused: str | None = None, free: Sequence[str] = ()
) -> Callable[[Callable[[], Built]], Callable[[], Built]]:
    """Enter a builder with the pairs of its model."""

    def enter(build: Callable[[], Built]) -> Callable[[], Built]:
        assert build.__name__ not in STYLES, build.__name__
        claims = Counter(claim(text) for text in pairs)
        STYLES[build.__name__] = Style(build.__name__, build, claims, refused, frozenset(free))
        return build

    return enter


def claim(text: str) -> Claim:
    """Read ``Group(n): writers -> readers``."""
    group, _, ends = text.partition(": ")
    writers, _, readers = ends.partition("->")
    if (short := re.fullmatch(r"(\w+)\((\d+)\)", group)) and short[1] in SHORT:
        group = SHORT[short[1]].format(n=short[2])
    return group, frozenset(writers.split()), frozenset(readers.split())


def claims(pairs: Sequence[Pair]) -> Counter[Claim]:
    """What was found, to be compared with the table."""
    return Counter((p.group, frozenset(p.writers), frozenset(p.readers)) for p in pairs)


class Net(nn.Module):
    """A model of parts, and a function of them and the inputs."""

    def __init__(self, function: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        for name, part in parts.items():
            if isinstance(part, torch.Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)
        self.function = function

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(self, *args, **kwargs)


def parameter(*shape: int) -> nn.Parameter:
    """Normal numbers."""
    return nn.Parameter(torch.randn(shape))


def rows(width: int = 4, count: int = 3) -> torch.Tensor:
    """A batch of vectors."""
    return torch.randn(count, width)


def compose(g: Mapping[str, torch.Tensor], h: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The element g h, with act(g h, w) = act(g, act(h, w)): units change places first, then scales and signs act."""
    place = g.get("permutation")
    result = {}
    for name, value in h.items():
        moved = value if place is None or name == "matrix" else value[place]
        if name == "permutation":
            result[name] = moved
        elif name == "matrix":
            result[name] = g[name] @ value
        else:
            result[name] = g[name] * moved if name == "sign" else g[name] + moved
    return result
