"""What `course grade` does, from the folder to the exit status."""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rich.console import Console

from autograder.course import Course, CourseError
from autograder.environment import import_nbgrader
from autograder.grade.archive import unpack
from autograder.grade.cache import Cache
from autograder.grade.collect import Collected, collect_class, collect_own
from autograder.grade.feedback import page
from autograder.grade.files import write
from autograder.grade.master import load_masters, modules
from autograder.grade.model import Job, Limits, Master, Places, Result, Saved
from autograder.grade.overview import class_page
from autograder.grade.pool import Engine, Local
from autograder.grade.show import with_progress
from autograder.grade.table import grades_csv, print_class, print_own
from autograder.lesson.guide import load_guide

if TYPE_CHECKING:
    from autograder.grade.store import Store

DONE = 0
NEEDS_PERSON = 1
# As shells have it for what Ctrl-C has ended.
INTERRUPTED = 130


class EngineName(StrEnum):
    """Where notebooks are run."""

    LOCAL = "local"
    DASK = "dask"


@dataclass(frozen=True, slots=True)
class Options:
    """How to grade."""

    # How many notebooks are run at once; one for each core when None.
    jobs: int | None = None
    # Run what is unchanged too.
    fresh: bool = False
    # Show the code of hidden tests on the pages.
    reveal: bool = False
    # Where notebooks are run: on this machine, or on a Dask cluster.
    engine: EngineName = EngineName.LOCAL
    # The address of the cluster's scheduler; one of this machine's own when None.
    scheduler: str | None = None
    # Whether workers of the cluster that can't isolate submissions run none.
    isolated: bool = False


def grade_own(
    course: Course, name: str | None = None, limits: Limits | None = None, options: Options | None = None
) -> int:
    """Mark the learner's own notebooks: those of a section or lesson called `name`, or all.

    Prints a table and writes a page for each lesson below `grading/feedback/`; the notebooks are only read. Returns the
    exit status: 0, or 1 where a person has to look at something. Raises CourseError where there is nothing to mark.
    """
    options = options or Options()
    masters = load_masters(course, [entry.id for entry in load_guide(course).select(name)])
    jobs = collect_own(course, masters)
    console = Console()
    places = Places(course.grading)
    results = {}
    try:
        with closing(_engine([job.master for job in jobs], limits or Limits(), options)) as engine:
            graded = _graded(engine, jobs, Cache(places.results, limits or Limits()), options)
            for result in with_progress(console, graded, len(jobs)):
                write(
                    places.feedback / f"{result.lesson}.html",
                    page(masters[result.lesson], result, reveal=options.reveal),
                )
                results[result.lesson] = result
    except KeyboardInterrupt:
        return _interrupted(console, len(results), len(jobs))
    ordered = [results[lesson] for lesson in masters if lesson in results]
    print_own(console, masters, ordered)
    console.print(f"More about each test: {_shown(places.feedback, course)}/", highlight=False)
    return _status(ordered)


def grade_class(
    course: Course,
    folder: Path,
    name: str | None = None,
    limits: Limits | None = None,
    options: Options | None = None,
) -> int:
    """Mark a class: `folder` holds STUDENT/SECTION/LESSON.ipynb, or is a ZIP of Moodle's or Canvas's.

    `name` is a section or lesson, all when None. Fills nbgrader's gradebook and writes `grading/grades.csv`,
    `grading/class.html` and a page for each submission below `grading/feedback/`.
    Returns the exit status: 0, or 1 where a person has to look at something. Raises CourseError where there is nothing
    to mark, or the gradebook doesn't fit.
    """
    options = options or Options()
    masters = load_masters(course, [entry.id for entry in load_guide(course).select(name)])
    console = Console()
    places = Places(course.grading)
    results: list[Result] = []
    saved: dict[tuple[str, str], Saved] = {}
    total = 0
    try:
        with ExitStack() as opened:
            collected = _collected(folder, masters, opened)
            total = collected.total
            handed_in = sorted(collected.handed_in())
            wanted = [master for master in masters.values() if master.section in handed_in]
            engine = opened.enter_context(closing(_engine(wanted, limits or Limits(), options)))
            # First, since notebooks can run while the gradebook is opened.
            graded = _graded(engine, collected.jobs(), Cache(places.results, limits or Limits()), options)
            store = opened.enter_context(closing(_store(course, handed_in)))
            for result in with_progress(console, graded, collected.total):
                saved[result.student, result.lesson] = store.save(result)
                target = places.feedback / result.student / f"{result.lesson}.html"
                penalty = saved[result.student, result.lesson].penalty
                write(target, page(masters[result.lesson], result, penalty, reveal=options.reveal))
                results.append(replace(result, notebook=None))  # a class's notebooks needn't fit into memory
    except KeyboardInterrupt:
        return _interrupted(console, len(results), total)
    write(places.overview, class_page(masters, results, collected.strays))
    write(places.grades, grades_csv(results, saved, collected.strays))
    print_class(console, results, collected.strays)
    console.print(f"wrote {_shown(places.grades, course)} and {_shown(places.overview, course)}", highlight=False)
    return NEEDS_PERSON if collected.strays else _status(results)


def _collected(folder: Path, masters: Mapping[str, Master], opened: ExitStack) -> Collected:
    """Return what is in a class's folder, or in a ZIP, which is unpacked for as long as `opened` is."""
    if not folder.is_file():
        return collect_class(folder, masters)
    unpacked = Path(opened.enter_context(TemporaryDirectory(prefix="submissions-")))
    strays = unpack(folder, unpacked, masters)
    collected = collect_class(unpacked, masters)
    collected.strays += strays
    return collected


def _engine(masters: Iterable[Master], limits: Limits, options: Options) -> Engine:
    """Return what runs the notebooks of these lessons."""
    if options.scheduler and options.engine != EngineName.DASK:
        raise CourseError("--scheduler is the address of a Dask cluster: add --engine dask")
    if options.engine == EngineName.DASK:
        from autograder.grade.cluster import Cluster

        return Cluster(limits, options.jobs, modules(masters), options.scheduler, isolated=options.isolated)
    return Local(limits, options.jobs, modules(masters))


def _store(course: Course, sections: Collection[str]) -> Store:
    """Open the gradebook. It takes nbgrader along, for which a learner needn't wait."""
    import_nbgrader()
    # Nothing of nbgrader becomes garbage: looking for some, now, later and at exit, would take most of a second.
    gc.disable()
    from autograder.grade.store import Store

    gc.freeze()
    gc.enable()
    return Store(course, sections)


def _graded(engine: Engine, jobs: Iterable[Job], cache: Cache, options: Options) -> Iterator[Result]:
    """Begin to run the jobs that no earlier run has kept the results of; return all the results as they come."""
    keys: dict[tuple[str, str], str] = {}

    def unchanged_or_to_run() -> Iterator[Job | Result]:
        for job in jobs:
            key = cache.key(job)
            found = None if options.fresh else cache.find(key, job.submission)
            if found is None:
                keys[job.submission.student, job.submission.lesson] = key
            yield found or job

    def keep(result: Result) -> None:
        cache.keep(keys[result.student, result.lesson], result)

    return engine.grade(unchanged_or_to_run(), keep)


def _interrupted(console: Console, done: int, total: int) -> int:
    """Say that Ctrl-C has ended the run; return the exit status."""
    console.print(f"stopped after {done} of {total}; the same command goes on from there")
    return INTERRUPTED


def _shown(path: Path, course: Course) -> str:
    """Return a path as people read it."""
    return str(path.relative_to(course.root))


def _status(results: Iterable[Result]) -> int:
    """Return the exit status for these results."""
    return NEEDS_PERSON if any(result.needs_person for result in results) else DONE
