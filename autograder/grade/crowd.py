"""How many there are to share what a user may have of processes and threads."""

from __future__ import annotations

import contextlib
import os


def threads(user: int | None = None) -> int:
    """Return the number of threads that /proc shows, a process being at least one: all of them, or a user's."""
    count = 0
    for process in os.scandir("/proc"):
        with contextlib.suppress(OSError):  # it has just ended
            if process.name.isdecimal() and (user is None or process.stat().st_uid == user):
                count += len(os.listdir(f"{process.path}/task"))  # noqa: PTH208
    return count
