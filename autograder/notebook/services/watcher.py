"""The process above a server: it makes the server's folder, and ends both when whoever asked for them ends.

It is run by its path, and imports little, so that it starts fast:

    python -I -S watcher.py OWNER FOLDER USER SIGNAL COPIES COMMAND…

OWNER is the process to outlive by nothing. USER is `uid:gid` for another user than this one, else "". SIGNAL ends the
server. COPIES is a line for each that the server finds in FOLDER: what it is copied from, a tab, its path there.

A pipe to the owner would not do: processes that the owner forks hold its end too.
"""

from __future__ import annotations

import os
import signal
import sys
import time

# How often it looks after both, in seconds.
GLANCE = 0.1
# How long a server has to end when it is asked to, in seconds.
PATIENCE = 5.0


def watch(owner: int, folder: str, user: str, stop: int, copies: str, command: list[str]) -> None:
    """Run a server until it ends, its owner ends or this process is told to; remove its folder."""
    server = 0
    ids = [int(part) for part in user.split(":")] if user else []
    os.umask(0o077)
    # Whoever ends this process while the server is being started would miss the server.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        os.mkdir(folder)  # noqa: PTH102
        for line in copies.splitlines():
            source, target = line.split("\t")
            _copy(source, f"{folder}/{target}")
        if ids:
            _give(folder, *ids)
        server = os.fork()
        if server == 0:
            _become(folder, ids, command)
        try:  # noqa: SIM105 - contextlib takes its time to import
            os.setpgid(server, server)
        except PermissionError:  # it has done so itself, and is the server already
            pass
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        while os.waitpid(server, os.WNOHANG)[0] == 0:
            if os.getppid() != owner:
                return
            time.sleep(GLANCE)
        server = 0
        _tell_why(folder)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if server:
            _end(server, stop)
        from shutil import rmtree

        rmtree(folder, ignore_errors=True)


def _copy(source: str, target: str) -> None:
    """Copy a file, or a folder as one that is private."""
    import shutil

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


def _become(folder: str, ids: list[int], command: list[str]) -> None:
    """In the child: become the server."""
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        log = os.open(f"{folder}/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        if ids:
            os.setgroups([])
            os.setgid(ids[1])
            os.setuid(ids[0])
        os.chdir(folder)
        os.execv(command[0], command)
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
    watch(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5], sys.argv[6:])
