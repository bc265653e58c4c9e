"""A learner's copy through a new release: real releases, a real kernel, and the answers that were in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from autograder.course import Course
from autograder.lesson.release import build
from autograder.progress_report import read_progress
from autograder.workspace import reset, take, update
from tests.integration.conftest import MANIFEST

LESSON = "01_core/01_sums"
TITLE = "# %% [markdown]\n# # Sums\n"
ADD = """
# %% [markdown] exercise add topic=sums level=core minutes=5
# ## Exercise: add
#
# Add.

# %% solution add
def add(a: int, b: int) -> int:
    # BEGIN SOLUTION
    return a + b
    # END SOLUTION


# %% check add points=1
def test_adds() -> None:
    assert add(1, 2) == 3
"""
MEND = """
# %% [markdown] exercise mend topic=sums level=core minutes=5
# ## Exercise: mend
#
# Mend it.

# %% solution mend
def mend(a: int) -> int:
    return a + 1


# %% starter mend
def mend(a: int) -> int:
    return a - 1


# %% check mend points=1
def test_mends() -> None:
    assert mend(1) == 2


# %% hidden mend points=1
def test_mends_zero() -> None:
    assert mend(0) == 1
"""
DOUBLE = ADD.replace("add", "double").replace("a + b", "a * b")


@pytest.fixture
def course(tmp_path: Path) -> Course:
    """A checkout with one released lesson, which the learner has taken."""
    course = Course(tmp_path)
    (course.lessons / "01_core").mkdir(parents=True)
    course.manifest.write_text(MANIFEST)
    release(course, TITLE + ADD + MEND)
    take(course)
    return course


def release(course: Course, source: str) -> None:
    (course.lessons / f"{LESSON}.py").write_text(source)
    build(course)


def own(course: Course) -> NotebookNode:
    """Return the learner's copy of the lesson."""
    notebook: NotebookNode = nbformat.read(course.work / f"{LESSON}.ipynb", as_version=4)
    nbformat.validate(notebook)
    return notebook


def cell_of(notebook: NotebookNode, cell_id: str) -> NotebookNode:
    (found,) = [cell for cell in notebook.cells if cell.id == cell_id]
    return found


def save(course: Course, notebook: NotebookNode) -> None:
    nbformat.write(notebook, course.work / f"{LESSON}.ipynb")


def errors(course: Course, notebook: NotebookNode) -> set[str]:
    """Run a notebook in a new kernel where the learner has it; return the ids of the cells that fail."""
    folder = course.work / Path(LESSON).parent
    NotebookClient(notebook, allow_errors=True, timeout=60, resources={"metadata": {"path": str(folder)}}).execute()
    return {
        cell.id
        for cell in notebook.cells
        if cell.cell_type == "code" and any(output.output_type == "error" for output in cell.outputs)
    }


def passed(course: Course) -> dict[str, bool]:
    (lesson,) = read_progress(course)
    return {exercise.name: exercise.passed is not None for exercise in lesson.exercises}


def test_a_half_solved_lesson_lives_through_an_update(course: Course) -> None:
    mine = own(course)
    cell_of(mine, "solution-mend").source = "def mend(a):\n    return STEP + a"
    place = mine.cells.index(cell_of(mine, "exercise-mend"))
    mine.cells.insert(place + 1, new_code_cell("STEP = 1  # my own cell", id="mine"))
    assert errors(course, mine) == {"check-add"}
    assert passed(course) == {"add": False, "mend": True}
    save(course, mine)

    release(
        course,
        TITLE
        + DOUBLE
        + MEND.replace("Mend it.", "Mend this.")
        + ADD.replace("a: int", "first: int").replace("return a", "return first"),
    )
    assert take(course).changed == (LESSON,)
    (report,) = update(course)
    assert report.refused is None
    new = own(course)
    assert cell_of(new, "solution-mend").source == "def mend(a):\n    return STEP + a"
    assert "Mend this." in cell_of(new, "exercise-mend").source
    # The stub that the learner hadn't touched is the new one.
    assert "first: int" in cell_of(new, "solution-add").source
    assert errors(course, new) == {"check-double", "check-add"}
    assert passed(course) == {"double": False, "mend": True, "add": False}
    assert report.kept is not None
    assert nbformat.read(course.root / report.kept, as_version=4) == mine


def test_starters_and_stubs_of_the_real_release_are_no_answers(course: Course) -> None:
    (course.work / ".taken" / f"{LESSON}.json").unlink()
    mine = own(course)
    mine.cells.append(new_code_cell("own", id="own"))
    save(course, mine)
    release(course, TITLE + ADD.replace("a: int", "first: int") + MEND.replace("a - 1", "a - 2"))
    (report,) = update(course, "sums")
    assert report.merge is not None
    assert report.merge.answers == ()
    assert "a - 2" in cell_of(own(course), "solution-mend").source
    assert "first: int" in cell_of(own(course), "solution-add").source


def test_an_exercise_that_is_reset_can_be_checked_again(course: Course) -> None:
    mine = own(course)
    cell_of(mine, "solution-add").source = "def add(a, b): return a + b"
    save(course, mine)
    assert errors(course, own(course)) == {"check-mend"}
    reset(course, "add")
    assert errors(course, own(course)) == {"check-add", "check-mend"}
    # What has once been passed stays so.
    assert passed(course) == {"add": True, "mend": False}


def test_the_commands_say_what_they_did(course: Course) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from autograder.cli import main; main()", *arguments]
        return subprocess.run(command, cwd=course.work, capture_output=True, text=True, check=False)

    mine = own(course)
    cell_of(mine, "solution-add").source = "def add(a, b): return a + b"
    save(course, mine)
    release(course, TITLE + ADD + DOUBLE)
    updated = run("update", "sums")
    assert (updated.returncode, updated.stderr) == (0, "")
    assert ".kept-" in updated.stdout
    given_back = run("reset", "add")
    assert given_back.returncode == 0
    assert "NotImplementedError" in cell_of(own(course), "solution-add").source
    unknown = run("reset", "nothing")
    assert unknown.returncode == 2
    assert "nothing" in unknown.stderr
