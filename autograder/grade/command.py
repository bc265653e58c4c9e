"""What `course grade` does, from the folder to the exit status."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from autograder.course import Course
from autograder.grade.collect import collect_class, collect_own
from autograder.grade.feedback import page
from autograder.grade.files import write
from autograder.grade.master import load_masters
from autograder.grade.model import Job, Limits, Places, Result, Saved
from autograder.grade.pool import grade_all
from autograder.grade.table import grades_csv, print_class, print_own
from autograder.lesson.guide import load_guide

DONE = 0
NEEDS_PERSON = 1


def grade_own(course: Course, name: str | None = None, limits: Limits | None = None) -> int:
    """Mark the learner's own notebooks: those of a section or lesson called `name`, or all.

    Prints a table and writes a page for each lesson below `grading/feedback/`; the notebooks are only read. Returns the
    exit status: 0, or 1 where a person has to look at something. Raises CourseError where there is nothing to mark.
    """
    masters = load_masters(course, [entry.id for entry in load_guide(course).select(name)])
    jobs = collect_own(course, masters)
    console = Console()
    feedback = Places(course.grading).feedback
    results = {}
    for result in _with_progress(console, jobs, limits or Limits()):
        write(feedback / f"{result.lesson}.html", page(masters[result.lesson], result))
        results[result.lesson] = result
    ordered = [results[lesson] for lesson in masters if lesson in results]
    print_own(console, masters, ordered)
    console.print(f"More about each test: {feedback.relative_to(course.root)}/", highlight=False)
    return _status(ordered)


def grade_class(course: Course, folder: Path, name: str | None = None, limits: Limits | None = None) -> int:
    """Mark a class: `folder` holds STUDENT/SECTION/LESSON.ipynb. `name` is a section or lesson, all when None.

    Fills nbgrader's gradebook and writes `grading/grades.csv` and a page for each submission below `grading/feedback/`.
    Returns the exit status: 0, or 1 where a person has to look at something. Raises CourseError where there is nothing
    to mark, or the gradebook doesn't fit.
    """
    from autograder.grade.store import Store  # it takes nbgrader along, for which a learner needn't wait

    masters = load_masters(course, [entry.id for entry in load_guide(course).select(name)])
    collected = collect_class(folder, masters)
    console = Console()
    places = Places(course.grading)
    results = []
    saved: dict[tuple[str, str], Saved] = {}
    store = Store(course, sorted({job.master.section for job in collected.jobs}))
    try:
        for result in _with_progress(console, collected.jobs, limits or Limits()):
            saved[result.student, result.lesson] = store.save(result)
            target = places.feedback / result.student / f"{result.lesson}.html"
            write(target, page(masters[result.lesson], result, saved[result.student, result.lesson].penalty))
            results.append(result)
    finally:
        store.close()
    write(places.grades, grades_csv(results, saved, collected.strays))
    print_class(console, results, collected.strays)
    console.print(f"wrote {places.grades.relative_to(course.root)}", highlight=False)
    return NEEDS_PERSON if collected.strays else _status(results)


def _with_progress(console: Console, jobs: Sequence[Job], limits: Limits) -> Iterator[Result]:
    """Yield the results of the jobs under a progress bar."""
    columns = (TextColumn("grading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task: TaskID = progress.add_task("grading", total=len(jobs))
        for result in grade_all(jobs, limits):
            progress.advance(task)
            yield result


def _status(results: Iterable[Result]) -> int:
    """Return the exit status for these results."""
    return NEEDS_PERSON if any(result.needs_person for result in results) else DONE
