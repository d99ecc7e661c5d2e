"""Derive and prove the group actions that leave a loss unchanged, and turn the proofs into torch code.

>>> import symdiscover as sd
>>> loss = sd.Loss.parse("(x + 2*y - 7)**2 + (2*x + y - 5)**2")
>>> derivation = sd.derive(loss)
>>> certificate = sd.verify(derivation[0])
>>> certificate.status
'proved'
>>> action = sd.to_torch(certificate)

The weights of a network have symmetries too: ``sd.find_pairs(sd.trace(model, x))``, and ``sd.explain`` says them in words.

Importing this package loads neither torch nor matplotlib; the names that need them are loaded when they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from symdiscover import catalogue as catalogue
from symdiscover.derive import Attempt as Attempt
from symdiscover.derive import Derivation as Derivation
from symdiscover.derive import derive as derive
from symdiscover.errors import BudgetExceeded as BudgetExceeded
from symdiscover.errors import Diverged as Diverged
from symdiscover.errors import ExpressionError as ExpressionError
from symdiscover.errors import NotAdmissible as NotAdmissible
from symdiscover.errors import NotInvariant as NotInvariant
from symdiscover.errors import OutsideDomain as OutsideDomain
from symdiscover.errors import RankDeficient as RankDeficient
from symdiscover.errors import SymmetryError as SymmetryError
from symdiscover.group import GL as GL
from symdiscover.group import SO as SO
from symdiscover.group import Group as Group
from symdiscover.group import O as O
from symdiscover.group import PositiveScaling as PositiveScaling
from symdiscover.group import SignedPermutation as SignedPermutation
from symdiscover.group import Translation as Translation
from symdiscover.lie_algebra import LieAlgebra as LieAlgebra
from symdiscover.loss import Loss as Loss
from symdiscover.saved import verify_file as verify_file
from symdiscover.symmetry import Certificate as Certificate
from symdiscover.symmetry import Chart as Chart
from symdiscover.symmetry import Symmetry as Symmetry
from symdiscover.verify import claim as claim
from symdiscover.verify import verify as verify

if TYPE_CHECKING:
    from symdiscover.action import Action as Action
    from symdiscover.generate import TorchLoss as TorchLoss
    from symdiscover.generate import to_torch as to_torch
    from symdiscover.invariance import assert_invariant as assert_invariant
    from symdiscover.network.completeness import completeness as completeness
    from symdiscover.network.explain import explain as explain
    from symdiscover.network.pairs import Pair as Pair
    from symdiscover.network.pairs import find_pairs as find_pairs
    from symdiscover.network.trace import LayerGraph as LayerGraph
    from symdiscover.network.trace import trace as trace

__version__ = "0.1.0"

#: Public names that need torch -> the module that defines them.
_LAZY = {
    "Action": "action",
    "LayerGraph": "network",
    "Pair": "network",
    "TorchLoss": "generate",
    "assert_invariant": "invariance",
    "completeness": "network",
    "explain": "network",
    "find_pairs": "network",
    "to_torch": "generate",
    "trace": "network",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"symdiscover.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
