"""Grades many jobs at once on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from functools import partial
from typing import Protocol

from autograder.grade.children import launcher
from autograder.grade.model import Job, Limits, Result
from autograder.grade.worker import grade


class Engine(Protocol):
    """What runs jobs somewhere."""

    def grade(self, jobs: Iterable[Job | Result]) -> Iterator[Result]:
        """Yield the results of `jobs` as they come. A result among them is passed on.

        No more jobs are taken than are run, so that a class needn't fit into memory.
        """

    def close(self) -> None:
        """End what the engine keeps."""


class Local:
    """Runs jobs on this machine, `at_once` (one for each core by default) together."""

    def __init__(self, limits: Limits, at_once: int | None = None, modules: Sequence[str] = ()) -> None:
        """Begin to get ready; `modules` are what notebooks are likely to import."""
        self._limits = limits
        self._at_once = at_once or cores()
        self._children = launcher(limits, modules)
        self._children.warm()

    def grade(self, jobs: Iterable[Job | Result]) -> Iterator[Result]:
        """Yield the results of `jobs` as they come."""
        # The threads only wait for the processes that run the notebooks.
        with ThreadPoolExecutor(self._at_once) as threads:
            try:
                yield from run_together(jobs, partial(self._submit, threads), self._at_once)
            except BaseException:
                # Ctrl-C, or nobody wants more: what runs is killed, so that its thread ends.
                self.close()
                raise

    def close(self) -> None:
        """End the processes."""
        self._children.close()

    def _submit(self, threads: ThreadPoolExecutor, job: Job) -> Future[Result]:
        """Give a job to the next thread that is free."""
        return threads.submit(grade, job, self._children, self._limits)


def grade_all(jobs: Iterable[Job | Result], limits: Limits, at_once: int | None = None) -> Iterator[Result]:
    """Yield the results of `jobs` as they come, run on this machine."""
    with closing(Local(limits, at_once)) as engine:
        yield from engine.grade(jobs)


def run_together(
    jobs: Iterable[Job | Result], submit: Callable[[Job], Future[Result]], at_once: int
) -> Iterator[Result]:
    """Yield the results of `jobs` as they come, at most `at_once` being submitted and not done."""
    running: set[Future[Result]] = set()
    for job in jobs:
        if isinstance(job, Result):
            yield job
            continue
        running.add(submit(job))
        if len(running) >= at_once:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    while running:
        done, running = wait(running, return_when=FIRST_COMPLETED)
        yield from (future.result() for future in done)


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
