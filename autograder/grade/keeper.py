"""The process above a notebook's: the first of its namespaces, with which the kernel ends everything else in them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

from autograder.grade.ending import TOOK_TOO_MUCH, exit_status
from autograder.grade.model import Limits

HEARD = {signal.SIGCHLD, signal.SIGINT}
# How often it looks at what its processes take, in seconds.
GLANCE = 0.2


def keep(run: Callable[[], None], limits: Limits, *, alone: bool) -> int:
    """Run a notebook in a fork of this process; return its exit status when it has ended, or TOOK_TOO_MUCH.

    An interrupt of this process is passed on. `alone` says that /proc shows nobody else's processes. The caller has to
    end this process thereupon.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
    pid = os.fork()
    if pid == 0:
        try:
            run()
        finally:
            os._exit(0)
    while (status := _ended(pid)) is None:
        heard = signal.sigtimedwait(HEARD, GLANCE)
        if heard is None and alone and _takes_too_much(limits):
            return TOOK_TOO_MUCH
        if heard and heard.si_signo == signal.SIGINT:
            os.kill(pid, signal.SIGINT)
    return status


def _ended(notebook: int) -> int | None:
    """Bury the processes that have died; return the exit status of the notebook's where it is among them."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0] != 0:
            if ended[0] == notebook:
                return exit_status(ended[1])
    return None


def _takes_too_much(limits: Limits) -> bool:
    """Whether there are more processes, or they take more memory together, than a notebook may have."""
    processes = [Path(entry.path) for entry in os.scandir("/proc") if entry.name.isdecimal()]
    # What they share is counted once for each here, and rightly there, where it takes longer.
    return len(processes) > limits.processes or (
        sum(map(_resident, processes)) > limits.memory and sum(map(_own_part, processes)) > limits.memory
    )


def _resident(process: Path) -> int:
    """Return the bytes that a process has in memory, 0 where it is gone."""
    try:
        return int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _own_part(process: Path) -> int:
    """Return the same with what it shares divided among all that share it."""
    try:
        line = next(line for line in (process / "smaps_rollup").read_text().splitlines() if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0
    return int(line.split()[1]) * 1024
