"""The command `symdiscover layers`: a model of one's own by its name, as a table, JSON, sentences or a picture."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from symdiscover.cli import main
from symdiscover.errors import ExpressionError, SymmetryError
from symdiscover.network.target import example_input, load_model
from tests.symdiscover.test_cli import ROOT, refused, strict

Capture = pytest.CaptureFixture[str]
HERE = "symdiscover.network.examples"
SOURCE = """
import sys
import torch
from torch import nn

print("a line of the model's own")

class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.out = nn.Embedding(11, 6), nn.Linear(6, 3)

    def forward(self, ids, scale=None):
        h = self.table(ids).mean(1)
        return self.out(h if scale is None else h * scale)

def broken():
    raise RuntimeError("no\\nway")

def leaves():
    sys.exit(3)

def needs(width):
    return nn.Linear(width, width)

class Place:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))

class Chooses(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 4)

    def forward(self, x):
        return self.a(x) if x.sum() > 0 else x

number = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module of one's own, which is the current one."""
    (tmp_path / "my_models.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "my_models", raising=False)
    return tmp_path


def shape_faults(data: Any) -> list[str]:
    """Where the object differs from the one that is promised."""
    faults = [] if list(data) == ["spaces", "refused", "continuous_dimension", "seconds"] else ["keys"]
    kinds = {
        "size": int, "group": str, "dimension": int, "grade": str, "writers": list, "readers": list, "error": float | None,
    }  # fmt: skip
    for space in data["spaces"]:
        faults += ["space"] * (list(space) != list(kinds))
        faults += [key for key, kind in kinds.items() if not isinstance(space.get(key), kind)]
        ends = [*space.get("writers", []), *space.get("readers", [])]
        faults += ["ends"] * (not ends or not all(end.rpartition(":")[2].isdecimal() for end in ends))
    for entry in data["refused"]:
        faults += ["refused"] * (list(entry) != ["where", "reason", "remedy"] or not entry["where"])
    faults += ["sum"] * (data["continuous_dimension"] != sum(s["dimension"] for s in data["spaces"]))
    return faults


@pytest.mark.parametrize(
    ("model", "given", "dimension"),
    [
        (f"{HERE}:mlp", ["1x4"], 8),
        (f"{HERE}:convolutional", ["2x3x8x8"], 14),
        ("tests.symdiscover.network.shown:Returned", ["2x4"], 0),
        (f"{HERE}:Transformer", ["2x5:int64:11"], None),
    ],
)
def test_json_is_one_object_of_the_promised_shape(
    model: str, given: list[str], dimension: int | None, capsys: Capture
) -> None:
    assert main(["layers", model, "--json", *[f"--input={text}" for text in given]]) == 0
    data = strict(capsys.readouterr().out)
    assert shape_faults(data) == []
    assert dimension is None or data["continuous_dimension"] == dimension
    assert all(space["error"] < 1e-10 and space["grade"] == "global" for space in data["spaces"])
    data["continuous_dimension"] += 1
    del data["refused"][0]["remedy"]
    assert shape_faults(data) == ["refused", "sum"]


def test_the_object_for_a_small_network(capsys: Capture) -> None:
    assert main(["layers", f"{HERE}:mlp", "--input", "1x4", "--dtype", "float64", "--json"]) == 0
    data = strict(capsys.readouterr().out)
    assert data["spaces"][0] | {"error": 0.0} == {
        "size": 8, "group": "PositiveScaling(8) x| Permutation(8)", "dimension": 8, "grade": "global",
        "writers": ["0.weight:0", "0.bias:0"], "readers": ["2.weight:1"], "error": 0.0,
    }  # fmt: skip
    assert [entry["where"] for entry in data["refused"]] == ["0.weight:1", "2.weight:0, 2.bias:0"]


def test_a_table_and_sentences(own: Path, capsys: Capture) -> None:
    assert main(["layers", "my_models:Words", "--input", "2x5:int64:11", "--input", "scale=2x6"]) == 0
    caught = capsys.readouterr()
    assert "a line of the model's own" in caught.err and "a line" not in caught.out
    lines = caught.out.splitlines()
    assert lines[0].split() == ["size", "group", "dimension", "grade", "error", "writers", "readers"]
    assert lines[1].split()[:4] == ["6", "Scaling(6)", "6", "global"]
    assert "  table.weight:0: rows are chosen by indices that are data" in lines
    assert main(["layers", "my_models:Words", "--input", "2x5:int64:11", "--explain"]) == 0
    assert "table (Embedding): The 6 hidden units between table and out may be" in capsys.readouterr().out
    assert main(["layers", "my_models:Place.model", "--input", "2x4", "--json"]) == 0
    assert len(strict(capsys.readouterr().out)["spaces"]) == 1
    assert str(own) not in sys.path


def test_a_saved_program_and_a_picture(own: Path, capsys: Capture) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    torch.export.save(torch.export.export(model, (torch.ones(2, 4),)), own / "saved.pt2")
    assert main(["layers", "saved.pt2", "--json", "--draw", "a.png"]) == 0
    caught = capsys.readouterr()
    assert [space["group"] for space in strict(caught.out)["spaces"]] == ["SignedPermutation(8)"]
    assert caught.err.splitlines()[-1] == "symdiscover: wrote a.png"
    assert (own / "a.png").read_bytes().startswith(b"\x89PNG")
    (own / "other.pt2").write_bytes(b"none")
    refused(capsys, "layers", "other.pt2", status=1, said="is no saved torch.export program")
    refused(capsys, "layers", "none.pt2", status=1, said="No such file")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["my_models:Words"], 2, "needs an example input"),
        (["my_models", "--input", "3"], 2, "neither MODULE:FACTORY"),
        (["my_models:", "--input", "3"], 2, "neither MODULE:FACTORY"),
        (["os.system('true'):x", "--input", "3"], 2, "neither MODULE:FACTORY"),
        (["my_models:Place.model", "--input", "2x"], 2, "no [NAME=]SHAPE"),
        (["my_models:Place.model", "--input", ""], 2, "no [NAME=]SHAPE"),
        (["my_models:Place.model", "--input", "2x4:float31"], 2, "did you mean float32?"),
        (["my_models:Place.model", "--input", "2x4", "--dtype", "double"], 2, "no element type"),
        (["my_models:Place.model", "--input", "x=2x4", "--input", "x=2x4"], 2, "named twice"),
        (["my_models:Place.model", "--input", "9" * 40], 2, "entries"),
        (["my_models:Place.model", "--input", "2x4", "--json", "--explain"], 2, "not allowed with"),
        (["my_models:Place.model", "--input", "2x4", "--draw", "a.gif"], 2, ".png, .pdf, .svg"),
        ([], 2, "required: MODEL"),
    ],
    ids=str,
)
def test_wrong_input_is_a_sentence(
    arguments: list[str], status: int, said: str, own: Path, capsys: Capture
) -> None:
    refused(capsys, "layers", *arguments, status=status, said=said)


@pytest.mark.parametrize(
    ("model", "given", "said"),
    [
        ("my_models:broken", "3", "broken() failed: RuntimeError: no way"),
        ("my_models:leaves", "3", "leaves() failed: SystemExit: 3"),
        ("my_models:needs", "3", "missing 1 required positional argument"),
        ("my_models:number", "3", "is no nn.Module"),
        ("my_models:word", "3", "did you mean Words?"),
        ("no_such_module_at_all:x", "3", "No module named"),
        ("my_models:Place.model", "2x3", "could not be traced"),
        ("my_models:Chooses", "2x4", "could not be traced"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(
    model: str, given: str, said: str, own: Path, capsys: Capture
) -> None:
    assert main(["layers", model, "--input", given]) == 1
    caught = capsys.readouterr()
    assert caught.out == ""
    last = caught.err.splitlines()[-1]
    assert last.startswith("symdiscover: ") and said in last
    assert "Traceback" not in caught.err and "should not have happened" not in caught.err


# inputs and models by name


@pytest.mark.parametrize(
    ("text", "name", "shape", "dtype"),
    [
        ("32x784", "", (32, 784), torch.float32),
        ("7", "", (7,), torch.float32),
        ("2x5:int64:11", "", (2, 5), torch.int64),
        ("mask=2x5:bool", "mask", (2, 5), torch.bool),
        ("0x3:bfloat16", "", (0, 3), torch.bfloat16),
        ("5:uint8:255", "", (5,), torch.uint8),
    ],
)
def test_an_input_is_what_its_text_says(
    text: str, name: str, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    found, tensor = example_input(text)
    assert (found, tuple(tensor.shape), tensor.dtype) == (name, shape, dtype)
    assert torch.equal(tensor, example_input(text)[1])
    assert torch.equal(torch.get_rng_state(), before)


def test_whole_numbers_stay_below_their_end() -> None:
    values = example_input("4000:int64:11")[1]
    assert int(values.min()) == 0 and int(values.max()) == 10
    assert int(example_input("4000:int64")[1].max()) == 1


@pytest.mark.parametrize(
    "text",
    [
        "2x5:int64:0",
        "2x5:uint8:256",
        "3:float32:4",
        "3:bool:3",
        "3:int64:-1",
        "-3",
        "3x-1",
        "3:Tensor",
        "1e3",
        "３",
    ],
)
def test_other_texts_are_no_inputs(text: str) -> None:
    with pytest.raises(ExpressionError):
        example_input(text)


def test_a_factory_draws_the_same_numbers_and_leaves_those_of_the_caller() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, second = (load_model(f"{HERE}:mlp") for _ in range(2))
    assert isinstance(first, nn.Module) and isinstance(second, nn.Module)
    assert torch.equal(first.state_dict()["0.weight"], second.state_dict()["0.weight"])
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(SymmetryError, match="did you mean mlp"):
        load_model(f"{HERE}:mpl")


# the whole command


def test_the_command_finds_a_module_beside_it(own: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "symdiscover",
        "layers",
        "my_models:Place.model",
        "--input",
        "2x4",
        "--json",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=own, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert shape_faults(json.loads(done.stdout)) == []


@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
def test_control_c_is_130(own: Path) -> None:
    (own / "slow.py").write_text(
        "import sys, time\nprint('ready', file=sys.stderr, flush=True)\ntime.sleep(200)\n"
    )
    command = [sys.executable, "-m", "symdiscover", "layers", "slow:x", "--input", "2x4"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=own, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:  # fmt: skip
        assert process.stderr is not None
        while "ready" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (out, process.returncode) == ("", 130)
    assert err.splitlines()[-1] == "symdiscover: interrupted" and "Traceback" not in err
