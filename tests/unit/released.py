"""Released lessons as tests of the learner's copy need them: small notebooks, and what they ask of them."""

import itertools
import json

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbgrader.utils import compute_checksum


def graded(cell: NotebookNode, grade_id: str, *, solution: bool = False, points: int = 0) -> NotebookNode:
    """Return a cell with the metadata that nbgrader's release step gives it."""
    cell.metadata.nbgrader = {
        "cell_type": cell.cell_type,
        "grade": points > 0,
        "grade_id": grade_id,
        "locked": not solution,
        "schema_version": 3,
        "solution": solution,
        "task": False,
    }
    if points:
        cell.metadata.nbgrader["points"] = points
    cell.metadata.nbgrader["checksum"] = compute_checksum(cell)
    cell.metadata["deletable"] = False
    return cell


def text(source: str, cell_id: str) -> NotebookNode:
    cell: NotebookNode = new_markdown_cell(source, id=cell_id)
    return cell


def exercise(
    name: str, stub: str | None = None, prompt: str = "Write it.", test: str = "assert True"
) -> list[NotebookNode]:
    """Return the cells of one exercise as the learner is given them."""
    stub = stub or f"def {name}():\n    raise NotImplementedError"
    return [
        text(f"### {name}\n\n{prompt}", f"exercise-{name}"),
        graded(new_code_cell(stub, id=f"solution-{name}"), name, solution=True),
        graded(new_code_cell(f"%%check {name}\n{test}", id=f"check-{name}"), f"{name}-check", points=2),
    ]


def notebook(*cells: NotebookNode | list[NotebookNode]) -> NotebookNode:
    """Return a released lesson of these cells, behind the setup cell."""
    setup = graded(new_code_cell("%load_ext autograder", id="setup"), "setup")
    flat = itertools.chain.from_iterable(cell if isinstance(cell, list) else [cell] for cell in cells)
    made: NotebookNode = new_notebook(cells=[setup, *flat])
    made.nbformat_minor = 5
    nbformat.validate(made)
    return made


def first_version() -> NotebookNode:
    return notebook(text("# Loops", "text-1"), exercise("alpha"), text("More.", "text-2"), exercise("beta"))


def copy_of(made: NotebookNode) -> NotebookNode:
    same: NotebookNode = nbformat.from_dict(json.loads(json.dumps(made)))
    return same


def cell_of(made: NotebookNode, cell_id: str) -> NotebookNode:
    (found,) = [cell for cell in made.cells if cell.id == cell_id]
    return found


def ids_of(made: NotebookNode) -> list[str]:
    return [cell.id for cell in made.cells]


def insert_after(made: NotebookNode, cell_id: str, *cells: NotebookNode) -> None:
    place = ids_of(made).index(cell_id) + 1
    made.cells[place:place] = cells


def sources(made: NotebookNode) -> str:
    return "\n\n".join(cell.source for cell in made.cells)
