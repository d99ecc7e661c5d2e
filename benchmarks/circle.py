"""The exact SO(2) teleport against ten autograd ascent steps: time, and the share of the maximum reached.

    python benchmarks/circle.py

Both are timed alternately in one process on one thread, search and application with every gradient included;
the figures are medians. "GD" is one forward and backward pass with an SGD step. "reached" is ‖∇L‖² over the
largest on a dense grid of the orbit: the smallest over the points for the exact teleport, the median for the
published ascent.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import statistics
import time
from collections.abc import Callable

import torch

import symdiscover as sd
import teleport as tp

LOSSES = {
    "Rosenbrock": ("100*(x**2 - y)**2 + (x - 1)**2", 0.1),
    "Booth": ("(x + 2*y - 7)**2 + (2*x + y - 5)**2", 0.001),
    "ellipse": ("x**2 + 9*y**2", 0.001),
}
POINTS, ROUNDS, GRID = 40, 5, 20_000


def microseconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return 1e6 * (time.perf_counter() - began)


def gradient_step(loss: Callable[[torch.Tensor], torch.Tensor], point: torch.Tensor) -> Callable[[], None]:
    parameter = torch.nn.Parameter(point.clone())
    optimizer = torch.optim.SGD([parameter], lr=1e-6)

    def step() -> None:
        optimizer.zero_grad()
        loss(parameter).backward()
        optimizer.step()

    return step


def dense_maximum(action: sd.Action, point: torch.Tensor) -> float:
    angles = torch.linspace(-torch.pi, torch.pi, GRID, dtype=point.dtype)
    with torch.no_grad():
        return float(tp.gradient_norm(action.loss, action(angles, point)).max())


def measure(text: str, lr: float) -> tuple[list[float], float, float]:
    """Median microseconds of GD step, published ascent, `ascend`, exact teleport; the shares reached."""
    action = sd.to_torch(sd.derive(sd.Loss.parse(text)).certificates[0])
    generator = torch.Generator().manual_seed(0)
    points = 2 * torch.randn(POINTS, 2, dtype=torch.float64, generator=generator)
    times: list[list[float]] = [[], [], [], []]
    exact, published = [], []
    for point in points:
        rivals = (
            gradient_step(action.loss, point),
            lambda point=point: tp.paper_ascent(action, point, lr=lr, generator=generator),
            lambda point=point: tp.ascend(action, point),
            lambda point=point: tp.teleport_circle(action, point),
        )
        for rival in rivals:
            rival()
        for _ in range(ROUNDS):
            for rival, taken in zip(rivals, times, strict=True):
                taken.append(microseconds(rival))
        best = dense_maximum(action, point)
        moved = tp.teleport_circle(action, point).point
        exact.append(float(tp.gradient_norm(action.loss, moved)) / best)
        published.append(float(tp.paper_ascent(action, point, lr=lr, generator=generator).after) / best)
    return [statistics.median(taken) for taken in times], min(exact), statistics.median(published)


def main() -> None:
    torch.set_num_threads(1)
    print(
        f"{'microseconds, medians':22} {'GD':>6} {'ten steps':>10} {'ascend':>7} {'teleport_circle':>16}",
        end="",
    )
    print(f" {'ratio':>7}   reached: exact, published")
    for name, (text, lr) in LOSSES.items():
        (gd, ascent, general, teleport), exact, published = measure(text, lr)
        print(
            f"{name:22} {gd:6.0f} {ascent:10.0f} {general:7.0f} {teleport:16.1f} {ascent / teleport:6.0f}x"
            f"   {exact:.9f}, {published:.2f}"
        )


if __name__ == "__main__":
    main()
