"""A new version of a lesson with what the learner has typed into the old one: notebooks in, notebook out."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_raw_cell

# Places of cells in the new notebook: before the first of the course's cells, behind the one with a key, at the end.
START = "start"
END = "end"
HEADING_ID = "kept-from-before"
HEADING = """\
## Kept from the version before

These cells of yours belong to exercises that this version of the lesson doesn't have.
Move or delete them as you like."""
CELL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
NEW_CELL: Mapping[str, Callable[..., NotebookNode]] = {
    "code": new_code_cell,
    "markdown": new_markdown_cell,
    "raw": new_raw_cell,
}


@dataclass(frozen=True, slots=True)
class Merge:
    """The new notebook, and what became of what the learner had typed (exercises and locked cells by name)."""

    notebook: NotebookNode
    answers: tuple[str, ...]
    """Exercises whose answer stands in the new notebook's solution cell."""
    restubbed: tuple[str, ...]
    """Those of them whose stub is another one now."""
    joined: tuple[str, ...]
    """Those of them whose answer stood in several cells."""
    gone: tuple[str, ...]
    """Exercises that aren't there any more; their answers stand at the end."""
    added: tuple[str, ...]
    """Exercises that the old version didn't have."""
    own: int
    """How many cells of the learner's own were carried over."""
    edited: int
    """How many of the course's text and demo cells were carried over as the learner had changed them."""
    dropped: tuple[str, ...]
    """Locked cells whose changes were not carried over."""


def merge(base: NotebookNode | None, mine: NotebookNode, theirs: NotebookNode) -> Merge:
    """Return `theirs`, the new version of a lesson, with what the learner typed into `mine`.

    `base` is the version that `mine` was made from, None where that isn't known: what can't be told to be the course's
    is then taken for the learner's. Outputs are left out: nothing has been run in the new notebook.
    """
    draft = _Draft(base, theirs)
    place = START
    for cell, key in zip(mine.cells, draft.match(mine.cells), strict=True):
        place = draft.place_of(cell, key, place)
        draft.carry(cell, key, place)
    return draft.finish()


def grade_id(cell: NotebookNode) -> str | None:
    """Return the name that nbgrader's metadata gives a cell, None where it has none."""
    name = _nbgrader(cell).get("grade_id")
    return name if isinstance(name, str) and name else None


def is_solution(cell: NotebookNode) -> bool:
    """Return whether a cell is the place for an answer."""
    return grade_id(cell) is not None and _nbgrader(cell).get("solution") is True


class _Draft:
    """The new notebook as it is being made."""

    def __init__(self, base: NotebookNode | None, theirs: NotebookNode) -> None:
        self.theirs = theirs
        self.base_known = base is not None
        self.old = {_key(cell): cell for cell in base.cells} if base else {}
        self.new = {_key(cell): cell for cell in theirs.cells}
        self.seen: set[str] = set()
        self.answers: dict[str, list[NotebookNode]] = {}
        self.replaced: dict[str, NotebookNode] = {}
        self.inserted: dict[str, list[NotebookNode]] = {}
        self.gone: list[str] = []
        self.joined: list[str] = []
        self.dropped: list[str] = []
        self.own = 0
        self.edited = 0

    def match(self, cells: Sequence[NotebookNode]) -> list[str | None]:
        """Return for each of the learner's cells the key of the course's cell that it is, None for one of their own.

        By nbgrader's name (several cells may have it: split or duplicated ones), else by cell id, else by equal text.
        """
        by_id = {cell.id: key for key, cell in (self.old | self.new).items()}
        keys: list[str | None] = []
        for cell in cells:
            key = _graded_key(cell) or by_id.get(cell.get("id"))
            is_copy = key in self.seen and _graded_key(cell) is None
            keys.append(None if is_copy else key)
            if key:
                self.seen.add(key)
        by_text = {_text(cell): key for key, cell in (self.old | self.new).items() if key not in self.seen}
        for number, cell in enumerate(cells):
            if keys[number] is None and (key := by_text.pop(_text(cell), None)):
                keys[number] = key
                self.seen.add(key)
        return keys

    def place_of(self, cell: NotebookNode, key: str | None, place: str) -> str:
        """Return where what belongs to a cell goes, given the place of the one before."""
        if key is not None and key in self.new:
            return key
        # What follows the heading, or a cell of an exercise that has gone, belongs to the end.
        if cell.get("id") == HEADING_ID or grade_id(cell):
            return END
        return place

    def carry(self, cell: NotebookNode, key: str | None, place: str) -> None:
        """Take over what the learner typed into one cell."""
        if key is None:
            if cell.source.strip() and _text(cell) != ("markdown", HEADING):
                self._insert(place, cell)
                self.own += 1
        elif self._is_touched(cell, key):
            original = self.new.get(key) or self.old.get(key) or cell
            if is_solution(original) and cell.cell_type == original.cell_type:
                self._carry_answer(cell, key)
            elif _nbgrader(original).get("locked") or _nbgrader(original).get("grade"):
                self.dropped.append(grade_id(original) or key)
            else:
                self._carry_edited(cell, key, place)

    def finish(self) -> Merge:
        """Return the finished notebook with its account."""
        for key, cells in self.answers.items():
            self._fill_in(key, cells)
        notebook = deepcopy(self.theirs)
        notebook.cells = list(self._cells())
        known = self.old if self.base_known else self.seen
        return Merge(
            notebook=notebook,
            answers=tuple(_name(self.new[key]) for key in self.answers),
            restubbed=tuple(_name(self.new[key]) for key in self.answers if self._is_changed(key)),
            joined=tuple(self.joined),
            gone=tuple(dict.fromkeys(self.gone)),
            added=tuple(_name(cell) for key, cell in self.new.items() if is_solution(cell) and key not in known),
            own=self.own,
            edited=self.edited,
            dropped=tuple(dict.fromkeys(self.dropped)),
        )

    def _is_touched(self, cell: NotebookNode, key: str) -> bool:
        """Return whether a cell of the course's holds anything else than the course's text."""
        originals = [version[key] for version in (self.old, self.new) if key in version]
        return not any(_text(cell) == _text(original) for original in originals) and not _is_as_released(cell)

    def _is_changed(self, key: str) -> bool:
        """Return whether the text of a cell differs between the two versions."""
        return key in self.old and key in self.new and _text(self.old[key]) != _text(self.new[key])

    def _carry_answer(self, cell: NotebookNode, key: str) -> None:
        """Note an answer, or a part of one, for its exercise; one whose exercise has gone belongs to the end."""
        if key in self.new:
            self.answers.setdefault(key, []).append(cell)
        else:
            self._insert(END, cell)
            self.gone.append(_name(cell))

    def _carry_edited(self, cell: NotebookNode, key: str, place: str) -> None:
        """Take over text or code of the course's that the learner changed.

        Where the course has left it alone it stays theirs; otherwise theirs comes behind the new one.
        """
        same_original = key in self.old and key in self.new and not self._is_changed(key)
        if same_original and cell.cell_type == self.new[key].cell_type:
            self.replaced[key] = cell
        else:
            self._insert(place, cell)
        self.edited += 1

    def _fill_in(self, key: str, cells: Sequence[NotebookNode]) -> None:
        """Put an answer into its exercise's cell: the parts of a split or duplicated one in their order."""
        parts = list({cell.source: cell for cell in cells}.values())
        if any(part.source.lstrip().startswith("%%") for part in parts):
            # A cell magic rules its whole cell: such parts stay apart.
            first, rest = parts[0], parts[1:]
            self.inserted[key] = rest + self.inserted.get(key, [])
        else:
            first = deepcopy(parts[0])
            first.source = "\n\n".join(part.source for part in parts)
            if len(parts) > 1:
                self.joined.append(_name(self.new[key]))
        self.replaced[key] = first

    def _insert(self, place: str, cell: NotebookNode) -> None:
        self.inserted.setdefault(place, []).append(cell)

    def _cells(self) -> Iterator[NotebookNode]:
        """Yield the cells of the new notebook."""
        ids = {HEADING_ID, *(cell.id for cell in self.theirs.cells)}
        keys = list(self.new)
        waiting = self.inserted.get(START, [])
        for key in keys:
            # A cell that the learner had deleted comes back in front of what they put in its place.
            if waiting and not self._was_deleted(key):
                yield from _own_cells(waiting, ids)
                waiting = []
            yield self._course_cell(key)
            waiting = waiting + self.inserted.get(key, [])
        yield from _own_cells(waiting, ids)
        if END in self.inserted:
            yield new_markdown_cell(HEADING, id=HEADING_ID)
            yield from _own_cells(self.inserted[END], ids)

    def _was_deleted(self, key: str) -> bool:
        return key in self.old and key not in self.seen

    def _course_cell(self, key: str) -> NotebookNode:
        """Return a cell of the new version, with the learner's text where they have put some."""
        cell: NotebookNode = deepcopy(self.new[key])
        if key in self.replaced:
            cell.source = self.replaced[key].source
            if "attachments" in self.replaced[key]:
                cell.attachments = deepcopy(self.replaced[key].attachments)
        return cell


def _own_cells(cells: Sequence[NotebookNode], ids: set[str]) -> Iterator[NotebookNode]:
    """Yield copies of the learner's own cells, without nbgrader's metadata, and with ids that aren't in `ids` yet."""
    for cell in cells:
        held_by_course = ("nbgrader", "deletable", "editable") if grade_id(cell) else ()
        metadata = {name: value for name, value in cell.metadata.items() if name not in held_by_course}
        made = NEW_CELL[cell.cell_type](cell.source, id=_free_id(cell, ids), metadata=deepcopy(metadata))
        if cell.get("attachments"):
            made.attachments = deepcopy(cell.attachments)
        ids.add(made.id)
        yield made


def _free_id(cell: NotebookNode, ids: Container[str]) -> str:
    """Return the cell's own id where that can be used, else one that comes from its text."""
    own = cell.get("id")
    if isinstance(own, str) and CELL_ID.fullmatch(own) and own not in ids:
        return own
    digest = hashlib.sha256(cell.source.encode()).hexdigest()[:8]
    number = 1
    while (candidate := f"own-{digest}-{number}") in ids:
        number += 1
    return candidate


def _key(cell: NotebookNode) -> str:
    """Return what stands for a cell of the course in all its versions."""
    return _graded_key(cell) or f"id {cell.id}"


def _graded_key(cell: NotebookNode) -> str | None:
    """Return the key of a cell that nbgrader knows by name."""
    name = grade_id(cell)
    return f"grade_id {name}" if name else None


def _name(cell: NotebookNode) -> str:
    """Return the exercise of a solution cell."""
    return grade_id(cell) or str(cell.id)


def _text(cell: NotebookNode) -> tuple[str, str]:
    """Return what makes two cells the same: their type and text, but for white space at the end."""
    return cell.cell_type, cell.source.rstrip()


def _nbgrader(cell: NotebookNode) -> dict[str, Any]:
    """Return nbgrader's metadata of a cell, empty where there is none or it isn't a table."""
    metadata = cell.metadata.get("nbgrader")
    return metadata if isinstance(metadata, dict) else {}


def _is_as_released(cell: NotebookNode) -> bool:
    """Return whether nbgrader's checksum says that nobody has changed the cell since it was released."""
    if "checksum" not in _nbgrader(cell):
        return False
    from nbgrader.utils import compute_checksum  # takes a second, which `take` can do without

    try:
        return bool(compute_checksum(cell) == _nbgrader(cell)["checksum"])
    except (KeyError, TypeError, ValueError):
        return False  # metadata that nbgrader doesn't understand
