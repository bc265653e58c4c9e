"""The learner's copy of the lessons: take what is new, update what has changed, give a stub back.

Beside the lessons, `work/.taken/` holds each as it was released when it was taken: what differs from that is the
learner's. Where that record is lost or damaged, the same is worked out from the notebook as far as it goes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from autograder.course import Course, CourseError
from autograder.lesson.guide import Guide, load_guide
from autograder.workspace import files
from autograder.workspace.merge import Merge, grade_id, is_solution, merge

START_PAGE = "index"


class State(StrEnum):
    """How the learner's copy of a lesson stands to the lesson as it is released now."""

    ABSENT = "absent"
    CURRENT = "current"
    CHANGED = "changed"
    UNKNOWN = "unknown"
    """It isn't known which version the copy was made from."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What `take` did: the lessons by id, and the learner's own start page where it was set aside."""

    taken: tuple[str, ...]
    changed: tuple[str, ...]
    unknown: tuple[str, ...]
    kept_start_page: Path | None

    @property
    def lines(self) -> tuple[str, ...]:
        """The same as sentences, with what to do next."""
        return tuple(self._lines())

    def _lines(self) -> Iterator[str]:
        if self.taken:
            yield f"New in work/: {', '.join(self.taken)}"
        for lesson in self.changed:
            yield f"{lesson} has changed since you took it: `course update {lesson}` brings it with your answers in it"
        for lesson in self.unknown:
            yield (
                f"{lesson}: it isn't known which version yours is: "
                f"`course update {lesson}` brings the newest with your answers in it"
            )
        if self.kept_start_page:
            yield f"You had written on the start page: that is in {self.kept_start_page} now"


@dataclass(frozen=True, slots=True)
class Updated:
    """What `update` did with one lesson. `kept` is the old file, relative to the course's root."""

    lesson: str
    before: State
    merge: Merge | None = None
    kept: Path | None = None
    refused: str | None = None
    """Why the lesson was left as it was; None where nothing stood in the way."""

    @property
    def lines(self) -> tuple[str, ...]:
        """The same as sentences, with what to do next."""
        if self.refused:
            return (self.refused,)
        if self.before is State.CURRENT:
            return (f"{self.lesson} is the newest version already",)
        if self.before is State.ABSENT:
            return (f"{self.lesson} is new in work/",)
        return (f"{self.lesson} is the newest version now", *(f"  {line}" for line in self._details()))

    def _details(self) -> Iterator[str]:
        """Yield what became of the learner's work."""
        if self.before is State.UNKNOWN:
            yield "it wasn't known which version yours was: old text of the course may stand beside the new"
        if self.merge:
            yield from _account(self.merge)
        if self.kept:
            yield f"your old notebook, whole, is {self.kept}"
        yield RELOAD


@dataclass(frozen=True, slots=True)
class Reset:
    """What `reset` did: to a whole lesson, or to one exercise of it. `kept` is what was there before."""

    lesson: str
    exercise: str | None
    kept: Path | None

    @property
    def lines(self) -> tuple[str, ...]:
        """The same as sentences, with what to do next."""
        what = f"{self.exercise} in {self.lesson}" if self.exercise else self.lesson
        if self.kept is None:
            return (f"{what} is as it was given to you already",)
        return (f"{what} is as it was given to you again", f"  what was there is in {self.kept}", f"  {RELOAD}")


Report = Taken | Updated | Reset
RELOAD = "if it is open in JupyterLab: File > Reload Notebook from Disk (what isn't saved there stays there)"


def take(course: Course) -> Taken:
    """Copy into `work/` the released lessons that the learner doesn't have, and the newest start page.

    A lesson that is there isn't touched. Raises CourseError where nothing is released, or a file can't
    be read or written.
    """
    released = _released(course)
    states = {lesson: _state(course, lesson) for lesson in released}
    for lesson, state in states.items():
        if state is State.ABSENT:
            _copy(course, lesson)
    return Taken(
        taken=tuple(lesson for lesson, state in states.items() if state is State.ABSENT),
        changed=tuple(lesson for lesson, state in states.items() if state is State.CHANGED),
        unknown=tuple(lesson for lesson, state in states.items() if state is State.UNKNOWN),
        kept_start_page=_take_start_page(course),
    )


def update(course: Course, name: str | None = None) -> tuple[Updated, ...]:
    """Bring the lessons that `name` means (all that the learner has, for None) to the newest version.

    What the learner typed comes along, and the old file is kept beside the new one. A lesson that can't be updated is
    left as it is, and its report says why; the others are updated all the same.
    Raises CourseError for a name that means no released lesson.
    """
    released = _released(course)
    if name is None:
        lessons = [lesson for lesson in released if _state(course, lesson) in (State.CHANGED, State.UNKNOWN)]
    else:
        lessons = [entry.id for entry in load_guide(course).select(name) if entry.id in released]
        if not lessons:
            raise CourseError(f"{name!r} has no released lesson yet")
    return tuple(_update(course, lesson) for lesson in lessons)


def reset(course: Course, name: str) -> Reset:
    """Give back an exercise as it was given to the learner, or a whole lesson in its newest version.

    What was there is kept beside it. A name that an exercise and a lesson share means the exercise.
    Raises CourseError for a name that means neither, a lesson that isn't in `work/`, and a damaged notebook (for an
    exercise: a whole lesson can be given back all the same).
    """
    for lesson in _released(course):
        if name in _exercises(_given(course, lesson)) | _exercises(_release(course, lesson)):
            return _reset_exercise(course, lesson, name)
    lesson = _one_lesson(course, load_guide(course), name)
    target, shown = _target(course, lesson), _shown(course, lesson)
    old, new = _own_bytes(course, lesson), _release_bytes(course, lesson)
    kept = None
    if old != new:
        kept = _keep(course, target, old, shown)
        _replace(target, old, new, shown)
    files.write(_record(course, lesson), new, shown)
    return Reset(lesson, None, kept)


def _update(course: Course, lesson: str) -> Updated:
    """Bring one lesson to the newest version."""
    state = _state(course, lesson)
    if state is State.ABSENT:
        _copy(course, lesson)
    if state in (State.ABSENT, State.CURRENT):
        return Updated(lesson, state)
    try:
        merged, kept = _bring_in(course, lesson)
    except CourseError as error:
        return Updated(lesson, state, refused=str(error))
    return Updated(lesson, state, merged, kept)


def _bring_in(course: Course, lesson: str) -> tuple[Merge | None, Path | None]:
    """Replace the learner's copy by the new version with their work in it; return the account and the kept file."""
    target, shown = _target(course, lesson), _shown(course, lesson)
    old, new = files.read(target, shown), _release_bytes(course, lesson)
    base = _recorded(course, lesson)
    if old == base:
        # Untouched to the last byte: there is nothing to bring along or to keep.
        merged, kept = None, None
        _replace(target, old, new, shown)
    else:
        given = _given(course, lesson) if base is not None else None
        merged = merge(given, _own_notebook(course, lesson, old), _release(course, lesson))
        _check_valid(merged.notebook, shown)
        kept = _keep(course, target, old, shown)
        _replace(target, old, files.notebook_bytes(merged.notebook), shown)
    # Last: should this process die before, the next update finds the old record and merges again to the same end.
    files.write(_record(course, lesson), new, shown)
    return merged, kept


def _reset_exercise(course: Course, lesson: str, exercise: str) -> Reset:
    """Put the stub of one exercise back into the learner's copy of its lesson."""
    target, shown = _target(course, lesson), _shown(course, lesson)
    old = _own_bytes(course, lesson)
    notebook = _own_notebook(course, lesson, old)
    stub = _exercises(_given(course, lesson)).get(exercise)
    if stub is None:
        raise CourseError(f"{exercise} came after you took {shown}: `course update {lesson}` brings it")
    places = [number for number, cell in enumerate(notebook.cells) if grade_id(cell) == exercise]
    if [notebook.cells[number].source for number in places] == [stub.source]:
        return Reset(lesson, exercise, None)
    # An answer that was split or duplicated stands in several cells; one that was deleted in none.
    checks = [number for number, cell in enumerate(notebook.cells) if grade_id(cell) == f"{exercise}-check"]
    place = (places or checks or [len(notebook.cells)])[0]
    rest = [cell for cell in notebook.cells[place:] if grade_id(cell) != exercise]
    notebook.cells = [*notebook.cells[:place], stub, *rest]
    for cell in rest:
        if grade_id(cell) == f"{exercise}-check" and cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    kept = _keep(course, target, old, shown)
    _replace(target, old, files.notebook_bytes(notebook), shown)
    return Reset(lesson, exercise, kept)


def _account(merged: Merge) -> Iterator[str]:
    """Yield in sentences what became of what the learner had typed."""
    if merged.answers:
        yield f"your answers are in it: {', '.join(merged.answers)}"
    if merged.joined:
        yield f"joined in one cell, as they stood in several: {', '.join(merged.joined)}"
    if merged.restubbed:
        yield f"their exercises now start from other code (see notebooks/): {', '.join(merged.restubbed)}"
    if merged.added:
        yield f"new exercises: {', '.join(merged.added)}"
    if merged.gone:
        yield f"no longer in the lesson, your answers are at the end: {', '.join(merged.gone)}"
    if merged.own:
        yield f"cells of your own: {merged.own}"
    if merged.edited:
        yield f"cells of the course's that you had changed: {merged.edited}"
    if merged.dropped:
        yield f"your changes to locked cells are only in the old notebook: {', '.join(merged.dropped)}"


def _take_start_page(course: Course) -> Path | None:
    """Put the newest start page into `work/`; return where one that the learner had written on was kept."""
    source = course.notebooks / f"{START_PAGE}.ipynb"
    if not source.is_file():
        return None
    target, shown = _target(course, START_PAGE), _shown(course, START_PAGE)
    new, kept = _release_bytes(course, START_PAGE), None
    if target.exists():
        old = files.read(target, shown)
        if old == new:
            return None
        if not _sources(old) <= _sources(new) | _sources(_recorded(course, START_PAGE) or b""):
            kept = _keep(course, target, old, shown)
    files.write(target, new, shown)
    files.write(_record(course, START_PAGE), new, shown)
    return kept


def _sources(content: bytes) -> set[str]:
    """Return the texts of a notebook's cells; the whole of something that isn't a notebook."""
    try:
        return {cell.source.strip() for cell in files.parse_notebook(content, Path(), "").cells}
    except CourseError:
        return {content.decode(errors="replace")}


def _released(course: Course) -> list[str]:
    """Return the ids of the released lessons, in order. Raises CourseError where there are none."""
    found = sorted(
        path.relative_to(course.notebooks).with_suffix("").as_posix() for path in course.notebooks.glob("*/*.ipynb")
    )
    if not found:
        raise CourseError("notebooks/ holds no lessons: run `make build`, or get the checkout afresh with git")
    return found


def _state(course: Course, lesson: str) -> State:
    """Return how the learner's copy of a lesson stands to what is released."""
    if not _target(course, lesson).exists():
        return State.ABSENT
    new, base = _release_bytes(course, lesson), _recorded(course, lesson)
    if base is not None:
        return State.CURRENT if _is_same(base, new) else State.CHANGED
    try:
        if files.read(_target(course, lesson), _shown(course, lesson)) != new:
            return State.UNKNOWN
    except CourseError:
        return State.UNKNOWN
    files.write(_record(course, lesson), new, _shown(course, lesson))
    return State.CURRENT


def _is_same(one: bytes, other: bytes) -> bool:
    """Return whether two releases are the same; git may have changed the ends of lines."""
    try:
        return one == other or json.loads(one) == json.loads(other)
    except ValueError:
        return False


def _copy(course: Course, lesson: str) -> None:
    """Give the learner a lesson that they don't have."""
    content = _release_bytes(course, lesson)
    # The record first: a copy without one would be of an unknown version.
    files.write(_record(course, lesson), content, _shown(course, lesson))
    files.write(_target(course, lesson), content, _shown(course, lesson))


def _replace(target: Path, old: bytes, new: bytes, shown: Path) -> None:
    """Put the new content in place of the old. Raises CourseError where it isn't the old any more."""
    if files.read(target, shown) != old:
        raise CourseError(f"{shown} was saved in the meantime: it was left as it is; run the command again")
    files.write(target, new, shown)


def _keep(course: Course, target: Path, content: bytes, shown: Path) -> Path:
    """Keep old content beside the file it was in; return where, relative to the course's root."""
    return files.keep(target, content, shown).relative_to(course.root)


def _check_valid(notebook: NotebookNode, shown: Path) -> None:
    """Raise CourseError for a merged notebook that isn't one."""
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        raise CourseError(f"{shown} has a cell that no notebook can hold ({error}): it was left as it is") from error


def _exercises(notebook: NotebookNode) -> dict[str, NotebookNode]:
    """Return the stubs of a released notebook by exercise."""
    return {cell.metadata.nbgrader.grade_id: cell for cell in notebook.cells if is_solution(cell)}


def _own_bytes(course: Course, lesson: str) -> bytes:
    """Return the content of the learner's copy. Raises CourseError where they have none."""
    target, shown = _target(course, lesson), _shown(course, lesson)
    if not target.exists():
        raise CourseError(f"{shown} is not there: nothing to give back (`make lab` puts it there)")
    return files.read(target, shown)


def _own_notebook(course: Course, lesson: str, content: bytes) -> NotebookNode:
    """Return the learner's copy as a notebook. Raises CourseError where it is damaged."""
    remedy = f"it was left as it is; `course reset {lesson}` keeps it and gives you the lesson afresh"
    return files.parse_notebook(content, _shown(course, lesson), remedy)


def _release(course: Course, lesson: str) -> NotebookNode:
    """Return the lesson as it is released now. Raises CourseError where that is damaged."""
    shown = course.notebooks.relative_to(course.root) / f"{lesson}.ipynb"
    remedy = f"get it afresh with `git checkout -- {shown.as_posix()}`"
    return files.parse_notebook(_release_bytes(course, lesson), shown, remedy)


def _given(course: Course, lesson: str) -> NotebookNode:
    """Return the lesson as the learner was given it; the newest where that isn't known."""
    content = _recorded(course, lesson)
    return _release(course, lesson) if content is None else files.parse_notebook(content, _shown(course, lesson), "")


def _one_lesson(course: Course, guide: Guide, name: str) -> str:
    """Return the id of the one lesson that a name means."""
    try:
        entries = guide.select(name)
    except CourseError as error:
        raise CourseError(f"no exercise of the course is called {name!r}, and {error}") from error
    if len(entries) != 1 or name not in (entries[0].id, entries[0].file, entries[0].name):
        raise CourseError(f"{name!r} is a section: name the lesson or the exercise to give back")
    return entries[0].id


def _recorded(course: Course, lesson: str) -> bytes | None:
    """Return the lesson as it was released when the learner took it; None where that is lost or damaged."""
    try:
        content = _record(course, lesson).read_bytes()
        files.parse_notebook(content, _shown(course, lesson), "")
    except (OSError, CourseError):
        return None
    return content


def _release_bytes(course: Course, lesson: str) -> bytes:
    """Return the lesson's file as it is released now."""
    path = course.notebooks / f"{lesson}.ipynb"
    return files.read(path, path.relative_to(course.root))


def _record(course: Course, lesson: str) -> Path:
    """Return where the release of a lesson is remembered. Its ending keeps it from being taken for a lesson."""
    return course.work / ".taken" / f"{lesson}.json"


def _target(course: Course, lesson: str) -> Path:
    """Return the learner's copy of a lesson."""
    return course.work / f"{lesson}.ipynb"


def _shown(course: Course, lesson: str) -> Path:
    """Return the learner's copy as messages show it."""
    return _target(course, lesson).relative_to(course.root)
