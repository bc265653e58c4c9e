"""The services as fixtures: a pytest plugin that every run of a check has. Each is closed after its test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from autograder.notebook import services


@pytest.fixture
def postgres() -> Iterator[services.Database]:
    """A new, empty PostgreSQL database."""
    with services.postgres() as database:
        yield database


@pytest.fixture
def redis() -> Iterator[services.Store]:
    """An empty Redis database."""
    with services.redis() as store:
        yield store


@pytest.fixture
def kafka() -> Iterator[services.Cluster]:
    """A new Kafka cluster of one broker."""
    with services.kafka() as cluster:
        yield cluster


@pytest.fixture
def aws() -> Iterator[services.Cloud]:
    """An empty AWS account."""
    with services.aws() as cloud:
        yield cloud


@pytest.fixture
def mongo() -> Iterator[services.Documents]:
    """A new MongoDB database."""
    with services.mongo() as documents:
        yield documents


@pytest.fixture
def mysql() -> Iterator[services.MySQL]:
    """A new, empty MySQL database."""
    with services.mysql() as database:
        yield database
