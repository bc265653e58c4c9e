"""Servers inside the environment, started on first use and gone with the process: `from autograder import services`.

Nothing that a service needs is imported before it is used. What is returned can be used in a `with`, which closes it;
what isn't closed goes with the process.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Collection
from types import ModuleType
from typing import TYPE_CHECKING, Any

from autograder.notebook.services import cloud, cluster, documents, librdkafka, mariadb, postgresql, valkey
from autograder.notebook.services.cloud import Cloud as Cloud
from autograder.notebook.services.documents import Documents as Documents
from autograder.notebook.services.handle import Finding, Kind
from autograder.notebook.services.librdkafka import Cluster as Cluster
from autograder.notebook.services.mariadb import MySQL as MySQL
from autograder.notebook.services.postgresql import Database as Database
from autograder.notebook.services.valkey import Store as Store

if TYPE_CHECKING:
    import psycopg

MODULES: dict[str, ModuleType] = {
    "postgres": postgresql,
    "redis": valkey,
    "kafka": librdkafka,
    "aws": cloud,
    "mongo": documents,
    "mysql": mariadb,
}
# What takes time to import for the first use.
IMPORTS = {
    "postgres": ("psycopg",),
    "redis": ("redis",),
    "kafka": ("confluent_kafka",),
    "aws": ("boto3", "moto.server"),
    "mongo": ("mongomock",),
    "mysql": ("pymysql",),
}


def postgres(*, template: Callable[[psycopg.Connection[Any]], object] | None = None) -> Database:
    """Return a new PostgreSQL database: `.url`, `.connect()`, `.engine()`.

    `template` is called once with a connection to an empty database, whose transaction is committed; this and every
    further call with the same function return a copy of what it has left there, analyzed. The first database takes
    about 0.3 s, others some 20 ms. Raises CourseError where no server can be started.
    """
    return postgresql.create(template)


def redis() -> Store:
    """Return an empty Redis database, a number of its own: `.url`, `.client()`.

    Keys are its own. What a server has once for all of its databases is shared: channels, scripts, settings,
    FLUSHALL. Raises CourseError where no server can be started.
    """
    return valkey.create()


def kafka(*, brokers: int = 1) -> Cluster:
    """Return a new Kafka cluster, a stand-in in memory: `.bootstrap`, `.create_topic(name, partitions)`.

    Raises CourseError where it can't be started.
    """
    return librdkafka.create(brokers)


def aws() -> Cloud:
    """Return an empty AWS account, a stand-in in memory: `.url`, `.client("s3")`, `.resource("dynamodb")`.

    There is one in a process: each call empties it. Raises CourseError where it can't be started.
    """
    return cloud.create()


def mongo() -> Documents:
    """Return a new MongoDB database: `.database`, `.client`. Raises CourseError where there is none."""
    return documents.create()


def mysql() -> MySQL:
    """Return a new MySQL database: `.url`, `.connect()`, `.engine()`.

    Raises CourseError where MYSQL_URL isn't set and no MariaDB is installed: see `available`.
    """
    return mariadb.create()


def available(name: str) -> bool:
    """Whether a service, by the name of its function, is there on this machine, be it as a stand-in."""
    return findings()[name].kind is not Kind.MISSING


def findings() -> dict[str, Finding]:
    """Return how each service is there on this machine, by name."""
    return {name: module.find() for name, module in MODULES.items()}


def named_in(code: str) -> list[str]:
    """Return the services that code mentions, by name."""
    return [name for name in MODULES if re.search(rf"\b{name}\b", code)]


def make_ready() -> None:
    """Make, and keep with this environment, what a server copies at each start, where that isn't there yet.

    Raises CourseError where it can't be made.
    """
    found = cluster.program()
    if found:
        cluster.cluster(found.parents[1])


def prepare_forks(names: Collection[str]) -> None:
    """Import what these services need, so that forks of this process have it; PostgreSQL's server is lent to them.

    A fork's databases are its own all the same. Raises CourseError where a server can't be started.
    """
    for name in names:
        if available(name):
            for module in IMPORTS[name]:
                importlib.import_module(module)
    if "postgres" in names and available("postgres"):
        postgresql.lend_server()
