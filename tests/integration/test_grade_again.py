"""A run that is repeated, broken off or killed: what is done stays done, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import nbformat
import pytest

from autograder.course import Course
from autograder.grade.command import INTERRUPTED, Options, grade_class, grade_own
from autograder.grade.files import write
from autograder.grade.model import Job, Result
from autograder.grade.pool import Keep, Local
from autograder.lesson.release import generate_assignments

SECTION, NOTEBOOK = "01_core", "01_sums"
LESSON = f"{SECTION}/{NOTEBOOK}"


def notebook(course: Course, mend: str) -> bytes:
    """Return the small lesson with an answer to `mend`."""
    made = nbformat.read(course.notebooks / f"{LESSON}.ipynb", as_version=4)
    next(cell for cell in made.cells if cell.id == "solution-mend").source = mend
    return nbformat.writes(made).encode()


def hand_in(folder: Path, student: str, content: bytes) -> Path:
    """Put a notebook where a student of a class hands it in."""
    path = folder / student / f"{LESSON}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The students whose notebooks have been run."""
    found: list[str] = []

    grade = Local.grade

    def noting(self: Local, jobs: Iterable[Job | Result], keep: Keep) -> Iterator[Result]:
        def noted() -> Iterator[Job | Result]:
            for job in jobs:
                if isinstance(job, Job):
                    found.append(job.submission.student)
                yield job

        return grade(self, noted(), keep)

    monkeypatch.setattr(Local, "grade", noting)
    return found


def test_unchanged_work_is_not_run_again(classroom: Course, tmp_path: Path, ran: list[str]) -> None:
    folder = tmp_path / "in"
    for student in ("ann", "bob"):
        hand_in(folder, student, notebook(classroom, "def mend(): return 3"))
    grade_class(classroom, folder)
    table = (classroom.grading / "grades.csv").read_bytes()
    (classroom.grading / "gradebook.db").unlink()
    assert sorted(ran) == ["ann", "bob"]
    grade_class(classroom, folder)
    assert len(ran) == 2
    assert (classroom.grading / "grades.csv").read_bytes() == table


def test_changed_work_is_run_again(classroom: Course, tmp_path: Path, ran: list[str]) -> None:
    folder = tmp_path / "in"
    hand_in(folder, "ann", notebook(classroom, "def mend(): return 3"))
    hand_in(folder, "bob", notebook(classroom, "def mend(): return 3"))
    grade_class(classroom, folder)
    hand_in(folder, "bob", notebook(classroom, "def mend(): return 4"))
    grade_class(classroom, folder)
    assert sorted(ran) == ["ann", "bob", "bob"]
    grade_class(classroom, folder, options=Options(fresh=True))
    assert sorted(ran) == ["ann", "ann", "bob", "bob", "bob"]


def test_outputs_change_nothing_and_files_and_tests_do(classroom: Course, tmp_path: Path, ran: list[str]) -> None:
    folder = tmp_path / "in"
    path = hand_in(folder, "ann", notebook(classroom, "def mend(): return 3"))
    grade_class(classroom, folder)
    saved = json.loads(path.read_bytes())
    next(cell for cell in saved["cells"] if cell["cell_type"] == "code")["execution_count"] = 9
    path.write_text(json.dumps(saved))
    grade_class(classroom, folder)
    assert len(ran) == 1
    (path.parent / "data.txt").write_text("x")
    grade_class(classroom, folder)
    assert len(ran) == 2
    master = classroom.solutions / f"{LESSON}.ipynb"
    master.write_text(master.read_text().replace("three is what", "3 is what"))
    grade_class(classroom, folder)
    assert len(ran) == 3


def test_what_is_kept_and_damaged_is_run_again(classroom: Course, tmp_path: Path, ran: list[str]) -> None:
    hand_in(tmp_path / "in", "ann", notebook(classroom, "def mend(): return 3"))
    grade_class(classroom, tmp_path / "in")
    kept = classroom.grading / "results" / "ann" / f"{LESSON}.json"
    kept.write_bytes(kept.read_bytes()[:100])
    grade_class(classroom, tmp_path / "in")
    assert len(ran) == 2


def test_ctrl_c_keeps_what_is_done(
    classroom: Course, tmp_path: Path, ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in"
    for student in ("ann", "bob", "eve"):
        hand_in(folder, student, notebook(classroom, "def mend(): return 3"))

    def interrupted(path: Path, content: bytes) -> None:
        write(path, content)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("autograder.grade.command.write", interrupted)
        assert grade_class(classroom, folder, options=Options(jobs=1)) == INTERRUPTED
    kept = {path.relative_to(classroom.grading / "results").parts[0] for path in _results(classroom)}
    assert "ann" in kept  # others may have been run ahead
    ran.clear()
    assert grade_class(classroom, folder, options=Options(jobs=1)) == 0
    assert set(ran) == {"ann", "bob", "eve"} - kept
    assert len(_results(classroom)) == 3


def _results(course: Course) -> list[Path]:
    """Return the files of the results that are kept."""
    return list((course.grading / "results").rglob("*.json"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_ended_in_the_middle_is_gone_on_with(
    classroom: Course, tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "in"
    for student in ("ann", "bob", "eve", "zoe"):
        hand_in(folder, student, notebook(classroom, "import time\ntime.sleep(1)\ndef mend(): return 3"))
    line = [sys.executable, "-c", "from autograder.cli import main; main()", "grade"]
    line += ["--submissions", str(folder), "--jobs", "1"]
    with subprocess.Popen(
        line, cwd=classroom.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as run:
        while not _results(classroom):
            assert run.poll() is None
            time.sleep(0.02)
        os.killpg(run.pid, number)
    if number == signal.SIGINT:
        assert run.returncode == INTERRUPTED
    first = {path: path.stat().st_mtime_ns for path in _results(classroom)}
    assert 0 < len(first) < 4
    assert grade_class(classroom, folder) == 0
    assert len(_results(classroom)) == 4
    assert {path: path.stat().st_mtime_ns for path in first} == first
    assert len((classroom.grading / "grades.csv").read_text().splitlines()) == 5


def test_a_learners_unchanged_lesson_is_not_run_again(classroom: Course, ran: list[str]) -> None:
    path = classroom.work / f"{LESSON}.ipynb"
    path.parent.mkdir(parents=True)
    path.write_bytes(notebook(classroom, "def mend(): return 3"))
    grade_own(classroom)
    grade_own(classroom)
    assert ran == [""]


def test_a_failure_of_the_grader_is_not_kept(
    classroom: Course, tmp_path: Path, ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from autograder.grade import worker

    def fail(*_: object) -> Result:
        raise RuntimeError

    hand_in(tmp_path / "in", "ann", notebook(classroom, "def mend(): return 3"))
    with monkeypatch.context() as patch:
        patch.setattr(worker, "_grade", fail)
        assert grade_class(classroom, tmp_path / "in") == 1
    assert grade_class(classroom, tmp_path / "in") == 0
    assert len(ran) == 2


def test_the_gradebook_is_filled_again_only_where_it_is_not_as_it_was(
    classroom: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled = []

    def noting(root: Path, sections: Sequence[str], database: Path) -> None:
        filled.append(list(sections))
        generate_assignments(root, sections, database)

    monkeypatch.setattr("autograder.lesson.release.generate_assignments", noting)
    hand_in(tmp_path / "in", "ann", notebook(classroom, "def mend(): return 3"))
    for _ in range(2):
        grade_class(classroom, tmp_path / "in")
    assert filled == [[SECTION]]
    master = classroom.solutions / f"{LESSON}.ipynb"
    master.write_text(master.read_text().replace("three is what", "3 is what"))
    grade_class(classroom, tmp_path / "in")
    assert filled == [[SECTION]] * 2
    with sqlite3.connect(classroom.grading / "gradebook.db") as database:
        database.execute("UPDATE source_cell SET checksum = 'other'")
    grade_class(classroom, tmp_path / "in")
    assert filled == [[SECTION]] * 3
    (classroom.grading / "gradebook.db").unlink()
    grade_class(classroom, tmp_path / "in")
    assert filled == [[SECTION]] * 4
