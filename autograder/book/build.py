"""Builds the book: lays its sources out in `book/_pages`, then runs Jupyter Book over them."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat

from autograder.book import cache
from autograder.book.execute import fill_cache
from autograder.book.pages import page
from autograder.course import Course, CourseError
from autograder.lesson.guide import Guide, load_guide
from autograder.lesson.release import INDEX, stale

LANDING = "index.md"
LESSONS_MARK = "<!-- lessons -->"


def html_folder(course: Course) -> Path:
    """Return the folder of the built book."""
    return course.book / "_build" / "html"


def is_built(course: Course) -> bool:
    """Return whether the last build came to its end."""
    return _stamp(course).is_file()


def build_book(course: Course) -> Path:
    """Build the book's HTML and return its folder. Where it is built from the same already, nothing is done.

    What Jupyter Book has to say goes to stderr. Raises CourseError where the generated notebooks aren't current,
    a cell of a page fails, or Jupyter Book warns.
    """
    if outdated := stale(course):
        raise CourseError(f"{outdated[0]} is not what its source gives: run `make build` first")
    guide = load_guide(course)
    lay_out(course, guide)
    origin = _digest(course)
    if is_built(course) and _stamp(course).read_text(encoding="utf-8") == origin:
        return html_folder(course)
    _stamp(course).unlink(missing_ok=True)
    cache.prepare(course)
    fill_cache(course, [pages_folder(course) / f"{entry.id}.ipynb" for entry in guide.lessons])
    _run_jupyter_book(course)
    _offer_learners_notebooks(course, guide)
    _stamp(course).write_text(origin, encoding="utf-8")
    return html_folder(course)


def lay_out(course: Course, guide: Guide) -> None:
    """Write `book/_pages`, the sources of every page, and `book/_toc.yml`, their order."""
    pages = pages_folder(course)
    shutil.rmtree(pages, ignore_errors=True)
    shutil.copytree(course.book / "_static", pages / "_static")
    for entry in guide.lessons:
        made = page(
            nbformat.read(course.solutions / f"{entry.id}.ipynb", as_version=4),
            nbformat.read(course.notebooks / f"{entry.id}.ipynb", as_version=4),
        )
        target = pages / f"{entry.id}.ipynb"
        target.parent.mkdir(exist_ok=True)
        nbformat.write(made, target)
    landing = (course.book / LANDING).read_text(encoding="utf-8")
    (pages / LANDING).write_text(landing.replace(LESSONS_MARK, _lessons(course)), encoding="utf-8")
    # YAML holds JSON.
    _toc(course).write_text(json.dumps(contents(guide), indent=2) + "\n", encoding="utf-8")


def contents(guide: Guide) -> dict[str, Any]:
    """Return the table of contents as Jupyter Book wants it: a part for each section that has lessons."""
    parts = [
        {
            "caption": f"{section.number}. {section.title}",
            "chapters": [{"file": entry.id} for entry in section.lessons],
        }
        for section in guide.sections
        if section.lessons
    ]
    return {"format": "jb-book", "root": Path(LANDING).stem, "parts": parts}


def pages_folder(course: Course) -> Path:
    """Return the folder of the pages' sources."""
    return course.book / "_pages"


def _toc(course: Course) -> Path:
    """Return the file with the pages' order."""
    return course.book / "_toc.yml"


def _stamp(course: Course) -> Path:
    """Return the file that says what the built book was made from."""
    return course.book / "_build" / "made-from"


def _lessons(course: Course) -> str:
    """Return the list of lessons that the learner's start page has."""
    start = nbformat.read(course.notebooks / INDEX, as_version=4)
    return "\n\n".join(cell.source for cell in start.cells if cell.id.startswith("section-"))


def _digest(course: Course) -> str:
    """Return what stands for all that the book is made from."""
    digest = hashlib.sha256(cache.software(course).encode())
    learners = course.notebooks.rglob("*.ipynb")
    for path in (course.book / "_config.yml", _toc(course), *sorted(_files(pages_folder(course))), *sorted(learners)):
        digest.update(f"\n{path.relative_to(course.root).as_posix()}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder."""
    return (path for path in folder.rglob("*") if path.is_file())


def _run_jupyter_book(course: Course) -> None:
    """Build the HTML of the pages, warnings as errors. Raises CourseError where there are any."""
    shutil.rmtree(html_folder(course), ignore_errors=True)
    command = [
        *(sys.executable, "-c", "from jupyter_book.cli.main import main; main()"),
        *("build", str(pages_folder(course))),
        *("--config", str(course.book / "_config.yml")),
        *("--toc", str(_toc(course))),
        *("--path-output", str(course.book)),
        *("-W", "-n", "--keep-going", "--all", "-q"),
    ]
    # Its last words on stdout praise a file:// address, at which a browser can't search.
    run = subprocess.run(command, cwd=course.root, stdout=subprocess.DEVNULL, check=False)
    if run.returncode != 0:
        raise CourseError("the book could not be built: mend in lessons/ what is said above, then `make build book`")


def _offer_learners_notebooks(course: Course, guide: Guide) -> None:
    """Put the learner's notebook behind the download button of each page."""
    for entry in guide.lessons:
        name = f"{entry.id}.ipynb"
        shutil.copyfile(course.notebooks / name, html_folder(course) / "_sources" / name)
