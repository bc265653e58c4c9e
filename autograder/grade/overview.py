"""The class page: for each exercise who passed, which test fails most often, and what a person has to look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from autograder.grade.collect import Stray
from autograder.grade.feedback import PAGES, by_exercise
from autograder.grade.model import Master, Result
from autograder.grade.table import reasons


@dataclass(frozen=True, slots=True)
class ExerciseOfClass:
    """How a class did in one exercise."""

    heading: str
    passed: tuple[str, ...]
    others: tuple[str, ...]
    # The test that fails most often and how often, "" and 0 for none.
    hardest: str
    failures: int


def class_page(masters: Mapping[str, Master], results: Sequence[Result], strays: Iterable[Stray]) -> bytes:
    """Return the page of a class as HTML."""
    lessons = []
    for lesson, master in masters.items():
        own = [result for result in results if result.lesson == lesson]
        if own:
            lessons.append((master, own, _exercises(master, own)))
    flags = [(result.student, result.lesson, why) for result in results for why in reasons(result)]
    flags += [(stray.student, stray.path, stray.why) for stray in strays]
    return PAGES.get_template("class.html").render(lessons=lessons, flags=flags).encode()


def _exercises(master: Master, results: Sequence[Result]) -> list[ExerciseOfClass]:
    """Return how a class did in each exercise of a lesson."""
    headings: dict[str, str] = {}
    passed: dict[str, list[str]] = {}
    others: dict[str, list[str]] = {}
    failures: dict[str, Counter[str]] = {}
    for result in sorted(results, key=lambda result: result.student):
        for exercise in by_exercise(master, result):
            name = exercise.name
            headings[name] = exercise.heading
            whole = exercise.points == exercise.max_points and not exercise.waits
            (passed if whole else others).setdefault(name, []).append(result.student)
            failed = {test.sentence for score in exercise.scores for test in score.tests if test.outcome == "failed"}
            failures.setdefault(name, Counter()).update(failed)
    return [
        ExerciseOfClass(
            heading,
            tuple(passed.get(name, ())),
            tuple(others.get(name, ())),
            *next(iter(failures[name].most_common(1)), ("", 0)),
        )
        for name, heading in headings.items()
    ]
