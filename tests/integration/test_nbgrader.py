"""Stock nbgrader on this repository: its commands and Formgrader work, and its scores are ours."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbgrader.api import Gradebook

from autograder.course import Course
from autograder.grade.command import grade_class
from autograder.grade.model import Limits

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("nbgrader")]

SECTION, NOTEBOOK = "01_core", "01_sums"
SECONDS_A_CELL = 3
Cells = list[Any]

# --- ten submissions: each changes the released notebook's cells ---


def cell(cells: Cells, cell_id: str) -> Any:
    """Return the cell with this id."""
    return next(cell for cell in cells if cell.id == cell_id)


def answer(cells: Cells, **answers: str) -> None:
    """Write answers by exercise."""
    for name, source in answers.items():
        cell(cells, f"solution-{name}").source = source


def blank(cells: Cells) -> None:
    """Hand in what was given out."""


def solved(cells: Cells) -> None:
    """Solve everything."""
    answer(
        cells,
        double="def double(number):\n    return 2 * number",
        later="async def later(number):\n    return number + 1",
        mend="def mend():\n    return 3",
    )


def half(cells: Cells) -> None:
    """Solve one exercise, and another as far as its visible check goes."""
    answer(cells, double="def double(number):\n    return 2 * number", later="async def later(number):\n    return 2")


def one_wrong(cells: Cells) -> None:
    """Solve everything but one exercise."""
    solved(cells)
    answer(cells, later="def later(number):\n    return number")


def extra_cells(cells: Cells) -> None:
    """Work in cells of one's own, one of which fails and one of which the answer needs."""
    solved(cells)
    answer(cells, double="def double(number):\n    return number * factor")
    cells.insert(3, nbformat.v4.new_code_cell("factor = 2"))
    cells.insert(4, nbformat.v4.new_code_cell("1 / 0"))
    cells.insert(5, nbformat.v4.new_markdown_cell("A thought."))


def reordered(cells: Cells) -> None:
    """Move an answer below its check, and an exercise to the top of the others."""
    solved(cells)
    cells.append(cells.pop(cells.index(cell(cells, "solution-double"))))
    for name in ("check-mend", "solution-mend"):
        cells.insert(2, cells.pop(cells.index(cell(cells, name))))


def deleted_check(cells: Cells) -> None:
    """Delete the check of an exercise."""
    solved(cells)
    cells.remove(cell(cells, "check-double"))


def duplicated_cell(cells: Cells) -> None:
    """Copy an answer's cell with its metadata, as Jupyter's copy and paste does, and go on in the copy."""
    solved(cells)
    original = cell(cells, "solution-later")
    pasted = copy.deepcopy(original)
    pasted.id = "pasted"
    original.source = "async def later(number):\n    return 0"
    cells.insert(cells.index(original) + 1, pasted)


def endless_loop(cells: Cells) -> None:
    """Write an answer that never returns."""
    solved(cells)
    answer(cells, later="async def later(number):\n    while True:\n        pass")


def dying_kernel(cells: Cells) -> None:
    """Write an answer that ends the kernel."""
    solved(cells)
    answer(cells, later="import os\nasync def later(number):\n    os._exit(1)")


SUBMISSIONS: Mapping[str, Callable[[Cells], None]] = {
    made.__name__: made
    for made in (
        blank,
        solved,
        half,
        one_wrong,
        extra_cells,
        reordered,
        deleted_check,
        duplicated_cell,
        endless_loop,
        dying_kernel,
    )
}
# Of these nbgrader keeps nothing.
DROPPED = {"duplicated_cell": 8.0, "dying_kernel": 4.0}
# This one loses, with nbgrader, the points of the check that isn't there.
DELETED = "deleted_check"

Points = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Comparison:
    """A class marked twice."""

    stock: Course
    ours: Course
    stock_points: Points
    our_points: Points


def nbgrader(course: Course, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a stock command at the root of a course."""
    return subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments],
        cwd=course.root,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def autograde(course: Course, *options: str) -> None:
    """Run nbgrader's autograder, which may fail on some."""
    limit = f"--Execute.timeout={SECONDS_A_CELL}"
    nbgrader(course, "autograde", SECTION, limit, "--Execute.shutdown_kernel=immediate", *options)


def points(course: Course) -> Points:
    """Return the points in a course's gradebook by student and graded cell."""
    with Gradebook(f"sqlite:///{course.grading}/gradebook.db") as gradebook:
        return {
            submission.student.id: {grade.name: grade.score for grade in submission.notebooks[0].grades}
            for submission in gradebook.assignment_submissions(SECTION)
            if (course.grading / "autograded" / submission.student.id / SECTION / f"{NOTEBOOK}.ipynb").is_file()
        }


def hand_in(course: Course) -> None:
    """Put every submission where nbgrader collects them."""
    for student, change in SUBMISSIONS.items():
        notebook = nbformat.read(course.notebooks / SECTION / f"{NOTEBOOK}.ipynb", as_version=4)
        change(notebook.cells)
        path = course.grading / "submitted" / student / SECTION / f"{NOTEBOOK}.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(notebook, path)


@pytest.fixture(scope="module")
def marked(small_course: Course, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """The class, marked by nbgrader and by this grader."""
    root = tmp_path_factory.mktemp("nbgrader")
    stock, ours = (Course(shutil.copytree(small_course.root, root / name)) for name in ("stock", "ours"))
    hand_in(stock)
    hand_in(ours)
    released = nbgrader(stock, "generate_assignment", SECTION, "--force")
    assert released.returncode == 0, released.stderr
    # A duplicated cell ends the whole run, so that it has to have one of its own.
    autograde(stock, "--CourseDirectory.student_id_exclude=duplicated_cell")
    autograde(stock, "--student=duplicated_cell")
    grade_class(ours, ours.grading / "submitted", limits=Limits(cell=SECONDS_A_CELL))
    return Comparison(stock, ours, points(stock), points(ours))


@pytest.mark.parametrize("student", sorted(SUBMISSIONS.keys() - DROPPED.keys() - {DELETED}))
def test_scores_are_those_of_nbgrader(marked: Comparison, student: str) -> None:
    assert marked.our_points[student] == marked.stock_points[student]


def test_the_ten_differ_in_their_points(marked: Comparison) -> None:
    totals = {student: sum(scores.values()) for student, scores in marked.our_points.items()}
    assert totals == {
        "blank": 0,
        "solved": 8,
        "half": 4,
        "one_wrong": 4,
        "extra_cells": 8,
        "reordered": 5,
        "deleted_check": 8,
        "duplicated_cell": 8,
        "endless_loop": 4,
        "dying_kernel": 4,
    }


@pytest.mark.parametrize("student", DROPPED)
def test_what_nbgrader_drops_keeps_the_points_that_stand(marked: Comparison, student: str) -> None:
    assert student not in marked.stock_points
    assert sum(marked.our_points[student].values()) == DROPPED[student]


def test_a_deleted_check_is_run_all_the_same(marked: Comparison) -> None:
    difference = marked.our_points[DELETED].items() - marked.stock_points[DELETED].items()
    assert difference == {("double-check", 1.0)}


# --- afterwards ---


def test_nbgrader_exports_our_gradebook(marked: Comparison, tmp_path: Path) -> None:
    run = nbgrader(marked.ours, "export", "--to", str(tmp_path / "grades.csv"))
    assert run.returncode == 0, run.stderr
    exported = (tmp_path / "grades.csv").read_text()
    for student, scores in marked.our_points.items():
        (line,) = (line for line in exported.splitlines() if f",{student}," in line)
        assert line.split(",")[-2:] == [str(float(sum(scores.values()))), "8.0"]


def test_nbgrader_generates_its_feedback_from_our_results(marked: Comparison) -> None:
    page = marked.ours.grading / "feedback/half" / SECTION / f"{NOTEBOOK}.html"
    run = nbgrader(marked.ours, "generate_feedback", SECTION, "--student=half", "--force")
    assert run.returncode == 0, run.stderr
    assert "Score: 4.0 / 8.0" in page.read_text(encoding="utf-8")


@contextmanager
def formgrader(course: Course, folder: Path) -> Iterator[Callable[[str], str]]:
    """Start Jupyter's server with Formgrader on a course; yield a function that fetches one of its pages."""
    settings = {"ServerApp": {"jpserver_extensions": {"nbgrader.server_extensions.formgrader": True}}}
    (folder / "jupyter_server_config.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", "--port=0"]
    command += [f"--ServerApp.root_dir={course.root}"]
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(folder),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTER_TOKEN": "secret",
    }
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(command, cwd=course.root, env=environment, stdout=log, stderr=log)
    try:
        address = wait_for_address(server, folder)

        def fetch(path: str) -> str:
            request = urllib.request.Request(f"{address}{path}", headers={"Authorization": "token secret"})
            with urllib.request.urlopen(request, timeout=60) as response:
                content: bytes = response.read()
            return content.decode()

        yield fetch
    finally:
        server.terminate()
        server.wait(timeout=30)


def wait_for_address(server: subprocess.Popen[bytes], folder: Path) -> str:
    """Return the address of a server that has just been started."""
    for _ in range(600):
        for info in (folder / "runtime").glob("jpserver-*.json"):
            text = info.read_text()
            if text.endswith("}"):
                return str(json.loads(text)["url"])
        assert server.poll() is None, (folder / "server.log").read_text()
        time.sleep(0.1)
    raise AssertionError((folder / "server.log").read_text())


def test_formgrader_opens_on_our_results(marked: Comparison, tmp_path: Path) -> None:
    with formgrader(marked.ours, tmp_path) as fetch:
        assert "formgrade" in fetch(f"formgrader/gradebook/{SECTION}/{NOTEBOOK}")
        listed = json.loads(fetch(f"formgrader/api/submitted_notebooks/{SECTION}/{NOTEBOOK}"))
        assert {entry["student"]: entry["score"] for entry in listed} == {
            student: sum(scores.values()) for student, scores in marked.our_points.items()
        }
        solved = next(entry["id"] for entry in listed if entry["student"] == "solved")
        assert "later-hidden" in fetch(f"formgrader/submissions/{solved}")


# --- this repository ---


@pytest.fixture
def checkout(course: Course, tmp_path: Path) -> Course:
    """A copy of what nbgrader uses of this repository."""
    copied = Course(tmp_path / "checkout")
    copied.root.mkdir()
    shutil.copy(course.root / "nbgrader_config.py", copied.root)
    shutil.copytree(course.solutions, copied.solutions)
    return copied


def test_generate_assignment_writes_what_course_build_writes(course: Course, checkout: Course) -> None:
    for section in sorted(path.name for path in course.solutions.iterdir() if path.is_dir()):
        run = nbgrader(checkout, "generate_assignment", section)
        assert run.returncode == 0, run.stderr
    released = {path.relative_to(checkout.notebooks): path.read_bytes() for path in checkout.notebooks.rglob("*.ipynb")}
    built = {path.relative_to(course.notebooks): path.read_bytes() for path in course.notebooks.rglob("*.ipynb")}
    del built[Path("index.ipynb")]  # the start page is no assignment
    assert released == built


def test_validate_passes_a_solved_notebook_and_names_the_failures_of_a_blank_one(small_course: Course) -> None:
    path = f"{SECTION}/{NOTEBOOK}.ipynb"
    run = nbgrader(small_course, "validate", f"solutions/{path}", f"notebooks/{path}")
    assert run.stdout.startswith("Success"), run.stdout
    assert "%%check double" in run.stdout
    assert "not solved yet" in run.stdout
