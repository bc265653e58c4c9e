"""The course's software: `%load_ext autograder` in a notebook, `course` in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autograder.notebook import services as services

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Give the notebook its `%%check` magic."""
    from autograder.notebook.check import register

    register(shell)
