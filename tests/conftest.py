"""What tests of every cost share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from autograder.course import Course, find_course
from autograder.environment import add_tools_to_path


@pytest.fixture(scope="session")
def course() -> Course:
    """This checkout."""
    return find_course(Path(__file__).parent)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The one event loop that the course teaches and runs on."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def _environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's IPython and Jupyter settings out of the tests, and the tests out of them."""
    add_tools_to_path()
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR"):
            patch.setenv(variable, os.fspath(tmp_path_factory.mktemp(variable.lower())))
        yield
