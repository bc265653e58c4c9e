"""What ruff and mypy say of the sources, and whether the notebooks are what the sources make."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence

from autograder.course import Course
from autograder.lesson.guide import Entry
from autograder.lesson.release import stale
from autograder.lesson.trial.failure import Failure, Point

# One process of each for all lessons: mypy takes seconds to start.
LINTERS = (
    (("ruff", "check", "--output-format=concise"), "correct it, or try `ruff check --fix`"),
    (("mypy", "--no-error-summary", "--hide-error-context"), "correct it: lessons are written for `mypy --strict`"),
)
FORMATTER = ("ruff", "format", "--check")
REPORTED = re.compile(r"(?P<path>[^:\n]+\.py):(?P<line>\d+):(?:\d+:)? (?P<problem>.+)$")
UNFORMATTED = re.compile(r"Would reformat: (?P<path>.+\.py)$")


def read_with_tools(course: Course, entries: Sequence[Entry]) -> list[Failure]:
    """Return what the tools find in the sources of these lessons, and which notebooks aren't current.

    Raises CourseError where the notebooks can't be made at all, RuntimeError where a tool can't be run.
    """
    if not entries:
        return []
    lesson_of = {f"lessons/{entry.id}.py": entry.id for entry in entries}
    failures = []
    for command, remedy in LINTERS:
        for line in _run(course, command, list(lesson_of)):
            # Notes of mypy belong to the error before them.
            if (found := REPORTED.match(line)) and found["path"] in lesson_of and ": note: " not in line:
                tool, lesson = command[0], lesson_of[found["path"]]
                problem = f"{tool}: {found['problem']}"
                failures.append(Failure(lesson, "", Point.CURRENT, int(found["line"]), problem, remedy))
    for line in _run(course, FORMATTER, list(lesson_of)):
        if (found := UNFORMATTED.match(line)) and found["path"] in lesson_of:
            lesson = lesson_of[found["path"]]
            remedy = f"run `ruff format lessons/{lesson}.py`"
            failures.append(Failure(lesson, "", Point.CURRENT, 1, "ruff format would change it", remedy))
    return [*failures, *_stale(course, entries)]


def _run(course: Course, command: Sequence[str], paths: Sequence[str]) -> list[str]:
    """Return the lines that a tool prints of these files. Raises RuntimeError where it fails other than by finding."""
    result = subprocess.run(
        [sys.executable, "-m", *command, *paths], cwd=course.root, capture_output=True, text=True, check=False
    )
    if result.returncode not in (0, 1):
        raise RuntimeError(f"{' '.join(command)} ended with status {result.returncode}: {result.stderr.strip()}")
    return result.stdout.splitlines()


def _stale(course: Course, entries: Sequence[Entry]) -> Iterator[Failure]:
    """Yield a failure for each notebook of these lessons that isn't current, and for those of no lesson."""
    ids = {entry.id for entry in entries}
    for path in stale(course):
        lesson = path.relative_to(path.parts[0]).with_suffix("").as_posix()
        # A lesson's own notebooks, and whatever belongs to no lesson: the start page, what is left of one removed.
        if lesson in ids or not (course.lessons / f"{lesson}.py").is_file():
            yield Failure(
                lesson, "", Point.CURRENT, 1, f"{path} isn't what the sources make", "run `make build` and commit"
            )
