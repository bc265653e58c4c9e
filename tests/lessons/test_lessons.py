"""Every lesson of the course, proved: one test for each lesson and point."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import pytest

from autograder.course import find_course
from autograder.lesson import prove
from autograder.lesson.guide import load_guide
from autograder.lesson.prove import Failure, Point

COURSE = find_course(Path(__file__).parent)
LESSONS = load_guide(COURSE).lessons
CASES = [
    # One process runs a lesson once, for all its points.
    pytest.param(entry.id, point, id=f"{entry.name}-{point}", marks=pytest.mark.xdist_group(entry.id))
    for entry in LESSONS
    for point in Point
]


@functools.cache
def _read() -> list[Failure]:
    """Return what reading the course shows."""
    return prove.read(COURSE)


@functools.cache
def _run(lesson: str) -> list[Failure]:
    """Return what running one lesson shows."""
    together = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return prove.run(COURSE, [lesson], cores=max(1, (os.cpu_count() or 1) // together))


@pytest.mark.slow
@pytest.mark.parametrize(("lesson", "point"), CASES)
def test_lesson(lesson: str, point: Point) -> None:
    failures = [failure for failure in (*_read(), *_run(lesson)) if failure.lesson == lesson]

    assert not [str(failure) for failure in failures if failure.point is point]


@pytest.mark.slow
@pytest.mark.xdist_group("course")
def test_nothing_belongs_to_no_lesson() -> None:
    lessons = {entry.id for entry in LESSONS}

    assert not [str(failure) for failure in _read() if failure.lesson not in lessons]
