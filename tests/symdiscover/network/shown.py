"""Small models whose parameters are not all in pairs, shared by several tests."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


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
