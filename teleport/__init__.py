"""Teleport an optimizer along the symmetries of its loss, to where the gradient is larger.

>>> import symdiscover as sd, teleport as tp, torch
>>> action = sd.to_torch(sd.verify(sd.derive(sd.Loss.parse("(x + 2*y - 7)**2 + (2*x + y - 5)**2"))[0]))
>>> start = torch.tensor([5.0, -5.0], dtype=torch.float64)
>>> path = tp.descend(action.loss, start, lr=0.08, steps=10, action=action, schedule=tp.at(4))
>>> round(float(path.final_loss), 6)
0.000945

Importing this package does not load matplotlib; the functions that draw are loaded when they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from teleport.ascent import AscentSettings as AscentSettings
from teleport.ascent import ascend as ascend
from teleport.ascent_result import Ascent as Ascent
from teleport.ascent_result import LevelSetAscent as LevelSetAscent
from teleport.closed_form import Optimum as Optimum
from teleport.closed_form import closed_form as closed_form
from teleport.closed_form import maximise_circle as maximise_circle
from teleport.closed_form import scaling_optimum as scaling_optimum
from teleport.closed_form import teleport_circle as teleport_circle
from teleport.descend import descend as descend
from teleport.level_set import LevelSetSettings as LevelSetSettings
from teleport.level_set import level_set_ascent as level_set_ascent
from teleport.level_set_model import level_set_teleport as level_set_teleport
from teleport.objective import gradient_norm as gradient_norm
from teleport.objective import loss_after_step as loss_after_step
from teleport.paper import PaperSettings as PaperSettings
from teleport.paper import paper_ascent as paper_ascent
from teleport.point_action import PointAction as PointAction
from teleport.schedule import Clock as Clock
from teleport.schedule import at as at
from teleport.schedule import either as either
from teleport.schedule import every as every
from teleport.schedule import first as first
from teleport.schedule import never as never
from teleport.teleporter import Move as Move
from teleport.teleporter import Teleporter as Teleporter
from teleport.trajectory import TeleportRecord as TeleportRecord
from teleport.trajectory import Trajectory as Trajectory

if TYPE_CHECKING:
    from teleport.plot import plot_convergence as plot_convergence
    from teleport.plot import plot_trajectory as plot_trajectory

#: Loaded when used: name -> module.
_LAZY = {"plot_convergence": "plot", "plot_trajectory": "plot"}

__all__ = [
    "Ascent",
    "AscentSettings",
    "Clock",
    "LevelSetAscent",
    "LevelSetSettings",
    "Move",
    "Optimum",
    "PaperSettings",
    "PointAction",
    "TeleportRecord",
    "Teleporter",
    "Trajectory",
    "ascend",
    "at",
    "closed_form",
    "descend",
    "either",
    "every",
    "first",
    "gradient_norm",
    "level_set_ascent",
    "level_set_teleport",
    "loss_after_step",
    "maximise_circle",
    "never",
    "paper_ascent",
    "plot_convergence",
    "plot_trajectory",
    "scaling_optimum",
    "teleport_circle",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"teleport.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
