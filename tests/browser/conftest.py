"""What browser tests share: headless Chromium, JupyterLab on a learner's copy, the book being served."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from autograder.book import build_book
from autograder.book.serve import book_server
from autograder.course import Course
from autograder.lesson.guide import load_guide
from autograder.lesson.source import parse_file

# Chromium as a test needs it: without its sandbox, which a container's root can't have, and without calls home.
CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 60_000  # milliseconds for one condition, on a busy machine
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/\S*token=\w+")


# Ended with its module: Playwright keeps an event loop running, and the tests that follow need theirs.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return a headless Chromium."""
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Return a new page with no memory of other tests, which can't leave this machine."""
    context = browser.new_context(viewport={"width": 1280, "height": 960})
    context.route(re.compile(r"^https?://(?!127\.0\.0\.1[:/])"), lambda route: route.abort())
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


@pytest.fixture
def checkout(course: Course, tmp_path: Path) -> Course:
    """Return a copy of the course as a learner clones it: none of what git ignores."""
    ignored = (".*", "__pycache__", "_build", "_pages", "_toc.yml", "work", "grading", "progress.json")
    shutil.copytree(course.root, tmp_path / "course", ignore=shutil.ignore_patterns(*ignored))
    return Course(tmp_path / "course")


@pytest.fixture
def lab(checkout: Course, tmp_path: Path) -> Iterator[str]:
    """Return the address of JupyterLab as `course lab` starts it on the learner's copy."""
    # Every cell is in the page, also where it is out of sight.
    settings = tmp_path / "settings"
    tracker = settings / "@jupyterlab/notebook-extension/tracker.jupyterlab-settings"
    tracker.parent.mkdir(parents=True)
    tracker.write_text(json.dumps({"windowingMode": "none"}), encoding="utf-8")
    runtime = tmp_path / "runtime"
    environment = os.environ | {"JUPYTERLAB_SETTINGS_DIR": str(settings), "JUPYTER_RUNTIME_DIR": str(runtime)}
    command = [str(Path(sys.executable).with_name("course")), "lab", "--no-browser"]
    with subprocess.Popen(
        command, cwd=checkout.root, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as server:
        assert server.stderr
        said = []
        for line in server.stderr:
            said.append(line)
            if address := ADDRESS.search(line):
                break
        else:
            pytest.fail(f"JupyterLab did not start:\n{''.join(said)}")
        # What it goes on to say has to be taken, or it would block.
        drain = threading.Thread(target=server.stderr.read)
        drain.start()
        yield address.group()
        # JupyterLab ends its kernels first; its stderr closes when all of them have ended.
        os.killpg(server.pid, signal.SIGTERM)
        drain.join(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)


class Learner:
    """Somebody who works the lesson on asyncio in JupyterLab."""

    def __init__(self, page: Page, address: str, checkout: Course) -> None:
        (entry,) = load_guide(checkout).select("async")
        self.page = page
        self.lesson = parse_file(checkout.lessons / f"{entry.id}.py")
        self._address = address
        self._name = f"{Path(entry.id).name}.ipynb"
        notebook = nbformat.read(checkout.notebooks / f"{entry.id}.ipynb", as_version=4)
        self._code = [cell.id for cell in notebook.cells if cell.cell_type == "code"]
        self._panel = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")

    def open_lesson(self) -> None:
        """Open JupyterLab, which shows the start page, follow its link to the lesson, and wait for its kernel."""
        self.page.goto(self._address)
        self._panel.get_by_role("link", name=self.lesson.title).first.click()
        expect(self._cells).to_have_count(len(self._code))
        # JupyterLab leaves out without a word a cell that is run before the notebook has a kernel.
        kernel = self.page.get_by_title(f"Change kernel for {self._name}")
        expect(kernel).to_contain_text("| Idle")

    def run_all_above(self, cell_id: str) -> None:
        """Run every cell above this one, as far as they run: an error stops them."""
        self.editor(cell_id).click()
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Run All Above Selected Cell").click()

    def type_answer(self, exercise: str, source: str) -> None:
        """Put an answer in the place of what stands in the exercise's cell."""
        self.editor(f"solution-{exercise}").click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.insert_text(source)

    def run(self, cell_id: str) -> Locator:
        """Run a code cell and return its output."""
        self.editor(cell_id).click()
        self.page.keyboard.press("Control+Enter")
        return self.cell(cell_id).locator(".jp-OutputArea")

    def editor(self, cell_id: str) -> Locator:
        """Return the place where a cell is typed into."""
        return self.cell(cell_id).locator(".cm-content")

    def cell(self, cell_id: str) -> Locator:
        """Return a code cell."""
        return self._cells.nth(self._code.index(cell_id))

    @property
    def _cells(self) -> Locator:
        return self._panel.locator(".jp-CodeCell")


@pytest.fixture
def learner(page: Page, lab: str, checkout: Course) -> Learner:
    """Return a learner before JupyterLab is open."""
    return Learner(page, lab, checkout)


@pytest.fixture(scope="session")
def book(course: Course) -> Iterator[str]:
    """Return the address of the built book."""
    build_book(course)
    with book_server(course, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()
