"""Small models to try the layer graph on: ``symdiscover layers symdiscover.network.examples:mlp --input 32x4``.

All take a batch of rows: `mlp` and `Skips` of width 4, `convolutional` of 3 x 8 x 8 images, `Block` of sequences of width 8,
`Transformer` of whole numbers below 11.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


def mlp(activation: nn.Module | None = None) -> nn.Sequential:
    """Two linear layers with ReLU, or another activation, between them."""
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
        """The output for a batch."""
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
        """The output for a batch."""
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
        """Logits for a batch of token numbers."""
        x = self.wte(ids)
        for block in self.h:
            x = block(x)
        result: torch.Tensor = self.head(self.ln_f(x))
        return result


def convolutional() -> nn.Sequential:
    """Two convolutions, batch norm, pooling and a linear layer."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 6, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2),
    )  # fmt: skip


__all__ = ["Block", "Skips", "Transformer", "convolutional", "mlp"]
