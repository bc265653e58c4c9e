"""Damaged submissions: what can be matched is graded, the rest is flagged and never a silent zero."""

from __future__ import annotations

import gzip
import json
import os

from tests.integration.corpus.book import ANSWERS, FULL, NAME, Book, case


@case(0, "JSON")
def truncated(book: Book) -> None:
    """The upload broke off."""
    book.solve().write(content=json.dumps(book.json).encode()[:-200])


@case(0, "empty")
def empty_file(book: Book) -> None:
    """There is nothing in it."""
    book.write(content=b"")


@case(0, "JSON")
def a_letter(book: Book) -> None:
    """It is no notebook at all."""
    book.write(content=b"Dear teacher, my dog ate it.")


@case(0, "JSON")
def compressed(book: Book) -> None:
    """It was compressed on its way."""
    book.write(content=gzip.compress(json.dumps(book.solve().json).encode()))


@case(0, "not a notebook")
def a_list(book: Book) -> None:
    """It is JSON, but a list."""
    book.write(content=b"[1, 2]")


@case(0, "cells")
def without_cells(book: Book) -> None:
    """The list of cells is gone."""
    del book.json["cells"]
    book.write()


@case(0, "no cells")
def no_cells(book: Book) -> None:
    """The list of cells is empty."""
    book.cells.clear()
    book.write()


@case(0, "JSON")
def deep(book: Book) -> None:
    """It is nested deeper than a parser goes."""
    book.write(content=b'{"cells": ' + b"[" * 100_000)


@case(FULL)
def utf_16(book: Book) -> None:
    """It was saved in another encoding that JSON may have."""
    book.write(content=json.dumps(book.solve().json).encode("utf-16"))


@case(FULL)
def byte_order_mark(book: Book) -> None:
    """It begins with a mark that some editors put there."""
    book.write(content=b"\xef\xbb\xbf" + json.dumps(book.solve().json).encode())


@case(0, "JSON")
def latin_1(book: Book) -> None:
    """It was saved in an encoding that JSON can't have."""
    book.solve().add("# naïve")
    book.write(content=json.dumps(book.json, ensure_ascii=False).encode("latin-1"))


@case(FULL, "format")
def format_99(book: Book) -> None:
    """It says to be of a format that doesn't exist yet."""
    book.solve().json["nbformat"] = 99
    book.write()


@case(FULL, "format")
def format_missing(book: Book) -> None:
    """It doesn't say its format."""
    del book.solve().json["nbformat"]
    book.write()


@case(FULL)
def without_metadata(book: Book) -> None:
    """All metadata is gone; the cells' ids are left."""
    for cell in book.solve().cells:
        cell["metadata"] = {}
    book.json["metadata"] = {}
    book.write()


@case(FULL, "none of its cells")
def without_metadata_and_ids(book: Book) -> None:
    """Nothing tells the cells apart any more."""
    for number, cell in enumerate(book.solve().cells):
        cell["metadata"], cell["id"] = {}, f"c{number}"
    book.write()


@case(FULL)
def foreign_metadata(book: Book) -> None:
    """Another program has put its own metadata in place of everything."""
    for cell in book.solve().cells:
        cell["metadata"] = {"colab": {"id": 7}, "nbgrader": ["?"], "tags": "x"}
    book.json["metadata"] = {"colab": {}, "kernelspec": "python"}
    book.write()


@case(FULL)
def old_schema(book: Book) -> None:
    """The cells' metadata is of nbgrader's first schema."""
    for cell in book.solve().cells:
        if "nbgrader" in cell["metadata"]:
            cell["metadata"]["nbgrader"]["schema_version"] = 1
            cell["metadata"]["nbgrader"].pop("cell_type")
    book.write()


@case(FULL)
def future_schema(book: Book) -> None:
    """The cells' metadata is of a schema that doesn't exist yet."""
    for cell in book.solve().cells:
        if "nbgrader" in cell["metadata"]:
            cell["metadata"]["nbgrader"]["schema_version"] = 99
    book.write()


@case(FULL, "kernel for r")
def another_kernel(book: Book) -> None:
    """It was saved by a kernel for R."""
    book.solve().json["metadata"]["kernelspec"] = {"name": "ir", "display_name": "R", "language": "R"}
    book.write()


@case(FULL)
def tests_deleted(book: Book) -> None:
    """The tests are gone: the master has them."""
    book.solve().drop("check-double", "hidden-double", "check-mend").write()


@case(FULL)
def setup_deleted(book: Book) -> None:
    """The first cell is gone: the master has it."""
    book.solve().drop("setup").write()


@case(5, "answer double is not there")
def answer_deleted(book: Book) -> None:
    """The cell for an answer is gone, and the answer with it."""
    book.solve().drop("solution-double").write()


@case(FULL)
def answer_elsewhere(book: Book) -> None:
    """The cell for an answer is gone, the answer stands in another one."""
    book.solve().drop("solution-double").add(ANSWERS["double"]).write()


@case(FULL)
def answer_duplicated(book: Book) -> None:
    """The cell for an answer is there twice, metadata and all."""
    book.solve()
    place = book.cells.index(book.cell("solution-double"))
    book.cells.insert(place, book.cells[place] | {"source": "def double(number):\n    return 0"})
    book.write()


@case(FULL)
def test_duplicated(book: Book) -> None:
    """A test is there twice."""
    book.solve().cells.append(book.cell("check-double"))
    book.write()


@case(FULL)
def answer_split(book: Book) -> None:
    """The cell for an answer was split in its middle."""
    book.solve(double="def double(number):")
    book.add("    return 2 * number", book.cells.index(book.cell("solution-double")) + 1).write()


@case(FULL)
def answer_split_with_metadata(book: Book) -> None:
    """The cell for an answer was split between two functions, and both parts are called the same."""
    book.solve(double="def double(number):\n    return twice(number)")
    place = book.cells.index(book.cell("solution-double"))
    book.cells.insert(place, book.cells[place] | {"source": "def twice(number):\n    return 2 * number"})
    book.write()


@case(FULL)
def answer_and_test_merged(book: Book) -> None:
    """A test was merged into the answer above it."""
    check = "".join(book.cell("check-double")["source"])
    book.solve(double=f"{ANSWERS['double']}\n\n{check}").drop("check-double").write()


@case(7, "answer mend is not there")
def test_and_answer_merged(book: Book) -> None:
    """An answer was merged into a test above it."""
    book.solve().cell("hidden-later")["source"] = "x = 1\n" + ANSWERS["mend"]
    book.drop("solution-mend").write()


@case(0, "stands before the answer")
def reordered(book: Book) -> None:
    """All answers stand below the tests."""
    answers = [cell for cell in book.solve().cells if cell["id"].startswith("solution-")]
    book.drop(*(cell["id"] for cell in answers))
    book.cells.extend(answers)
    book.write()


@case(FULL)
def retyped(book: Book) -> None:
    """Cells of code have become text."""
    book.solve().cell("solution-double")["cell_type"] = "markdown"
    book.cell("check-double")["cell_type"] = "raw"
    book.write()


@case(FULL)
def sources_as_lists(book: Book) -> None:
    """Sources are lists of lines, as they are on a disk."""
    for cell in book.solve().cells:
        cell["source"] = "".join(cell["source"]).splitlines(keepends=True)
    book.write()


@case(FULL)
def format_3(book: Book) -> None:
    """It was converted to the format before."""
    cells = [cell | {"input": cell.pop("source")} for cell in book.solve().cells]
    book.json = {"worksheets": [{"cells": cells}], "metadata": {}, "nbformat": 3}
    book.write()


@case(FULL, "handed in as")
def renamed(book: Book) -> None:
    """It has another name."""
    book.solve().write("sums final (2).ipynb")


@case(FULL, "handed in as")
def renamed_without_metadata(book: Book) -> None:
    """It has another name, and says of its cells alone what it is."""
    book.solve().json["metadata"] = {}
    book.write("x.ipynb")


@case(0, "link")
def link(book: Book) -> None:
    """It is a link to somebody else's file."""
    book.folder.mkdir(parents=True)
    (book.folder / NAME).symlink_to("/etc/passwd")


@case(0, "not a file")
def pipe(book: Book) -> None:
    """It is a named pipe, at which a reader waits for ever."""
    book.folder.mkdir(parents=True)
    os.mkfifo(book.folder / NAME)


@case(0, "could not be read")
def folder(book: Book) -> None:
    """It is a folder."""
    (book.folder / NAME).mkdir(parents=True)


@case(0, "bytes")
def oversized(book: Book) -> None:
    """It is larger than any notebook."""
    book.write(content=b"{" + b" " * 50_000_001 + b"}")


@case(FULL, "time")
def timeless(book: Book) -> None:
    """Nobody can read when it was handed in."""
    book.solve().write()
    (book.folder / "timestamp.txt").write_text("yesterday or so")
