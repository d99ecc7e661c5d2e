"""The command `symdiscover`: results on stdout, one sentence on stderr, and the exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import symdiscover as sd
from symdiscover import catalogue
from symdiscover.cli import catalogue_entry, main

ROOT = Path(__file__).resolve().parents[2]
Capture = pytest.CaptureFixture[str]
#: It jumps at every whole y, and is followed by no flow.
EMPTY = "x**3*floor(y) + exp(x) + y**2*sin(y)"


def refused(capsys: Capture, *arguments: str, status: int, said: str = "") -> None:
    """The command ends with this status, one sentence on stderr and nothing on stdout."""
    assert main(list(arguments)) == status
    caught = capsys.readouterr()
    assert caught.out == ""
    assert len(caught.err.splitlines()) == 1
    assert caught.err.startswith("symdiscover")
    assert "should not have happened" not in caught.err
    assert said in caught.err


def strict(text: str) -> Any:
    def fail(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=fail)


# derive

SYMMETRY_KEYS = {
    "group", "kind", "status", "route", "domain", "transitive", "group_law", "dimension", "killing", "parameters", "map",
}  # fmt: skip


def shape_faults(data: Any) -> list[str]:
    """Where the object differs from the one that is promised."""
    faults = []
    if list(data) != ["expression", "variables", "seconds", "symmetries", "tried"]:
        faults.append("keys")
    for entry in data["symmetries"]:
        types = {
            "group": str, "kind": str, "status": str, "route": str, "domain": str, "transitive": bool, "group_law": bool,
            "dimension": int, "killing": list | None, "parameters": list, "map": list | None,
        }  # fmt: skip
        faults += list(SYMMETRY_KEYS ^ set(entry))
        faults += [key for key, kind in types.items() if not isinstance(entry.get(key), kind)]
        faults += ["kind"] * (
            entry.get("kind") not in {"closed-form", "branch", "implicit", "numerical", "discrete"}
        )
        faults += ["status"] * (entry.get("status") not in {"proved", "identity-tested", "numerical"})
        faults += ["killing"] * (len(entry.get("killing") or [0, 0, 0]) != 3)
        faults += ["map"] * (len(entry.get("map") or data["variables"]) != len(data["variables"]))
    for attempt in data["tried"]:
        faults += ["tried"] * (list(attempt) != ["route", "outcome", "seconds"] or attempt["seconds"] < 0)
    return faults


@pytest.mark.parametrize(
    "text",
    ["booth", "b*(x**2 - y)**2 + (x - a)**2", "(x*w - y*z)**2", "x + sin(y*z) + x**3*y", "(x + y)**2", "7"],
)
def test_json_is_one_object_of_the_promised_shape(text: str, capsys: Capture) -> None:
    extra = ["--positive", "a,b"] if "b*" in text else ["--variables", "x"] if text == "7" else []
    assert main(["derive", text, "--json", *extra]) == 0
    data = strict(capsys.readouterr().out)
    assert not shape_faults(data)
    assert data["seconds"] > 0
    if text == "booth":
        first = data["symmetries"][0]
        assert (data["variables"], first["group"], first["status"], first["transitive"]) == (
            ["x1", "x2"],
            "SO(2)",
            "proved",
            True,
        )
        assert first["map"] is not None and first["parameters"] == ["theta"]


def test_another_object_is_noticed(capsys: Capture) -> None:
    assert main(["derive", "booth", "--json"]) == 0
    data = strict(capsys.readouterr().out)
    entry = data["symmetries"][0]
    for other in (
        data | {"constants": []},
        data | {"symmetries": [entry | {"status": "certain"}]},
        data | {"symmetries": [{k: v for k, v in entry.items() if k != "killing"}]},
        data | {"symmetries": [entry | {"map": ["x"]}]},
        data | {"tried": [{"route": "peel"}]},
    ):
        assert shape_faults(other)
    with pytest.raises(ValueError, match="NaN"):
        strict('{"seconds": NaN}')


def test_the_map_of_the_json_reads_back_and_is_right(capsys: Capture) -> None:
    assert main(["derive", "x**2 + 4*y**2", "--json"]) == 0
    data = strict(capsys.readouterr().out)
    images = [
        sd.Loss.parse(text, variables=["x", "y", "theta"]).expression for text in data["symmetries"][0]["map"]
    ]
    loss = sd.Loss.parse(data["expression"], variables=data["variables"])
    theta = sd.Loss.parse("theta").variables
    assert sd.verify(sd.claim(loss, images, theta)).status == "proved"
    with pytest.raises(sd.NotInvariant):
        sd.verify(sd.claim(loss, [images[0], -2 * images[1]], theta))


def test_a_function_without_symmetry_is_an_empty_list(capsys: Capture) -> None:
    text = EMPTY
    assert main(["derive", text, "--json"]) == 0
    data = strict(capsys.readouterr().out)
    assert data["symmetries"] == []
    assert len(data["tried"]) >= 4
    assert main(["derive", text]) == 0
    shown = capsys.readouterr().out
    assert "no symmetry in the families tried" in shown
    assert "tried affine: no affine field" in shown


def test_what_is_shown_to_people(capsys: Capture) -> None:
    assert main(["derive", "-x**2-4*y**2"]) == 0
    shown = capsys.readouterr().out
    for part in (
        "L(x, y) = -x**2 - 4*y**2",
        "SO(2)",
        "proved",
        "domain: everywhere",
        "x -> x*cos(theta)",
        "tried quadratic",
    ):
        assert part in shown
    assert "no symmetry" not in shown
    assert main(["derive", "x**2 + 4*y**2", "--latex"]) == 0
    assert capsys.readouterr().out.startswith("$\\displaystyle \\mathrm{SO}(2)")
    assert main(["derive", EMPTY, "--latex"]) == 0
    assert capsys.readouterr().out == "$\\text{no symmetry in the families tried}$\n"


def test_the_algebra_of_every_continuous_symmetry(capsys: Capture) -> None:
    assert main(["derive", "x**2 + 4*y**2 + 9*z**2", "--algebra"]) == 0
    shown = capsys.readouterr().out
    for part in (
        "X1 = -2*y*d/dx + x/2*d/dy",
        "so(3)",
        "orbit dimension 2 of 2",
        "[·, ·] | ",
        "centre 0",
        "Killing form",
    ):
        assert part in shown
    assert main(["derive", "x**2 + 4*y**2 + 9*z**2"]) == 0
    assert "[·, ·]" not in capsys.readouterr().out
    assert main(["derive", "floor(x) + floor(y)", "--algebra"]) == 0
    assert capsys.readouterr().out.endswith("no continuous symmetry in the families tried\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["x +"], "not an expression"),
        ([""], "empty"),
        (["   "], "empty"),
        (["x\0"], "character"),
        (["\u03b8**2"], "ASCII"),
        (["\udce4**2"], "ASCII"),
        (["x^2"], "use **"),
        (["__import__('os').system('true')"], ""),
        (["x" * 5000], "characters"),
        (["(" * 10_000], "characters"),
        (["9**9**9"], ""),
        (["1/0"], "not finite and real"),
        (["x", "--variables", "x,x"], "declared twice"),
        (["x", "--variables", ""], "unknown name 'x'"),
        (["x", "--variables", "lambda"], "lambda"),
        (["x + z", "--variables", "x,y"], "unknown name 'z'"),
        (["x", "--positive", "x"], "at least one variable"),
        (["a*x", "--variables", "a,x", "--positive", "a"], "both"),
        (["booth", "--variables", "x,y"], "function of the catalogue"),
        (["x", "--budget", "0"], "budget"),
        (["x", "--budget", "-1"], "budget"),
        (["x", "--budget", "nan"], "budget"),
        (["x", "--budget", "soon"], "number"),
        (["x", "--json", "--latex"], "not allowed with"),
        (["x", "--json", "--algebra"], "not allowed with"),
        (["x", "--colour"], "unrecognized"),
        (["x", "y"], "unrecognized"),
        ([], "required: EXPR"),
        (["x*y", "--plot", "a.gif"], ".png, .pdf, .svg"),
        (["x*y", "--plot", "picture"], ".png, .pdf, .svg"),
        (["x*y", "--save", "none/a.py"], "no folder none"),
        (["x*y", "--save", "."], "is a folder"),
        (["x*y", "--save", ""], "a file needs a name"),
        (["x*y", "--plot", "a\0.png"], "a file needs a name"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_wrong_input_is_a_sentence_and_2(arguments: list[str], said: str, capsys: Capture) -> None:
    refused(capsys, "derive", *arguments, status=2, said=said)


def test_input_that_is_right_is_no_error(capsys: Capture) -> None:
    assert main(["derive", "x*y", "--variables", "y, x", "--positive", "", "--budget", "20", "--json"]) == 0
    assert strict(capsys.readouterr().out)["variables"] == ["y", "x"]


def test_a_constant_that_does_not_appear_is_remarked(capsys: Capture) -> None:
    assert main(["derive", "x*y", "--positive", "c", "--json"]) == 0
    caught = capsys.readouterr()
    assert strict(caught.out)["symmetries"]
    assert "symdiscover: the constant c does not appear\n" in caught.err


def test_what_cannot_be_done_is_a_sentence_and_1(capsys: Capture, tmp_path: Path) -> None:
    refused(capsys, "derive", "x*y*z", "--plot", str(tmp_path / "a.png"), status=1, said="this one has 3")
    for option in ("--save", "--plot"):
        target = tmp_path / ("a.py" if option == "--save" else "a.png")
        assert main(["derive", EMPTY, option, str(target), "--json"]) == 1
        caught = capsys.readouterr()
        assert strict(caught.out)["symmetries"] == []
        assert (
            caught.err.splitlines()[-1]
            == "symdiscover: no symmetry in the families tried: nothing to save or to draw"
        )
        assert not target.exists()
    assert main(["derive", "floor(x) + floor(y)", "--plot", str(tmp_path / "a.png")]) == 1
    assert "is discrete" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(capsys: Capture, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert main(["derive", "x*y", "--save", str(tmp_path / "a.py")]) == 1
    assert "Permission denied" in capsys.readouterr().err
    tmp_path.chmod(0o700)


# save, plot, verify


def test_save_plot_and_verify(capsys: Capture, tmp_path: Path) -> None:
    module, picture = tmp_path / "booth_action.py", tmp_path / "booth.png"
    assert main(["derive", "booth", "--json", "--save", str(module), "--plot", str(picture)]) == 0
    caught = capsys.readouterr()
    assert strict(caught.out)["symmetries"]
    assert [line for line in caught.err.splitlines() if "wrote" in line] == [
        f"symdiscover: wrote {module}", f"symdiscover: wrote {picture}"
    ]  # fmt: skip
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main(["verify", str(module)]) == 0
    shown = capsys.readouterr().out
    assert "SO(2) leaves" in shown and "proved" in shown
    content = module.read_text(encoding="utf-8")
    module.write_text(content.replace("torch.sin", "torch.cos"), encoding="utf-8")
    refused(capsys, "verify", str(module), status=1, said="code is not what it generates")
    module.write_text(content.replace('"u1**2 + u2**2"', '"u1**2 - u2**2"'), encoding="utf-8")
    refused(capsys, "verify", str(module), status=1, said="does not leave")


def test_files_that_are_no_saved_actions(capsys: Capture, tmp_path: Path) -> None:
    other = tmp_path / "other.py"
    for content, said in (
        (b"", "no assignments"),
        (b"import os\nos.abort()\n", "no assignments"),
        (b"\x89PNG\r\n\x1a\n\xff", "no text in UTF-8"),
        (b"SYMMETRY = {'schema': 99}", "newer version"),
        (b"SYMMETRY = " + b"[" * 10_000, "readable"),
        (b"#" * 5_000_000, "more than 4 MiB"),
    ):
        other.write_bytes(content)
        refused(capsys, "verify", str(other), status=1, said=said)
    refused(
        capsys,
        "verify",
        str(tmp_path / "none.py"),
        status=1,
        said=f"No such file or directory: {tmp_path / 'none.py'}",
    )
    refused(capsys, "verify", str(tmp_path), status=1, said="directory")
    refused(capsys, "verify", "a\0b", status=1, said="NUL")
    refused(capsys, "verify", "\udcff.py", status=1, said="No such file")
    refused(capsys, "verify", status=2, said="required")
    refused(capsys, "verify", str(other), "--budget", "0", status=2, said="budget")


# catalogue


def test_the_catalogue_is_a_table(capsys: Capture) -> None:
    assert main(["catalogue"]) == 0
    shown = capsys.readouterr().out
    assert len(shown.splitlines()) == 2 + len(catalogue.names())
    assert "`rosenbrock`" in shown


def test_one_function_of_the_catalogue(capsys: Capture) -> None:
    assert main(["catalogue", "rosenbrock"]) == 0
    shown = capsys.readouterr().out
    assert "constants:          a = 1, b = 100" in shown
    assert "minimisers:         (a, a**2)" in shown
    refused(capsys, "catalogue", "rosenbrok", status=2, said="did you mean rosenbrock")
    refused(capsys, "catalogue", "", status=2)


def test_the_catalogue_as_json(capsys: Capture) -> None:
    assert main(["catalogue", "--json"]) == 0
    data = strict(capsys.readouterr().out)
    assert list(data) == catalogue.names()
    for name, entry in data.items():
        assert (
            sd.Loss.parse(entry["text"], entry["variables"], list(entry["constants"])).expression
            == catalogue.load(name).loss.expression
        )
    assert main(["catalogue", "booth", "--json"]) == 0
    assert strict(capsys.readouterr().out) == {
        "booth": json.loads(json.dumps(catalogue_entry(catalogue.load("booth"))))
    }


# The whole command


def test_commands_and_versions(capsys: Capture) -> None:
    refused(capsys, status=2, said="required: COMMAND")
    refused(capsys, "prove", "x", status=2, said="invalid choice")
    assert main(["--version"]) == 0
    assert capsys.readouterr() == (f"symdiscover {sd.__version__}\n", "")
    for arguments in (["--help"], ["derive", "--help"], ["verify", "-h"], ["catalogue", "-h"]):
        assert main(arguments) == 0
        assert capsys.readouterr().out.startswith("usage: symdiscover")


def symdiscover(*arguments: str, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[bytes]:
    environment = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "MPLBACKEND")}
    environment |= {"PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        [sys.executable, "-m", "symdiscover", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        timeout=300,
    )


def test_a_picture_needs_no_display(tmp_path: Path) -> None:
    done = symdiscover("derive", "x**2 - y**2", "--json", "--plot", "a.png", cwd=tmp_path, MPLBACKEND="TkAgg")
    assert done.returncode == 0, done.stderr
    assert b"wrote a.png" in done.stderr
    assert strict(done.stdout.decode())["symmetries"]
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_loads_torch_for_code_and_pictures_alone() -> None:
    code = (
        "import sys\nfrom symdiscover.cli import main\nmain(['derive', 'x*y', '--json'])\nmain(['verify', 'none.py'])\n"
        "main(['catalogue', 'booth'])\nprint('torch' in sys.modules, 'matplotlib' in sys.modules)\n"
        "import torch\nprint('torch' in sys.modules)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout.splitlines()[-2:] == ["False False", "True"]


@pytest.mark.skipif(os.name == "nt", reason="arguments are Unicode there")
def test_arguments_that_are_no_text() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [os.fsencode(sys.executable), b"-m", b"symdiscover", b"derive", b"x**2 + \xff"]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, b"")
    assert len(done.stderr.splitlines()) == 1 and b"Traceback" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
def test_control_c_ends_a_derivation_and_its_worker(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "symdiscover", "derive", "trid", "--budget", "200"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        line = process.stderr.readline()  # after a second in one route
        assert line.startswith("symdiscover: trying the route ")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (out, process.returncode) == ("", 130)
    assert err.splitlines()[-1] == "symdiscover: interrupted"
    assert "Traceback" not in err
