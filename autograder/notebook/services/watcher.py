"""The process above a server: it makes the server's folder, and ends both when whoever asked for them ends.

It is run by its path, on the standard library alone, so that it starts fast:

    python -I -S watcher.py '{"owner": …, "folder": …, "copies": …, "user": …, "command": …, "stop": …}'

A pipe to the owner would not do: processes that the owner forks hold its end too.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from typing import Any, NoReturn

# How often it looks after both, in seconds.
GLANCE = 0.1
# How long a server has to end when it is asked to, in seconds.
PATIENCE = 5.0


def watch(order: dict[str, Any]) -> None:
    """Run the server of an order until it ends, its owner ends or this process is told to; remove its folder."""
    folder: str = order["folder"]
    server = 0
    os.umask(0o077)
    try:
        os.mkdir(folder)  # noqa: PTH102
        for source, target in order["copies"]:
            _copy(source, f"{folder}/{target}")
        if order["user"]:
            _give(folder, *order["user"])
        server = os.fork()
        if server == 0:
            _become(order)
        with contextlib.suppress(PermissionError):  # it has done so itself, and is the server already
            os.setpgid(server, server)
        while os.waitpid(server, os.WNOHANG)[0] == 0:
            if os.getppid() != order["owner"]:
                return
            time.sleep(GLANCE)
        server = 0
        _tell_why(folder)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if server:
            _end(server, order["stop"])
        shutil.rmtree(folder, ignore_errors=True)


def _copy(source: str, target: str) -> None:
    """Copy a file, or a folder as one that is private."""
    if os.path.isdir(source):  # noqa: PTH112
        shutil.copytree(source, target, symlinks=True, copy_function=shutil.copy)
        os.chmod(target, 0o700)  # noqa: PTH101
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
        shutil.copy(source, target)


def _give(folder: str, user: int, group: int) -> None:
    """Give a folder with all that is in it to another user."""
    for path, _, files in os.walk(folder):
        os.chown(path, user, group)
        for name in files:
            os.chown(f"{path}/{name}", user, group)


def _become(order: dict[str, Any]) -> NoReturn:
    """In the child: become the server."""
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        log = os.open(f"{order['folder']}/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        if order["user"]:
            user, group = order["user"]
            os.setgroups([])
            os.setgid(group)
            os.setuid(user)
        os.chdir(order["folder"])
        os.execv(order["command"][0], order["command"])
    except OSError as error:
        os.write(2, f"{error}\n".encode())
    finally:
        os._exit(127)


def _tell_why(folder: str) -> None:
    """Pass on the last that a server said which has ended by itself."""
    with open(f"{folder}/log", "rb") as log:  # noqa: PTH123
        os.write(2, log.read()[-2000:])


def _end(server: int, stop: int) -> None:
    """Ask a server to end with what it has started, and kill it where it doesn't."""
    os.killpg(server, stop)
    deadline = time.monotonic() + PATIENCE
    while os.waitpid(server, os.WNOHANG)[0] == 0:
        if time.monotonic() > deadline:
            os.killpg(server, signal.SIGKILL)
            os.waitpid(server, 0)
            return
        time.sleep(0.002)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    watch(json.loads(sys.argv[1]))
