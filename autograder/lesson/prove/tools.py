"""What ruff and mypy say of the sources, and which notebooks aren't what the sources make."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from autograder.course import Course
from autograder.lesson.guide import Entry, Guide
from autograder.lesson.trial.failure import Failure, Point

# One process of each for all lessons: mypy takes seconds to start.
TOOLS = (
    (("ruff", "check", "--output-format=concise"), "correct it, or try `ruff check --fix`"),
    (("ruff", "format", "--check", "--output-format=concise"), "run `ruff format` on it"),
    (("mypy", "--no-error-summary", "--hide-error-context"), "correct it: lessons are written for `mypy --strict`"),
)
REPORTED = re.compile(r"(?P<path>[^:\n]+\.py):(?P<line>\d+):(?:\d+:)? (?P<problem>.+)$")


def lint(course: Course, entries: Sequence[Entry]) -> list[Failure]:
    """Return what ruff and mypy find in the sources of these lessons. Raises RuntimeError where one can't be run."""
    if not entries:
        return []
    lesson_of = {f"lessons/{entry.id}.py": entry.id for entry in entries}
    failures = []
    for command, remedy in TOOLS:
        for line in _run(course, command, list(lesson_of)):
            # Notes of mypy belong to the error before them.
            if (found := REPORTED.match(line)) and found["path"] in lesson_of and ": note: " not in line:
                lesson, problem = lesson_of[found["path"]], f"{command[0]}: {found['problem']}"
                failures.append(Failure(lesson, "", Point.CURRENT, int(found["line"]), problem, remedy))
    return failures


def outdated_notebooks(entry: Entry, outdated: Sequence[Path]) -> list[Failure]:
    """Return a failure for each notebook of a lesson among those that aren't current."""
    return [_not_current(entry.id, path) for path in outdated if _lesson_of(path) == entry.id]


def left_over(guide: Guide, outdated: Sequence[Path]) -> list[Failure]:
    """Return a failure for each such notebook of no lesson: the start page, one whose lesson is gone."""
    lessons = {entry.id for entry in guide.lessons}
    return [_not_current("", path) for path in outdated if _lesson_of(path) not in lessons]


def _not_current(lesson: str, path: Path) -> Failure:
    """Return the failure of a notebook."""
    problem = f"{path} isn't what the sources make"
    return Failure(lesson, "", Point.CURRENT, 1, problem, "run `make build` and commit what it writes")


def _lesson_of(path: Path) -> str:
    """Return the id of the lesson that a notebook of either tree would be of."""
    return path.relative_to(path.parts[0]).with_suffix("").as_posix()


def _run(course: Course, command: Sequence[str], paths: Sequence[str]) -> list[str]:
    """Return the lines that a tool prints of these files. Raises RuntimeError where it fails other than by finding."""
    result = subprocess.run(
        [sys.executable, "-m", *command, *paths], cwd=course.root, capture_output=True, text=True, check=False
    )
    if result.returncode not in (0, 1):
        raise RuntimeError(f"{' '.join(command)} ended with status {result.returncode}: {result.stderr.strip()}")
    return result.stdout.splitlines()
