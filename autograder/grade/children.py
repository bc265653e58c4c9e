"""Starts the processes that run notebooks: forks of a warm one where the system can fork, new ones elsewhere."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

from autograder.grade.ending import UNKNOWN, byte_of, in_words
from autograder.grade.environment import environment
from autograder.grade.model import Limits
from autograder.grade.sandbox import HOME, Protection, protection

# More than any notebook shows that somebody will read; in bytes, for one cell.
MAX_ANSWER = 64_000_000
DEFAULT = Limits()
# Seconds in which the template says how a child ended.
TOLD_WITHIN = 2.0


class ChildDiedError(Exception):
    """A child ended before it had answered."""


class ChildTimeoutError(Exception):
    """A child hasn't answered in time."""


class Child(Protocol):
    """A process that runs one notebook."""

    connection: Connection

    def interrupt(self) -> bool:
        """Interrupt what it runs, as Ctrl-C does; return whether that is possible."""

    def dead(self) -> list[Any]:
        """Return what becomes ready when it dies, for `multiprocessing.connection.wait`."""

    def why(self) -> str:
        """Return how it died, in words; to be called when it is dead."""

    def end(self) -> None:
        """Kill it with everything that it started, and wait until it is dead."""


class Launcher(Protocol):
    """Starts children; threads may share it."""

    def warm(self) -> None:
        """Begin to get ready, and don't wait for it."""

    def start(self) -> Child:
        """Start a child."""

    def close(self) -> None:
        """End what the launcher keeps."""


def launcher(limits: Limits = DEFAULT, modules: Sequence[str] = ()) -> Launcher:
    """Return the launcher for this system, whose children heed these limits and find these modules imported.

    Where each child is a new process, it imports what it needs itself.
    """
    return Forking(limits, modules=modules) if hasattr(os, "fork") else Spawning(limits)


def give(child: Child, order: Mapping[str, object]) -> None:
    """Tell a child what to run and where. Raises ChildDiedError where it is dead."""
    try:
        child.connection.send_bytes(json.dumps(order).encode())
    except OSError as error:
        raise ChildDiedError from error


def answer(child: Child, seconds: float) -> Mapping[str, Any]:
    """Return a child's next message as JSON. What it holds is not to be trusted: code of the submission runs beside it.

    Raises ChildTimeoutError where none comes in time, ChildDiedError where none will come.
    """
    try:
        said = json.loads(receive(child, seconds))
    except (ValueError, RecursionError) as error:
        raise ChildDiedError from error
    if not isinstance(said, dict):
        raise ChildDiedError
    return said


def receive(child: Child, seconds: float) -> bytes:
    """Return a child's next message. Raises ChildTimeoutError and ChildDiedError, as `answer` does."""
    ready = wait([child.connection, *child.dead()], seconds)
    if not ready:
        raise ChildTimeoutError
    # Dead or not: what it said before counts.
    if child.connection not in ready and not child.connection.poll():
        raise ChildDiedError
    try:
        return child.connection.recv_bytes(MAX_ANSWER)
    except (OSError, EOFError) as error:
        raise ChildDiedError from error


class Forking:
    """Forks children from one warm process."""

    def __init__(
        self, limits: Limits = DEFAULT, protected: Protection | None = None, modules: Sequence[str] = ()
    ) -> None:
        self._limits = limits
        self._modules = modules
        self._protection = protected or protection()
        self._lock = threading.Lock()
        self._template: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._closed = False

    def warm(self) -> None:
        """Start the template."""
        with self._lock:
            self._ensure()

    def start(self) -> ForkedChild:
        """Fork a child; the template is started first where it isn't there yet, or no more."""
        with self._lock:
            if self._closed:
                raise RuntimeError("the launcher is closed")
            ours, theirs = multiprocessing.Pipe()
            line, far_line = socket.socketpair()
            folder = None if self._protection.namespaces else _new_folder(self._protection.user)
            try:
                self._send(folder or HOME, theirs.fileno(), far_line.fileno())
            except OSError:  # somebody has ended the template
                self._stop()
                self._send(folder or HOME, theirs.fileno(), far_line.fileno())
        theirs.close()
        far_line.close()
        return ForkedChild(ours, line, folder)

    def close(self) -> None:
        """End the template."""
        with self._lock:
            self._closed = True
            self._stop()

    def _send(self, folder: str, *descriptors: int) -> None:
        """Give the template the folder and the two descriptors of a new child."""
        socket.send_fds(self._ensure(), [os.fsencode(folder)], list(descriptors))

    def _ensure(self) -> socket.socket:
        """Return the control socket of the template, which is started where there is none."""
        if self._control is None:
            self._control, far = socket.socketpair()
            told = (json.dumps(asdict(what)) for what in (self._protection, self._limits))
            command = [
                sys.executable,
                "-P",
                "-m",
                "autograder.grade.template",
                str(far.fileno()),
                *told,
                *self._modules,
            ]
            self._template = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, pass_fds=[far.fileno()], env=environment()
            )
            far.close()
        return self._control

    def _stop(self) -> None:
        """Close the control socket, at which the template kills its children and ends."""
        if self._control:
            self._control.close()
            self._control = None
        if self._template:
            self._template.wait()
            self._template = None


class ForkedChild:
    """A child of the template."""

    def __init__(self, connection: Connection, line: socket.socket, folder: str | None) -> None:
        self.connection = connection
        self._line = line
        # Where it can write, None where it has files of its own that end with it.
        self._folder = folder

    def interrupt(self) -> bool:
        """Send SIGINT."""
        with contextlib.suppress(OSError):
            self._line.sendall(b"i")
        return True

    def dead(self) -> list[socket.socket]:
        """Return the line, which the template closes."""
        return [self._line]

    def why(self) -> str:
        """Return what the template says of it."""
        self._line.settimeout(TOLD_WITHIN)  # its connection may have ended before the template has buried it
        with contextlib.suppress(OSError):
            if said := self._line.recv(1):
                return in_words(said[0])
        return UNKNOWN

    def end(self) -> None:
        """End the line, and wait until the template has closed it too."""
        self._line.settimeout(None)
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_WR)
            while self._line.recv(1):
                pass
        self._line.close()
        self.connection.close()
        if self._folder:
            _remove(self._folder)


class Spawning:
    """Starts each child as a new process."""

    def __init__(self, limits: Limits = DEFAULT) -> None:
        self._limits = limits

    def warm(self) -> None:
        """Do nothing: each child is started by itself."""

    def start(self) -> SpawnedChild:
        """Start a child."""
        return SpawnedChild(self._limits)

    def close(self) -> None:
        """Do nothing: nothing is kept."""


class SpawnedChild:
    """A process of its own. It can't be interrupted on Windows, so it isn't anywhere."""

    def __init__(self, limits: Limits) -> None:
        from autograder.grade.child import serve_alone  # it takes the kernel along, which only children need

        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._folder = _new_folder()
        # Not a daemon: those may not start processes of their own.
        self._process = context.Process(target=serve_alone, args=(theirs, self._folder, limits))
        self._process.start()
        theirs.close()

    def interrupt(self) -> bool:
        """Return False."""
        return False

    def dead(self) -> list[int]:
        """Return what multiprocessing says."""
        return [self._process.sentinel]

    def why(self) -> str:
        """Return what the system says of it."""
        self._process.join(1)
        return in_words(byte_of(self._process.exitcode or 0))

    def end(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.join()
        self._process.close()
        self.connection.close()
        _remove(self._folder)


@contextlib.contextmanager
def started(launcher: Launcher) -> Iterator[Child]:
    """Start a child that is dead when the block ends."""
    child = launcher.start()
    try:
        yield child
    finally:
        child.end()


def _new_folder(user: int | None = None) -> str:
    """Make a folder for a child, which runs as `user` where that is somebody else."""
    folder = tempfile.mkdtemp(prefix="grade-")
    if user is not None:
        os.chown(folder, user, user)
    return folder


def _remove(folder: str) -> None:
    """Remove what a dead child has written, as far as that is possible."""
    with contextlib.suppress(RecursionError):
        shutil.rmtree(folder, ignore_errors=True)
