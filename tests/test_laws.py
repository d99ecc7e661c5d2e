"""Every law of `tests.laws` over its catalogue of actions; every wrong map beside them is rejected at every point."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from itertools import islice
from pathlib import Path

import pytest
import torch

from tests.catalogue_groups import GROUPS
from tests.laws import DEFAULT, EXTRA, LAWS, Subject, subjects, sweep

NAMES = (*DEFAULT, *EXTRA)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_has_a_proved_symmetry(name: str) -> None:
    assert subjects(name)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", NAMES)
def test_law(name: str, law: str) -> None:
    for subject in subjects(name):
        verdicts = LAWS[law].holds(subject)
        assert verdicts and all(verdicts), f"{law} fails for {subject.name}: {verdicts}"


@cache
def rejections(
    law: str, wrong: str, name: str, everything: bool = False
) -> tuple[tuple[str, list[bool] | None], ...]:
    """The verdicts of a law on a wrong map, for each subject of a name; None where the map is not wrong."""
    check = LAWS[law].fails[wrong]
    return tuple((subject.name, check(subject)) for subject in subjects(name, everything))


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", NAMES)
def test_twin(name: str, law: str) -> None:
    for wrong in LAWS[law].fails:
        for subject, verdicts in rejections(law, wrong, name):
            assert verdicts is None or (verdicts and not any(verdicts)), (
                f"{law} accepts {subject} with the wrong map {wrong!r}: {verdicts}"
            )


@pytest.mark.parametrize(("law", "wrong"), [(law, wrong) for law in LAWS for wrong in LAWS[law].fails])
def test_every_wrong_map_is_offered(law: str, wrong: str) -> None:
    """A wrong map that applies to no subject would test nothing; three are enough, and the others are not computed again."""
    offered = (
        subject
        for name in NAMES
        for subject, verdicts in rejections(law, wrong, name)
        if verdicts is not None
    )
    assert len(list(islice(offered, 3))) == 3


LOADER = """
import importlib.util, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"sympy", "symdiscover", "mpmath"}:
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocked())
import torch
torch.set_num_threads(1)
results = {}
for path in sys.argv[2:]:
    spec = importlib.util.spec_from_file_location("saved", path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        results[path] = str(error)
        continue
    case = torch.load(path + ".pt", weights_only=True)
    results[path] = module.act(case["elements"], case["points"], **case["constants"])
torch.save(results, sys.argv[1])
"""


def run_saved(subjects_: list[Subject], folder: Path, *more: str) -> dict[str, torch.Tensor | str]:
    """Save the actions and run the files in a process that has neither SymPy nor this package."""
    paths = []
    for number, subject in enumerate(subjects_):
        path = subject.action.save(folder / f"action_{number}.py")
        names = subject.action._module.SYMMETRY["positive"]
        keywords = getattr(subject.action._module, "CONSTANTS", [])
        case = {
            "elements": subject.elements(3),
            "points": subject.points(),
            "constants": {key: subject.values[name] for key, name in zip(keywords, names, strict=True)},
        }
        torch.save(case, f"{path}.pt")
        paths.append(str(path))
    done = subprocess.run(
        [sys.executable, "-c", LOADER, str(folder / "results.pt"), *paths, *more],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return torch.load(folder / "results.pt", weights_only=True)


def test_saved_actions_run_where_only_torch_is(tmp_path: Path) -> None:
    some = [subject for name in NAMES for subject in subjects(name)]
    results = list(run_saved(some, tmp_path).values())
    assert len(results) == len(some)
    for subject, moved in zip(some, results, strict=True):
        expected = subject.action(subject.elements(3), subject.points())
        assert torch.equal(moved, expected), subject.name
        assert not torch.equal(moved, expected.roll(1, 0)), subject.name


def test_saved_twin(tmp_path: Path) -> None:
    """The process that runs saved files really has no SymPy."""
    wrong = tmp_path / "needs_sympy.py"
    wrong.write_text("import sympy\n")
    results = run_saved([], tmp_path, str(wrong))
    assert results[str(wrong)] == "sympy is blocked"


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES)
def test_cuda(name: str) -> None:
    for subject in subjects(name):
        points, elements = subject.points(), subject.elements(3)
        moved = subject.action(elements.cuda(), points.cuda())
        assert moved.device.type == "cuda"
        assert torch.allclose(moved.cpu(), subject.action(elements, points), rtol=1e-9)
        assert not torch.allclose(moved.cpu(), subject.action(elements, points).roll(1, 0), rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(sweep()))
def test_sweep(name: str) -> None:
    """Every law over everything that is derived in the whole catalogue, which is what stands in `GROUPS` and no more."""
    if name in GROUPS:  # at the size that stands there
        assert [subject.group.name for subject in subjects(name, everything=True)] == GROUPS[name]
    for subject in subjects(name, everything=True):
        for title, law in LAWS.items():
            verdicts = law.holds(subject)
            assert verdicts and all(verdicts), f"{title} fails for {subject.name}: {verdicts}"
            failing = []
            for wrong, check in law.fails.items():
                rejected = check(subject)
                failing.append(bool(rejected) and not any(rejected))
                # At steps and kinks, for finite groups, and where its effect is exponentially small, a wrong map may be right.
                assert rejected is None or rejected.count(True) <= len(rejected) // 2, (
                    f"{title} accepts {subject.name} with {wrong!r}: {rejected}"
                )
            assert any(failing) or title not in ("exact", "float64"), (
                f"no wrong map fails {title} of {subject.name} everywhere"
            )
