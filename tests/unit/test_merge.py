"""A lesson's new version and the learner's copy become one notebook, in which is all that the learner typed."""

import random

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from autograder.workspace.merge import HEADING, Merge, merge
from tests.unit.released import cell_of, copy_of, exercise, first_version, ids_of, insert_after, notebook, sources, text


def merged(mine: NotebookNode, theirs: NotebookNode, base: NotebookNode | None = None) -> Merge:
    """Merge with `first_version` as what the learner was given, and see that the result is a notebook."""
    result = merge(base or first_version(), mine, theirs)
    nbformat.validate(result.notebook)
    return result


class TestMerge:
    """Notebooks in, notebook out."""

    def test_an_answer_goes_to_its_exercise_whatever_else_has_changed(self) -> None:
        mine = first_version()
        cell_of(mine, "solution-beta").source = "def beta(): return 'mine'"
        theirs = notebook(
            text("# Better loops", "text-9"),
            exercise("gamma"),
            exercise("beta", stub="def beta(x):\n    raise NotImplementedError", prompt="Do it.", test="assert 1"),
            exercise("alpha"),
        )
        result = merged(mine, theirs)
        assert ids_of(result.notebook) == ids_of(theirs)
        assert cell_of(result.notebook, "solution-beta").source == "def beta(): return 'mine'"
        assert cell_of(result.notebook, "check-beta").source.endswith("assert 1")
        assert (result.answers, result.restubbed, result.added) == (("beta",), ("beta",), ("gamma",))

    def test_an_untouched_stub_is_replaced_by_the_new_one(self) -> None:
        theirs = notebook(exercise("alpha", stub="def alpha(new):\n    raise NotImplementedError"))
        result = merged(first_version(), theirs)
        assert result.notebook == theirs
        assert result.answers == result.gone == result.dropped == ()

    def test_without_a_record_the_checksum_tells_an_untouched_stub(self) -> None:
        mine = first_version()
        cell_of(mine, "solution-beta").source = "beta = 1"
        theirs = notebook(exercise("alpha", stub="def alpha(new): ..."), exercise("beta", stub="def beta(new): ..."))
        result = merge(None, mine, theirs)
        assert cell_of(result.notebook, "solution-alpha").source == "def alpha(new): ..."
        assert cell_of(result.notebook, "solution-beta").source == "beta = 1"
        assert result.answers == ("beta",)

    def test_an_answer_without_its_exercise_comes_at_the_end_under_a_heading(self) -> None:
        mine = first_version()
        cell_of(mine, "solution-alpha").source = "alpha = 'mine'"
        insert_after(mine, "check-alpha", new_code_cell("print(alpha)", id="try"))
        result = merged(mine, notebook(exercise("renamed"), exercise("beta")))
        *_, heading, answer, tried = result.notebook.cells
        assert (heading.source, answer.source, tried.source) == (HEADING, "alpha = 'mine'", "print(alpha)")
        assert "nbgrader" not in answer.metadata
        assert answer.metadata.get("deletable", True)
        assert (result.gone, result.added, result.own) == (("alpha",), ("renamed",), 1)

    def test_own_cells_stay_behind_the_cell_that_they_followed(self) -> None:
        mine = first_version()
        mine.cells.insert(0, new_markdown_cell("My notes", id="top"))
        insert_after(mine, "solution-beta", new_code_cell("beta()", id="one"), new_code_cell("", id="empty"))
        insert_after(mine, "one", new_markdown_cell("`beta` is odd", id="two", metadata={"tags": ["mine"]}))
        theirs = notebook(exercise("beta"), exercise("gamma"), exercise("alpha"))
        result = merged(mine, theirs)
        assert ids_of(result.notebook) == [
            *("top", "setup", "exercise-beta", "solution-beta", "one", "two", "check-beta"),
            *ids_of(notebook(exercise("gamma"), exercise("alpha")))[1:],
        ]
        assert cell_of(result.notebook, "two").metadata == {"tags": ["mine"]}
        assert result.own == 3

    def test_an_own_cell_behind_text_that_has_gone_stays_in_its_neighbourhood(self) -> None:
        mine = first_version()
        insert_after(mine, "text-2", new_code_cell("1 + 1", id="mine"))
        result = merged(mine, notebook(text("# Loops", "text-1"), exercise("alpha"), exercise("beta")))
        order = ids_of(result.notebook)
        assert order.index("check-alpha") + 1 == order.index("mine") == order.index("exercise-beta") - 1

    def test_what_took_the_place_of_a_deleted_stub_still_comes_behind_it(self) -> None:
        mine = first_version()
        insert_after(mine, "solution-beta", new_code_cell("def beta(): return 1", id="instead"))
        mine.cells.remove(cell_of(mine, "solution-beta"))
        order = ids_of(merged(mine, first_version()).notebook)
        assert order.index("solution-beta") + 1 == order.index("instead") == order.index("check-beta") - 1

    def test_text_that_the_learner_edited_stays_where_the_course_left_it_alone(self) -> None:
        mine = first_version()
        cell_of(mine, "text-2").source = "More.\n\n    code_in_text()"
        theirs = notebook(text("# Loops", "text-1"), text("More.", "text-2"), exercise("gamma"))
        result = merged(mine, theirs)
        assert ids_of(result.notebook) == ids_of(theirs)
        assert "code_in_text()" in cell_of(result.notebook, "text-2").source
        assert result.edited == 1

    def test_text_that_both_changed_is_there_twice(self) -> None:
        mine = first_version()
        cell_of(mine, "exercise-beta").source += "\n\nNote to self"
        result = merged(mine, notebook(exercise("beta", prompt="Now do that.")))
        _, new, own, *_ = result.notebook.cells
        assert new.source.endswith("Now do that.")
        assert own.source.endswith("Note to self")

    def test_pasted_pictures_come_along(self) -> None:
        picture = {"a.png": {"image/png": "aGVsbG8="}}
        mine = first_version()
        cell_of(mine, "text-2").update(source="![](attachment:a.png)", attachments=picture)
        insert_after(mine, "text-2", new_markdown_cell("![](attachment:a.png) too", id="own", attachments=picture))
        result = merged(mine, first_version()).notebook
        assert cell_of(result, "text-2").attachments == cell_of(result, "own").attachments == picture

    def test_a_split_answer_becomes_one(self) -> None:
        mine = first_version()
        first = cell_of(mine, "solution-beta")
        first.source = "def beta():"
        second = copy_of(first)
        second.update(id="split", source="    return 'mine'")
        insert_after(mine, "solution-beta", second)
        result = merged(mine, first_version())
        namespace: dict[str, object] = {}
        exec(cell_of(result.notebook, "solution-beta").source + "\nanswer = beta()", namespace)
        assert namespace["answer"] == "mine"
        assert ids_of(result.notebook) == ids_of(first_version())
        assert result.joined == ("beta",)

    def test_of_a_duplicated_answer_the_last_one_counts_as_it_did(self) -> None:
        mine = first_version()
        for number in range(3):
            second = copy_of(cell_of(mine, "solution-beta"))
            second.update(id=f"copy-{number}", source=f"beta = {number}")
            insert_after(mine, f"copy-{number - 1}" if number else "solution-beta", second)
        result = merged(mine, first_version())
        namespace: dict[str, object] = {}
        exec(cell_of(result.notebook, "solution-beta").source, namespace)
        assert namespace["beta"] == 2
        assert "NotImplementedError" not in cell_of(result.notebook, "solution-beta").source

    def test_parts_with_a_cell_magic_are_not_joined(self) -> None:
        mine = first_version()
        second = copy_of(cell_of(mine, "solution-beta"))
        cell_of(mine, "solution-beta").source = "beta = 1"
        second.update(id="split", source="%%time\nbeta")
        insert_after(mine, "solution-beta", second)
        result = merged(mine, first_version()).notebook
        assert cell_of(result, "solution-beta").source == "beta = 1"
        assert cell_of(result, "split").source == "%%time\nbeta"
        assert "nbgrader" not in cell_of(result, "split").metadata

    def test_an_answer_turned_into_text_stays_text_behind_the_stub(self) -> None:
        mine = first_version()
        old = cell_of(mine, "solution-beta")
        turned = new_markdown_cell("beta = 1", id=old.id, metadata=old.metadata)
        mine.cells[mine.cells.index(old)] = turned
        result = merged(mine, first_version()).notebook
        place = ids_of(result).index("solution-beta")
        assert [(cell.cell_type, cell.source) for cell in result.cells[place : place + 2]] == [
            ("code", cell_of(first_version(), "solution-beta").source),
            ("markdown", "beta = 1"),
        ]

    def test_changes_to_locked_cells_are_named_and_left_out(self) -> None:
        mine = first_version()
        cell_of(mine, "check-beta").source += "\n# mine"
        theirs = notebook(exercise("beta", test="assert 2"))
        result = merged(mine, theirs)
        assert result.notebook == theirs
        assert result.dropped == ("beta-check",)

    @pytest.mark.parametrize("lost", [{"ids"}, {"metadata"}])
    def test_an_answer_is_known_by_name_or_by_id(self, lost: set[str]) -> None:
        mine = without(first_version(), lost)
        mine.cells[-2].source = "beta = 'mine'"
        result = merged(mine, first_version())
        assert cell_of(result.notebook, "solution-beta").source == "beta = 'mine'"
        assert ids_of(result.notebook) == ids_of(first_version())

    def test_an_answer_with_neither_comes_behind_its_stub(self) -> None:
        mine = without(first_version(), {"ids", "metadata"})
        mine.cells[-2].source = "beta = 'mine'"
        result = merged(mine, first_version())
        *_, stub, answer, check = result.notebook.cells
        assert (stub.id, answer.source, check.id) == ("solution-beta", "beta = 'mine'", "check-beta")
        assert result.own == 1

    def test_two_cells_with_the_same_id_both_come_along(self) -> None:
        mine = first_version()
        insert_after(mine, "text-2", copy_of(cell_of(mine, "text-2")))
        for number, cell in enumerate(cell for cell in mine.cells if cell.id == "text-2"):
            cell.source = f"note {number}"
        assert {"note 0", "note 1"} <= {cell.source for cell in merged(mine, first_version()).notebook.cells}

    def test_nothing_is_run_yet_in_the_new_notebook(self) -> None:
        mine = first_version()
        insert_after(mine, "check-beta", new_code_cell("1", id="own"))
        for cell in mine.cells:
            if cell.cell_type == "code":
                cell.update(outputs=[new_output("stream", text="✔ passed")], execution_count=1)
        cells = merged(mine, first_version()).notebook.cells
        assert all(cell.outputs == [] and cell.execution_count is None for cell in cells if cell.cell_type == "code")

    def test_the_end_keeps_its_place_in_the_next_update(self) -> None:
        mine = first_version()
        cell_of(mine, "solution-alpha").source = "alpha = 1"
        second = notebook(exercise("beta"))
        once = merged(mine, second).notebook
        once.cells.append(new_markdown_cell("written later", id="later"))
        twice = merged(once, notebook(exercise("gamma")), base=second).notebook
        assert [cell.source for cell in twice.cells[-3:]] == [HEADING, "alpha = 1", "written later"]


def without(made: NotebookNode, lost: set[str]) -> NotebookNode:
    """Return a notebook as a tool leaves it that drops cell ids or metadata."""
    same = copy_of(made)
    for cell in same.cells:
        if "ids" in lost:
            del cell["id"]
        if "metadata" in lost:
            cell.metadata = {}
    return same


def random_version(chance: random.Random) -> NotebookNode:
    """Return a lesson of a few exercises and texts in some order, each in one of two wordings."""
    parts: list[NotebookNode | list[NotebookNode]] = []
    for name in chance.sample("abcdef", chance.randint(1, 6)):
        wording = chance.choice(["", "_new"])
        stub = f"def {name}(x{wording}):\n    raise NotImplementedError"
        parts.append(exercise(name, stub, prompt=f"Do{chance.choice(['', ' all'])}.", test=f"assert {name}{wording}"))
    for number in chance.sample(range(6), chance.randint(0, 6)):
        parts.insert(chance.randint(0, len(parts)), text(f"Text {number}", f"text-{number}"))
    return notebook(*parts)


def work_on(made: NotebookNode, chance: random.Random) -> tuple[dict[str, str], list[str]]:
    """Type into a notebook as learners do; return the answers by exercise and everything that was typed."""
    answers: dict[str, str] = {}
    typed: list[str] = []

    def word() -> str:
        typed.append(f"typed_{len(typed)}_")
        return typed[-1]

    for cell in list(made.cells):
        place = made.cells.index(cell)
        solution = cell.metadata.get("nbgrader", {}).get("solution")
        act = chance.randrange(8)
        if solution and act < 4:
            cell.source = f"def answer():\n    return '{word()}'"
            answers[cell.metadata.nbgrader.grade_id] = typed[-1]
            if act == 0:
                again = copy_of(cell)
                again.update(id=f"again-{place}", source=f"extra = '{word()}'")
                made.cells.insert(place + 1, again)
        elif act == 4:
            made.cells.insert(place + 1, new_code_cell(word(), id=f"own-code-{place}"))
        elif act == 5:
            made.cells.insert(place, new_markdown_cell(word(), id=f"own-text-{place}"))
        elif act == 6 and not cell.metadata.get("nbgrader"):
            cell.source += f"\n\n{word()}"
        elif act == 7 and not cell.metadata.get("nbgrader"):
            made.cells.remove(cell)
    return answers, typed


@pytest.mark.parametrize("seed", range(60))
def test_whatever_changes_every_keystroke_is_in_the_new_notebook(seed: int) -> None:
    chance = random.Random(seed)
    base, second, third = (random_version(chance) for _ in range(3))
    mine = copy_of(base)
    answers, typed = work_on(mine, chance)
    for known, theirs in ((base, second), (second, third)):
        result = merged(mine, theirs, base=known)
        assert not result.dropped
        for name, answer in answers.items():
            if f"solution-{name}" in ids_of(theirs) and f"solution-{name}" in ids_of(known):
                assert answer in cell_of(result.notebook, f"solution-{name}").source
        for word in typed:
            assert word in sources(result.notebook)
        # The course's own cells are all there, in the new order.
        assert [cell for cell in ids_of(result.notebook) if cell in ids_of(theirs)] == ids_of(theirs)
        mine = result.notebook
    # Once all is in, merging again changes nothing.
    assert merged(mine, third, base=third).notebook == mine


@pytest.mark.parametrize("seed", range(60, 90))
def test_without_a_record_every_keystroke_is_in_the_new_notebook_too(seed: int) -> None:
    chance = random.Random(seed)
    mine, theirs = random_version(chance), random_version(chance)
    answers, typed = work_on(mine, chance)
    result = merge(None, mine, theirs)
    nbformat.validate(result.notebook)
    for name, answer in answers.items():
        if f"solution-{name}" in ids_of(theirs):
            assert answer in cell_of(result.notebook, f"solution-{name}").source
    assert [word for word in typed if word not in sources(result.notebook)] == []
