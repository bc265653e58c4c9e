"""Binder: repo2docker reads environment.yml, and what it installs runs a notebook."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import pytest
from ruamel.yaml import YAML

from autograder.course import Course
from autograder.notebook.report import MIME_TYPE


@pytest.fixture
def home(course: Course, tmp_path: Path) -> Path:
    """Return a copy of the checkout, as Binder makes one: none of what git ignores."""
    home = tmp_path / "home"
    shutil.copytree(course.root, home, ignore=shutil.ignore_patterns(".*", "__pycache__", "_build", "work", "grading"))
    return home


def environment(home: Path) -> list[str | Mapping[str, list[str]]]:
    """Return the dependencies that environment.yml lists."""
    dependencies: list[str | Mapping[str, list[str]]] = YAML(typ="safe").load(home / "environment.yml")["dependencies"]
    return dependencies


def pip_part(home: Path) -> list[str]:
    """Return the arguments that conda gives to `pip install`."""
    (part,) = [dependency for dependency in environment(home) if not isinstance(dependency, str)]
    return [word for line in part["pip"] for word in shlex.split(line)]


def test_repo2docker_builds_a_conda_environment_once_the_files_are_there(home: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "repo2docker", "--no-build", "--debug", "."],
        cwd=home,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "python=3.11" in run.stderr
    # The pip part names files of the checkout: they have to be copied before it is installed.
    copy, install = " src/ ${REPO_DIR}/\n", 'env update -p ${NB_PYTHON_PREFIX} --file "environment.yml"'
    assert 0 < run.stdout.index(copy) < run.stdout.index(install)


def test_binder_needs_no_compiler_and_no_system_package(home: Path) -> None:
    assert [dependency for dependency in environment(home) if isinstance(dependency, str)] == ["python=3.11", "pip"]
    assert not {"apt.txt", "Dockerfile", "postBuild"} & {path.name for path in home.iterdir()}


@pytest.mark.slow
def test_the_first_notebook_runs_in_a_fresh_environment(home: Path, tmp_path: Path) -> None:
    uv, fresh = Path(sys.executable).with_name("uv"), tmp_path / "fresh"
    commands: tuple[list[str | Path], ...] = (
        [uv, "venv", "--quiet", "--python", sys.executable, fresh],
        [uv, "pip", "install", "--quiet", "--only-binary=:all:", "--python", fresh, *pip_part(home)],
        [fresh / "bin/jupyter-execute", "--allow-errors", "--inplace", first_notebook(home)],
    )
    for command in commands:
        subprocess.run(command, cwd=home, check=True, timeout=600)
    cells = {cell.id: cell for cell in nbformat.read(first_notebook(home), as_version=4).cells}
    assert errors(cells["setup"]) == []
    checks = [cell for name, cell in cells.items() if name.startswith("check-")]
    assert checks
    for check in checks:
        assert errors(check) == ["CheckFailed"], check.id
    assert outcomes(checks[0]) == {"unsolved"}


def first_notebook(home: Path) -> Path:
    """Return the notebook that a learner begins with."""
    return min(home.glob("notebooks/*/*.ipynb"))


def errors(cell: Any) -> list[str]:
    """Return the names of the exceptions that a cell ended with."""
    return [output.ename for output in cell.outputs if output.output_type == "error"]


def outcomes(check: Any) -> set[str]:
    """Return how the tests of a check cell ended, as its report says."""
    (report,) = [output.data[MIME_TYPE] for output in check.outputs if output.output_type == "display_data"]
    return {test["outcome"] for test in report["tests"]}
