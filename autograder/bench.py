"""Measures what people wait for, each as the command that they type, on a fresh copy of the course."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autograder.course import Course, CourseError
from autograder.lesson.guide import Entry, load_guide

LEFT_OUT = shutil.ignore_patterns(".venv", ".git", "work", "grading", "_build", "_pages", "__pycache__", ".*_cache")
STUDENT = "student"
# In a kernel of its own: what %%check takes beyond what its tests take, which is nothing here. In seconds.
CHECK_CELL = "%%check nothing\\ndef test_one(): pass\\ndef test_two(): pass\\nasync def test_three(): pass\\n"
CHECK = f"""
import json, time
from autograder.kernel.session import Session
session = Session()
session.run("%load_ext autograder")
seconds = []
for _ in range(21):
    start = time.perf_counter()
    session.run("{CHECK_CELL}")
    seconds.append(time.perf_counter() - start)
session.close()
print(json.dumps(seconds[1:]))
"""
# Likewise: what a notebook waits for its servers, in seconds.
SERVICES = """
import json, statistics, time
from autograder import services
def fill(connection):
    connection.execute("CREATE TABLE rows AS SELECT i, repeat('x', 100) FROM generate_series(1, 200000) AS i")
def seconds(call):
    start = time.perf_counter()
    with call():
        return time.perf_counter() - start
def copy():
    return services.postgres(template=fill)
print(json.dumps({
    "first PostgreSQL database": seconds(services.postgres),
    "further PostgreSQL database": statistics.median(seconds(services.postgres) for _ in range(10)),
    "template of 200,000 rows, filled": seconds(copy),
    "template of 200,000 rows, copied": statistics.median(seconds(copy) for _ in range(10)),
    "first Redis database": seconds(services.redis),
}))
"""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement, in seconds, and stock nbgrader's for the same where there is one."""

    what: str
    seconds: float
    stock: float | None = None


def measure(course: Course, lesson: Entry | None = None) -> Iterator[Figure]:
    """Yield the figures of one run for a lesson (the first by default), in the order in which they are measured.

    Raises CourseError where a command fails.
    """
    entry = lesson or load_guide(course).lessons[0]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        copy = Course(Path(folder).resolve() / "course")
        shutil.copytree(course.root, copy.root, ignore=LEFT_OUT)
        checks = json.loads(_run(copy, sys.executable, "-c", CHECK))
        yield Figure("%%check, beyond its tests' own time", statistics.median(checks))
        for what, seconds in json.loads(_run(copy, sys.executable, "-c", SERVICES)).items():
            yield Figure(what, seconds)
        yield Figure("build the trees", _seconds(copy, "course", "build"))
        yield _grading(copy, entry)
        yield Figure(f"prove {entry.name}", _seconds(copy, "course", "prove", entry.name))
        yield Figure("build the book, nothing cached", _seconds(copy, "course", "book"))


def _grading(course: Course, entry: Entry) -> Figure:
    """Grade one solved submission, by stock nbgrader and by the course's grader, each with a gradebook of its own."""
    submission = Path(STUDENT) / f"{entry.id}.ipynb"
    for folder in (course.grading / "submitted", course.root / "class"):
        (folder / submission).parent.mkdir(parents=True)
        shutil.copy(course.solutions / f"{entry.id}.ipynb", folder / submission)
    released = course.root / "released"
    _run(course, "nbgrader", "generate_assignment", entry.folder, f"--CourseDirectory.release_directory={released}")
    stock = _seconds(course, "nbgrader", "autograde", entry.folder, f"--notebook={entry.file}", "--Execute.timeout=60")
    shutil.rmtree(course.grading)
    ours = _seconds(course, "course", "grade", entry.name, "--submissions", "class")
    return Figure(f"grade {entry.name} once", ours, stock)


def _seconds(course: Course, *command: str) -> float:
    """Return how long a command takes from its start to its end."""
    start = time.perf_counter()
    _run(course, *command)
    return time.perf_counter() - start


def _run(course: Course, *command: str) -> str:
    """Run a command at the root and return what it printed. Raises CourseError with what it said if it fails."""
    ended = subprocess.run(command, cwd=course.root, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise CourseError(f"`{' '.join(command[:2])}` failed in the benchmark:\n{ended.stdout}{ended.stderr}")
    return ended.stdout
