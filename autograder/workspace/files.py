"""Notebook files of the learner: read with suspicion, written in one step, kept beside under a name of their own."""

from __future__ import annotations

import json
import os
import secrets
from datetime import datetime
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import reads, writes

from autograder.course import CourseError

CELL_TYPES = ("code", "markdown", "raw")


def parse_notebook(content: bytes, shown: Path, remedy: str) -> NotebookNode:
    """Return the notebook that a file's content is. Its cells have a type, a source and metadata; ids may lack.

    Raises CourseError, which names the file as `shown` and ends in `remedy`, where it isn't a notebook of format 4.
    """
    try:
        # A Windows editor may have put a mark in front of the text.
        text = content.decode("utf-8-sig")
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CourseError(f"{shown} is damaged (it isn't whole JSON: {error}): {remedy}") from error
    if not _is_notebook(data):
        raise CourseError(f"{shown} is not a Jupyter notebook of format 4: {remedy}")
    try:
        notebook: NotebookNode = reads(text)
    except (AttributeError, KeyError, TypeError) as error:
        raise CourseError(f"{shown} has a cell with an output or attachment that is none: {remedy}") from error
    return notebook


def notebook_bytes(notebook: NotebookNode) -> bytes:
    """Return a notebook as nbformat writes it to a file."""
    text: str = writes(notebook)
    return f"{text}\n".encode()


def read(path: Path, shown: Path) -> bytes:
    """Return a file's content. Raises CourseError where it can't be opened."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise CourseError(f"{shown} could not be read: {error.strerror}") from error


def write(path: Path, content: bytes, shown: Path) -> None:
    """Put `content` in place at `path` in one step: a reader sees the old file or the new one.

    Raises CourseError where that isn't possible; the old file then stands.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write_new(temporary, content)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise CourseError(f"{shown} could not be written: {error.strerror}") from error


def keep(path: Path, content: bytes, shown: Path) -> Path:
    """Write the old `content` of `path` to a new file beside it, and return that.

    Its name has a dot before the ending's, `01_async.kept-20260131-174500.ipynb`: no lesson's has.
    Raises CourseError where it can't be written.
    """
    stamp = f"{datetime.now():%Y%m%d-%H%M%S}"
    number = 1
    while True:
        suffix = stamp if number == 1 else f"{stamp}-{number}"
        target = path.with_name(f"{path.stem}.kept-{suffix}{path.suffix}")
        try:
            _write_new(target, content)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise CourseError(f"no copy of {shown} could be kept beside it: {error.strerror}") from error
        else:
            return target


def _write_new(path: Path, content: bytes) -> None:
    """Write a file that must not exist yet, through to the disk. Raises FileExistsError where it does."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _is_notebook(data: object) -> bool:
    """Return whether parsed JSON has the parts of a notebook that are used here."""
    if not isinstance(data, dict) or data.get("nbformat") != 4 or not isinstance(data.get("cells"), list):
        return False
    return isinstance(data.get("metadata", {}), dict) and all(_is_cell(cell) for cell in data["cells"])


def _is_cell(cell: object) -> bool:
    """Return whether parsed JSON is a cell: of a known type, its source text or lines of text."""
    if not isinstance(cell, dict) or cell.get("cell_type") not in CELL_TYPES:
        return False
    source = cell.get("source")
    is_text = isinstance(source, str) or (isinstance(source, list) and all(isinstance(line, str) for line in source))
    return is_text and isinstance(cell.get("metadata"), dict) and isinstance(cell.get("outputs", []), list)
