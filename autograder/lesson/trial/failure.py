"""What a lesson can fail in, and how a failure is told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Point(StrEnum):
    """The points that a lesson is proved in."""

    SOLUTIONS_PASS = "solutions_pass"
    STUB_FAILS = "stub_fails"
    WRONGS_FAIL = "wrongs_fail"
    MUTANTS_KILLED = "mutants_killed"
    TOPICS_TAUGHT = "topics_taught"
    FURNITURE = "furniture"
    ORDER = "order"
    CURRENT = "current"
    BOUNDS = "bounds"


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that is wrong: where, in which point, what, and what to do next.

    `lesson` is "" for the course as a whole, `exercise` "" for no exercise in particular.
    """

    lesson: str
    exercise: str
    point: Point
    line: int
    problem: str
    remedy: str

    def __str__(self) -> str:
        """Return it as one paragraph."""
        place = f"lessons/{self.lesson}.py:{self.line}: " if self.lesson else ""
        exercise = f" {self.exercise}:" if self.exercise else ""
        return f"{place}{self.point}:{exercise} {self.problem}\n    next: {self.remedy}"
