"""MongoDB: mongomock behind PyMongo's interface, or the learner's own server at `MONGODB_URL`."""

from __future__ import annotations

import inspect
import os
import secrets
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from autograder.course import CourseError
from autograder.notebook.services.handle import Finding, Handle, Kind

if TYPE_CHECKING:
    import pymongo
    import pymongo.database

VARIABLE = "MONGODB_URL"
MISSING = f"`pip install mongomock`, or set {VARIABLE} to mongodb://HOST of a server of yours"


class Documents(Handle):
    """A MongoDB database without documents. Closing it drops it."""

    def __init__(self, url: str, client: pymongo.MongoClient[dict[str, Any]]) -> None:
        """Make one through `client`."""
        super().__init__(url)
        self.name = f"course_{secrets.token_hex(4)}"
        self.client = client
        self._opened.callback(client.close)

    @property
    def database(self) -> pymongo.database.Database[dict[str, Any]]:
        """The database, as PyMongo has it."""
        return self.client[self.name]

    def close(self) -> None:
        """Drop it."""
        self.client.drop_database(self.name)
        super().close()


def create() -> Documents:
    """Return a new database on the learner's own server where there is one, else on a stand-in of its own."""
    url = os.environ.get(VARIABLE)
    if url:
        import pymongo

        return Documents(url, pymongo.MongoClient(url)).close_at_exit()
    try:
        import mongomock
    except ImportError as error:
        raise CourseError(f"no MongoDB is installed here: {MISSING}") from error
    _let_bulk_writes_know_sort()
    return Documents("mongomock", mongomock.MongoClient())


def _let_bulk_writes_know_sort() -> None:
    """Let mongomock's collections take a `bulk_write` of PyMongo's updates and replacements.

    Since version 4.11, PyMongo's UpdateOne and ReplaceOne hand an argument `sort` to what collects the operations, None
    where none was given. That of mongomock 4.3 doesn't know the argument, so each such `bulk_write` is a TypeError.
    Its collections find their builder by its name in the module at each call, so one put in its place serves them all.
    """
    from mongomock import collection

    module: Any = collection
    if "sort" in inspect.signature(module.BulkOperationBuilder.add_update).parameters:
        return  # It was put there before, or this mongomock is a newer one.

    class Builder(collection.BulkOperationBuilder):
        def add_update(self, *args: Any, sort: object = None, **options: Any) -> None:
            _refuse(sort)
            super().add_update(*args, **options)  # type: ignore[no-untyped-call]

        def add_replace(self, *args: Any, sort: object = None, **options: Any) -> None:
            _refuse(sort)
            super().add_replace(*args, **options)  # type: ignore[no-untyped-call]

    module.BulkOperationBuilder = Builder


def _refuse(sort: object) -> None:
    """Raise NotImplementedError, as mongomock does for what it lacks, instead of updating another document."""
    if sort is not None:
        raise NotImplementedError("mongomock's bulk writes can't sort: an operation's `sort` must be None")


def find() -> Finding:
    """Return how MongoDB is there."""
    if VARIABLE in os.environ:
        return Finding(Kind.REAL, f"your server at {VARIABLE}")
    if find_spec("mongomock"):
        return Finding(
            Kind.STAND_IN, f"mongomock: set {VARIABLE} to mongodb://HOST of a server of yours for the real one"
        )
    return Finding(Kind.MISSING, MISSING)
