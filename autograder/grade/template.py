"""The warm process: it has imported once what notebooks need, and forks a child for each of them.

It is started with the number of a socket to its master, and with the limits and the protection of its children. Each
message that comes there is the folder of a new child and brings two descriptors: the child's connection, and its line.
Over the line, a byte interrupts the child and the end of it kills the child. When the child has ended, the template
says there in a byte how, and closes the line when everything that it started is dead. When the master ends, everything
ends.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn

from autograder.course import CourseError
from autograder.grade.child import serve, warm_session
from autograder.grade.ending import exit_status
from autograder.grade.keeper import keep
from autograder.grade.model import Limits
from autograder.grade.sandbox import LINUX, Protection, Sandbox
from autograder.grade.seal import seal
from autograder.kernel import Session
from autograder.kernel.fork import settle
from autograder.notebook import services

MAX_PATH = 4096


class Template:
    """The loop of the warm process."""

    def __init__(self, control: socket.socket, session: Session, protection: Protection, limits: Limits) -> None:
        self._control = control
        self._session = session
        self._limits = limits
        # Before the fork: it takes longer than a small notebook's cells.
        self._changed = seal()
        self._sandbox = Sandbox(protection, limits)
        self._lines: dict[int, socket.socket] = {}
        # Of children that are dead, but not yet everything that they have started.
        self._ending: list[socket.socket] = []
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self) -> None:
        """Fork, interrupt and kill as the master says, until it is gone."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._control:
                    if not self._start():
                        self._kill_all()
                        return
                elif key.fileobj is self._woken:
                    self._woken.recv(4096)
                    self._reap()
                elif key.data in self._lines:
                    self._obey(key.data)

    def _start(self) -> bool:
        """Take an order and fork a child for it; return False where the master is gone."""
        folder, descriptors, _, _ = socket.recv_fds(self._control, MAX_PATH, 2)
        if not folder:
            return False
        connection, line = descriptors
        try:
            pid = self._sandbox.fork()
        except OSError as error:
            _refuse(connection, error)
            os.close(connection)
            os.close(line)
            return True
        if pid == 0:
            self._become_child(connection, os.fsdecode(folder))
        os.close(connection)
        self._lines[pid] = socket.socket(fileno=line)
        self._selector.register(self._lines[pid], selectors.EVENT_READ, pid)
        return True

    def _become_child(self, connection: int, folder: str) -> NoReturn:
        """In the child: leave behind what is the template's, and run a notebook."""
        status = 0
        try:
            os.setsid()
            self._selector.close()
            _close_all_but(connection)
            try:
                self._sandbox.enter(folder)
            except OSError as error:
                _refuse(connection, error)
                raise

            alone = self._sandbox.protection.namespaces

            def run() -> None:
                settle()
                signal.pthread_sigmask(signal.SIG_SETMASK, ())
                serve(Connection(connection), self._session, folder, self._limits, self._changed, alone=alone)

            if LINUX:
                status = keep(run, self._limits, alone=alone)
            else:
                run()
        finally:
            os._exit(status)

    def _obey(self, pid: int) -> None:
        """Interrupt or kill a child that hasn't been reaped."""
        try:
            told = self._lines[pid].recv(1)
        except ConnectionError:
            told = b""
        if told:
            os.kill(pid, signal.SIGINT)
        else:
            self._selector.unregister(self._lines[pid])  # it would be readable for ever
            _kill(pid)

    def _reap(self) -> None:
        """Bury the processes that have died, end what they leave, and tell of it."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0] != 0:
                pid = ended[0]
                if pid in self._lines:
                    _kill(pid)
                    line = self._lines.pop(pid)
                    with contextlib.suppress(OSError):  # nobody may be listening any more
                        line.send(bytes([exit_status(ended[1])]))
                    with contextlib.suppress(KeyError):
                        self._selector.unregister(line)
                    self._ending.append(line)
        # What a child leaves comes to this process, in turn what those leave: it is told when the last has died.
        strays = [pid for pid in _children() if pid not in self._lines]
        for pid in strays:
            _kill(pid)
        if not strays:
            for line in self._ending:
                line.close()
            self._ending.clear()

    def _kill_all(self) -> None:
        """Kill every child."""
        for pid in self._lines:
            _kill(pid)


def _refuse(connection: int, error: OSError) -> None:
    """Tell the master why a child can't run anything."""
    with contextlib.suppress(OSError):
        Connection(os.dup(connection)).send_bytes(json.dumps({"refused": str(error)}).encode())


def _children() -> list[int]:
    """Return the children of this process, as far as the system tells."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children")
    return [int(pid) for pid in listed.read_text().split()] if listed.exists() else []


def _close_all_but(connection: int) -> None:
    """Point every descriptor to nothing but the first three and one more; those who hold them can still close them."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for name in os.listdir("/dev/fd"):  # noqa: PTH208
        with contextlib.suppress(OSError):
            if int(name) not in (0, 1, 2, connection, nothing):
                os.fstat(int(name))
                os.dup2(nothing, int(name))


def _kill(pid: int) -> None:
    """Kill a child and its process group, which it hasn't made yet where it has just been forked."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def _main(number: str, protection: str, limits: str, *modules: str) -> None:
    """Run a template with what its command line says: the modules are what notebooks are likely to import."""
    # What a terminal sends to the whole group on Ctrl-C is the master's to handle.
    with contextlib.suppress(PermissionError):  # it has been done by what this process was before
        os.setsid()
    if LINUX:
        from autograder.grade import linux

        linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
        linux.prctl(linux.PR_SET_DUMPABLE, 0)
    control = socket.socket(fileno=int(number))
    session = warm_session()
    for name in modules:
        with contextlib.suppress(Exception):  # the notebook that imports it shall say what is wrong
            importlib.import_module(name)
    if "autograder" in modules:  # for its services: notebooks couldn't keep what they make for the first start
        with contextlib.suppress(CourseError):
            services.make_ready()
    if modules and LINUX and len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208
        # A process with threads can't be forked safely: notebooks import for themselves what starts them.
        session.close()
        os.execv(sys.executable, [sys.executable, "-P", "-m", "autograder.grade.template", number, protection, limits])
    template = Template(control, session, Protection(**json.loads(protection)), Limits(**json.loads(limits)))
    gc.freeze()  # what is here stays: collecting it would copy its memory in every child
    template.run()


if __name__ == "__main__":
    _main(*sys.argv[1:])
