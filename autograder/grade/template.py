"""The warm process: it has imported once what notebooks need, and forks a child for each of them.

It is started with the number of a socket to its master. Each byte that comes there brings two descriptors: the child's
connection, and its line. Over the line, a byte interrupts the child and the end of it kills the child; the template
closes it when the child is dead. When the master ends, everything ends.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sys
from multiprocessing.connection import Connection
from typing import NoReturn

from autograder.grade.child import serve, warm_session
from autograder.kernel import Session
from autograder.kernel.fork import settle


class Template:
    """The loop of the warm process."""

    def __init__(self, control: socket.socket, session: Session) -> None:
        self._control = control
        self._session = session
        self._lines: dict[int, socket.socket] = {}
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
        order, descriptors, _, _ = socket.recv_fds(self._control, 1, 2)
        if not order:
            return False
        connection, line = descriptors
        pid = os.fork()
        if pid == 0:
            self._become_child(connection, line)
        os.close(connection)
        self._lines[pid] = socket.socket(fileno=line)
        self._selector.register(self._lines[pid], selectors.EVENT_READ, pid)
        return True

    def _become_child(self, connection: int, line: int) -> NoReturn:
        """In the child: leave behind what is the template's, and run a notebook."""
        try:
            os.setsid()
            self._selector.close()
            for end in (self._control, self._woken, self._waker, *self._lines.values()):
                end.close()
            os.close(line)
            settle()
            serve(Connection(connection), self._session)
        finally:
            os._exit(0)

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
        """Bury the children that have died, with everything that they started, and tell of it."""
        for pid in [pid for pid in self._lines if os.waitpid(pid, os.WNOHANG)[0]]:
            _kill(pid)
            line = self._lines.pop(pid)
            with contextlib.suppress(KeyError):
                self._selector.unregister(line)
            line.close()

    def _kill_all(self) -> None:
        """Kill every child."""
        for pid in self._lines:
            _kill(pid)


def _kill(pid: int) -> None:
    """Kill a child and its process group, which it hasn't made yet where it has just been forked."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    # What a terminal sends to the whole group on Ctrl-C is the master's to handle.
    os.setsid()
    control = socket.socket(fileno=int(sys.argv[1]))
    session = warm_session()
    Template(control, session).run()
