"""The text of generated modules: readable, the same everywhere, and nothing in it that a name could smuggle in."""

from __future__ import annotations

import ast
import builtins
import io
import os
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import symdiscover as sd
from symdiscover.literal import from_literal, to_literal
from symdiscover.source import action_source, loss_source, source_of
from tests.symdiscover.claims import CLAIMS, VALUES, bare_action, claim, renamed
from tests.symdiscover.claims import source as source_of_claim

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = {"act", "loss", "image", "spectrum", "identity", "exp", "compose", "inverse", "random"}


@pytest.fixture(scope="module", params=CLAIMS)
def source(request: pytest.FixtureRequest) -> str:
    return source_of_claim(request.param)


# Layout


def layout_faults(text: str) -> Iterator[str]:
    """What is untidy in a module: blank lines, long lines, functions and constants that nothing uses, other imports."""
    lines = text.split("\n")
    tree = ast.parse(text)
    blanks = max((len(run) for run in re.findall(r"\n(\n+)", text)), default=0)
    if blanks > 2 or text.startswith("\n") or not text.endswith("\n") or text.endswith("\n\n"):
        yield "blank lines"
    if any(line != line.rstrip() or "\t" in line for line in lines):
        yield "trailing blanks or tabs"
    if max(map(len, lines)) > 120:
        yield "a long line"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and lines[node.lineno - 4 : node.lineno - 1][1:] != ["", ""]:
            yield f"{node.name} without two blank lines above it"
    imports = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    if imports != ["from __future__ import annotations", "import torch"]:
        yield "imports"
    used = {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    defined |= {
        t.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for t in node.targets
        if isinstance(t, ast.Name)
    }
    for name in sorted(defined - used - PUBLIC - {"SYMMETRY", "CONSTANTS", "ARITHMETIC"}):
        yield f"{name} is not used"
    known = defined | {"torch"} | set(dir(builtins)) | {
        name
        for node in ast.walk(tree)
        for name in (
            [node.arg] if isinstance(node, ast.arg) else
            [node.id] if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else []
        )
    }  # fmt: skip
    for name in sorted(used - known):
        yield f"{name} is not defined"


def test_the_text_is_tidy(source: str) -> None:
    assert not list(layout_faults(source))
    assert ast.get_docstring(ast.parse(source))


@pytest.mark.parametrize("name", ["booth", "rosenbrock"])
def test_the_text_of_a_loss_is_tidy(name: str) -> None:
    assert not [fault for fault in layout_faults(loss_source(claim(name).loss)) if "is not used" not in fault]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("\n\n\ndef loss", "\n\n\n\ndef loss"), "blank lines"),
        (("\n\n\ndef loss", "\n\ndef loss"), "loss without two blank lines"),
        (("\n\n\ndef loss", "\n\n\ndef safe_sqrt(x):\n    return x\n\n\ndef loss"), "safe_sqrt is not used"),
        (("import torch\n", "import torch\nimport sympy\n"), "imports"),
        (("torch.cos(theta)", "torch.cos(phi)"), "phi is not defined"),
        (("torch.cos(theta)", "torch.cos(theta) "), "nothing"),
        (("# The claim", "# " + "long " * 40 + "\n# The claim"), "a long line"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_untidy_text_is_noticed(change: tuple[str, str], fault: str) -> None:
    text = action_source(claim("booth"))
    assert change[0] in text
    faults = list(layout_faults(text.replace(*change)))
    assert any(fault in found for found in faults) if fault != "nothing" else not faults


def test_constants_need_no_guarded_powers() -> None:
    text = action_source(claim("rosenbrock"))
    assert "b**0.5" in text
    assert "safe" not in text
    assert 'ARITHMETIC = ["image", "spectrum", "value"]' in text
    variable = sd.Loss.parse("sqrt(x) + y**(3/4) + b", positive="b")
    assert "safe_sqrt" in loss_source(variable)
    assert "safe_power" in loss_source(variable)


def test_the_docstring_says_what_acts_where() -> None:
    documentation = ast.get_docstring(ast.parse(action_source(claim("logarithmic"))))
    assert documentation is not None
    for part in (
        "SO(2)",
        "points (x, y)",
        "log(x)**2",
        "u1 = log(x)",
        "branch",
        "domain: x > 0",
        "an angle",
        "compact",
    ):
        assert part in documentation
    assert "everywhere" not in documentation
    documentation = ast.get_docstring(ast.parse(action_source(claim("saddle"))))
    assert documentation is not None
    assert "not compact" in documentation
    assert "domain: everywhere" in documentation


def test_every_field_of_a_claim_leaves_its_mark() -> None:
    """What a reader of the file is told, and the code, change with whatever is changed in the claim alone."""
    literal = to_literal(claim("rosenbrock"))
    original = from_literal(literal)
    whole = source_of(literal, original).partition("SYMMETRY =")[0]
    others = [
        replace(original, note="a remark"),
        replace(original, kind="branch"),
        replace(original, route="guess"),
        replace(original, loss=replace(original.loss, name="Rosenbrock")),
        replace(original, group=replace(original.group, compact=False)),
        replace(original, group=replace(original.group, name="O(2)")),
        replace(original, chart=replace(original.chart, conditions=(original.loss.variables[0] > 0,))),
    ]
    heads = [source_of(to_literal(other), other).partition("SYMMETRY =")[0] for other in others]
    assert len({whole, *heads}) == len(others) + 1
    assert source_of(literal, from_literal(literal)).partition("SYMMETRY =")[0] == whole


# The same text everywhere

PRINT = (
    "import hashlib\nfrom symdiscover.source import action_source\nfrom tests.symdiscover.claims import claim\n"
    "for name in ('rosenbrock', 'ellipsoid', 'chain', 'shears', 'oblique'):\n"
    "    print(hashlib.sha256(action_source(claim(name)).encode()).hexdigest())\n"
)


def test_the_text_does_not_depend_on_the_hash_seed() -> None:
    """Sets and dictionaries of another process are in another order than here."""
    import hashlib

    seed = "4321" if os.environ.get("PYTHONHASHSEED") != "4321" else "1"
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", PRINT],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    names = ("rosenbrock", "ellipsoid", "chain", "shears", "oblique")
    here = [hashlib.sha256(source_of_claim(name).encode()).hexdigest() for name in names]
    assert run.stdout.split() == here
    assert len(set(here)) == len(here)


def test_the_text_is_that_of_the_claim_read_back() -> None:
    for name in ("rosenbrock", "logarithmic", "by hand"):
        literal = to_literal(claim(name))
        assert action_source(claim(name)) == source_of(literal, from_literal(literal))
    assert source_of_claim("rosenbrock") != source_of_claim("booth")


def test_functions_beyond_the_notation_become_code_that_cannot_be_read_back() -> None:
    x, y = sp.symbols("x y", real=True)
    loss = sd.Loss(sp.erf(x**2 + y**2), (x, y))
    symmetry = sd.Symmetry(loss, sd.SO(2), sd.Chart.identity(loss.variables))
    action = bare_action(symmetry)
    point = torch.tensor([0.3, 0.4], dtype=torch.float64)
    assert torch.allclose(action.loss(action(torch.tensor(1.0), point)), torch.erf(point.square().sum()))
    with pytest.raises(sd.ExpressionError, match="erf"):
        from_literal(to_literal(symmetry))


# Names

ODD = [
    "point", "value", "element", "torch", "g", "t", "u", "x", "theta", "cosine", "sine", "image", "loss", "act", "stack", "exp_",
    "identity", "moved", "t0", "like", "sum", "print", "type", "open", "self", "as_like", "safe_sqrt", "coordinates", "SYMMETRY",
    "CONSTANTS", "v0", "__", "chart", "inverse", "random", "u1", "u2", "s12", "DIMENSION", "SIZE", "dense", "S", "N", "O", "Q",
]  # fmt: skip
NAMES = [name for name in ODD if name[0].isalpha() and name not in {"S", "N"}]


@cache
def ellipse() -> sd.Action:
    return bare_action(claim("ellipse")).at(**VALUES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("symbol", ["a", "y"])
def test_a_loss_may_use_any_name_of_the_notation(name: str, symbol: str) -> None:
    """The numbers are those of the same loss with harmless names."""
    other = "q" if name != "q" else "r"
    symmetry = renamed(claim("ellipse"), {symbol: name} | ({"x": other} if name == "x" else {}))
    action = bare_action(symmetry)
    values = {name if key == symbol else key: value for key, value in VALUES.items()}
    plain = ellipse()
    point, angle = torch.tensor([[0.3, -0.7], [1.0, 2.0]], dtype=torch.float64), torch.tensor([0.4, 2.0])
    close = {"rtol": 1e-14, "atol": 1e-14}  # another name is another order of the terms
    assert torch.allclose(action.at(**values)(angle, point), plain(angle, point), **close)
    assert torch.allclose(action.at(**values).loss(point), plain.loss(point), **close)
    assert not torch.allclose(action.at(**values)(-angle, point), plain(angle, point), **close)
    assert not [fault for fault in layout_faults(action.source) if "defined" in fault]


@pytest.mark.parametrize("name", ["saddle", "two scalings", "ellipsoid", "translation"])
def test_other_kinds_of_element_may_use_any_name_too(name: str) -> None:
    symmetry = claim(name)
    odd = ["point", "element", "t", "g"][: symmetry.loss.dimension]
    other = renamed(symmetry, dict(zip([s.name for s in symmetry.loss.variables], odd, strict=True)))
    action, plain = bare_action(other), bare_action(symmetry)
    draw = torch.Generator().manual_seed(0)
    element = plain.random(generator=draw)
    point = torch.rand(3, symmetry.loss.dimension, dtype=torch.float64, generator=draw)
    assert torch.equal(action(element, point), plain(element, point))
    assert not torch.equal(action(element, point), point)


@pytest.mark.parametrize(
    "name",
    [
        "__import__('os').system('x')",
        "lambda",
        "x y",
        "x\n",
        "",
        "\u03b8",
        "x" * 41,
        "sin",
        "pi",
        "E",
        "I",
        "a.b",
        "1x",
        "_x",
    ],
)
def test_a_loss_by_hand_is_held_to_the_names_of_the_notation(name: str) -> None:
    with pytest.raises(sd.ExpressionError):
        sd.Loss(sp.Symbol(name, real=True) ** 2, (sp.Symbol(name, real=True),))
    with pytest.raises(sd.ExpressionError):
        x, hostile = sp.Symbol("x", real=True), sp.Symbol(name, positive=True)
        sd.Loss(hostile * x, (x,), (hostile,))


@pytest.mark.parametrize(
    "symbol",
    [sp.Symbol("x", positive=True), sp.Symbol("x", integer=True), sp.Dummy("x", real=True), sp.Symbol("x")],
)
def test_a_loss_by_hand_has_plain_real_variables(symbol: sp.Symbol) -> None:
    """With x positive, sqrt(x**2) = x: what is proved would not hold for what is written."""
    with pytest.raises(sd.ExpressionError, match="real=True"):
        sd.Loss(symbol**2, (symbol,))
    assert sd.Loss(sp.Symbol("x", real=True) ** 2, (sp.Symbol("x", real=True),)).dimension == 1


HOSTILE = [
    '"""', '"""\nimport os\nos.system("touch pwned")\n"""', "\\", "\\\"\"\"", 'ends with a quote"', "a\nb", "\x00", "\ud800", "\u2028import os",
    "'''", "{0}", "%s", "\\N{BULLET}", "\\u0041", "# -*- coding: utf-7 -*-", "\r", "\x1a", "\ufeff",
]  # fmt: skip


def tokens_without_text(text: str) -> list[str]:
    """The code of a module, without its strings and comments."""
    kinds = (
        tokenize.STRING,
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
    )
    return [
        token.string
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in kinds
    ]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
@pytest.mark.parametrize("field", ["name", "note", "route", "group"])
def test_free_text_stays_text(text: str, field: str) -> None:
    symmetry = claim("booth")
    if field == "name":
        hostile = replace(symmetry, loss=replace(symmetry.loss, name=text))
    elif field == "group":
        hostile = replace(symmetry, group=replace(symmetry.group, name=text))
    else:
        hostile = replace(symmetry, **{field: text})
    source = action_source(hostile)
    written = [t for t in tokens_without_text(source) if t not in "()"]
    assert written == [t for t in tokens_without_text(source_of_claim("booth")) if t not in "()"]
    statements = [
        node for node in ast.parse(source).body if not isinstance(node, ast.FunctionDef | ast.Assign)
    ]
    assert [type(node).__name__ for node in statements] == ["Expr", "ImportFrom", "Import"]
    assert source.encode()
    literal = to_literal(hostile)
    assert text in (literal[field] if field != "group" else literal["group"]["name"])
    assert from_literal(literal) == hostile


def test_code_in_a_module_would_be_noticed() -> None:
    source = action_source(claim("booth"))
    injected = source.replace("\n\nfrom __future__", "\nprint(1)\nfrom __future__", 1)
    assert tokens_without_text(injected) != tokens_without_text(source)


@settings(max_examples=40)
@given(st.text(max_size=40), st.text(max_size=40))
def test_any_name_and_note_leave_the_code_alone(name: str, note: str) -> None:
    loss = sd.Loss.parse("(x - 1)**2", name=name)
    symmetry = replace(claim("one square"), loss=loss, note=note)
    source = action_source(symmetry)
    literal = to_literal(symmetry)
    assert (literal["name"], literal["note"]) == (name, note)
    namespace: dict[str, object] = {}
    exec(compile(source, "generated", "exec"), namespace)
    assert namespace["SYMMETRY"] == literal


# What cannot become code


def test_what_has_no_code_is_refused_in_words() -> None:
    x = sp.Symbol("x", real=True)
    y = sp.Symbol("y", real=True)
    loss = sd.Loss(x**2 + y**2, (x, y))
    identity = sd.Chart.identity(loss.variables)
    quarter = sp.ImmutableMatrix([[0, -2], [2, 0]])
    fast = sd.Group("SO(2)", 2, (quarter,), compact=True, element="angle")
    with pytest.raises(sd.SymmetryError, match="no angles"):
        action_source(sd.Symmetry(loss, fast, identity))
    b = sp.Symbol("b", positive=True)
    scaled = sd.Group("O(2)", 2, (sp.ImmutableMatrix([[0, -b], [1 / b, 0]]),), element="matrix")
    symbolic = sd.Loss(x**2 + b**2 * y**2, (x, y), (b,))
    with pytest.raises(sd.SymmetryError, match=r"loss\.at"):
        action_source(sd.Symmetry(symbolic, scaled, identity))
    unknown = sd.Loss(sp.zeta(x) + y**2, (x, y))
    with pytest.raises(sd.ExpressionError, match="zeta"):
        loss_source(unknown)
    assert "def act" in action_source(sd.Symmetry(loss, sd.SO(2), identity))
