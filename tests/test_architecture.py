"""The arrows of the design, read off the import statements.

    errors -> loss, group -> symmetry -> routes, verify -> derive -> to_torch, action -> network
    -> objective, schedule, closed_form -> ascent, guard, transaction -> teleporter, descend
    -> experiments -> cli

An import may only point from right to left. Imports inside functions count; those under `if TYPE_CHECKING:`
do not run and do not count.
"""

from __future__ import annotations

import ast
import functools
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import networkx as nx
import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("symdiscover", "teleport")

# Each row may import the rows above it and its own; a package stands for its modules. A module that is not
# listed is held by the other rules, and by the absence of cycles.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("symdiscover.errors",),
    ("symdiscover.loss", "symdiscover.group"),
    ("symdiscover.symmetry",),
    ("symdiscover.routes", "symdiscover.verify"),
    ("symdiscover.derive",),
    ("symdiscover.generate", "symdiscover.action"),
    ("symdiscover.network", "symdiscover.recheck"),
    ("symdiscover.survey", "symdiscover.survey_pool", "symdiscover.survey_report", "symdiscover._surveyor"),
    ("teleport.objective", "teleport.schedule", "teleport.closed_form"),
    ("teleport.ascent", "teleport.level_set", "teleport.guard", "teleport.transaction"),
    ("teleport.teleporter", "teleport.descend", "teleport.level_set_model"),
    ("teleport.experiments",),
    ("symdiscover.cli", "teleport.cli"),
)
# `generate` holds the verb `to_torch`: a module of that name, once loaded, would hide the function.
TORCH = (
    "symdiscover.generate",
    "symdiscover.action",
    "symdiscover.elements",
    "symdiscover.invariance",
    "symdiscover.plot",
    "symdiscover.network",
    "symdiscover.recheck",
    "symdiscover._surveyor",
)
# What stands at the end of the line and speaks to people: it may name every package.
FRONT = ("teleport.cli", "teleport.demo", "teleport.experiments")
# Import name -> distribution, where they differ.
DISTRIBUTION = {"sklearn": "scikit-learn"}


@dataclass(frozen=True)
class Import:
    """What one import names, the module it stands in, and whether it runs when that module is imported."""

    importer: str
    target: str
    at_import: bool
    line: int


def inside(module: str, *parents: str) -> bool:
    return any(module == parent or module.startswith(f"{parent}.") for parent in parents)


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def imports_of(source: str, module: str, *, package: bool, modules: frozenset[str]) -> list[Import]:
    """Every import of `source`: `from a import b` is one of `a.b` where that is a module, else of `a`."""

    def absolute(node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = module.split(".")
        base = parts[: len(parts) - node.level + package]
        return ".".join([*base, node.module] if node.module else base)

    def walk(node: ast.AST, at_import: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, at_import, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(node)
            for alias in node.names:
                name = f"{base}.{alias.name}"
                yield Import(module, name if name in modules else base, at_import, node.lineno)
        elif is_type_checking(node):
            assert isinstance(node, ast.If)
            for child in node.orelse:
                yield from walk(child, at_import)
        else:
            deferred = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for child in ast.iter_child_nodes(node):
                yield from walk(child, at_import and not deferred)

    return list(walk(ast.parse(source), at_import=True))


def read(sources: Mapping[str, str], packages: frozenset[str] = frozenset()) -> list[Import]:
    """The imports of a tree given as module -> source; `packages` names those that are an `__init__.py`."""
    modules = frozenset(sources)
    return [
        item
        for module, source in sources.items()
        for item in imports_of(source, module, package=module in packages, modules=modules)
    ]


@functools.cache
def project() -> list[Import]:
    sources, packages = {}, set()
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if parts[-1] == "__init__":
                parts = parts[:-1]
                packages.add(".".join(parts))
            sources[".".join(parts)] = path.read_text(encoding="utf-8")
    return read(sources, frozenset(packages))


def depth(module: str) -> int | None:
    return next((i for i, row in enumerate(LAYERS) if inside(module, *row)), None)


# Each rule maps the imports of a tree to those that break it.


def upwards(imports: list[Import]) -> list[Import]:
    def climbs(item: Import) -> bool:
        here, there = depth(item.importer), depth(item.target)
        return here is not None and there is not None and there > here

    return [i for i in imports if climbs(i)]


def back_to_teleport(imports: list[Import]) -> list[Import]:
    return [i for i in imports if inside(i.importer, "symdiscover") and inside(i.target, "teleport")]


def torch_in_the_symbolic_part(imports: list[Import]) -> list[Import]:
    return [
        i
        for i in imports
        if inside(i.target, "torch") and inside(i.importer, "symdiscover") and not inside(i.importer, *TORCH)
    ]


def sympy_in_the_engine(imports: list[Import]) -> list[Import]:
    return [
        i
        for i in imports
        if inside(i.target, "sympy") and inside(i.importer, "teleport") and not inside(i.importer, *FRONT)
    ]


def drawing_outside_plot(imports: list[Import]) -> list[Import]:
    return [
        i
        for i in imports
        if i.at_import
        and inside(i.target, "matplotlib")
        and not (i.importer.endswith(".plot") or inside(i.importer, "teleport.experiments"))
    ]


def of_cli(imports: list[Import]) -> list[Import]:
    return [
        i
        for i in imports
        if inside(i.target, "symdiscover.cli", "teleport.cli") and not i.importer.endswith(".__main__")
    ]


def of_experiments(imports: list[Import]) -> list[Import]:
    return [i for i in imports if inside(i.target, "teleport.experiments") and not inside(i.importer, *FRONT)]


def sympy_reading_text(imports: list[Import]) -> list[Import]:
    """SymPy's own readers of text execute it."""
    return [i for i in imports if inside(i.target, "sympy.parsing")]


def undeclared(imports: list[Import]) -> list[Import]:
    """What is neither standard, nor ours, nor a dependency; extras are imported inside functions only."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = {Requirement(line).name for line in table["dependencies"]}
    optional = {Requirement(line).name for line in table["optional-dependencies"]["demo"]}

    def known(item: Import) -> bool:
        name = item.target.partition(".")[0]
        if name in sys.stdlib_module_names or name in PACKAGES:
            return True
        distribution = DISTRIBUTION.get(name, name)
        return distribution in required or (distribution in optional and not item.at_import)

    return [i for i in imports if not known(i)]


def in_a_cycle(imports: list[Import]) -> list[Import]:
    """Imports that run at import time and close a loop.

    A module that names its own package, `import symdiscover`, closes one where the package imports it back.
    """
    graph = nx.DiGraph((i.importer, i.target) for i in imports if i.at_import and inside(i.target, *PACKAGES))
    loops = [part for part in nx.strongly_connected_components(graph) if len(part) > 1]
    return [i for i in imports if i.at_import and any({i.importer, i.target} <= part for part in loops)]


RULES = {
    upwards: [
        {"symdiscover.loss": "from symdiscover.derive import derive", "symdiscover.derive": ""},
        {
            "symdiscover.routes.peel": "def f():\n    from ..verify import verify\n    from .. import derive",
            "symdiscover.derive": "",
        },
        {"teleport.schedule": "import teleport.teleporter"},
        {"symdiscover.verify": "import symdiscover.generate as t"},
    ],
    back_to_teleport: [
        {"symdiscover.action": "import teleport"},
        {"symdiscover.network.pairs": "def f():\n    from teleport.ascent import ascend"},
    ],
    torch_in_the_symbolic_part: [
        {"symdiscover.group": "import torch"},
        {"symdiscover.routes.peel": "def f():\n    from torch.func import vmap"},
        {"symdiscover.derive": "try:\n    import torch\nexcept ImportError:\n    torch = None"},
    ],
    sympy_in_the_engine: [
        {"teleport.ascent": "import sympy as sp"},
        {"teleport.descend": "def f():\n    from sympy.core import Expr"},
    ],
    drawing_outside_plot: [
        {"symdiscover.loss": "import matplotlib.pyplot as plt"},
        {"teleport.cli": "class A:\n    from matplotlib import figure"},
    ],
    of_cli: [
        {"teleport.descend": "from teleport.cli import main"},
        {"teleport.descend": "from . import cli", "teleport.cli": ""},
    ],
    of_experiments: [
        {
            "teleport.plot": "def f():\n    from teleport.experiments import data",
            "teleport.experiments.data": "",
        },
        {"symdiscover.cli": "import teleport.experiments"},
    ],
    sympy_reading_text: [
        {"symdiscover.expression": "from sympy.parsing.sympy_parser import parse_expr"},
        {"symdiscover.saved": "def f():\n    from sympy.parsing import sympy_parser"},
    ],
    undeclared: [
        {"symdiscover.loss": "import pandas"},
        {"teleport.plot": "import sklearn"},
        {"teleport.guard": "def f():\n    import scipy.linalg"},
    ],
    in_a_cycle: [
        {"symdiscover.a": "from symdiscover import b", "symdiscover.b": "from symdiscover.a import f"},
        {"symdiscover": "from symdiscover.loss import Loss", "symdiscover.loss": "import symdiscover"},
    ],
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_project_keeps_the_rule(rule) -> None:
    broken = rule(project())
    assert not broken, "\n".join(f"{i.importer}:{i.line} imports {i.target}" for i in broken)


@pytest.mark.parametrize(
    ("rule", "sources"),
    [(rule, sources) for rule, offenders in RULES.items() for sources in offenders],
    ids=lambda value: value.__name__ if callable(value) else next(iter(value)),
)
def test_an_offender_is_detected(rule, sources) -> None:
    packages = frozenset(m for m in sources if any(inside(other, m) and other != m for other in sources))
    assert rule(read(sources, packages))


def test_what_never_runs_or_runs_downwards_is_no_offence() -> None:
    sources = {
        "symdiscover.loss": "if TYPE_CHECKING:\n    from symdiscover.derive import derive",
        "symdiscover.derive": "from symdiscover.loss import Loss\nfrom .routes import peel",
        "symdiscover.routes.peel": "from ..loss import Loss\nimport sympy",
        "symdiscover.network.trace": "import torch.fx",
        "symdiscover.plot": "import matplotlib.pyplot as plt",
        "teleport.descend": "import torch\nimport symdiscover as sd",
        "teleport.__main__": "from teleport.cli import main",
        "teleport.demo": "def digits():\n    from sklearn.datasets import load_digits",
    }
    imports = read(sources)
    assert {(i.importer, i.target) for i in imports} >= {
        ("symdiscover.routes.peel", "symdiscover.loss"),
        ("symdiscover.derive", "symdiscover.routes.peel"),
    }
    assert not [item for rule in RULES for item in rule(imports)]


def test_the_modules_of_the_design_are_read() -> None:
    """The rules would hold over an empty list too."""
    importers = {i.importer for i in project()}
    assert importers >= {
        "symdiscover.loss",
        "symdiscover.derive",
        "symdiscover.generate",
        "teleport.descend",
        "teleport.cli",
    }
    assert any(i.target == "torch" for i in project())
