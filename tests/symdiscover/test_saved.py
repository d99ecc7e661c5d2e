"""Saved actions are proved again from what they state, and whatever was changed in them is noticed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import sympy as sp

import symdiscover as sd
from symdiscover.group import Reflection
from symdiscover.saved import MAX_BYTES, verify_file
from symdiscover.source import action_source
from tests.symdiscover.claims import CLAIMS, claim, source


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str | bytes], Path]:
    def write(content: str | bytes) -> Path:
        path = tmp_path / "action.py"
        path.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
        return path

    return write


def refusal(path: Path) -> sd.SymmetryError:
    with pytest.raises(sd.SymmetryError) as caught:
        verify_file(path)
    assert len(str(caught.value).splitlines()) == 1
    return caught.value


@pytest.mark.parametrize("name", CLAIMS)
def test_a_saved_action_is_proved_again(name: str, write: Callable[[str], Path]) -> None:
    proof = verify_file(write(source(name)))
    assert proof == sd.verify(claim(name))
    assert proof.symmetry == claim(name)


def test_line_ends_of_another_system_do_no_harm(write: Callable[[str], Path]) -> None:
    assert verify_file(write(source("booth").replace("\n", "\r\n"))).status == "proved"
    assert "code is not what it generates" in str(
        refusal(write(source("booth").replace("\n\n\n", "\n\n\n\n", 1)))
    )


# What was changed

CHANGES = [
    ("rosenbrock", '"b*(x**2 - y)**2 + (-a + x)**2"', '"b*(x**2 - y)**2 + (-a + x)**4"', sd.NotInvariant, "reduction"),
    ("rosenbrock", '"a + sqrt(b)*(-x**2 + y)*sin(theta)', '"a - sqrt(b)*(-x**2 + y)*sin(theta)', sd.NotInvariant, "map"),
    ("rosenbrock", '["sqrt(b)*(-x**2 + y)", "-a + x"]', '["sqrt(b)*(-x**2 - y)", "-a + x"]', sd.NotInvariant, "chart"),
    ("rosenbrock", '["x", "a + u2"]', '["x", "a - u2"]', sd.NotInvariant, "chart"),
    ("rosenbrock", '"u1**2 + u2**2"', '"u1**2 + 2*u2**2"', sd.NotInvariant, "reduction"),
    ("rosenbrock", '[[0, 1, "-1"], [1, 0, "1"]]', '[[0, 1, "1"], [1, 0, "1"]]', sd.SymmetryError, "angles"),
    ("rosenbrock", '[[0, 1, "-1"], [1, 0, "1"]]', '[[0, 1, "-2"], [1, 0, "2"]]', sd.SymmetryError, "angles"),
    ("saddle", '[[0, 1, "-1"], [1, 0, "-1"]]', '[[0, 1, "-1"], [1, 0, "1"]]', sd.SymmetryError, "form|generators|dQ"),
    ("saddle", '[[0, 0, "-1"], [1, 1, "1"]]', '[[0, 0, "-2"], [1, 1, "1"]]', sd.SymmetryError, "discrete|form"),
    ("saddle", '"form": [[0, 0, "1"], [1, 1, "-1"]]', '"form": [[0, 0, "1"], [1, 1, "1"]]', sd.SymmetryError, "form"),
    ("saddle", '"form": [[0, 0, "1"], [1, 1, "-1"]]', '"form": [[0, 0, "2"], [1, 1, "-2"]]', sd.SymmetryError, "code is not|map"),
    ("saddle", '"affine": False', '"affine": True', sd.SymmetryError, ""),
    ("saddle", '"compact": False', '"compact": True', sd.SymmetryError, "code is not|compact"),
    ("saddle", '"name": "O(1, 1)"', '"name": "O(2)"', sd.SymmetryError, "code is not"),
    ("saddle", '"kind": "closed-form"', '"kind": "branch"', sd.SymmetryError, "code is not"),
    ("saddle", '"route": "quadratic"', '"route": "peel"', sd.SymmetryError, "code is not"),
    ("saddle", '"note": ""', '"note": "checked by hand"', sd.SymmetryError, "code is not"),
    ("saddle", '"name": "",', '"name": "Saddle",', sd.SymmetryError, "code is not"),
    ("saddle", '"size": 2', '"size": 1', sd.SymmetryError, ""),
    ("saddle", '"element": "matrix"', '"element": "angle"', sd.SymmetryError, "angle"),
    ("saddle", '"schema": 1', '"schema": 2', sd.SymmetryError, "newer version"),
    ("saddle", '"schema": 1,', '"schema": 1, "extra": 1,', sd.SymmetryError, "extra"),
    ("logarithmic", '"conditions": ["x > 0"]', '"conditions": []', sd.SymmetryError, "code is not|real|domain"),
    ("logarithmic", '"conditions": ["x > 0"]', '"conditions": ["x < 0"]', sd.SymmetryError, ""),
    ("by hand", '"x*exp(t)"', '"x*exp(-t)"', sd.NotInvariant, "map"),
    ("translation", '["t + x", ', '["2*t + x", ', sd.NotInvariant, "map"),
    ("one square", '["2 - x"]', '["x"]', sd.SymmetryError, "not the one that its group and chart give"),
    ("booth", "torch.sin(theta)", "torch.cos(theta)", sd.SymmetryError, "code is not what it generates"),
    ("booth", "import torch\n", "import torch\nimport os\n", sd.SymmetryError, "code is not what it generates"),
    ("booth", "domain: everywhere", "domain: proved by NASA", sd.SymmetryError, "code is not what it generates"),
    ("booth", "SYMMETRY = {", "SYMMETRY  = {", sd.SymmetryError, "code is not what it generates"),
    ("booth", "# The claim", "SYMMETRY = {}\n\n\n# The claim", sd.SymmetryError, "2 assignments"),
    ("ellipsoid", "[(0, 1, -1.0)", "[(0, 1, -1.1)", sd.SymmetryError, "code is not what it generates"),
    ("ellipsoid", "FORM = [1.0", "FORM = [2.0", sd.SymmetryError, "code is not what it generates"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "old", "new", "kind", "why"), CHANGES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_whatever_was_changed_is_noticed(
    name: str, old: str, new: str, kind: type[Exception], why: str, write: Callable[[str], Path]
) -> None:
    assert old in source(name)
    error = refusal(write(source(name).replace(old, new, 1)))
    assert isinstance(error, kind)
    assert re.search(why, str(error))
    if isinstance(error, sd.NotInvariant):
        assert error.residual is not None


def test_a_code_that_fits_a_false_claim_is_refuted_too(write: Callable[[str], Path]) -> None:
    """Claim and code agree with each other, and both are wrong."""
    true = claim("booth")
    false = replace(true, loss=sd.Loss(true.loss.expression + true.loss.variables[0], true.loss.variables))
    assert isinstance(refusal(write(action_source(false))), sd.NotInvariant)


def test_a_file_is_never_run(write: Callable[[str], Path], tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    spy = f"import pathlib\npathlib.Path({str(trace)!r}).write_text('run')\n"
    for text in (source("booth") + spy, spy + source("booth"), spy):
        refusal(write(text))
        assert not trace.exists()
    exec(spy, {})
    assert trace.exists()


# What is no saved action


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "no assignments"),
        ("x = 1\n", "no assignments"),
        ("SYMMETRY: dict = {}\n", "no assignments"),
        ("def f():\n    SYMMETRY = {}\n", "no assignments"),
        ("SYMMETRY = {}\n", "missing or has another shape"),
        ("SYMMETRY = 3\n", "missing or has another shape"),
        ("SYMMETRY = {'schema': 1}\n", "lacks"),
        ("SYMMETRY = dict(schema=1)\n", "readable"),
        ("SYMMETRY = {[]: 1}\n", "readable"),
        ("SYMMETRY = {'schema': 1, **{}}\n", "readable"),
        ("SYMMETRY = __import__('os').system('true')\n", "readable"),
        ("SYMMETRY = open('/etc/passwd').read()\n", "readable"),
        ("SYMMETRY = 'a' * 10**9\n", "readable"),
        ("SYMMETRY = {'schema': 9" + "9" * 5000 + "}\n", "readable"),
        ("SYMMETRY = {'schema': 999}\n", "newer version"),
        ("SYMMETRY = (\n", "readable"),
        ("SYMMETRY = " + "[" * 5000 + "]" * 5000, "readable"),
        ("SYMMETRY = " + "(" * 150 + ")" * 150, "readable|another shape"),
        ("SYMMETRY = " + "-" * 100_000 + "1", "readable|finished"),
        ("SYMMETRY = " + "1+" * 100_000 + "1", "readable|finished|another shape"),
        ("SYMMETRY = x" + ".x" * 100_000, "readable|finished"),
        ("<html>Not a program</html>", "readable"),
        ("\x00\x01\x02", "readable"),
        (b"\x80\x81 SYMMETRY", "no text in UTF-8"),
        (b"\x7fELF\x02\x01\x01" + b"\x00" * 100, "readable"),
        (b"\xff\xfeS\x00Y\x00", "no text in UTF-8"),
        (b"#" * (MAX_BYTES + 1), "more than 4 MiB"),
        ("\ud800", "no text in UTF-8"),
    ],
    ids=lambda value: ascii(value)[:30],
)  # fmt: skip
def test_other_files_are_refused_in_one_sentence(
    content: str | bytes, why: str, write: Callable[[str | bytes], Path]
) -> None:
    start = time.monotonic()
    error = refusal(write(content))
    assert re.search(why, str(error))
    assert not isinstance(error, sd.NotInvariant)
    assert time.monotonic() - start < 60


def test_a_large_file_is_read_up_to_the_limit(write: Callable[[bytes], Path]) -> None:
    assert "no assignments" in str(refusal(write(b"#" * MAX_BYTES)))


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        verify_file(tmp_path / "none.py")
    with pytest.raises(IsADirectoryError):
        verify_file(tmp_path)
    with pytest.raises(sd.SymmetryError, match="NUL"):
        verify_file("a\0b")


def test_a_claim_that_cannot_be_read_in_time_is_given_up(write: Callable[[str], Path]) -> None:
    path = write(source("booth"))
    with pytest.raises(sd.BudgetExceeded):
        verify_file(path, budget=1e-4)
    assert verify_file(path, budget=30).status == "proved"


def test_what_is_no_claim_at_all_is_refused_in_words(write: Callable[[str], Path]) -> None:
    """A basis of zeros spans nothing; SymPy would fail on it in its own words."""
    for basis in ("[]", '[[[0, 1, "0"]]]', '[[[0, 1, "1"]], [[0, 1, "2"]]]'):
        text = source("rosenbrock").replace('[[[0, 1, "-1"], [1, 0, "1"]]]', basis, 1)
        assert text != source("rosenbrock")
        refusal(write(text))


# Long claims


@pytest.mark.parametrize(
    "text",
    ["x**2 + 2*y**2 + 3*z**2 + 5*w**2 + x*y + y*z", " + ".join(f"{i}*x{i}**2" for i in range(1, 9))],
    ids=["four", "eight"],
)
def test_long_maps_and_large_groups_come_back(text: str, write: Callable[[str], Path]) -> None:
    symmetry = sd.routes.quadratic.find(sd.Loss.parse(text))[0]
    content = action_source(symmetry)
    proof = verify_file(write(content), budget=60)
    assert (proof.status, proof.symmetry) == ("proved", symmetry)
    assert max(len(str(image)) for image in symmetry.map) > 500
    broken = re.sub(r'"reduced": "(.*?)"', r'"reduced": "\1 + u1**4"', content)
    assert isinstance(refusal(write(broken)), sd.NotInvariant)


def test_a_large_group_takes_little_room() -> None:
    symmetry = sd.Symmetry(
        loss := sd.Loss.parse("Sum(x[i]**2, (i, 1, 16))"),
        sd.O(16),
        sd.Chart.identity(loss.variables),
        reduced=None,
    )
    content = action_source(symmetry)
    assert symmetry.group.dimension == 120
    assert len(content) < 40_000
    dense = sum(len(str(generator.tolist())) for generator in symmetry.group.basis)
    assert 2 * dense > 40_000


def test_a_long_loss_comes_back(write: Callable[[str], Path]) -> None:
    loss = sd.Loss.parse("Sum((x[i] - 1234567890123)**2, (i, 1, 90))")
    u = sp.symbols("u1:91", real=True)
    x = loss.variables
    chart = sd.Chart(
        x, u, (x[0] - 1234567890123, *x[1:]), ((x[0], u[0] + 1234567890123), *zip(x[1:], u[1:], strict=True))
    )
    symmetry = sd.Symmetry(loss, Reflection(), chart, kind="discrete")
    content = action_source(symmetry)
    assert len(str(loss.expression)) > 2000
    assert verify_file(write(content), budget=60).symmetry == symmetry
    refusal(write(content.replace('"u1 + 1234567890123"', '"u1 - 1234567890123"', 1)))
