"""How far the learner has come: the exercises of every lesson beside what `progress.json` remembers."""

from __future__ import annotations

import re
from dataclasses import dataclass

from autograder.course import Course, CourseError
from autograder.lesson.guide import Entry, Section, load_guide
from autograder.lesson.source import Exercise, parse_file
from autograder.notebook import progress
from autograder.notebook.progress import DamagedProgressError, Passed


@dataclass(frozen=True, slots=True)
class ExerciseProgress:
    """One exercise. `title` is Markdown, `points` are those of all its tests, `passed` is None until its check has."""

    name: str
    title: str
    points: int
    passed: Passed | None


@dataclass(frozen=True, slots=True)
class LessonProgress:
    """One lesson, with the title of its section, and its exercises in order."""

    id: str
    section: str
    title: str
    exercises: tuple[ExerciseProgress, ...]

    @property
    def passed(self) -> int:
        """How many exercises have passed their check."""
        return sum(exercise.passed is not None for exercise in self.exercises)


def read_progress(course: Course) -> tuple[LessonProgress, ...]:
    """Return the learner's progress in every lesson of the course, in teaching order.

    Exercises that the course no longer has don't count. Raises CourseError for a progress file that can't be read and
    for a defect of a lesson's source.
    """
    passed = _passed(course)
    return tuple(
        _lesson(course, section, entry, passed) for section in load_guide(course).sections for entry in section.lessons
    )


def _passed(course: Course) -> dict[str, Passed]:
    """Return what the progress file holds."""
    try:
        return progress.read(course.root / progress.FILE)
    except OSError as error:
        raise CourseError(f"{progress.FILE} could not be read: {error.strerror}") from error
    except DamagedProgressError as error:
        remedy = "move it away; each check that you run again is recorded anew"
        raise CourseError(f"{progress.FILE} is damaged ({error}): {remedy}") from error


def _lesson(course: Course, section: Section, entry: Entry, passed: dict[str, Passed]) -> LessonProgress:
    """Return one lesson with what has passed of it."""
    lesson = parse_file(course.lessons / f"{entry.id}.py", course.root)
    exercises = (
        ExerciseProgress(exercise.name, _title(exercise), exercise.points, passed.get(exercise.name))
        for exercise in lesson.exercises.values()
    )
    return LessonProgress(entry.id, section.title, lesson.title, tuple(exercises))


def _title(exercise: Exercise) -> str:
    """Return what the heading of an exercise's prompt calls it; its name where there is no heading."""
    heading = re.match(r"#+ +(?:Exercise:? +)?(?P<title>.+)", exercise.prompt.source)
    return heading["title"] if heading else exercise.name
