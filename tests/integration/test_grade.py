"""Grading: a learner's own notebooks and a class, whatever is handed in."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import shutil
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbgrader.api import Gradebook

from autograder.course import Course, CourseError
from autograder.grade.children import Forking, Launcher, Spawning
from autograder.grade.command import INTERRUPTED, grade_class, grade_own
from autograder.grade.model import Limits
from autograder.grade.run import Step, run_cells

LESSON = "01_core/01_sums"
QUICK = Limits(cell=1, grace=4)
ANSWERS = {
    "double": "def double(number):\n    return 2 * number",
    "later": "async def later(number):\n    await asyncio.sleep(0)\n    return number + 1",
    "mend": "def mend():\n    return 3",
}


@pytest.fixture(scope="module", params=[Forking, Spawning])
def launcher(request: pytest.FixtureRequest) -> Iterator[Launcher]:
    """The two ways to start a child."""
    made: Launcher = request.param()
    yield made
    made.close()


def texts(launcher: Launcher, *sources: str, limits: Limits = QUICK) -> list[str]:
    """Run cells; return what each printed, or its fault."""
    runs = run_cells([Step(source) for source in sources], launcher, limits)
    return [
        run.fault or "".join(str(output.get("text", output.get("evalue", ""))) for output in run.outputs)
        for run in runs
    ]


def test_cells_share_names_and_an_event_loop(launcher: Launcher) -> None:
    said = texts(
        launcher,
        "import asyncio\nqueue = asyncio.Queue()\ntask = asyncio.create_task(queue.put(7))",
        "print(await queue.get())",
        "print(task.done())",
    )
    assert said == ["", "7\n", "True\n"]


@pytest.mark.parametrize(
    ("culprit", "said"),
    [
        ("import os; os._exit(0)", "ended"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("exit()", "ended"),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    ],
)
def test_a_cell_that_ends_the_process_costs_itself_alone(launcher: Launcher, culprit: str, said: str) -> None:
    first, second, third = texts(launcher, "before = 1; print(before)", culprit, "print(before + 1)")
    assert (first, third) == ("1\n", "2\n")
    assert said in second


def test_an_endless_loop_is_interrupted(launcher: Launcher) -> None:
    first, second, third = texts(launcher, "before = 1; print(before)", "while True: pass", "print(before + 1)")
    assert (first, third) == ("1\n", "2\n")
    assert "more than 1 second" in second


def test_a_loop_that_swallows_the_interrupt_is_killed(launcher: Launcher) -> None:
    stubborn = "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
    first, second, third = texts(
        launcher, "before = 1; print(before)", stubborn, "print(before + 1)", limits=Limits(cell=1, grace=1)
    )
    assert (first, third) == ("1\n", "2\n")
    assert "more than 1 second" in second


def test_several_faults_cost_themselves_alone(launcher: Launcher) -> None:
    die = "import os; os._exit(1)"
    said = texts(launcher, "x = 1", die, "x += 1", die, "print(x)")
    assert said[4] == "2\n"


def test_cells_that_were_run_again_are_run_once_more_and_not_shown_twice(launcher: Launcher) -> None:
    said = texts(launcher, "print('once')", "import os; os._exit(1)", "print('end')")
    assert said[0] == "once\n"
    assert said[2] == "end\n"


def test_a_cell_gets_its_files_and_leaves_none(launcher: Launcher) -> None:
    steps = [Step("import pathlib; print(pathlib.Path('data/x.txt').read_text()); print(pathlib.Path.cwd())")]
    (run,) = run_cells(steps, launcher, QUICK, {"data/x.txt": b"seven"})
    text, folder = run.outputs[0]["text"].split()
    assert text == "seven"
    assert not Path(folder).exists()


def test_temporary_files_of_a_process_that_is_killed_go_with_it(launcher: Launcher) -> None:
    source = "import os, tempfile; print(tempfile.mkdtemp(), flush=True)"
    folder, _ = texts(launcher, source, "os._exit(1)")
    assert not Path(folder.strip()).exists()


def test_a_template_that_somebody_has_ended_is_replaced() -> None:
    launcher = Forking()
    try:
        assert texts(launcher, "print(1)") == ["1\n"]
        template = launcher._template
        assert template
        template.kill()
        template.wait()
        assert texts(launcher, "print(2)") == ["2\n"]
    finally:
        launcher.close()


def test_children_draw_different_random_numbers(launcher: Launcher) -> None:
    source = "import random; print(random.random())"
    assert texts(launcher, source) != texts(launcher, source)


def test_the_parents_environment_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_PARENT", "x")
    launcher = Forking()
    try:
        assert texts(launcher, "import os; print('SECRET_OF_THE_PARENT' in os.environ)") == ["False\n"]
    finally:
        launcher.close()


# --- a learner ---


def notebook(course: Course, answers: dict[str, str], change: Callable[[Any], None] = lambda notebook: None) -> bytes:
    """Return the small lesson as a learner saves it with these answers."""
    made = nbformat.read(course.notebooks / f"{LESSON}.ipynb", as_version=4)
    for cell in made.cells:
        if (name := cell.id.removeprefix("solution-")) in answers:
            cell.source = answers[name]
    change(made)
    return nbformat.writes(made).encode()


def put(path: Path, content: bytes) -> Path:
    """Write a file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_learners_own_notebooks_are_marked_in_work(
    classroom: Course, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    mine = put(
        classroom.work / f"{LESSON}.ipynb", notebook(classroom, {"double": ANSWERS["double"], "later": "later = 1"})
    )
    before = mine.read_bytes()
    assert grade_own(classroom) == 0
    table = capsys.readouterr().out
    assert "3 / 8" in table
    assert "three is what was asked for" in table
    page = (classroom.grading / f"feedback/{LESSON}.html").read_text()
    assert "doubles a negative number" in page
    assert mine.read_bytes() == before
    assert [path.name for path in mine.parent.iterdir()] == [mine.name]
    assert {path.name for path in classroom.grading.iterdir()} == {"gradebook.db", "feedback", "results"}


def test_without_work_the_notebooks_are_marked(classroom: Course, capsys: pytest.CaptureFixture[str]) -> None:
    assert grade_own(classroom, "sums") == 0
    assert "0 / 8" in capsys.readouterr().out


def test_nothing_to_mark_is_said_in_one_line(classroom: Course) -> None:
    classroom.work.mkdir()
    with pytest.raises(CourseError, match="make lab"):
        grade_own(classroom)


# --- a class ---


def hand_in(folder: Path, student: str, content: bytes, name: str = "01_sums.ipynb") -> None:
    """Put a notebook where a student of a class hands it in."""
    put(folder / student / "01_core" / name, content)


def rows(course: Course) -> dict[str, dict[str, str]]:
    """Return grades.csv by student."""
    with (course.grading / "grades.csv").open(newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file) if row["section"]}


def mark(course: Course, folder: Path) -> int:
    """Mark a class."""
    return grade_class(course, folder)


def saved_by_r(made: Any) -> None:
    made.metadata.kernelspec = {"name": "ir", "display_name": "R", "language": "R"}


def without_metadata(made: Any) -> None:
    for cell in made.cells:
        cell.metadata = {}


def without_metadata_and_ids(made: Any) -> None:
    for number, cell in enumerate(made.cells):
        cell.metadata, cell.id = {}, f"c{number}"


def with_points_and_tests_of_its_own(made: Any) -> None:
    for cell in made.cells:
        if cell.id.startswith(("check-", "hidden-")):
            cell.metadata.nbgrader.points = 100
            cell.metadata.tags = ["skip-execution"]
            cell.source = "print('all good')"


NOISY = ANSWERS | {"double": "import sys\ndef double(number):\n    print('hm', file=sys.stderr)\n    return 2 * number"}
DAMAGED = {
    "not-a-notebook": b"Dear teacher,",
    "truncated": b'{"cells": [{"cell_type": "code", "source": "x = ',
    "empty": b"",
    "a-list": b"[1, 2]",
    "no-cells": b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
    "no-list-of-cells": b'{"metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
    "deep": b'{"cells": ' + b"[" * 100_000,
    "odd": json.dumps({"cells": [1, None, {"cell_type": 3, "source": {"a": 1}, "metadata": []}]}).encode(),
}


@dataclass(frozen=True)
class Marked:
    """A class that has been marked."""

    course: Course
    status: int
    rows: dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def marked(small_course: Course, tmp_path_factory: pytest.TempPathFactory) -> Marked:
    """A class of which everybody hands in something else."""
    root = tmp_path_factory.mktemp("class")
    course = Course(shutil.copytree(small_course.root, root / "course"))
    folder = root / "in"
    hand_in(folder, "ann", notebook(course, ANSWERS))
    hand_in(folder, "zoe", notebook(course, ANSWERS))
    for student, content in DAMAGED.items():
        hand_in(folder, student, content)
    hand_in(folder, "r", notebook(course, ANSWERS, saved_by_r))
    hand_in(folder, "without-metadata", notebook(course, ANSWERS, without_metadata))
    hand_in(folder, "anonymous", notebook(course, ANSWERS, without_metadata_and_ids))
    hand_in(folder, "cheat", notebook(course, {}, with_points_and_tests_of_its_own))
    hand_in(folder, "noisy", notebook(course, NOISY))
    hand_in(folder, "renamed", notebook(course, ANSWERS), "sums final (2).ipynb")
    hand_in(folder, "timeless", notebook(course, ANSWERS))
    put(folder / "timeless/01_core/timestamp.txt", b"yesterday or so")
    secret = put(root / "secret.ipynb", notebook(course, ANSWERS))
    (folder / "link/01_core").mkdir(parents=True)
    (folder / "link/01_core/01_sums.ipynb").symlink_to(secret)
    (folder / "pipe/01_core").mkdir(parents=True)
    os.mkfifo(folder / "pipe/01_core/01_sums.ipynb")
    return Marked(course, mark(course, folder), rows(course))


@pytest.mark.parametrize("student", DAMAGED)
def test_what_cannot_be_read_is_named_with_nothing(marked: Marked, student: str) -> None:
    assert marked.rows[student]["score"] == "0"
    assert marked.rows[student]["needs_person"]
    assert (marked.course.grading / f"feedback/{student}/{LESSON}.html").is_file()


@pytest.mark.parametrize("student", ["ann", "zoe", "noisy", "without-metadata"])
def test_the_others_are_marked_all_the_same(marked: Marked, student: str) -> None:
    assert marked.rows[student]["score"] == "8"
    assert not marked.rows[student]["needs_person"]


def test_that_some_need_a_person_is_status_1(marked: Marked) -> None:
    assert marked.status == 1


@pytest.mark.parametrize(
    ("student", "why"), [("r", "kernel"), ("anonymous", "none of its cells"), ("timeless", "time")]
)
def test_what_is_odd_keeps_its_points_and_is_named(marked: Marked, student: str, why: str) -> None:
    assert marked.rows[student]["score"] == "8"
    assert why in marked.rows[student]["needs_person"]


def test_points_tests_and_tags_of_a_submission_count_for_nothing(marked: Marked) -> None:
    assert marked.rows["cheat"]["score"] == "0"
    assert marked.rows["cheat"]["max_points"] == "8"


def test_a_renamed_notebook_is_recognised_and_needs_a_person(marked: Marked) -> None:
    assert marked.rows["renamed"]["score"] == "8"
    assert "sums final (2).ipynb" in marked.rows["renamed"]["needs_person"]


@pytest.mark.parametrize("student", ["link", "pipe"])
def test_links_and_pipes_are_not_followed(marked: Marked, student: str) -> None:
    assert marked.rows[student]["score"] == "0"
    assert "could not be read" in marked.rows[student]["needs_person"]


def test_all_graded_is_status_0(classroom: Course, tmp_path: Path) -> None:
    hand_in(tmp_path / "in", "ann", notebook(classroom, ANSWERS))
    assert mark(classroom, tmp_path / "in") == 0


def test_a_zip_is_graded_as_it_was_exported(classroom: Course, tmp_path: Path) -> None:
    archive = tmp_path / "submissions.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("Ann Lee_12_assignsubmission_file/01_sums.ipynb", notebook(classroom, ANSWERS))
        packed.writestr("bob_LATE_13_99_01_sums-1.ipynb", notebook(classroom, {}))
        packed.writestr("../01_sums.ipynb", b"")
    assert mark(classroom, archive) == 1
    assert {student: row["score"] for student, row in rows(classroom).items()} == {"Ann Lee_12": "8", "bob_13": "0"}
    assert "leads out of the archive" in (classroom.grading / "class.html").read_text()


def test_a_second_run_keeps_what_a_person_has_given(classroom: Course, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    hand_in(folder, "ann", notebook(classroom, {}))
    assert mark(classroom, folder) == 0
    database = f"sqlite:///{classroom.grading}/gradebook.db"
    with Gradebook(database) as gradebook:
        gradebook.find_grade("mend-check", "01_sums", "01_core", "ann").manual_score = 0.5
        gradebook.find_comment("mend", "01_sums", "01_core", "ann").manual_comment = "nearly"
        gradebook.db.commit()
    mark(classroom, folder)
    with Gradebook(database) as gradebook:
        assert gradebook.find_submission("01_core", "ann").score == 0.5
        assert gradebook.find_comment("mend", "01_sums", "01_core", "ann").comment == "nearly"
    assert rows(classroom)["ann"]["score"] == "0.5"


def test_a_late_submission_loses_what_nbgraders_plugin_says(classroom: Course, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    hand_in(folder, "ann", notebook(classroom, ANSWERS))
    put(folder / "ann/01_core/timestamp.txt", b"2026-01-02 00:00:00 UTC")
    mark(classroom, folder)
    with Gradebook(f"sqlite:///{classroom.grading}/gradebook.db") as gradebook:
        gradebook.update_or_create_assignment("01_core", duedate="2026-01-01 00:00:00 UTC")
    mark(classroom, folder)
    assert rows(classroom)["ann"]["score"] == "8"  # nbgrader's default takes nothing off
    with (classroom.root / "nbgrader_config.py").open("a") as settings:
        settings.write('\nc.LateSubmissionPlugin.penalty_method = "zero"\n')
    mark(classroom, folder)
    assert rows(classroom)["ann"]["late_penalty"] == "8"
    assert rows(classroom)["ann"]["score"] == "0"


def test_a_result_is_written_whole_or_not_at_all(
    classroom: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autograder.grade import store

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "_save_comments", fail)
    hand_in(tmp_path / "in", "ann", notebook(classroom, ANSWERS))
    assert mark(classroom, tmp_path / "in") == INTERRUPTED
    with sqlite3.connect(classroom.grading / "gradebook.db") as database:
        assert database.execute("select count(*) from student").fetchone() == (0,)
    database.close()
    assert not multiprocessing.active_children()
