"""The services as fixtures: a pytest plugin that every run of a check has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from autograder.notebook import services


@pytest.fixture
def postgres() -> Iterator[services.Database]:
    """A new, empty PostgreSQL database, dropped after the test."""
    with services.postgres() as database:
        yield database


@pytest.fixture
def redis() -> Iterator[services.Store]:
    """An empty Redis database, emptied after the test."""
    with services.redis() as store:
        yield store
