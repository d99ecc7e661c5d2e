"""Action: a proved symmetry as running torch code."""

from __future__ import annotations

import errno
import hashlib
import linecache
import math
import os
import sys
import tempfile
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from symdiscover.errors import SymmetryError
from symdiscover.group import Group
from symdiscover.symmetry import Certificate, Status


@dataclass(frozen=True, eq=False)
class Action:
    """A group acting on points: ``action(element, point)`` with L(action(g, x)) = L(x).

    It is pure, differentiable to any order, batched, and runs on the device and in the dtype of the point. Two
    actions are equal where they are the same object.

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
    x))``; ``action(inverse(g), action(g, x)) = x``; ``loss(action(g, x)) = loss(x)``. Grade: global. A flow along the
    level set, of kind ``numerical``, has the first and the last, and no products (`composes`).

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
    _module: types.ModuleType = field(init=False, repr=False)
    _composes: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "constants", dict(self.constants))
        self._prepare()

    def _prepare(self) -> None:
        # Not left to the first call: that may be one which torch.compile traces.
        object.__setattr__(self, "_module", load(self.source))
        by_matrices = bool(self.group.basis or self.group.discrete)
        composes = by_matrices or self.certificate is None or self.certificate.group_law
        object.__setattr__(self, "_composes", composes)

    def __call__(self, element: Any, point: torch.Tensor) -> torch.Tensor:
        """Move points: element (...) or (..., k) or (..., m, m) by group, point (..., n); batch shapes broadcast.

        Raises
        ------
        SymmetryError
            If a constant of the loss has no value.
        ValueError
            If the point is no floating-point tensor of shape (..., n), or the element has the wrong shape.
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
        """The element "first h, then g".

        Raises
        ------
        SymmetryError
            If the claim is a map of which it was not proved that it composes.
        """
        self._require_group_law()
        return self._module.compose(g, h)

    def inverse(self, g: torch.Tensor) -> torch.Tensor:
        """The element that undoes g.

        Raises
        ------
        SymmetryError
            If the claim is a map of which it was not proved that it composes.
        """
        self._require_group_law()
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
    def composes(self) -> bool:
        """Whether elements have products and inverses: matrices do, and maps of which it was proved."""
        return self._composes

    @property
    def parameters(self) -> int:
        """The number of coordinates that `exp` takes: the dimension of the group, or of what the elements of a flow are."""
        if self.group.basis or self.group.discrete or self.group.element == "matrix":
            return self.group.dimension
        return getattr(self._module, "DIMENSION", 1)

    @property
    def dimension(self) -> int:
        """The number n of coordinates of a point."""
        return len(self._module.SYMMETRY["variables"])

    @property
    def spectrum(self) -> Callable[..., tuple[Any, ...]] | None:
        """For SO(2) acting on a polynomial loss: coordinates x_1, ..., x_n -> (a_0, a_1, b_1, a_2, b_2, ...).

        |grad L(a(theta, x))|^2 = a_0 + sum_k a_k cos(k theta) + b_k sin(k theta). Arithmetic only: floats and tensors both do.
        None where there is no such function.
        """
        return self._arithmetic("spectrum")

    @property
    def image(self) -> Callable[..., tuple[Any, ...]] | None:
        """For SO(2): (cos theta, sin theta, x_1, ..., x_n) -> the moved coordinates, on floats or tensors.

        None for other groups, and where the map is not made of arithmetic alone.
        """
        return self._arithmetic("image") if self.group.element == "angle" else None

    def at(self, /, **constants: Any) -> Action:
        """The same action with values for symbolic constants: positive numbers, or tensors of them.

        Raises
        ------
        SymmetryError
            If a name is no constant of the loss, or a value is not a positive number. Tensors are not looked into.

        Examples
        --------
        >>> import symdiscover as sd
        >>> loss = sd.Loss.parse("b*(x**2 - y)**2 + (x - a)**2", positive="a, b")
        >>> action = sd.to_torch(sd.derive(loss).certificates[0]).at(a=1, b=100)
        >>> action.loss(torch.tensor([-1.0, -1.0]))
        tensor(404.)
        """
        if unknown := set(constants) - set(self._module.SYMMETRY["positive"]):
            raise SymmetryError(f"no constant is called {', '.join(sorted(unknown))}")
        return replace(self, constants={**self.constants, **positive_values(constants)})

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the generated module; it imports torch alone. The file is replaced whole or not at all.

        Values that constants were given are not written: the functions of the module take them as keywords.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        target = Path(path)
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
        try:
            handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.")
        except OSError as error:
            raise type(error)(error.errno, error.strerror, str(target)) from None
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
                stream.write(self.source)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return target

    @property
    def _values(self) -> dict[str, Any]:
        """The values of the constants, by the keywords of the generated functions."""
        names = self._module.SYMMETRY["positive"]
        if not names:
            return {}
        if missing := [name for name in names if name not in self.constants]:
            raise SymmetryError(
                f"the loss has symbolic constants without a value: {', '.join(missing)}; "
                f"use action.at({', '.join(f'{name}=...' for name in missing)})"
            )
        return {key: self.constants[name] for key, name in zip(self._module.CONSTANTS, names, strict=True)}

    def _arithmetic(self, name: str) -> Callable[..., tuple[Any, ...]] | None:
        if name not in self._module.ARITHMETIC:
            return None
        function, values = getattr(self._module, name), self._values
        return (lambda *arguments: function(*arguments, **values)) if values else function

    def _require_group_law(self) -> None:
        if not self._composes:
            raise SymmetryError(
                "it was not proved that this map composes: its elements have no product and no inverse"
            )

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_")}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    def __repr__(self) -> str:
        return f"Action({self.group.name}, {self.status})"


def positive_values(constants: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers as floats, tensors as they are.

    Raises
    ------
    SymmetryError
        If a value is neither a tensor nor a positive finite number.
    """
    values = {}
    for name, value in constants.items():
        if not isinstance(value, torch.Tensor):
            try:
                value = math.nan if isinstance(value, str | bytes) else float(value)
            except (TypeError, ValueError, OverflowError):
                value = math.nan
            if not 0 < value < math.inf:
                raise SymmetryError(
                    f"the constant {name} must be a positive number or a tensor of positive numbers"
                )
        values[name] = value
    return values


def load(source: str) -> types.ModuleType:
    """Execute a generated module, registered so that torch.compile, `inspect` and tracebacks find it.

    The text must come from `symdiscover.to_torch` in this process or from a pickle of one's own: it is run.
    """
    name = f"symdiscover_action_{hashlib.sha256(source.encode()).hexdigest()[:32]}"
    if name in sys.modules:
        return sys.modules[name]
    module = types.ModuleType(name)
    module.__file__ = f"<{name}>"
    linecache.cache[module.__file__] = (len(source), None, source.splitlines(keepends=True), module.__file__)
    exec(compile(source, module.__file__, "exec"), module.__dict__)
    return sys.modules.setdefault(name, module)
