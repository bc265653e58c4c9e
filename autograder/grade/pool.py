"""Grades many jobs at once on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from itertools import islice

from autograder.grade.children import Launcher, launcher
from autograder.grade.model import Job, Limits, Result
from autograder.grade.worker import grade


def grade_all(jobs: Iterable[Job], limits: Limits, at_once: int | None = None) -> Iterator[Result]:
    """Yield the results of `jobs` as they come, `at_once` (one for each core by default) being run together."""
    at_once = at_once or cores()
    waiting = iter(jobs)
    # The threads only wait for the processes that run the notebooks.
    with closing(launcher()) as children, ThreadPoolExecutor(at_once) as threads:
        running = _start(waiting, at_once, threads, children, limits)
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                running |= _start(waiting, len(done), threads, children, limits)
                for future in done:
                    yield future.result()
        finally:
            # Ctrl-C, or nobody wants more: what runs is killed, so that its thread ends.
            if running:
                children.close()


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start(
    waiting: Iterator[Job], number: int, threads: ThreadPoolExecutor, children: Launcher, limits: Limits
) -> set[Future[Result]]:
    """Start the next `number` jobs, or as many as there are."""
    return {threads.submit(grade, job, children, limits) for job in islice(waiting, number)}
