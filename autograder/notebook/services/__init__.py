"""Real servers inside the environment, started on first use and gone with the process.

`from autograder import services` imports none of their clients: each is loaded by its first use.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from autograder.notebook.services import postgresql, valkey
from autograder.notebook.services.postgresql import Database as Database
from autograder.notebook.services.valkey import Store as Store

if TYPE_CHECKING:
    import psycopg

NAMES = ("postgres", "redis")


def postgres(*, template: Callable[[psycopg.Connection[Any]], object] | None = None) -> Database:
    """Return a new PostgreSQL database: `.url`, `.connect()`, `.engine()`; `.close()` or `with` drops it.

    `template` is called once with a connection to an empty database, whose transaction is committed; this and every
    further call with the same function return a copy of what it has left there, analyzed. The first database takes
    about 0.3 s, others some 20 ms. Raises CourseError where no server can be started.
    """
    return postgresql.create(template)


def redis() -> Store:
    """Return an empty Redis database, a number of its own: `.url`, `.client()`; `.close()` or `with` empties it.

    Keys are its own. What a server has once for all of its databases is shared: channels, scripts, settings,
    FLUSHALL. Raises CourseError where no server can be started.
    """
    return valkey.create()


def named_in(code: str) -> list[str]:
    """Return the services that code mentions, by name."""
    return [name for name in NAMES if re.search(rf"\b{name}\b", code)]


def prepare_forks(names: Collection[str]) -> None:
    """Load what these services need, so that forks of this process have it; PostgreSQL's server is lent to them.

    A fork's databases are its own all the same. Raises CourseError where a server can't be started.
    """
    if "postgres" in names:
        postgresql.lend_server()
        with postgres():
            pass
    if "redis" in names:
        import redis  # noqa: F401
