"""The book as Jupyter Book builds it, of a course of two lessons."""

from __future__ import annotations

import re
import shutil
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from autograder.book import build_book
from autograder.book.serve import book_server
from autograder.course import Course, CourseError
from autograder.lesson.release import build

pytestmark = pytest.mark.xdist_group("small book")  # built once for all of them

MANIFEST = """\
checklist = []
resources = []

[[section]]
id = "core"
number = 1
title = "Core & more"
folder = "01_core"

[[section.subsection]]
id = "core/basics"
title = "Basics"
topics = [{ id = "core/basics/sums", title = "Sums", terms = ["plus"] }]

[[section.lesson]]
file = "01_sums"
topics = ["core/basics/sums"]

[[section.lesson]]
file = "02_figures"
topics = ["core/basics/sums"]
"""
SUMS = '''\
# %% [markdown]
# # Sums of $1 and $2

# %% [markdown] exercise add topic=sums level=core minutes=5
# ## Exercise: add
#
# Add.
#
# ```python
# >>> add(1, 2)
# 3
# ```

# %% solution add
def add(a: int, b: int) -> int:
    """Return a + b."""
    # BEGIN SOLUTION
    return a + b
    # END SOLUTION


# %% check add points=1
def test_adds_small_numbers() -> None:
    assert add(1, 2) == 3


# %% hidden add points=2
def test_adds_zero() -> None:
    assert add(1, 0) == 1


# %% [markdown] hint add
# Look at `+`.

# %% [markdown] after add
# Because. See [the figures](02_figures.ipynb).
'''
FIGURES = """\
# %% [markdown]
# # Figures

# %%
import os
from IPython.display import display

display({"text/plain": "plain", "text/html": "<b>static</b>", "application/vnd.jupyter.widget-view+json":
         {"model_id": "0", "version_major": 2, "version_minor": 0}}, raw=True)
print(sorted(os.listdir()), flush=True)
"""


def make_course(root: Path, book: Path, **sources: str) -> Course:
    """Return a small course at `root`, released, with the real book's configuration."""
    course = Course(root)
    (course.lessons / "01_core").mkdir(parents=True)
    course.manifest.write_text(MANIFEST, encoding="utf-8")
    for name, source in sources.items():
        (course.lessons / f"01_core/{name}.py").write_text(source, encoding="utf-8")
    course.book.mkdir()
    for name in ("_config.yml", "index.md"):
        shutil.copy(book / name, course.book)
    shutil.copytree(book / "_static", course.book / "_static")
    (root / "requirements.txt").touch()
    build(course)
    return course


@pytest.fixture(scope="module")
def built(course: Course, tmp_path_factory: pytest.TempPathFactory) -> Course:
    """Return a small course whose book is built."""
    small = make_course(tmp_path_factory.mktemp("course"), course.book, **{"01_sums": SUMS, "02_figures": FIGURES})
    build_book(small)
    return small


@pytest.fixture
def html(built: Course) -> Path:
    """Return the folder of the built book."""
    return built.book / "_build/html"


def test_each_lesson_is_a_page_that_shows_what_its_cells_showed(html: Path) -> None:
    text = (html / "01_core/01_sums.html").read_text(encoding="utf-8")
    assert "adds small numbers" in text
    assert "adds zero" not in text
    assert "test_adds_zero" not in text


def test_dollars_in_the_text_stay_dollars(html: Path) -> None:
    assert "Sums of $1 and $2" in (html / "01_core/01_sums.html").read_text(encoding="utf-8")


def test_pages_run_in_an_empty_folder_and_a_widget_shows_its_static_form(html: Path) -> None:
    text = (html / "01_core/02_figures.html").read_text(encoding="utf-8")
    assert "<b>static</b>" in text
    assert "[]" in text
    assert 'type="application/vnd.jupyter.widget' not in text


def test_lessons_can_link_to_each_other(html: Path) -> None:
    assert 'href="02_figures.html"' in (html / "01_core/01_sums.html").read_text(encoding="utf-8")


def test_nothing_is_loaded_from_elsewhere(html: Path) -> None:
    loading = re.compile(r"""(?:<script[^>]*\bsrc|<link[^>]*\bhref|<img[^>]*\bsrc|@import|url\()\W*(?:https?:)?//""")
    for path in (*html.rglob("*.html"), *html.rglob("*.css")):
        assert not loading.findall(path.read_text(encoding="utf-8")), path
    assert "require.min.js" not in (html / "01_core/02_figures.html").read_text(encoding="utf-8")


def test_the_download_is_the_learners_notebook(built: Course, html: Path) -> None:
    downloaded = nbformat.read(html / "_sources/01_core/01_sums.ipynb", as_version=4)
    assert downloaded == nbformat.read(built.notebooks / "01_core/01_sums.ipynb", as_version=4)
    assert '_sources/01_core/01_sums.ipynb"' in (html / "01_core/01_sums.html").read_text(encoding="utf-8")


def test_a_page_opens_the_learners_notebook_on_binder(html: Path) -> None:
    text = (html / "01_core/01_sums.html").read_text(encoding="utf-8")
    assert re.search(r"https://mybinder\.org/v2/gh/[^\"]*\?urlpath=lab/tree/notebooks/01_core/01_sums\.ipynb", text)


def test_the_landing_page_lists_the_lessons(html: Path) -> None:
    text = (html / "index.html").read_text(encoding="utf-8")
    article = text[text.index("<article") : text.index("</article")]
    assert 'href="01_core/01_sums.html"' in article
    assert 'href="01_core/02_figures.html"' in article


def test_a_current_book_is_not_built_again(built: Course, html: Path) -> None:
    mark = html / "index.html"
    mark.write_text("as it was", encoding="utf-8")
    build_book(built)
    assert mark.read_text(encoding="utf-8") == "as it was"


@pytest.fixture
def address(built: Course) -> Iterator[str]:
    """Return where the built book is being served."""
    server = book_server(built, 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_built_book_is_served_on_this_machine_only(built: Course, address: str) -> None:
    with urllib.request.urlopen(f"{address}/01_core/01_sums.html", timeout=10) as answer:
        assert b"adds small numbers" in answer.read()
    with pytest.raises(CourseError, match="port"):
        book_server(built, int(address.rpartition(":")[2]))


@pytest.mark.slow
def test_a_failing_cell_and_a_broken_link_fail_the_build_and_are_named(
    course: Course, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    failing = FIGURES + "raise RuntimeError('no figure today')\n"
    broken = SUMS.replace("02_figures.ipynb", "no_such_lesson.ipynb")
    bad = make_course(tmp_path, course.book, **{"01_sums": broken, "02_figures": failing})
    with pytest.raises(CourseError):
        build_book(bad)
    said = capfd.readouterr().err
    assert "no figure today" in said
    assert "no_such_lesson" in said
    with pytest.raises(CourseError, match="not built"):
        book_server(bad, 0)


def test_notebooks_that_are_not_current_are_not_published(course: Course, tmp_path: Path) -> None:
    outdated = make_course(tmp_path, course.book, **{"01_sums": SUMS, "02_figures": FIGURES})
    (outdated.lessons / "01_core/01_sums.py").write_text(SUMS.replace("Add.", "Add them."), encoding="utf-8")
    with pytest.raises(CourseError, match="make build"):
        build_book(outdated)
    assert not (outdated.book / "_build").exists()
