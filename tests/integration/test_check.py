"""`%%check` in a live kernel: what a learner sees, and what nbgrader and nbval see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from autograder.notebook.report import MIME_TYPE

ANSWER = """
import asyncio
async def double(n):
    await asyncio.sleep(0)
    return 2 * n
"""
CHECK = """%%check double
async def test_doubles():
    assert await double(2) == 4
def test_is_a_coroutine_function():
    assert asyncio.iscoroutinefunction(double)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A learner's folder in a checkout of the course."""
    (tmp_path / "lessons").mkdir()
    (tmp_path / "lessons/guide.toml").touch()
    folder = tmp_path / "work" / "01_core"
    folder.mkdir(parents=True)
    return folder


def _run(folder: Path, *sources: str) -> list[Any]:
    """Run cells in a new kernel; return their outputs."""
    cells = [new_code_cell(source) for source in ("%load_ext autograder", *sources)]
    client = NotebookClient(
        new_notebook(cells=cells), allow_errors=True, timeout=60, resources={"metadata": {"path": str(folder)}}
    )
    notebook = client.execute()
    nbformat.validate(notebook)
    return [cell.outputs for cell in notebook.cells[1:]]


@pytest.fixture
def solved(folder: Path) -> list[Any]:
    return _run(folder, ANSWER, CHECK)


def test_a_solved_check_shows_its_report_and_no_error(solved: list[Any], folder: Path) -> None:
    (report,) = solved[1]
    assert report.output_type == "display_data"
    assert report.data["text/plain"].count("✔") == 2
    assert report.data["text/html"].count("✔") == 2
    assert [test["outcome"] for test in report.data[MIME_TYPE]["tests"]] == ["passed", "passed"]
    assert (folder.parent.parent / "progress.json").is_file()


def test_an_unsolved_check_ends_in_one_line_of_error(folder: Path) -> None:
    unsolved = "import asyncio\nasync def double(n):\n    raise NotImplementedError()"
    report, error = _run(folder, unsolved, CHECK)[1]
    assert "○" in report.data["text/plain"]
    assert error.output_type == "error"
    assert error.ename == "CheckFailed"
    assert len(error.traceback) == 1
    assert "\n" not in error.traceback[0]
    assert not (folder.parent.parent / "progress.json").exists()


def test_a_check_leaves_no_names_behind(folder: Path) -> None:
    names = _run(folder, ANSWER, CHECK, "[name for name in dir() if name.startswith('test_')]")[2]
    assert names[0].data["text/plain"] == "[]"


def test_a_check_works_twice_and_after_a_change(folder: Path) -> None:
    outputs = _run(folder, ANSWER, CHECK, CHECK, "async def double(n): return 5", CHECK)
    assert [len(outputs[number]) for number in (1, 2, 4)] == [1, 1, 2]
    assert "assert 5 == 4" in outputs[4][0].data["text/plain"]


def test_a_check_without_tests_passes_with_a_note(folder: Path) -> None:
    (outputs,) = _run(folder, "%%check double\n# 2 more tests run here when this is graded.")
    assert [output.output_type for output in outputs] == ["display_data"]
    assert outputs[0].data[MIME_TYPE]["tests"] == []


def test_a_check_without_a_name_says_what_it_takes(folder: Path) -> None:
    (outputs,) = _run(folder, "%%check\ndef test_it(): pass")
    assert any("%%check takes" in str(output) for output in outputs)
