"""What can be judged of a lesson by reading it: its topics, its exercises' furniture, its order, its points."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from autograder.course import Course
from autograder.lesson.guide import Entry, Guide
from autograder.lesson.prove.names import names_made, names_used
from autograder.lesson.source import Cell, Exercise, Lesson, Role
from autograder.lesson.trial.examples import examples_in
from autograder.lesson.trial.failure import Failure, Point
from autograder.lesson.trial.run import stub_of

HINTS = (2, 3)
WRONGS = 2
CODE_ROLES = (Role.CODE, Role.SOLUTION, Role.CHECK, Role.HIDDEN, Role.WRONG, Role.RIGHT)
BYLINE = re.compile(r"^\*\w+ · \d+ minutes · (?P<check>\d+)(?: \+ (?P<hidden>\d+))? points?\b.*\*$", re.MULTILINE)


def read_lesson(course: Course, guide: Guide, entry: Entry, lesson: Lesson) -> list[Failure]:
    """Return what is wrong with a lesson's topics, furniture, order and points."""
    return [
        *_topics(entry, lesson),
        *(failure for exercise in lesson.exercises.values() for failure in _furniture(entry, exercise)),
        *_requirements(guide, entry),
        *_order(entry, lesson),
        *_points(course, entry, lesson),
    ]


def unlisted(course: Course, guide: Guide) -> list[Failure]:
    """Return a failure for each file under `lessons/` that the manifest doesn't list."""
    listed = {course.lessons / f"{entry.id}.py" for entry in guide.lessons}
    return [
        Failure(
            path.relative_to(course.lessons).with_suffix("").as_posix(),
            "",
            Point.TOPICS_TAUGHT,
            1,
            "guide.toml doesn't list this lesson",
            "add a [[section.lesson]] for it to lessons/guide.toml, or remove the file",
        )
        for path in sorted(course.lessons.rglob("*.py"))
        if path not in listed
    ]


def _topics(entry: Entry, lesson: Lesson) -> Iterator[Failure]:
    """Each topic that the lesson claims has an exercise, and each of its terms is named in the text."""
    practised = {exercise.topic for exercise in lesson.exercises.values()}
    text = _plain("\n".join(cell.source for cell in lesson.cells if cell.role is Role.TEXT))
    for topic in entry.topics:
        if topic.slug not in practised:
            yield Failure(
                entry.id,
                "",
                Point.TOPICS_TAUGHT,
                1,
                f"the topic {topic.slug} has no exercise",
                f"add an exercise with topic={topic.slug}, or take the topic from the lesson in guide.toml",
            )
        for term in topic.terms:
            if _plain(term).strip().removesuffix("s") not in text:
                yield Failure(
                    entry.id,
                    "",
                    Point.TOPICS_TAUGHT,
                    1,
                    f"the text never names “{term}”, a term of the topic {topic.slug}",
                    "explain it by this name in a markdown cell",
                )


def _plain(text: str) -> str:
    """Return text in lower case, its words between single spaces and nothing else."""
    return f" {' '.join(re.findall(r'[a-z0-9+#.]*[a-z0-9+#]', text.lower()))} "


def _furniture(entry: Entry, exercise: Exercise) -> Iterator[Failure]:
    """An exercise has hints, a worked example, wrong answers and an `after`."""

    def failure(problem: str, remedy: str) -> Failure:
        return Failure(entry.id, exercise.name, Point.FURNITURE, exercise.prompt.line, problem, remedy)

    if not HINTS[0] <= len(exercise.hints) <= HINTS[1]:
        problem = f"it has {len(exercise.hints)} hints, not {HINTS[0]} or {HINTS[1]}"
        yield failure(problem, f"write cells '# %% [markdown] hint {exercise.name}', from a nudge to nearly the code")
    if len(exercise.wrongs) < WRONGS:
        problem = f"it has {len(exercise.wrongs)} wrong answers, not {WRONGS} or more"
        yield failure(problem, f"write cells '# %% wrong {exercise.name} fails=TEST', each a misconception of its own")
    if exercise.after is None:
        remedy = f"write a cell '# %% [markdown] after {exercise.name}': why, what else, at what cost"
        yield failure("nothing is said after it", remedy)
    if not _has_example(exercise):
        remedy = "put calls and their results ('>>> ' lines) into a fenced ```python block of the prompt"
        yield failure("its prompt has no worked example", remedy)


def _has_example(exercise: Exercise) -> bool:
    """Whether the prompt shows a call; one that can't be read is told where it is run."""
    try:
        return bool(examples_in(exercise.prompt.source))
    except ValueError:
        return True


def _requirements(guide: Guide, entry: Entry) -> Iterator[Failure]:
    """Each lesson that is named as a prerequisite comes earlier in the course."""
    earlier = guide.lessons[: guide.lessons.index(entry)]
    for name in entry.requires:
        if not any(name in (other.id, other.file, other.name) for other in earlier):
            known = any(name in (other.id, other.file, other.name) for other in guide.lessons)
            problem = f"it requires {name}, " + ("which comes later" if known else "which is no lesson")
            remedy = f"correct 'requires' of {entry.file} in lessons/guide.toml"
            yield Failure(entry.id, "", Point.ORDER, 1, problem, remedy)


def _order(entry: Entry, lesson: Lesson) -> Iterator[Failure]:
    """A cell uses only names that it makes, or that are there in a learner's notebook when it is run."""
    made_where = {name: cell.line for cell in reversed(lesson.cells) for name in _makes(lesson, cell)}
    there: set[str] = set()
    for cell in lesson.cells:
        # Other answers stand where the solution does, and tests are run in a copy of the namespace.
        for name in sorted(names_used(cell.source) - there) if cell.role in CODE_ROLES else ():
            if name in made_where:
                remedy = f"define it in an earlier cell: line {made_where[name]} is too late"
            elif cell.name and name in names_made(lesson.exercises[cell.name].solution.source):
                remedy = "define it outside the solution's markers, or name it in the prompt: the stub has no such name"
            else:
                remedy = "import or define it in this cell or an earlier one"
            problem = f"the {cell.role} cell uses {name}, which no earlier cell gives a learner"
            yield Failure(entry.id, cell.name, Point.ORDER, cell.line, problem, remedy)
        there |= _makes(lesson, cell)


def _makes(lesson: Lesson, cell: Cell) -> frozenset[str]:
    """Return the names that a cell leaves to later ones in a learner's notebook."""
    if cell.role is Role.CODE:
        return names_made(cell.source)
    if cell.role is Role.SOLUTION:
        exercise = lesson.exercises[cell.name]
        asked_for = set(re.findall(r"\w+", exercise.prompt.source))
        return names_made(stub_of(exercise)) | (names_made(cell.source) & asked_for)
    return frozenset()


def _points(course: Course, entry: Entry, lesson: Lesson) -> Iterator[Failure]:
    """The points that the learner's notebook shows are those that its cells are graded with."""
    path = course.notebooks / f"{entry.id}.ipynb"
    if not path.is_file():
        shown = path.relative_to(course.root)
        yield Failure(entry.id, "", Point.ORDER, 1, f"{shown} doesn't exist", "run `make build`")
        return
    cells = {cell["id"]: cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]}
    for exercise in lesson.exercises.values():
        shown_points = _shown(cells.get(f"exercise-{exercise.name}"))
        graded = [_graded(cells, test) for test in exercise.tests]
        if shown_points != graded:
            problem = f"the notebook shows {_list(shown_points)} points and grades {_list(graded)}"
            yield Failure(entry.id, exercise.name, Point.ORDER, exercise.prompt.line, problem, "run `make build`")


def _shown(prompt: Mapping[str, Any] | None) -> list[int]:
    """Return the points in the line below an exercise's heading."""
    found = BYLINE.search("".join(prompt["source"])) if prompt else None
    return [int(points) for points in found.groups() if points is not None] if found else []


def _graded(cells: Mapping[str, Mapping[str, Any]], test: Cell) -> int:
    """Return the points in nbgrader's metadata of a test cell; 0 where there is no such cell."""
    cell = cells.get(f"{test.role}-{test.name}", {})
    return int(cell.get("metadata", {}).get("nbgrader", {}).get("points", 0))


def _list(points: Sequence[int]) -> str:
    """Return points as the notebook shows them."""
    return " + ".join(map(str, points)) or "no"
