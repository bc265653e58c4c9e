"""Matching: the learner's cells in their order, with the master's tests among them."""

from __future__ import annotations

from autograder.grade.match import Plan, plan
from autograder.grade.model import Master, MasterCell
from autograder.grade.read import Submitted, SubmittedCell


def known(grade_id: str, source: str, *, solution: bool = False, points: float = 0) -> MasterCell:
    """Return a cell of the master."""
    return MasterCell(f"id-{grade_id}", grade_id, "code", source, {}, points > 0, solution, not solution, points)


CELLS = (
    known("setup", "SETUP"),
    known("add", "STUB A", solution=True),
    known("add-check", "CHECK A", points=1),
    known("add-hidden", "HIDDEN A", points=2),
    known("sub", "STUB S", solution=True),
    known("sub-check", "CHECK S", points=1),
)
MASTER = Master("01_core/01_sums", "Sums", {cell.grade_id: cell for cell in CELLS}, {}, {}, {})


def own(source: str, cell_type: str = "code") -> SubmittedCell:
    """Return a cell of the learner's own."""
    return SubmittedCell(cell_type, source, "", "")


def handed(grade_id: str, source: str = "", cell_type: str = "code") -> SubmittedCell:
    """Return a cell of the lesson as it was handed in."""
    return SubmittedCell(cell_type, source or f"edited {grade_id}", "", grade_id)


def planned(*cells: SubmittedCell, language: str = "") -> Plan:
    """Return the plan of a submission with these cells."""
    return plan(MASTER, Submitted(cells, language))


def sources(*cells: SubmittedCell) -> list[str]:
    """Return the sources that are run for these cells."""
    return [cell.source for cell in planned(*cells).cells]


WHOLE = tuple(handed(cell.grade_id) for cell in CELLS)


def test_answers_are_the_learners_and_locked_cells_the_masters() -> None:
    assert sources(*WHOLE) == ["SETUP", "edited add", "CHECK A", "HIDDEN A", "edited sub", "CHECK S"]
    assert planned(*WHOLE).remarks == planned(*WHOLE).doubts == ()


def test_own_cells_and_the_order_are_kept() -> None:
    setup, add, check, hidden, sub, check_sub = WHOLE
    cells = (setup, own("x = 1"), check, add, hidden, check_sub, sub, own("thoughts", "markdown"))
    assert sources(*cells) == [
        "SETUP", "x = 1", "CHECK A", "edited add", "HIDDEN A", "CHECK S", "edited sub", "thoughts",
    ]  # fmt: skip


def test_a_deleted_test_is_run_behind_the_cell_before_it() -> None:
    cells = [cell for cell in WHOLE if cell.grade_id not in ("add-check", "add-hidden")]
    assert sources(*cells) == ["SETUP", "edited add", "CHECK A", "HIDDEN A", "edited sub", "CHECK S"]
    assert [remark.split()[2] for remark in planned(*cells).remarks] == ["add-check", "add-hidden"]
    assert planned(*cells).doubts == ()


def test_a_deleted_setup_is_run_first() -> None:
    assert sources(own("x = 1"), *WHOLE[1:])[0] == "SETUP"


def test_tests_whose_answer_is_anywhere_are_run_at_the_end() -> None:
    assert sources(own("def add"), own("def sub")) == ["SETUP", "def add", "def sub", "CHECK A", "HIDDEN A", "CHECK S"]


def test_a_deleted_answer_is_named_and_not_put_back() -> None:
    made = planned(*(cell for cell in WHOLE if cell.grade_id != "add"))
    assert "STUB A" not in [cell.source for cell in made.cells]
    assert len(made.remarks) == 1


def test_the_last_of_several_copies_counts() -> None:
    cells = (*WHOLE, handed("add", "second thoughts"), handed("add-check"))
    made = planned(*cells)
    assert [cell.source for cell in made.cells] == [
        "SETUP", "edited add", "HIDDEN A", "edited sub", "CHECK S", "second thoughts", "CHECK A",
    ]  # fmt: skip
    assert [cell.source for cell in made.cells if cell.master and cell.master.grade_id == "add"] == ["second thoughts"]
    assert len(made.remarks) == 2


def test_a_retyped_cell_is_code_again() -> None:
    made = planned(WHOLE[0], handed("add", "x", "markdown"), handed("add-check", "y", "raw"), *WHOLE[3:])
    assert {cell.cell_type for cell in made.cells} == {"code"}


def test_a_cell_without_its_grade_id_is_known_by_its_cell_id() -> None:
    made = planned(WHOLE[0], SubmittedCell("code", "mine", "id-add", ""), *WHOLE[2:])
    assert made.cells[1].master == MASTER.cells["add"]
    assert made.remarks == ()


def test_a_notebook_without_any_known_cell_needs_a_person() -> None:
    assert planned(own("x = 1")).doubts
    assert planned().doubts


def test_another_language_needs_a_person() -> None:
    assert planned(*WHOLE, language="r").doubts
    assert not planned(*WHOLE, language="python").doubts
