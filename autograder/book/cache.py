"""The book's execution cache: what pages have shown when they ran, by the code that ran."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from nbformat import NotebookNode, from_dict

import autograder
from autograder.course import Course

STAMP = "made-with"


def prepare(course: Course) -> None:
    """Make the cache. One that other software has filled is emptied: its keys are the cells of the pages alone."""
    folder = _folder(course)
    stamp = folder / STAMP
    current = software(course)
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != current:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        stamp.write_text(current, encoding="utf-8")


def holds(course: Course, page: NotebookNode) -> bool:
    """Return whether the cache has what this page shows."""
    try:
        get_cache(_folder(course)).match_cache_notebook(page)
    except KeyError:
        return False
    return True


def put(course: Course, page: NotebookNode, path: Path, outputs: Mapping[str, Sequence[Any]], seconds: float) -> None:
    """Keep what the cells of the page in file `path` showed, by cell id, when they ran in so many seconds."""
    executed = deepcopy(page)
    code = (cell for cell in executed.cells if cell.cell_type == "code")
    for number, cell in enumerate(code, start=1):
        cell.outputs = from_dict(list(outputs[cell.id]))
        cell.execution_count = number
    bundle = CacheBundleIn(executed, str(path), data={"execution_seconds": seconds})
    get_cache(_folder(course)).cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


def software(course: Course) -> str:
    """Return what stands for the software that pages run on: Python, the pinned packages, what a notebook loads."""
    digest = hashlib.sha256(sys.version.encode())
    package = Path(autograder.__file__)
    loaded = (package, *sorted(package.with_name("notebook").rglob("*.py")))
    for path in (course.root / "requirements.txt", *loaded):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _folder(course: Course) -> Path:
    """Return the folder of the cache; Jupyter Book looks for it there."""
    return course.book / "_build" / ".jupyter_cache"
