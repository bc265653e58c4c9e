"""The services as fixtures: a pytest plugin that every run of a check has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from autograder.notebook import services

if TYPE_CHECKING:
    from autograder.notebook.services.postgresql import Database
    from autograder.notebook.services.valkey import Store


@pytest.fixture
def postgres() -> Iterator[Database]:
    """A new, empty PostgreSQL database, dropped after the test."""
    with services.postgres() as database:
        yield database


@pytest.fixture
def redis() -> Iterator[Store]:
    """An empty Redis database, emptied after the test."""
    with services.redis() as store:
        yield store
