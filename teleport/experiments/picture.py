"""The picture of a teleport: Rosenbrock's level sets, a descent, a jump along an orbit, the descent from there."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure

from symdiscover.action import Action
from symdiscover.plot import COLOURS
from teleport.descend import descend
from teleport.experiments.landscape import arc, draw_arrow, draw_landscape, mark, orbit
from teleport.schedule import at, every

START, MINIMUM = (-1.0, -1.0), (1.0, 1.0)
#: The rate, the steps before the teleport, and all steps.
RATE, BEFORE, STEPS = 1e-3, 99, 400
BOX = ((-1.25, 2.05), (-1.25, 2.6))


def picture(action: Action) -> Figure:
    """One teleport on the Rosenbrock function, a = 1 and b = 100, to be read at 700 pixels.

    Every number in it is read off the descents that it draws, and one more with a teleport every 100 steps.

    Parameters
    ----------
    action:
        SO(2) on the loss with symbolic constants.
    """
    action = action.at(a=1.0, b=100.0)
    start = torch.tensor(START, dtype=torch.float64)
    plain = descend(action.loss, start, RATE, STEPS)
    jump = descend(action.loss, start, RATE, STEPS, action=action, schedule=at(BEFORE))
    often = descend(action.loss, start, RATE, STEPS, action=action, schedule=every(BEFORE + 1))
    (record,) = jump.teleports
    blue, orange, green = COLOURS[:3]

    figure = Figure(figsize=(7.0, 4.7), layout="constrained")
    axes = figure.add_subplot()
    draw_landscape(axes, action.loss, BOX)
    axes.plot(*orbit(action, record.before).T, color=orange, linewidth=1.0, linestyle=(0, (4, 3)), zorder=2)
    axes.plot(*plain.points.numpy().T, color=blue, linewidth=2.2, zorder=3, solid_joinstyle="round")
    draw_arrow(axes, arc(action, record), orange, 2.4)
    after = torch.cat([record.after[None], jump.points[BEFORE + 1 :]])
    axes.plot(*after.numpy().T, color=green, linewidth=2.4, zorder=6, solid_joinstyle="round")
    mark(axes, START, MINIMUM)
    axes.set(xlabel="$x_1$", ylabel="$x_2$")

    def note(text: str, place: tuple[float, float], at_point: tuple[float, float], colour: str) -> None:
        axes.annotate(
            text,
            at_point,
            place,
            color=colour,
            fontsize=10,
            linespacing=1.35,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.7, "shrinkA": 2, "shrinkB": 4},
            bbox={"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
            zorder=7,
        )

    rest = STEPS - BEFORE
    x, y = plain.points[BEFORE + rest // 2].tolist()
    note(f"{BEFORE} steps of\ngradient descent", (-1.15, -0.5), (-0.5, -0.74), blue)
    note(
        f"{rest} steps more\nwithout a teleport:\nloss {float(plain.final_loss):.2f}",
        (0.75, -0.75),
        (x, y),
        blue,
    )
    note(
        f"teleport along the orbit:\nthe loss stays {float(record.loss_before):.2f},\n"
        rf"$\Vert\nabla L\Vert^2$ grows {float(record.gain):.0f}-fold",
        (-0.4, 1.2),
        (0.62, 0.35),
        orange,
    )
    note(
        f"{rest} steps more from here: loss {float(jump.final_loss):.2f}\n"
        f"with {len(often.teleports) - 1} more teleports: {_power(float(often.final_loss))}",
        (-0.4, 2.2),
        (float(record.after[0]), float(record.after[1])),
        green,
    )
    return figure


def _power(value: float) -> str:
    """A small number as a times a power of ten."""
    digits, exponent = f"{value:.0e}".split("e")
    return rf"${digits}\times10^{{{int(exponent)}}}$"
