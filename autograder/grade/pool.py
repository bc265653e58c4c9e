"""Grades many jobs at once on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing

from autograder.grade.children import launcher
from autograder.grade.model import Job, Limits, Result
from autograder.grade.worker import grade


def grade_all(jobs: Iterable[Job | Result], limits: Limits, at_once: int | None = None) -> Iterator[Result]:
    """Yield the results of `jobs` as they come, `at_once` (one for each core by default) being run together.

    A result among them is passed on. No more jobs are taken than are run, so that a class needn't fit into memory.
    """
    at_once = at_once or cores()
    # The threads only wait for the processes that run the notebooks.
    with closing(launcher(limits)) as children, ThreadPoolExecutor(at_once) as threads:
        try:
            yield from run_together(jobs, lambda job: threads.submit(grade, job, children, limits), at_once)
        except BaseException:
            # Ctrl-C, or nobody wants more: what runs is killed, so that its thread ends.
            children.close()
            raise


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
