"""What the corpus is made with: the small lesson as a student hands it in, and the list of all cases."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autograder.course import Course

LESSON = "01_core/01_sums"
NAME = "01_sums.ipynb"
FULL = 8.0
ANSWERS = {
    "double": "def double(number):\n    return 2 * number",
    "later": "async def later(number):\n    await asyncio.sleep(0)\n    return number + 1",
    "mend": "def mend():\n    return 3",
}


class Book:
    """A notebook of the small lesson, unsolved at first, and the folder that it is handed in to."""

    def __init__(self, course: Course, folder: Path) -> None:
        self.folder = folder
        self.json: dict[str, Any] = json.loads((course.notebooks / f"{LESSON}.ipynb").read_bytes())

    @property
    def cells(self) -> list[dict[str, Any]]:
        """The cells, to be changed in place."""
        cells: list[dict[str, Any]] = self.json["cells"]
        return cells

    def cell(self, cell_id: str) -> dict[str, Any]:
        """Return the cell with this id."""
        return next(cell for cell in self.cells if cell["id"] == cell_id)

    def solve(self, **other: str) -> Book:
        """Put the right answers in, or the `other` ones that are given."""
        for name, source in (ANSWERS | other).items():
            self.cell(f"solution-{name}")["source"] = source
        return self

    def add(self, source: str, place: int = 1) -> Book:
        """Add a cell of code of one's own: below the setup cell where no other place is given."""
        made = {"cell_type": "code", "id": f"own-{len(self.cells)}", "metadata": {}, "outputs": [], "source": source}
        self.cells.insert(place, made | {"execution_count": None})
        return self

    def drop(self, *cell_ids: str) -> Book:
        """Delete cells."""
        self.cells[:] = [cell for cell in self.cells if cell["id"] not in cell_ids]
        return self

    def write(self, name: str = NAME, content: bytes | None = None) -> None:
        """Hand it in under a name, as `content` where that is given."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(json.dumps(self.json).encode() if content is None else content)


@dataclass(frozen=True)
class Case:
    """One submission: what it does, and the points that it gets.

    `flag` is a word of the reason why a person has to look, "" where nobody has to; `said` one of what is told of it.
    """

    name: str
    build: Callable[[Book], None]
    points: float
    flag: str
    said: str


CASES: list[Case] = []


def case(
    points: float, flag: str = "", *, said: str = ""
) -> Callable[[Callable[[Book], None]], Callable[[Book], None]]:
    """Add a function to the corpus: it hands a book in. See `Case` for the arguments."""

    def add(build: Callable[[Book], None]) -> Callable[[Book], None]:
        CASES.append(Case(build.__name__.replace("_", "-"), build, points, flag, said))
        return build

    return add
