"""What is shipped: one version, light imports, a wheel that installs, constraints that pin all but CUDA."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
VERSION = re.compile(r"^(?:__version__ = \"|version: |## \[|To be released as )(\d+\.\d+\.\d+)", re.MULTILINE)


def version_in(name: str) -> str:
    """The first version that a file states: the source, CITATION.cff, or the newest one of the changelog."""
    found = VERSION.search((ROOT / name).read_text(encoding="utf-8"))
    assert found, f"{name} states no version"
    return found[1]


def source_version() -> str:
    return version_in(PYPROJECT["tool"]["hatch"]["version"]["path"])


def python(
    code: str, *, executable: str | Path = sys.executable, cwd: Path = ROOT, path: Path | None = ROOT
) -> str:
    """Run `code` in a new interpreter and return what it prints."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# Version


@pytest.mark.parametrize("name", ["CITATION.cff", "CHANGELOG.md"])
def test_the_version_is_stated_alike(name: str) -> None:
    assert version_in(name) == source_version()


def test_the_version_stands_in_one_source_file() -> None:
    assert PYPROJECT["project"]["dynamic"] == ["version"]
    assert "version" not in PYPROJECT["project"]
    sources = [path for package in ("symdiscover", "teleport") for path in (ROOT / package).rglob("*.py")]
    holders = [path for path in sources if f'"{source_version()}"' in path.read_text(encoding="utf-8")]
    assert holders == [ROOT / PYPROJECT["tool"]["hatch"]["version"]["path"]]


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("cff-version: 1.2.0\nversion: 0.3.1\n", "0.3.1"),
        ("## [Unreleased]\n\n## [0.2.0] - 2026-01-01\n## [0.1.0] - 2025-01-01\n", "0.2.0"),
        ("## [Unreleased]\n\nTo be released as 0.1.0.\n", "0.1.0"),
        ("cff-version: 1.2.0\nupgraded from 0.1.0\n", None),
    ],
)
def test_the_version_is_read_where_it_is_stated(text: str, version: str | None) -> None:
    found = VERSION.search(text)
    assert (found and found[1]) == version


@pytest.mark.parametrize("package", ["symdiscover", "teleport"])
def test_the_command_prints_the_version(package: str) -> None:
    call = (
        f"import sys; from {package}.cli import main; sys.argv = [{package!r}, '--version']; sys.exit(main())"
    )
    assert python(call).split()[-1] == source_version()


# Imports


def loaded_by(statement: str, names: Iterable[str]) -> set[str]:
    """Those of `names` that are in `sys.modules` after `statement` has run in a new interpreter."""
    return set(python(f"{statement}\nimport sys\nprint(*({set(names)!r} & set(sys.modules)))").split())


def test_importing_symdiscover_loads_neither_torch_nor_matplotlib() -> None:
    assert not loaded_by("import symdiscover", ["torch", "matplotlib"])


def test_importing_teleport_does_not_load_matplotlib() -> None:
    assert not loaded_by("import teleport", ["matplotlib"])


def test_a_loaded_library_is_noticed() -> None:
    heavy = {"torch", "matplotlib"}
    assert loaded_by("import symdiscover, torch, matplotlib", heavy) == heavy


# Constraints


def read_pins(text: str) -> dict[NormalizedName, str]:
    """Name -> version of a constraints file; every line is `name==version`, without a local version."""
    pins: dict[NormalizedName, str] = {}
    for line in text.splitlines():
        line = line.partition("#")[0].strip()
        if not line:
            continue
        requirement = Requirement(line)
        specifiers = list(requirement.specifier)
        if len(specifiers) != 1 or specifiers[0].operator != "==" or requirement.marker or requirement.extras:
            raise ValueError(f"not a plain pin: {line}")
        version = Version(specifiers[0].version)
        name = canonicalize_name(requirement.name)
        if version.local:
            raise ValueError(f"{name} is pinned to the local version {version}")
        if re.match(r"nvidia|cuda|triton|pytorch-triton", name):
            raise ValueError(f"{name} belongs to CUDA")
        if name in pins:
            raise ValueError(f"{name} is pinned twice")
        pins[name] = str(version)
    return pins


PINS = read_pins((ROOT / "constraints.txt").read_text(encoding="utf-8"))


def declared() -> list[Requirement]:
    """The dependencies, those of the extras, and the build backend."""
    project = PYPROJECT["project"]
    lines = [*project["dependencies"], *PYPROJECT["build-system"]["requires"]]
    lines += [line for extra in project["optional-dependencies"].values() for line in extra]
    return [Requirement(line) for line in lines]


def unpinned(pins: dict[NormalizedName, str]) -> set[str]:
    """The requirements of the project, and of what is installed for it, that `pins` does not meet."""
    wanted, seen, bad = declared(), set(), set()
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        if name not in pins or not requirement.specifier.contains(pins[name], prereleases=True):
            bad.add(str(requirement))
        if name not in seen:
            seen.add(name)
            wanted += [Requirement(line) for line in importlib.metadata.requires(name) or []]
    return bad


def test_every_dependency_is_pinned() -> None:
    assert not unpinned(PINS)


@pytest.mark.parametrize("name", ["torch", "scikit-learn", "mpmath", "threadpoolctl", "pluggy", "tornado"])
def test_a_missing_pin_is_noticed(name: str) -> None:
    pins = {key: value for key, value in PINS.items() if key != name}
    assert any(canonicalize_name(Requirement(line).name) == name for line in unpinned(pins))


def test_a_pin_that_will_not_do_is_noticed() -> None:
    assert "torch>=2.9" in unpinned({**PINS, canonicalize_name("torch"): "2.8.0"})


def test_torch_is_pinned_without_a_build() -> None:
    assert PINS[canonicalize_name("torch")] == "2.13.0"


@pytest.mark.parametrize(
    "line",
    [
        "torch==2.13.0+cpu",
        "nvidia-cublas==13.1",
        "cuda-bindings==13",
        "triton==3.7",
        "a>=2",
        "a",
        "a==1\na==2",
    ],
)
def test_a_bad_line_of_constraints_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"local version|CUDA|plain pin|twice"):
        read_pins(line)


# The wheel


def package_files() -> set[str]:
    """The files of both packages in the checkout, as a wheel names them."""
    paths = [path for package in ("symdiscover", "teleport") for path in (ROOT / package).rglob("*")]
    return {
        path.relative_to(ROOT).as_posix()
        for path in paths
        if path.is_file() and not {"__pycache__", ".ipynb_checkpoints"} & set(path.parts)
    }


def difference(names: Iterable[str]) -> set[str]:
    """What a wheel lacks of the checkout, or holds beyond it and its own metadata."""
    information = f"symdiscover-{source_version()}.dist-info/"
    return package_files() ^ {name for name in names if not name.startswith(information)}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as a release is: from the source archive, not from the checkout."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_both_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert not difference(names)
    typed = {"symdiscover/py.typed", "teleport/py.typed"}
    assert difference(name for name in names if not name.endswith("py.typed")) == typed
    assert difference([*names, "tests/conftest.py"]) == {"tests/conftest.py"}
    assert f"symdiscover-{source_version()}.dist-info/licenses/LICENSE" in names


def test_the_wheel_installs_and_its_commands_run(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True, timeout=120)
    scripts = environment / ("Scripts" if os.name == "nt" else "bin")
    executable = scripts / Path(sys.executable).name
    pip = [sys.executable, "-m", "pip", "--python", executable]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", wheel], check=True, timeout=120)

    # The dependencies are those of this interpreter. A folder named in a .pth file joins the path, but the
    # .pth files inside it are not read: an editable install of the checkout stays out of sight.
    purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
    dependencies = Path(python(purelib, executable=executable, path=None)) / "dependencies.pth"
    dependencies.write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    for package in ("symdiscover", "teleport"):
        where = f"import {package}; print({package}.__file__)"
        found = Path(python(where, executable=executable, cwd=tmp_path, path=None))
        assert found.is_relative_to(environment)
        command = [scripts / package, "--version"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split()[-1] == source_version()
    loaded = "import sys, symdiscover; print('torch' in sys.modules)"
    assert python(loaded, executable=executable, cwd=tmp_path, path=None) == "False"
