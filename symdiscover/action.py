"""Action: a proved symmetry as running torch code."""

from __future__ import annotations

import linecache
import os
import tempfile
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from symdiscover.errors import SymmetryError
from symdiscover.group import Group
from symdiscover.symmetry import Certificate, Status


@dataclass(frozen=True)
class Action:
    """A group acting on points: ``action(element, point)`` with L(action(g, x)) = L(x).

    It is pure, differentiable to any order, batched, and runs on the device and in the dtype of the point.

    Attributes
    ----------
    group, certificate:
        What acts, and the proof.
    source:
        The generated module as text; it needs torch alone.
    constants:
        Values of the loss's symbolic constants, as floats or tensors that broadcast against the batch.

    Notes
    -----
    Laws, to the rounding of the evaluation: ``action(identity, x) = x``; ``action(compose(g, h), x) = action(g, action(h,
    x))``; ``action(inverse(g), action(g, x)) = x``; ``loss(action(g, x)) = loss(x)``. Grade: global.

    Examples
    --------
    >>> import symdiscover as sd, torch
    >>> action = sd.to_torch(sd.derive(sd.Loss.parse("x**2 + 4*y**2")).certificates[0])
    >>> point = torch.tensor([2.0, 0.0], dtype=torch.float64)
    >>> action(torch.tensor(torch.pi / 2), point).round(decimals=6) + 0.0
    tensor([0., 1.], dtype=torch.float64)
    """

    group: Group
    source: str
    certificate: Certificate | None = None
    constants: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, element: Any, point: torch.Tensor) -> torch.Tensor:
        """Move points: element (...) or (..., k) or (..., m, m) by group, point (..., n); batch shapes broadcast.

        Raises
        ------
        SymmetryError
            If a constant of the loss has no value, or the point has the wrong last dimension.
        """
        return self._module.act(element, point, **self._values)

    def loss(self, point: torch.Tensor) -> torch.Tensor:
        """The loss that the action leaves unchanged, at points (..., n): a tensor (...)."""
        return self._module.loss(point, **self._values)

    def identity(self, like: torch.Tensor) -> torch.Tensor:
        """The identity element, with the dtype and device of `like`."""
        return self._module.identity(like)

    def exp(self, xi: torch.Tensor) -> torch.Tensor:
        """The element with Lie-algebra coordinates xi: (..., dimension of the group)."""
        return self._module.exp(xi)

    def compose(self, g: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        """The element "first h, then g"."""
        return self._module.compose(g, h)

    def inverse(self, g: torch.Tensor) -> torch.Tensor:
        """The element that undoes g."""
        return self._module.inverse(g)

    def random(
        self,
        batch: tuple[int, ...] = (),
        scale: float = 1.0,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str | None = None,
    ) -> torch.Tensor:
        """Random elements of batch shape `batch`, all components of the group reached."""
        return self._module.random(batch, scale, generator, dtype, device)

    @property
    def status(self) -> Status:
        """How sure the invariance is: that of the certificate, or ``unchecked`` without one."""
        return "unchecked" if self.certificate is None else self.certificate.status

    @property
    def dimension(self) -> int:
        """The number n of coordinates of a point."""
        return len(self._module.SYMMETRY["variables"])

    @property
    def spectrum(self) -> Callable[..., tuple[Any, ...]] | None:
        """For SO(2) acting on a polynomial loss: coordinates x_1, ..., x_n -> (a_0, a_1, b_1, a_2, b_2, ...).

        |grad L(a(theta, x))|^2 = a_0 + sum_k a_k cos(k theta) + b_k sin(k theta). Arithmetic only: floats and tensors both do.
        """
        return self._bound("spectrum")

    @property
    def image(self) -> Callable[..., tuple[Any, ...]] | None:
        """For SO(2): (cos theta, sin theta, x_1, ..., x_n) -> the moved coordinates, on floats or tensors."""
        return self._bound("image")

    def at(self, **constants: Any) -> Action:
        """The same action with values for symbolic constants."""
        unknown = set(constants) - set(self._module.SYMMETRY["positive"])
        if unknown:
            raise SymmetryError(f"no constant is called {', '.join(sorted(unknown))}")
        return replace(self, constants={**self.constants, **constants})

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the generated module; it imports torch alone. The file is replaced whole or not at all.

        Raises
        ------
        OSError
            If the folder cannot be written.
        """
        target = Path(path)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(self.source)
            os.chmod(temporary, 0o644)
            os.replace(temporary, target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return target

    @cached_property
    def _module(self) -> types.ModuleType:
        return load(self.source)

    @cached_property
    def _values(self) -> dict[str, Any]:
        needed = self._module.SYMMETRY["positive"]
        missing = [name for name in needed if name not in self.constants]
        if missing:
            raise SymmetryError(
                f"the loss has symbolic constants without a value: {', '.join(missing)}; "
                f"use action.at({', '.join(f'{name}=...' for name in missing)})"
            )
        return {name: self.constants[name] for name in needed}

    def _bound(self, name: str) -> Callable[..., tuple[Any, ...]] | None:
        function = getattr(self._module, name, None)
        if function is None or name not in self._module.ARITHMETIC:
            return None
        values = self._values
        return (lambda *arguments: function(*arguments, **values)) if values else function

    def __getstate__(self) -> dict[str, Any]:
        kept = ("group", "source", "certificate", "constants")
        return {name: self.__dict__[name] for name in kept}

    def __repr__(self) -> str:
        return f"Action({self.group.name}, {self.status})"


def load(source: str) -> types.ModuleType:
    """Execute a generated module, registered so that tracebacks and `inspect` show its lines.

    The text must come from `symdiscover.to_torch` in this process or from a pickle of one's own: it is run.
    """
    name = f"<symdiscover action {hash(source) & 0xFFFFFFFF:08x}>"
    module = types.ModuleType("symdiscover_action")
    module.__file__ = name
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    exec(compile(source, name, "exec"), module.__dict__)
    return module
