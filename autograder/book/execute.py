"""Runs the book's pages side by side, without a kernel process for each, into the book's cache."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from autograder.book import cache
from autograder.course import Course
from autograder.kernel import Session, fork_each

PAGE_LIMIT = 120.0  # seconds for one page; a lesson has to run in a sixth of that


def fill_cache(course: Course, pages: Sequence[Path]) -> None:
    """Run the pages that the cache lacks, on all cores, and keep what they show.

    One that fails, or takes longer than PAGE_LIMIT, is left out: Jupyter Book then runs it itself and says why.
    So are all of them on a system without fork.
    """
    missing = {path: page for path in pages if not cache.holds(course, page := nbformat.read(path, as_version=4))}
    if not hasattr(os, "fork"):
        return
    with tempfile.TemporaryDirectory(prefix="book-") as folder:
        calls = [partial(_run, page, folder) for page in missing.values()]
        outcomes = fork_each(calls, PAGE_LIMIT, at_once=os.cpu_count() or 1)
        for (path, page), outcome in zip(missing.items(), outcomes, strict=True):
            if outcome.value:
                cache.put(course, page, path, **outcome.value)


def _run(page: NotebookNode, folder: str) -> dict[str, Any] | None:
    """Run a page's cells in an empty folder below `folder`; return what each showed by id, None should one fail."""
    os.chdir(tempfile.mkdtemp(dir=folder))
    started = time.perf_counter()
    session = Session()
    outputs = {}
    for cell in page.cells:
        if cell.cell_type == "code":
            result = session.run(cell.source)
            if not result.ok:
                return None
            outputs[cell.id] = result.outputs
    return {"outputs": outputs, "seconds": time.perf_counter() - started}
