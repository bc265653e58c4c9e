"""Measures the grader against stock nbgrader on the same class, in one run: `make bench-grade`."""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from nbgrader.api import Gradebook

from autograder.course import Course, CourseError
from autograder.grade.child import warm_session
from autograder.grade.collect import collect_class
from autograder.grade.feedback import page
from autograder.grade.files import write
from autograder.grade.master import load_masters, modules
from autograder.grade.match import plan
from autograder.grade.model import Limits, Master, Places, Result
from autograder.grade.pool import Local, cores, grade_all
from autograder.grade.read import read_notebook
from autograder.grade.store import Store
from autograder.grade.table import grades_csv
from autograder.kernel import Session, fork_each
from autograder.lesson.guide import load_guide

TRIVIAL = "trivial"
EXERCISES = 6  # and as many cells of tests, and one cell before them: 13 code cells
SIMULATED = (10, 100, 1000)
# How often memory is looked at, in seconds: it slows what is looked at.
SELDOM, OFTEN = 1.0, 0.1
MIB = 1 << 20
# Long enough for the slowest cell on a busy machine, so that limits don't make the scores differ.
CELL_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Class:
    """A class to grade: a course, the lessons, and their submissions in `grading/submitted`."""

    name: str
    course: Course
    section: str
    lessons: tuple[str, ...]

    @property
    def submitted(self) -> Path:
        """Where stock nbgrader collects submissions."""
        return self.course.grading / "submitted"


def measure(course: Course, students: int) -> Iterator[str]:
    """Yield lines of figures, as they are measured, for a trivial class and one of two lessons of this course.

    Raises CourseError where a command fails.
    """
    with tempfile.TemporaryDirectory(prefix="bench-grade-") as folder:
        root = Path(folder).resolve()
        trivial = _trivial(course, root / TRIVIAL, students)
        yield from _compare(trivial)
        yield from _scale(trivial)
        yield from _compare(_real(course, root / "real", students))


def _compare(made: Class) -> Iterator[str]:
    """Yield the figures of one class."""
    notebooks = len(made.lessons) * len(list(made.submitted.iterdir()))
    command = [sys.executable, "-m", "nbgrader", "autograde", made.section, f"--Execute.timeout={CELL_SECONDS}"]
    generated = [sys.executable, "-m", "nbgrader", "generate_assignment", made.section, "--force"]
    _run(made.course, *generated)
    gradebook = Places(made.course.grading).gradebook
    released = gradebook.read_bytes()
    shutil.copytree(made.submitted, made.course.root / "class")
    # Before and after stock nbgrader: a machine that is shared gets slower and faster.
    before, _ = _grade(made)
    found = _scores(made)
    gradebook.write_bytes(released)
    shutil.rmtree(made.course.grading / "autograded")
    stock, stock_memory = _run(made.course, *command, glance=SELDOM)
    theirs = _scores(made)
    gradebook.write_bytes(released)
    shutil.rmtree(made.course.grading / "autograded")
    after, _ = _grade(made)
    ours = (before + after) / 2
    _, memory = _grade(made, OFTEN)
    workers = cores()
    yield f"{made.name}: {notebooks} notebooks, {workers} workers"
    yield f"  stock nbgrader    {stock:7.1f} s  {stock / notebooks:6.3f} s a notebook  {stock_memory:5.0f} MiB"
    yield f"  course grade      {ours:7.1f} s  {ours / notebooks:6.3f} s a notebook  {memory:5.0f} MiB"
    same = len(found.items() & theirs.items())
    yield f"  {stock / ours:.1f} times the throughput; {same} of {len(found | theirs)} scores of cells are the same"
    wall, overhead, warm_overhead = _overhead(made)
    yield f"  one warm worker: {wall:.3f} s a notebook, {overhead:.3f} s more than its cells take by themselves,"
    yield f"  and {warm_overhead:.3f} s more than they take where what they import has been imported"


def _grade(made: Class, glance: float | None = None) -> tuple[float, float]:
    """Grade a class by `course grade`; return its seconds and memory, as `_run` does."""
    return _run(made.course, "course", "grade", "--submissions", "class", "--fresh", accepted=(0, 1), glance=glance)


def _overhead(made: Class) -> tuple[float, float, float]:
    """Return what a notebook takes with one warm worker, and how much more that is than its cells, in seconds.

    The cells are run by themselves twice: as in a new kernel, and where what they import has been imported, as in the
    grader's warm process. All are medians, of differences too; all are measured in turn, so that what else the machine
    does counts alike.
    """
    masters = load_masters(made.course, made.lessons)
    imported = modules(masters.values())
    jobs = list(collect_class(made.submitted, masters).jobs())
    session = warm_session()
    gc.freeze()  # as in the grader's warm process
    walls: list[float] = []
    more: list[float] = []
    more_than_warm: list[float] = []
    try:
        with closing(Local(Limits(cell=CELL_SECONDS), 1, imported)) as engine:
            list(engine.grade(jobs[:1]))  # starts the warm process
            for job in jobs:
                start = time.perf_counter()
                list(engine.grade([job]))
                wall = time.perf_counter() - start
                planned = plan(job.master, read_notebook(job.submission.content or b""))
                cells = [cell.source for cell in planned.cells if cell.cell_type == "code"]
                walls.append(wall)
                for differences, before in ((more, []), (more_than_warm, imported)):
                    (run,) = fork_each([partial(_seconds, session, cells, before)], 600)
                    differences.append(wall - (run.value or 0))
    finally:
        session.close()
    return statistics.median(walls), statistics.median(more), statistics.median(more_than_warm)


def _seconds(session: Session, cells: Sequence[str], imported: Sequence[str]) -> float:
    """Return what the cells of a notebook take by themselves, after these modules have been imported."""
    for name in imported:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        start = time.perf_counter()
        for cell in cells:
            session.run(cell)
        return time.perf_counter() - start


def _scale(made: Class) -> Iterator[str]:
    """Yield what the writer, the table and the feedback take for classes of recorded results."""
    masters = load_masters(made.course, made.lessons[:1])
    (master,) = masters.values()
    job = next(collect_class(made.submitted, masters).jobs())
    (result,) = grade_all([job], Limits())
    for students in SIMULATED:
        course = Course(made.course.root.with_name(f"simulated-{students}"))
        shutil.copytree(made.course.root, course.root, ignore=shutil.ignore_patterns("grading", "class"))
        results = [replace(result, student=f"s{number:04}") for number in range(students)]
        yield f"  {students:5} simulated students, ms each: {_report(course, made.section, master, results)}"


def _report(course: Course, section: str, master: Master, results: Sequence[Result]) -> str:
    """Return what writing, showing and tabulating these results takes, in milliseconds for each."""
    places = Places(course.grading)
    store = Store(course, [section])
    begin = time.perf_counter()
    saved = {(one.student, one.lesson): store.save(one) for one in results}
    written = time.perf_counter()
    store.close()
    for one in results:
        write(places.feedback / one.student / f"{one.lesson}.html", page(master, one))
    shown = time.perf_counter()
    write(places.grades, grades_csv(results, saved, ()))
    figures = {"writer": written - begin, "feedback": shown - written, "report": time.perf_counter() - shown}
    return ", ".join(f"{name} {seconds / len(results) * 1000:.2f}" for name, seconds in figures.items())


def _scores(made: Class) -> dict[tuple[str, str, str], float]:
    """Return the points in the gradebook by student, notebook and cell."""
    with Gradebook(f"sqlite:///{Places(made.course.grading).gradebook}") as gradebook:
        return {
            (submission.student.id, notebook.name, grade.name): grade.score
            for submission in gradebook.assignment_submissions(made.section)
            for notebook in submission.notebooks
            for grade in notebook.grades
        }


def _run(
    course: Course, *command: str, accepted: Collection[int] = (0,), glance: float | None = None
) -> tuple[float, float]:
    """Run a command; return its seconds, and the most memory (MiB) that it and all that it started had together.

    Memory is looked at every `glance` seconds, never when None. Raises CourseError with what it said where it fails.
    """
    start = time.perf_counter()
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(command, cwd=course.root, stdout=said, stderr=subprocess.STDOUT) as run,
    ):
        most = 0.0
        while run.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.wait(glance)
            if glance:
                most = max(most, _memory(run.pid))
        seconds = time.perf_counter() - start
        if run.returncode not in accepted:
            said.seek(0)
            raise CourseError(f"`{' '.join(command[:3])}` failed in the benchmark:\n{said.read()[-2000:]}")
    return seconds, most


def _memory(pid: int) -> float:
    """Return the memory of a process and its descendants in MiB; what they share counts once where that is known."""
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                full = process.memory_full_info()
                total += getattr(full, "pss", full.rss)
    return total / MIB


# --- the classes ---


def _trivial(course: Course, root: Path, students: int) -> Class:
    """Make a course of two notebooks of assertions, and submissions of which each has some answers wrong."""
    made = Course(root)
    _write_manifest(made, TRIVIAL, ("one", "two"))
    shutil.copy(course.root / "nbgrader_config.py", root)
    lessons = (f"{TRIVIAL}/one", f"{TRIVIAL}/two")
    result = Class(TRIVIAL, made, TRIVIAL, lessons)
    for lesson in lessons:
        write(made.solutions / f"{lesson}.ipynb", json.dumps(_notebook(lesson, set())).encode())
        for student in range(students):
            wrong = {number for number in range(EXERCISES) if (student >> number) & 1}
            submitted = result.submitted / f"s{student:03}" / f"{lesson}.ipynb"
            write(submitted, json.dumps(_notebook(lesson, wrong)).encode())
    return result


def _write_manifest(course: Course, section: str, files: Sequence[str]) -> None:
    """Write the list of a course of one section."""
    course.lessons.mkdir(parents=True)
    lines = [
        "checklist = []",
        "resources = []",
        "[[section]]",
        f'id = "s"\nnumber = 1\ntitle = "S"\nfolder = "{section}"',
    ]
    lines += ["[[section.subsection]]", 'id = "s/s"\ntitle = "S"\ntopics = [{ id = "s/s/t", title = "T", terms = [] }]']
    lines += [f'[[section.lesson]]\nfile = "{file}"\ntopics = ["s/s/t"]' for file in files]
    course.manifest.write_text("\n".join(lines))


def _notebook(lesson: str, wrong: set[int]) -> dict[str, Any]:
    """Return a trivial notebook in which the answers with these numbers are wrong."""
    cells = [_cell("setup", "import math")]
    for number in range(EXERCISES):
        answer = -1 if number in wrong else number
        body = f"### BEGIN SOLUTION\n    return x * 10 + {answer}\n    ### END SOLUTION"
        cells.append(_cell(f"f{number}", f"def f{number}(x):\n    {body}", solution=True))
        cells.append(_cell(f"f{number}-test", f"assert f{number}(1) == {10 + number}", points=1))
    metadata = {
        "autograder": {"lesson": lesson},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _cell(name: str, source: str, *, solution: bool = False, points: int = 0) -> dict[str, Any]:
    """Return a code cell; one with points holds tests."""
    given: dict[str, Any] = {"grade_id": name, "schema_version": 3, "solution": solution, "grade": points > 0}
    given |= {"locked": not solution, "task": False} | ({"points": points} if points else {})
    return {
        "cell_type": "code",
        "id": name,
        "metadata": {"nbgrader": given},
        "source": source,
        "outputs": [],
        "execution_count": None,
    }


def _real(course: Course, root: Path, students: int) -> Class:
    """Make a class of the first two lessons: half of it hands in the solutions, half the notebooks as they were."""
    made = Course(root)
    entries = load_guide(course).lessons[:2]
    section = entries[0].folder
    _write_manifest(made, section, [entry.file for entry in entries])
    shutil.copy(course.root / "nbgrader_config.py", root)
    result = Class("two lessons", made, section, tuple(entry.id for entry in entries))
    for lesson in result.lessons:
        source = course.solutions / f"{lesson}.ipynb"
        write(made.solutions / f"{lesson}.ipynb", source.read_bytes())
        for student in range(students):
            handed = source if student % 2 else course.notebooks / f"{lesson}.ipynb"
            write(result.submitted / f"s{student:03}" / f"{lesson}.ipynb", handed.read_bytes())
    return result
