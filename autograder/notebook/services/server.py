"""Servers as programs: each is started once for a process, and never outlives it."""

from __future__ import annotations

import atexit
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from autograder.course import CourseError

WATCHER = Path(__file__).with_name("watcher.py")
# Seconds that a server has to get ready.
START = 60.0
# A Unix socket's address is at most 104 bytes on macOS, and a server's folder takes about forty of them.
LONGEST_FOLDER = 60
MEMORY = "/dev/shm"
ROOM = 1 << 30


class Server:
    """A program that runs in a private folder of its own until `stop`, or until the process that made it ends.

    A fork of that process may talk to it, and never ends it.
    """

    def __init__(
        self,
        folder: Path,
        command: Sequence[str | Path],
        *,
        ready: Callable[[], bool],
        stop: int,
        copies: Sequence[tuple[Path, str]] = (),
        unprivileged: bool = False,
    ) -> None:
        """Start `command` in `folder`, which doesn't exist yet, and wait until `ready()`.

        `copies` are what it finds there: a file or folder, and its path in `folder`. `stop` is the signal that ends
        it. Root runs it as the user nobody where it is `unprivileged`. Raises CourseError where it doesn't start.
        """
        self.folder = folder
        self.owner = os.getpid()
        user = nobody() if unprivileged else None
        order = [
            str(self.owner),
            str(folder),
            f"{user[0]}:{user[1]}" if user else "",
            str(int(stop)),
            "\n".join(f"{source}\t{target}" for source, target in copies),
            *(str(part) for part in command),
        ]
        # A session of its own: an interrupt of the notebook isn't the server's.
        self._watcher = subprocess.Popen(
            [sys.executable, "-I", "-S", str(WATCHER), *order],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        atexit.register(self.stop)
        deadline = time.monotonic() + START
        while not ready():
            if not self.alive or time.monotonic() > deadline:
                raise CourseError(f"{Path(command[0]).name} did not start: {self._last_words()}")
            time.sleep(0.002)

    @property
    def alive(self) -> bool:
        """Whether it runs, as far as this process can know."""
        return os.getpid() != self.owner or self._watcher.poll() is None

    def stop(self) -> None:
        """End it and remove its folder; in a fork of its owner, do nothing."""
        if os.getpid() != self.owner:
            return
        atexit.unregister(self.stop)
        self._watcher.terminate()
        self._watcher.wait()
        assert self._watcher.stderr is not None
        self._watcher.stderr.close()

    def _last_words(self) -> str:
        """Return the last line that it said, once it has been ended."""
        self._watcher.terminate()
        _, said = self._watcher.communicate()
        self.stop()
        return (said.decode(errors="replace").strip().splitlines() or ["it took too long"])[-1]


class Running(Protocol):
    """What `running` keeps."""

    @property
    def alive(self) -> bool:
        """Whether it can still be used."""


R = TypeVar("R", bound=Running)

_lock = threading.Lock()
# By the process that started it, and its kind. What a parent has started stays here in a fork, untouched.
_running: dict[tuple[int, type[Running]], Running] = {}
_lender: int | None = None


def running(kind: type[R]) -> R:
    """Return this process's one `kind`, made by calling it where there is none that is alive.

    A fork has its own, unless its parent has lent it what it has.
    """
    with _lock:
        for owner in (os.getpid(), _lender):
            found = _running.get((owner or 0, kind))
            if isinstance(found, kind) and found.alive:
                return found
        made = _running[os.getpid(), kind] = kind()
        return made


def lend(server: Running) -> None:
    """Keep `server` as this process's one of its kind, and let the forks of this process use it."""
    global _lender
    _running[os.getpid(), type(server)] = server
    _lender = os.getpid()


def new_folder(name: str, place: str | None = None, *, unprivileged: bool = False) -> Path:
    """Return the path of a folder that doesn't exist yet, short enough for a socket in it.

    It is in `place`, or where TMPDIR says, or in memory, or among the temporary files: a server makes hundreds of files
    at a time, which a disk's file system isn't fast at. An `unprivileged` server of root's must be able to reach it.
    """
    places = (place, os.environ.get("TMPDIR"), in_memory(), tempfile.gettempdir())
    for parent in filter(None, places):
        folder = Path(parent, f"{name}-{secrets.token_hex(4)}")
        if len(parent) <= LONGEST_FOLDER and not (unprivileged and nobody() and hidden(folder)):
            return folder
    return Path("/tmp", f"{name}-{secrets.token_hex(4)}")


def hidden(path: Path) -> bool:
    """Whether others than its owner can't reach a path."""
    return not all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)


def in_memory() -> str | None:
    """Return a place for files that are kept in memory, None where there isn't room for many."""
    if not os.access(MEMORY, os.W_OK):
        return None
    room = os.statvfs(MEMORY)
    return MEMORY if room.f_bavail * room.f_frsize > ROOM else None


def nobody() -> tuple[int, int] | None:
    """Return the user and group without rights that root gives away to; None where this process isn't root's."""
    if os.name != "posix" or os.geteuid() != 0:
        return None
    import pwd

    entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid


def _unlock() -> None:
    """In a fork: another thread of the parent may have held the lock."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)
