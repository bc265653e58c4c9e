"""What a cell shows is cut where it is too much, and what decides on points stays."""

from __future__ import annotations

from typing import Any

from autograder.grade.outputs import AROUND, CUT, cut
from autograder.notebook.report import MIME_TYPE

ROOM = 1000


def stream(length: int) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": "x" * length}


def error(text: str) -> dict[str, Any]:
    return {"output_type": "error", "ename": "ValueError", "evalue": text, "traceback": [text] * 50}


def display(**data: object) -> dict[str, Any]:
    return {"output_type": "display_data", "data": data, "metadata": {}}


def test_what_fits_stays_as_it_is() -> None:
    outputs = [stream(100), display(text="abc"), error("no")]
    assert cut(outputs, ROOM)[0] == outputs


def test_text_is_cut_where_the_room_ends_and_says_so() -> None:
    (only,), used = cut([stream(5000)], ROOM)
    assert only["text"].startswith("xxx")
    assert only["text"].endswith(CUT)
    assert len(only["text"]) + AROUND <= used == ROOM


def test_cutting_twice_is_cutting_once() -> None:
    once, _ = cut([stream(5000), stream(5000), error("no")], ROOM)
    assert [output["output_type"] for output in once] == ["stream", "error"]
    assert cut(once, ROOM)[0][0] == once[0]
    assert len(cut(once, ROOM)[0]) == 2


def test_a_display_that_is_too_large_leaves_a_line() -> None:
    ((only,), _) = cut([display(html="x" * 5000)], ROOM)
    assert only["text"] == CUT


def test_many_small_outputs_are_cut_too() -> None:
    assert len(cut([display(text="x")] * 5000, ROOM)[0]) < ROOM / AROUND + 2


def test_the_error_the_result_and_the_report_after_the_cut_are_kept_once() -> None:
    report = display(**{MIME_TYPE: {"tests": []}, "text/html": "x" * 5000})
    result = {"output_type": "execute_result", "data": {"text/plain": "0.5"}, "metadata": {}, "execution_count": None}
    kept, _ = cut([stream(5000), *[error("no")] * 9, *[report] * 9, *[result] * 9, stream(10)], ROOM)
    assert [output["output_type"] for output in kept] == ["stream", "error", "display_data", "execute_result"]
    assert kept[2]["data"] == {MIME_TYPE: {"tests": []}}
    assert kept[3]["data"] == {"text/plain": "0.5"}


def test_what_is_kept_after_the_cut_is_short() -> None:
    kept, _ = cut([stream(5000), error("x" * 1_000_000)], ROOM)
    assert len(str(kept)) < 100_000
