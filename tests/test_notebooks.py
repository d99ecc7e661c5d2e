"""The notebooks run from a clean kernel, are stored with their outputs, and hold prose and calls only."""

from __future__ import annotations

import ast
import copy
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def execute(notebook: NotebookNode, folder: Path) -> NotebookNode:
    fresh = copy.deepcopy(notebook)
    for cell in code_cells(fresh):
        cell.outputs, cell.execution_count = [], None
    NotebookClient(
        fresh, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    return fresh


def faults(notebook: NotebookNode) -> list[str]:
    """What a stored notebook may not have: cells never run, errors, definitions, paths of one machine."""
    found = []
    for number, cell in enumerate(code_cells(notebook)):
        if cell.execution_count is None:
            found.append(f"cell {number} was not run")
        if any(output.output_type == "error" for output in cell.outputs):
            found.append(f"cell {number} holds an error")
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        python = "\n".join(line for line in cell.source.splitlines() if not line.startswith("%"))
        if any(isinstance(node, kinds) for node in ast.walk(ast.parse(python))):
            found.append(f"cell {number} defines something")
        if any(
            place in str(cell.outputs) for place in ("/home/", "/root/", "/work/", "/tmp/", "site-packages")
        ):
            found.append(f"cell {number} shows a path of one machine")
    return found


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_stored_notebook_has_outputs_and_no_definitions(path: Path) -> None:
    assert faults(read(path)) == []
    assert any(cell.outputs for cell in code_cells(read(path)))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_a_clean_kernel(path: Path) -> None:
    assert faults(execute(read(path), FOLDER)) == []


def test_the_check_sees_each_fault() -> None:
    notebook = read(NOTEBOOKS[0])
    first = code_cells(notebook)[0]
    for change in (
        {"execution_count": None},
        {"source": "def f():\n    return 1"},
        {"outputs": [nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])]},
        {"outputs": [nbformat.v4.new_output("stream", name="stdout", text="/root/x")]},
    ):
        kept = {key: first[key] for key in change}
        first.update(change)
        assert len(faults(notebook)) == 1, change
        first.update(kept)


def test_a_failing_cell_is_an_error() -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    with pytest.raises(CellExecutionError):
        execute(notebook, FOLDER)
