"""A learner in JupyterLab: checks, answers, nbgrader's Validate button.

The README's picture is taken here: LESSON_PICTURE=book/_static/lesson.png pytest tests/browser/test_lab.py -k picture
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from tests.browser.conftest import Learner

pytestmark = [
    pytest.mark.skipif(
        shutil.which("chromium") is None and "CI" not in os.environ,
        reason="Chromium is not installed (Debian's package chromium)",
    ),
    pytest.mark.slow,
    pytest.mark.xdist_group("JupyterLab"),
]


def as_typed(source: str) -> str:
    """Return an answer of the lesson's source without its marks and notes, which are comments."""
    return "\n".join(line for line in source.splitlines() if not line.strip().startswith("#"))


def test_a_learner_solves_an_exercise_and_validates_the_notebook(learner: Learner) -> None:
    exercise, *others = learner.lesson.exercises.values()
    learner.open_lesson()

    learner.run_all_above(f"check-{exercise.name}")
    report = learner.run(f"check-{exercise.name}")
    expect(report).to_contain_text("○")
    expect(report).not_to_contain_text("✔")

    learner.type_answer(exercise.name, as_typed(exercise.solution.source))
    learner.run(f"solution-{exercise.name}")
    report = learner.run(f"check-{exercise.name}")
    expect(report).to_contain_text("✔")
    expect(report).not_to_contain_text(re.compile("[○✘]"))

    learner.page.get_by_role("button", name="Validate").click()
    result = learner.page.get_by_role("dialog")
    for other in others:
        expect(result).to_contain_text(f"%%check {other.name}")
    expect(result).not_to_contain_text(f"%%check {exercise.name}")


def test_a_wrong_answer_is_told_what_it_does_and_makes_the_readmes_picture(learner: Learner, tmp_path: Path) -> None:
    exercise = learner.lesson.exercises["bounded_map"]
    learner.page.set_viewport_size({"width": 1180, "height": 940})
    learner.open_lesson()

    for earlier in itertools.takewhile(lambda other: other != exercise, learner.lesson.exercises.values()):
        learner.type_answer(earlier.name, as_typed(earlier.solution.source))
    learner.run_all_above(f"solution-{exercise.name}")
    learner.type_answer(exercise.name, as_typed(exercise.wrongs[0].source))
    learner.run(f"solution-{exercise.name}")
    report = learner.run(f"check-{exercise.name}")
    expect(report).to_contain_text("✔")
    expect(report).to_contain_text("✘")
    expect(report).not_to_contain_text("\x1b")

    # What a picture has no room for: the news, the list of files, the code of the tests.
    learner.page.get_by_role("button", name="No", exact=True).click()
    learner.page.get_by_role("tab", name="File Browser").click()
    learner.cell(f"check-{exercise.name}").locator(".jp-InputCollapser").click()
    report.evaluate("report => report.scrollIntoView({ block: 'end' })")
    picture = Path(os.environ.get("LESSON_PICTURE", tmp_path / "lesson.png"))
    learner.page.screenshot(path=picture)
    assert picture.stat().st_size < 200_000
