"""Small models of several kinds, shared by the tests of explanations, pictures and the command."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


def mlp(activation: nn.Module | None = None) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), activation or nn.ReLU(), nn.Linear(8, 2))


class Skips(nn.Module):
    """A residual stream with two norms."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 8)
        self.norm = nn.LayerNorm(8)
        self.up, self.down = nn.Linear(8, 16), nn.Linear(16, 8)
        self.last = nn.RMSNorm(8)
        self.out = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.inner(x)
        h = h + self.down(F.relu(self.up(self.norm(h))))
        result: torch.Tensor = self.out(self.last(h))
        return result


class Block(nn.Module):
    """Attention with two heads and a GELU layer, before a norm each."""

    def __init__(self, width: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc, self.back = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.heads = heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, time, width = x.shape
        parts = self.qkv(self.ln_1(x)).split(width, dim=2)
        q, k, v = (p.view(batch, time, self.heads, -1).transpose(1, 2) for p in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(mixed.transpose(1, 2).reshape(batch, time, width))
        result: torch.Tensor = x + self.back(F.gelu(self.fc(self.ln_2(x))))
        return result


class Transformer(nn.Module):
    """An embedding, equal blocks and a head, tied to the embedding or not."""

    def __init__(self, blocks: int = 3, tied: bool = False) -> None:
        super().__init__()
        self.wte = nn.Embedding(11, 8)
        self.h = nn.ModuleList([Block() for _ in range(blocks)])
        self.ln_f = nn.LayerNorm(8)
        self.head = nn.Linear(8, 11, bias=False)
        if tied:
            self.head.weight = self.wte.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.wte(ids)
        for block in self.h:
            x = block(x)
        result: torch.Tensor = self.head(self.ln_f(x))
        return result


class Returned(nn.Module):
    """A hidden value that is returned as well, unless told otherwise."""

    def __init__(self, hidden: bool = True) -> None:
        super().__init__()
        self.a, self.o = nn.Linear(4, 6), nn.Linear(6, 2)
        self.hidden = hidden

    def forward(self, x: torch.Tensor) -> object:
        h = F.relu(self.a(x))
        return (self.o(h), h) if self.hidden else self.o(h)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.o = nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.o(self.lstm(x)[0])
        return result


class Joined(nn.Module):
    """The input beside hidden units."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.c = nn.Linear(4, 3), nn.Linear(7, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.c(torch.cat([F.relu(self.a(x)), x], -1))
        return result


def convolutional() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 6, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2),
    )  # fmt: skip
