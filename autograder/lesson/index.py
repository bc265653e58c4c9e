"""The start page of the learner's notebooks, `notebooks/index.ipynb`, made from the manifest and the lessons."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_notebook

from autograder.lesson.guide import Entry, Guide
from autograder.lesson.source import Lesson

WELCOME = """\
# Senior Python interviews, hands on

Each notebook is one lesson: what an interviewer really asks, how the thing works, what it costs and how it fails, and
exercises that are marked while you work. The lessons are listed below; begin anywhere, or at the top."""

HOW_TO = """\
## How to work an exercise

1. **Run the notebook from its first cell down to the exercise** (Shift+Enter runs a cell). The first cell loads the
   checks, the later ones define what the exercises use.
2. **Read the prompt.** It is the whole contract: names, types, errors, order, edge cases.
3. **Write your answer in the cell below it**, in the place of `raise NotImplementedError`, and run that cell.
4. **Run the check**, the cell that begins with `%%check`. It shows one line for each test:
   * ○ not solved yet
   * ✘ failed: what was called, what came back, what was expected
   * ✔ passed
5. **Stuck?** Unfold the hints one at a time. The first nudges, the last nearly tells.
6. **Mark it.** Some tests are run only when you are marked, as an interviewer would try the edges. The prompt says all
   that is needed to pass them.

Cells of your own are welcome anywhere."""

COMMANDS = """\
## Commands

Type them in a terminal (File > New > Terminal) anywhere in the course's folder.

* `course grade` marks your notebooks, hidden tests included, and never changes them. `course grade LESSON` marks one.
* `course progress` shows which exercises have passed their check.
* `course update` brings the newest version of the lessons that have changed, with your answers in it.
  The notebook that you had is kept beside it.
* `course reset EXERCISE` or `course reset LESSON` gives you the empty exercise back. What you had is kept as well.

**On Binder or JupyterHub** there is nothing to install. You work in the course's own notebooks there: `course grade`
and `course progress` work as above, while `course update` and `course reset` are for the copy that you keep on your own
machine. Binder forgets everything when it is left alone for a while: download what you want to keep (File >
Download)."""


def start_page(guide: Guide, lessons: Mapping[str, Lesson]) -> NotebookNode:
    """Return the start page: what the course is, how to work in it, and the lessons given, by section.

    `lessons` are parsed lessons by id; the page lists those and no other, in the manifest's order.
    Raises nbformat.ValidationError should the result not be a notebook of format 4.5.
    """
    cells = [
        new_markdown_cell(WELCOME, id="welcome"),
        new_markdown_cell(HOW_TO, id="how-to"),
        new_markdown_cell(COMMANDS, id="commands"),
        new_markdown_cell("## Lessons", id="lessons"),
    ]
    for section in guide.sections:
        entries = [entry for entry in section.lessons if entry.id in lessons]
        if entries:
            lines = [f"### {section.number}. {_escaped(section.title)}", ""]
            lines += [line for entry in entries for line in _item(entry, lessons)]
            cells.append(new_markdown_cell("\n".join(lines), id=f"section-{section.number}"))
    notebook: NotebookNode = new_notebook(
        cells=cells,
        metadata={
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
    )
    notebook["nbformat_minor"] = 5
    nbformat.validate(notebook)
    return notebook


def _item(entry: Entry, lessons: Mapping[str, Lesson]) -> Iterator[str]:
    """Yield the lines of a lesson's item in the list: link, size, topics and the lessons that it builds on."""
    lesson = lessons[entry.id]
    exercises = lesson.exercises.values()
    points = sum(exercise.points for exercise in exercises)
    minutes = sum(exercise.minutes for exercise in exercises)
    size = f"{_count(len(exercises), 'exercise')}, {_count(points, 'point')}, {_count(minutes, 'minute')} of exercises"
    yield f"* {_link(entry.id, lesson)}: {size}  "
    topics = f"  Topics: {', '.join(_escaped(topic.title) for topic in entry.topics)}"
    required = [_link(lesson_id, lessons[lesson_id]) for lesson_id in entry.requires if lesson_id in lessons]
    yield f"{topics}  " if required else topics
    if required:
        yield f"  Builds on: {', '.join(required)}"


def _link(lesson_id: str, lesson: Lesson) -> str:
    """Return a link from the start page to a lesson. A lesson's title is Markdown already."""
    return f"[{lesson.title}]({lesson_id}.ipynb)"


def _count(number: int, noun: str) -> str:
    """Return a number with its noun: `1 point`, `2 points`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _escaped(text: str) -> str:
    """Return plain text as Markdown that shows it unchanged."""
    return re.sub(r"([\\`*_\[\]<>&#])", r"\\\1", text)
