"""Grades many jobs at once on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from functools import partial
from itertools import islice
from typing import Protocol

from autograder.grade.children import launcher
from autograder.grade.model import Job, Limits, Result
from autograder.grade.worker import grade

# Jobs that may be done before their results are taken: what takes them has a gradebook to open first.
AHEAD = 32


Keep = Callable[[Result], None]


def nowhere(result: Result) -> None:
    """Keep nothing."""


class Engine(Protocol):
    """What runs jobs somewhere."""

    def grade(self, jobs: Iterable[Job | Result], keep: Keep = nowhere) -> Iterator[Result]:
        """Begin to run `jobs`; return their results as they come. A result among them is passed on.

        Each result goes to `keep` as soon as there is one, in some thread; it may be taken much later. Jobs are begun
        a few ahead, so that a class needn't fit into memory.
        """

    def close(self) -> None:
        """End what the engine keeps, and what still runs."""


class Local:
    """Runs jobs on this machine, `at_once` (one for each core by default) together."""

    def __init__(self, limits: Limits, at_once: int | None = None, modules: Sequence[str] = ()) -> None:
        """Begin to get ready; `modules` are what notebooks are likely to import."""
        self._limits = limits
        self._at_once = at_once or cores()
        self._closed = False
        # They only wait for the processes that run the notebooks.
        self._threads = ThreadPoolExecutor(self._at_once)
        self._children = launcher(limits, modules)
        self._children.warm()

    def grade(self, jobs: Iterable[Job | Result], keep: Keep = nowhere) -> Iterator[Result]:
        """Begin to run `jobs`; return their results as they come."""
        return run_ahead(jobs, partial(self._submit, keep), self._at_once + AHEAD)

    def close(self) -> None:
        """End the processes, at which their threads end too."""
        self._closed = True
        self._children.close()
        self._threads.shutdown(cancel_futures=True)

    def _submit(self, keep: Keep, job: Job) -> Future[Result]:
        """Give a job to the next thread that is free."""
        return self._threads.submit(self._grade, keep, job)

    def _grade(self, keep: Keep, job: Job) -> Result:
        """Run a job. Raises RuntimeError after `close`: that ended its processes, and not the notebook."""
        result = grade(job, self._children, self._limits)
        if self._closed:
            raise RuntimeError("grading was broken off")
        keep(result)
        return result


def grade_all(jobs: Iterable[Job | Result], limits: Limits, at_once: int | None = None) -> Iterator[Result]:
    """Yield the results of `jobs` as they come, run on this machine."""
    with closing(Local(limits, at_once)) as engine:
        yield from engine.grade(jobs)


def run_ahead(jobs: Iterable[Job | Result], submit: Callable[[Job], Future[Result]], ahead: int) -> Iterator[Result]:
    """Submit the first `ahead` jobs; return the results as they come, submitting another for each that is taken."""
    submitted = (_passed_on(job) if isinstance(job, Result) else submit(job) for job in jobs)
    return _as_they_come(set(islice(submitted, ahead)), submitted)


def _as_they_come(running: set[Future[Result]], following: Iterator[Future[Result]]) -> Iterator[Result]:
    """Yield what runs as it is done, and have another follow each."""
    while running:
        done, running = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            running.update(islice(following, 1))
            yield future.result()


def _passed_on(result: Result) -> Future[Result]:
    """Return a future that is done."""
    future: Future[Result] = Future()
    future.set_result(result)
    return future


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
