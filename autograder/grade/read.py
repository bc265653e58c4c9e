"""Reads what was handed in as a notebook, whatever it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Far above any real answer; a notebook swells by its outputs, which are read and thrown away.
MAX_BYTES = 50_000_000
CELL_TYPES = ("code", "markdown", "raw")


class UnreadableError(Exception):
    """What was handed in isn't a notebook; its text says what it is."""


@dataclass(frozen=True, slots=True)
class SubmittedCell:
    """What counts of a cell that was handed in."""

    cell_type: str
    source: str
    cell_id: str
    grade_id: str


@dataclass(frozen=True, slots=True)
class Submitted:
    """What counts of a notebook that was handed in; `language` and `lesson` are "" where it doesn't say."""

    cells: tuple[SubmittedCell, ...]
    language: str
    lesson: str = ""
    # The notebook format's version, None where it isn't a number.
    version: int | None = 4


def read_notebook(content: bytes) -> Submitted:
    """Return what counts of the notebook that `content` is, of format 4 or 3; outputs are left behind.

    Raises UnreadableError where it is none.
    """
    if not content.strip():
        raise UnreadableError("the file is empty")
    if len(content) > MAX_BYTES:
        raise UnreadableError(f"the file has {len(content):,} bytes, more than {MAX_BYTES:,}")
    try:
        data = json.loads(_decode(content))
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"it is not whole JSON ({error})") from error
    if not isinstance(data, Mapping):
        raise UnreadableError("it is JSON, but not a notebook")
    version = data.get("nbformat")
    return Submitted(
        cells=tuple(_cell(cell) for cell in _cells(data)),
        language=_language(data),
        lesson=_lesson(data),
        version=version if isinstance(version, int) else None,
    )


def _decode(content: bytes) -> str:
    """Return the text, in the encoding that JSON may have; raises ValueError where it is another."""
    return content.decode(json.detect_encoding(content))


def _cells(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the cells of a parsed notebook."""
    cells = data.get("cells")
    worksheets = data.get("worksheets")
    if cells is None and isinstance(worksheets, list):  # format 3
        cells = [cell for sheet in worksheets if isinstance(sheet, Mapping) for cell in _list(sheet.get("cells"))]
    if not isinstance(cells, list):
        raise UnreadableError("it has no list of cells")
    return [cell for cell in cells if isinstance(cell, Mapping)]


def _cell(cell: Mapping[str, Any]) -> SubmittedCell:
    """Return what counts of one cell, whatever it lacks."""
    source = cell.get("source", cell.get("input", ""))  # "input" in format 3
    metadata = cell.get("metadata")
    given = metadata.get("nbgrader") if isinstance(metadata, Mapping) else None
    cell_type = cell.get("cell_type")
    return SubmittedCell(
        cell_type=cell_type if cell_type in CELL_TYPES else "raw",
        source="".join(map(_text, source)) if isinstance(source, list) else _text(source),
        cell_id=_text(cell.get("id")),
        grade_id=_text(given.get("grade_id")) if isinstance(given, Mapping) else "",
    )


def _lesson(data: Mapping[str, Any]) -> str:
    """Return the lesson that the notebook says to be."""
    metadata = data.get("metadata")
    own = metadata.get("autograder") if isinstance(metadata, Mapping) else None
    return _text(own.get("lesson")) if isinstance(own, Mapping) else ""


def _language(data: Mapping[str, Any]) -> str:
    """Return the language of the kernel that saved the notebook."""
    metadata = data.get("metadata")
    if not isinstance(metadata, Mapping):
        return ""
    for place, name in (("kernelspec", "language"), ("language_info", "name")):
        said = metadata.get(place)
        if isinstance(said, Mapping) and _text(said.get(name)):
            return _text(said.get(name)).lower()
    return ""


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    """Return text that can be written again; what isn't text counts as none."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""
