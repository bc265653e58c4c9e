"""The environment: what is declared is pinned, and make sets it up once."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from autograder.course import Course


def declared(course: Course) -> dict[NormalizedName, Requirement]:
    """Return what pyproject.toml asks for, extras included, by name."""
    project = tomllib.loads((course.root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    requirements = [Requirement(text) for group in groups for text in group]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def pinned(course: Course) -> dict[NormalizedName, list[Requirement]]:
    """Return the pins of requirements.txt by name: one, or one for each platform or Python."""
    pins: dict[NormalizedName, list[Requirement]] = {}
    for line in (course.root / "requirements.txt").read_text(encoding="utf-8").splitlines():
        if text := line.partition("#")[0].strip():
            pin = Requirement(text)
            pins.setdefault(canonicalize_name(pin.name), []).append(pin)
    return pins


def test_every_declared_dependency_is_pinned_within_its_bounds(course: Course) -> None:
    pins = pinned(course)
    for name, requirement in declared(course).items():
        assert name in pins, f"{name} is declared but not pinned: run `make pin`"
        for pin in pins[name]:
            (specifier,) = pin.specifier
            assert specifier.version in requirement.specifier, f"{pin} is not {requirement}: run `make pin`"


def test_everything_that_is_imported_is_declared(course: Course) -> None:
    files = [*course.root.glob("autograder/**/*.py"), *course.root.glob("tests/**/*.py")]
    modules = set[str]().union(*map(imported, files)) - sys.stdlib_module_names - {"autograder", "tests"}
    owners = packages_distributions()
    names = declared(course).keys()
    undeclared = {module for module in modules if not names & {canonicalize_name(owner) for owner in owners[module]}}
    assert undeclared == set(), "declare them in pyproject.toml, then run `make pin`"


def test_nothing_is_pinned_for_a_dependency_that_is_no_longer_declared(course: Course) -> None:
    text = (course.root / "requirements.txt").read_text(encoding="utf-8")
    blocks = re.findall(r"^([\w.-]+)==.*\n((?:    #.*\n)+)", text, re.MULTILINE)
    direct = {canonicalize_name(name) for name, origin in blocks if "(pyproject.toml)" in origin}
    assert direct == declared(course).keys(), "run `make pin`"


def test_every_pin_is_one_exact_version_from_no_address(course: Course) -> None:
    for pins in pinned(course).values():
        for pin in pins:
            assert pin.url is None
            assert [specifier.operator for specifier in pin.specifier] == ["=="], pin
    assert "://" not in (course.root / "requirements.txt").read_text(encoding="utf-8")


def imported(path: Path) -> set[str]:
    """Return the top-level names of the modules that a file imports."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    modules += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module]
    return {module.partition(".")[0] for module in modules}


@pytest.fixture
def ready(course: Course, tmp_path: Path) -> Path:
    """Return a checkout whose environment is already set up."""
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(course.root / name, tmp_path)
        os.utime(tmp_path / name, (1, 1))
    (tmp_path / ".venv/bin").mkdir(parents=True)
    for name in ("bin/python", "bin/uv", ".ready"):
        (tmp_path / ".venv" / name).touch()
    return tmp_path


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make in `folder`, apart from a make that runs these tests."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_what_is_set_up_is_not_set_up_again(ready: Path) -> None:
    assert make(ready, "--dry-run", "build").stdout.split() == [".venv/bin/course", "build"]


@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml"])
def test_a_changed_dependency_is_installed(ready: Path, name: str) -> None:
    os.utime(ready / ".venv/.ready", (2, 2))
    (ready / name).touch()
    assert "pip install" in make(ready, "--dry-run", "build").stdout


def test_a_python_that_is_too_old_is_refused_in_one_line(ready: Path) -> None:
    shutil.rmtree(ready / ".venv")
    old = ready / "old-python"
    old.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")  # what Python says to a version check that fails
    old.chmod(0o755)
    run = make(ready, "--no-print-directory", "lab", f"PYTHON={old}")
    assert run.returncode != 0
    assert "3.11" in run.stderr.splitlines()[0]
    assert not (ready / ".venv").exists()


def test_this_python_is_new_enough_for_make(ready: Path) -> None:
    shutil.rmtree(ready / ".venv")
    assert make(ready, ".venv/bin/python", f"PYTHON={sys.executable}").returncode == 0
    assert (ready / ".venv/bin/python").exists()


def test_help_describes_every_verb(course: Course) -> None:
    verbs = re.findall(r"^\.PHONY: (.+)$", (course.root / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    described = re.findall(r"^ +make (\S+) +\S.*$", make(course.root, "help").stdout, re.MULTILINE)
    assert sorted(described) == sorted(" ".join(verbs).split())


LEAN = """
import sys
from autograder.environment import import_nbgrader
import_nbgrader()
import autograder.grade.store
print("nbconvert" in sys.modules)
import nbgrader.server_extensions.formgrader as pages
print(callable(pages.load_jupyter_server_extension))
"""


def test_the_gradebook_takes_no_server_pages_along_and_they_are_there_for_who_asks() -> None:
    run = subprocess.run([sys.executable, "-c", LEAN], capture_output=True, text=True, timeout=120, check=True)
    assert run.stdout.split() == ["False", "True"]
