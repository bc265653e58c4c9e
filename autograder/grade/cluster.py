"""Runs jobs on a Dask cluster. Its workers hold no gradebook, and what a lost one was running is run elsewhere."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial

from autograder.course import CourseError
from autograder.grade.children import Launcher, launcher
from autograder.grade.doctor import require_sandbox
from autograder.grade.model import Job, Limits, Result
from autograder.grade.pool import Keep, cores, nowhere, run_ahead
from autograder.grade.worker import grade, not_graded

# Jobs that are sent for each thread of the cluster, so that none waits for its next one.
AHEAD = 2
CONNECT_SECONDS = 20


class Cluster:
    """Runs jobs on the cluster of a scheduler, or on one of this machine's own."""

    def __init__(
        self,
        limits: Limits,
        at_once: int | None = None,
        modules: Sequence[str] = (),
        scheduler: str | None = None,
        *,
        isolated: bool = False,
    ) -> None:
        """Connect to the scheduler at this address; without one, start `at_once` workers here.

        With `isolated`, a worker that can't isolate submissions runs none.
        Raises CourseError where Dask isn't installed, or there is no scheduler at the address.
        """
        try:
            from distributed import Client, LocalCluster
        except ImportError as error:
            raise CourseError("--engine dask needs Dask: run `pip install -e '.[cluster]'`") from error
        self._limits = limits
        self._modules = tuple(modules)
        self._isolated = isolated
        self.workers = None
        if scheduler is None:
            self.workers = LocalCluster(
                n_workers=at_once or cores(),
                threads_per_worker=1,
                # The scheduler serves HTTP even without its dashboard: at a free port, on this machine alone.
                dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
                silence_logs=logging.CRITICAL,
            )
        try:
            self._client = Client(scheduler or self.workers, timeout=CONNECT_SECONDS)
        except (OSError, ValueError) as error:
            raise CourseError(f"no Dask scheduler answers at {scheduler}: start one, or mend the address") from error
        self._executor = self._client.get_executor(pure=False)

    def grade(self, jobs: Iterable[Job | Result], keep: Keep = nowhere) -> Iterator[Result]:
        """Begin to run `jobs`; return their results as they come."""
        ahead = AHEAD * max(1, sum(self._client.nthreads().values()))
        return run_ahead(jobs, partial(self._submit, keep), ahead)

    def close(self) -> None:
        """Leave the cluster, and end it where it is this machine's own."""
        self._executor.shutdown(wait=False)
        self._client.close()
        if self.workers:
            self.workers.close()

    def _submit(self, keep: Keep, job: Job) -> Future[Result]:
        """Give a job to the cluster."""
        given: Future[Result] = self._executor.submit(_grade_here, job, self._limits, self._modules, self._isolated)
        return _kept(given, keep, job)


def _kept(given: Future[Result], keep: Keep, job: Job) -> Future[Result]:
    """Return a future whose result has been kept, and that has one too where the cluster gave up on the job."""
    told: Future[Result] = Future()
    told.set_running_or_notify_cancel()

    def tell(done: Future[Result]) -> None:
        error = done.exception()
        result = not_graded(job, error) if error else done.result()
        try:
            keep(result)
        except OSError as refused:
            told.set_exception(refused)
        else:
            told.set_result(result)

    given.add_done_callback(tell)
    return told


# --- on a worker ---

_launchers: dict[tuple[Limits, tuple[str, ...]], Launcher] = {}
_lock = threading.Lock()


def _grade_here(job: Job, limits: Limits, modules: tuple[str, ...], isolated: bool) -> Result:
    """Grade a job in a child of this worker's warm process, which ends with the worker.

    Raises CourseError where it has to be isolated, and this worker can't do that.
    """
    if isolated:
        require_sandbox()
    with _lock:
        if (limits, modules) not in _launchers:
            _launchers[limits, modules] = launcher(limits, modules)
    return grade(job, _launchers[limits, modules], limits)
