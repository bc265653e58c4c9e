"""Proves lessons: that answers pass, everything else fails, and what is promised is there.

`check` is for every day: mutants only where something has changed. `prove` measures all of them and writes
`lessons/proofs.toml`.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from autograder.course import Course
from autograder.lesson.guide import Entry, Guide, load_guide
from autograder.lesson.prove.ledger import Proof, measured_on, proof_of, read_ledger, write_ledger
from autograder.lesson.prove.reading import read_lesson, unlisted
from autograder.lesson.prove.tools import left_over, lint, outdated_notebooks
from autograder.lesson.trial.failure import Failure, Point
from autograder.lesson.trial.run import Survivor, Tally
from autograder.lesson.trial.worker import Result, run_lessons

__all__ = ["Failure", "Measured", "Point", "Survivor", "check", "prove", "read", "run"]

TARGET = 95.0  # percent of the mutants that tests have to kill
SAMPLE = 0.1  # of the lessons that CI measures although nothing has changed

# Called with the id of each lesson that has been run.
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Measured:
    """A lesson that has been proved: what is wrong with it, its mutants, and those of them that survive unwaived.

    `proof` is None where not all mutants could be tried.
    """

    lesson: str
    failures: list[Failure]
    proof: Proof | None
    survivors: list[Survivor]


def check(
    course: Course, names: Sequence[str] = (), *, cores: int | None = None, progress: Progress | None = None
) -> list[Failure]:
    """Return all that is wrong with these lessons (all by default): what `read` finds, then what `run` does."""
    return [*read(course, names), *run(course, names, cores=cores, progress=progress)]


def read(course: Course, names: Sequence[str] = ()) -> list[Failure]:
    """Return what is wrong with these lessons, without running them; by default with all, and with the course itself.

    Raises CourseError for a source or manifest that can't be read, or a name that means nothing.
    """
    # Not at the top: it loads nbgrader, which takes seconds and is needed here alone.
    from autograder.lesson.release import load_lessons, stale

    guide = load_guide(course)
    entries = _selected(guide, names)
    lessons = load_lessons(course, guide)
    failures = [failure for entry in entries for failure in read_lesson(course, guide, entry, lessons[entry.id])]
    failures += lint(course, entries)
    outdated = stale(course)
    failures += [failure for entry in entries for failure in outdated_notebooks(entry, outdated)]
    if not names:
        failures += [*unlisted(course, guide), *left_over(guide, outdated), *_removed(guide, read_ledger(course))]
    return failures


def run(
    course: Course, names: Sequence[str] = (), *, cores: int | None = None, progress: Progress | None = None
) -> list[Failure]:
    """Return what running these lessons (all by default) shows to be wrong.

    Mutants are tried where the ledger isn't current; with CI set, besides, for a random tenth of the others.
    Raises CourseError as `read` does, and where processes can't be forked.
    """
    entries = _selected(load_guide(course), names)
    ledger = read_ledger(course)
    changed = [entry.id for entry in entries if _has_changed(course, entry, ledger)]
    mutate = [*changed, *_sample([entry.id for entry in entries if entry.id not in changed])]
    failures: list[Failure] = []
    for entry, result in zip(entries, _results(course, entries, mutate, cores, progress), strict=True):
        failures += result.failures
        if entry.id in mutate:
            failures += _short_of_target(entry, result.tally)
        if entry.id in changed:
            problem = "lessons/proofs.toml was measured on another state of this lesson"
            remedy = f"run `course prove {entry.name}` and commit lessons/proofs.toml"
            failures.append(Failure(entry.id, "", Point.MUTANTS_KILLED, 1, problem, remedy))
    return failures


def prove(
    course: Course, names: Sequence[str] = (), *, cores: int | None = None, progress: Progress | None = None
) -> list[Measured]:
    """Measure the mutants of these lessons (all by default), write them to the ledger, and return all that is wrong.

    Raises CourseError as `check` does.
    """
    guide = load_guide(course)
    entries = _selected(guide, names)
    read_failures = read(course, names)
    ledger = read_ledger(course)
    measured = []
    ids = [entry.id for entry in entries]
    for entry, result in zip(entries, _results(course, entries, ids, cores, progress), strict=True):
        ledger.pop(entry.id, None)
        if not result.tally.unmeasured:
            ledger[entry.id] = proof_of(course, entry.id, result.tally)
        failures = [failure for failure in read_failures if failure.lesson == entry.id]
        failures += [*result.failures, *_low_score(entry, result.tally)]
        measured.append(Measured(entry.id, failures, ledger.get(entry.id), result.tally.survivors))
    known = {entry.id for entry in guide.lessons}
    write_ledger(course, {lesson: proof for lesson, proof in ledger.items() if lesson in known})
    return measured


def _selected(guide: Guide, names: Sequence[str]) -> list[Entry]:
    """Return the lessons that the names mean, each once, in the course's order."""
    wanted = {entry for name in names or (None,) for entry in guide.select(name)}
    return [entry for entry in guide.lessons if entry in wanted]


def _has_changed(course: Course, entry: Entry, ledger: dict[str, Proof]) -> bool:
    """Whether the ledger doesn't hold what measuring a lesson as it is now would give."""
    return entry.id not in ledger or ledger[entry.id].measured != measured_on(course, entry.id)


def _sample(unchanged: Sequence[str]) -> list[str]:
    """Return the lessons that are measured although nothing has changed."""
    if not os.environ.get("CI"):
        return []
    # Each by its own chance: tests ask for one lesson at a time.
    return [lesson for lesson in unchanged if random.random() < SAMPLE]


def _results(
    course: Course, entries: Sequence[Entry], mutate: Sequence[str], cores: int | None, progress: Progress | None
) -> Iterator[Result]:
    """Run lessons; yield what comes of each."""
    ids = [entry.id for entry in entries]
    for lesson, result in zip(ids, run_lessons(course, ids, mutate, cores or os.cpu_count() or 1), strict=True):
        if progress:
            progress(lesson)
        yield result


def _short_of_target(entry: Entry, tally: Tally) -> list[Failure]:
    """Return a failure for each survivor of a lesson whose tests kill too few mutants."""
    if tally.score >= TARGET:
        return []
    remedy = f"test for it, or waive it where it is equivalent; the lesson's score is {tally.score} %, not {TARGET:.0f}"
    return [
        Failure(
            entry.id,
            survivor.exercise,
            Point.MUTANTS_KILLED,
            survivor.line,
            f"no test notices `{survivor.before}` → `{survivor.after}`",
            remedy,
        )
        for survivor in tally.survivors
    ]


def _low_score(entry: Entry, tally: Tally) -> list[Failure]:
    """Return a failure for a lesson whose tests kill too few mutants."""
    if tally.score >= TARGET:
        return []
    problem = f"its tests kill {tally.score} % of the mutants, not {TARGET:.0f}"
    remedy = "test for what the survivors change, or waive those that are equivalent"
    return [Failure(entry.id, "", Point.MUTANTS_KILLED, 1, problem, remedy)]


def _removed(guide: Guide, ledger: dict[str, Proof]) -> list[Failure]:
    """Return a failure for each entry of the ledger whose lesson is no more."""
    known = {entry.id for entry in guide.lessons}
    problem = "lessons/proofs.toml has this lesson, which guide.toml hasn't"
    remedy = "run `course prove` and commit lessons/proofs.toml"
    return [Failure(lesson, "", Point.MUTANTS_KILLED, 1, problem, remedy) for lesson in ledger if lesson not in known]
