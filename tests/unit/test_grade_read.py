"""Reading what was handed in: a notebook where it is one, a reason where it isn't."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autograder.grade import read
from autograder.grade.read import SubmittedCell, UnreadableError, read_notebook


def written(*cells: Any, **metadata: Any) -> bytes:
    """Return a notebook file with these cells."""
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}).encode()


def test_a_cell_is_its_type_source_and_ids() -> None:
    cell = {
        "cell_type": "code",
        "id": "a",
        "source": ["x = 1\n", "y = 2"],
        "metadata": {"nbgrader": {"grade_id": "add", "points": 100}},
        "outputs": [{"anything": 1}],
    }
    assert read_notebook(written(cell)).cells == (SubmittedCell("code", "x = 1\ny = 2", "a", "add"),)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_every_encoding_of_json_is_read(encoding: str) -> None:
    content = written({"cell_type": "markdown", "source": "naïve"}).decode()
    content = content.replace("\\u00ef", "ï")
    assert read_notebook(content.encode(encoding)).cells[0].source == "naïve"


def test_format_3_is_read() -> None:
    old = {"worksheets": [{"cells": [{"cell_type": "code", "input": ["x = 1"]}]}], "nbformat": 3}
    assert read_notebook(json.dumps(old).encode()).cells == (SubmittedCell("code", "x = 1", "", ""),)


@pytest.mark.parametrize(
    "cell",
    [
        {},
        {"cell_type": 3, "source": {"a": 1}, "metadata": [], "id": None},
        {"cell_type": "heading", "source": [1, None], "metadata": {"nbgrader": "x"}},
        {"metadata": {"nbgrader": {"grade_id": ["add"]}}},
    ],
)
def test_what_a_cell_lacks_counts_as_empty(cell: dict[str, Any]) -> None:
    assert read_notebook(written(cell)).cells == (SubmittedCell("raw", "", "", ""),)


def test_half_a_character_is_made_writable() -> None:
    (cell,) = read_notebook(b'{"cells": [{"cell_type": "code", "source": "\\ud800"}]}').cells
    cell.source.encode()


@pytest.mark.parametrize(
    ("metadata", "language"),
    [
        ({}, ""),
        ({"kernelspec": {"name": "ir", "language": "R"}}, "r"),
        ({"kernelspec": "?", "language_info": {"name": "julia"}}, "julia"),
    ],
)
def test_the_language_is_the_kernels(metadata: dict[str, Any], language: str) -> None:
    assert read_notebook(written(**metadata)).language == language


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"Dear teacher", "JSON"),
        (b'{"cells": [', "JSON"),
        (b"\xff\xfe\xfd", "JSON"),
        (b"[" * 100_000, "JSON"),
        (b"[]", "not a notebook"),
        (b'"text"', "not a notebook"),
        (b"{}", "cells"),
        (b'{"cells": {}}', "cells"),
    ],
)
def test_what_is_no_notebook_is_refused_with_the_reason(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read_notebook(content)


def test_a_file_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "MAX_BYTES", 100)
    with pytest.raises(UnreadableError, match="bytes"):
        read_notebook(written({"cell_type": "code", "source": "x" * 100}))
