"""MySQL's protocol: a MariaDB server that is installed on this machine, or the learner's own at `MYSQL_URL`."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from autograder.course import CourseError
from autograder.notebook.services.handle import Finding, Handle, Kind
from autograder.notebook.services.server import Server, new_folder, running

if TYPE_CHECKING:
    import pymysql.connections
    import sqlalchemy

VARIABLE = "MYSQL_URL"
INSTALLER = "mariadb-install-db"
MISSING = f"install MariaDB, or set {VARIABLE} to mysql://USER:PASSWORD@HOST of a server of yours"
DRIVER = "mysql+pymysql"


class MySQL(Handle):
    """A MySQL database; `url` is in SQLAlchemy's form. Closing it drops it."""

    def __init__(self, server: str) -> None:
        """Make one on the server at this address."""
        self.name = f"course_{secrets.token_hex(4)}"
        super().__init__(urlsplit(server)._replace(scheme=DRIVER, path=f"/{self.name}").geturl())
        self._server = server
        self._run(f"CREATE DATABASE {self.name}")

    def connect(self, **options: Any) -> pymysql.connections.Connection[Any]:
        """Return a new connection by PyMySQL, which takes the options (`autocommit=True`)."""
        connection = _connect(self.url, database=self.name, **options)
        self._opened.callback(lambda: connection.open and connection.close())
        return connection

    def engine(self, **options: Any) -> sqlalchemy.Engine:
        """Return a new engine by SQLAlchemy, which takes the options (`echo=True`, `pool_size=2`)."""
        import sqlalchemy

        engine = sqlalchemy.create_engine(self.url, **options)
        self._opened.callback(engine.dispose)
        return engine

    def close(self) -> None:
        """Close what was opened here, and drop the database."""
        super().close()
        self._run(f"DROP DATABASE IF EXISTS {self.name}")

    def _run(self, statement: str) -> None:
        """Run a statement outside the database."""
        with _connect(self._server) as connection, connection.cursor() as cursor:
            cursor.execute(statement)


class Embedded:
    """The server that this process runs; making its first files takes some seconds."""

    def __init__(self) -> None:
        """Start it. Raises CourseError where it can't be started."""
        found, installer = program(), shutil.which(INSTALLER)
        if found is None or installer is None:
            raise CourseError(f"no MySQL server is installed here: {MISSING}")
        folder = new_folder("mysql")
        self._socket = folder / "socket"
        base = ["--no-defaults", f"--datadir={folder}/data", f"--basedir={found.parents[1]}"]
        make = [installer, *base, "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
        serve = [str(found), *base, f"--socket={self._socket}", "--skip-networking", "--user=root"]
        serve += ["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M"]
        command = ["/bin/sh", "-c", f"{shlex.join(make)} && exec {shlex.join(serve)}"]
        self._server = Server(folder, command, ready=self._is_ready, stop=signal.SIGKILL)
        self.url = f"mysql://root@localhost/?unix_socket={self._socket}"

    @property
    def alive(self) -> bool:
        """Whether the server runs."""
        return self._server.alive

    def _is_ready(self) -> bool:
        """Whether the server takes connections."""
        with socket.socket(socket.AF_UNIX) as tried:
            return tried.connect_ex(str(self._socket)) == 0


def create() -> MySQL:
    """Return a new database on the learner's own server where there is one, else on one that is installed here."""
    url = os.environ.get(VARIABLE)
    return MySQL(url).close_at_exit() if url else MySQL(running(Embedded).url)


def find() -> Finding:
    """Return how MySQL is there."""
    if VARIABLE in os.environ:
        return Finding(Kind.REAL, f"your server at {VARIABLE}")
    found = program()
    return Finding(Kind.REAL, f"MariaDB at {found}") if found else Finding(Kind.MISSING, MISSING)


def program() -> Path | None:
    """Return the server's program, None where there is none on PATH; Debian has it where only root looks."""
    path = f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin"
    found = shutil.which("mariadbd", path=path) if os.name == "posix" else None
    return Path(found).resolve() if found and shutil.which(INSTALLER) else None


def _connect(url: str, **options: Any) -> pymysql.connections.Connection[Any]:
    """Return a connection to the server at an address."""
    import pymysql

    parts = urlsplit(url)
    places = {name: value for name, (value, *_) in parse_qs(parts.query).items() if name == "unix_socket"}
    login = {"user": unquote(parts.username or "root"), "password": unquote(parts.password or "")}
    return pymysql.connect(**places, **login, host=parts.hostname, port=parts.port or 3306, **options)
