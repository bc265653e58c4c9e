"""Figures draw themselves for a browser and for a terminal, and sliders draw them anew."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import ipywidgets
import pytest

from autograder.notebook.figures import Figure, Span, Timeline, explore

SVG = "{http://www.w3.org/2000/svg}"


def _timeline() -> Timeline:
    spans = [Span("b", 0, 1, "waits"), Span("a", 0, 2, "runs"), Span("b", 1, 4, "runs")]
    return Timeline(spans, "Two <tasks> & more", unit="ms")


def test_rows_and_kinds_come_in_the_order_of_their_first_span() -> None:
    timeline = _timeline()
    assert timeline.labels == ("b", "a")
    assert timeline.kinds == ("waits", "runs")
    assert timeline.end == 4


def test_the_text_form_has_a_bar_for_each_row_to_one_scale() -> None:
    title, first, second, legend = repr(_timeline()).splitlines()
    assert title == "Two <tasks> & more"
    assert first == f"b |{'#' * 15}{'.' * 45}|"
    assert second == f"a |{'.' * 30}{' ' * 30}|"
    assert "0 to 4 ms" in legend
    assert legend.endswith("# waits  . runs")


def test_the_picture_has_a_bar_for_each_span_to_one_scale() -> None:
    svg = ElementTree.fromstring(_timeline()._repr_html_())
    bars = [rect for rect in svg.iter(f"{SVG}rect") if rect.find(f"{SVG}title") is not None]
    left = float(bars[0].attrib["x"])
    assert [float(bar.attrib["x"]) - left for bar in bars] == pytest.approx([0, 0, 140], abs=0.1)
    assert [float(bar.attrib["width"]) for bar in bars] == pytest.approx([140, 280, 420], abs=0.1)
    assert bars[0].attrib["y"] == bars[2].attrib["y"] != bars[1].attrib["y"]
    assert bars[1].attrib["fill"] == bars[2].attrib["fill"] != bars[0].attrib["fill"]


def test_the_picture_says_what_it_shows_in_words_too() -> None:
    svg = ElementTree.fromstring(_timeline()._repr_html_())
    assert svg.attrib["aria-label"] == "Two <tasks> & more"
    texts = {text.text for text in svg.iter(f"{SVG}text")}
    assert {"Two <tasks> & more", "a", "b", "waits", "runs", "4 ms"} <= texts


def test_the_picture_takes_its_ink_from_the_page_around_it() -> None:
    svg = ElementTree.fromstring(_timeline()._repr_html_())
    assert svg.attrib["fill"] == "currentColor"
    assert all("fill" not in text.attrib for text in svg.iter(f"{SVG}text"))


def test_a_legend_that_is_longer_than_the_bars_stands_beside_the_scale() -> None:
    kinds = [f"waiting for its turn, {number} times" for number in range(4)]
    said = repr(Timeline([Span("a", 0, 1, kind) for kind in kinds])).splitlines()[-1]
    assert all(kind in said for kind in kinds)
    assert "0 to 1 s  " in said


def test_no_spans_are_an_empty_picture() -> None:
    assert "0 to 0 s" in repr(Timeline([]))
    assert not list(ElementTree.fromstring(Timeline([])._repr_html_()).iter(f"{SVG}rect"))


def test_a_span_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValueError, match="before it starts"):
        Timeline([Span("a", 2, 1)])


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is displayed during the test."""
    bundles: list[dict[str, Any]] = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: bundles.append(bundle))
    return bundles


def _draw(tasks: int, share: float = 0.5) -> Timeline:
    if tasks > 8:
        raise ValueError("too many <tasks>")
    return Timeline([Span(f"task {number}", 0, share) for number in range(tasks)])


def _widget(bundle: dict[str, Any]) -> Any:
    model = bundle["application/vnd.jupyter.widget-view+json"]["model_id"]
    return ipywidgets.widgets.widget._instances[model]


def test_sliders_stand_where_they_are_told_and_else_at_the_low_end(shown: list[dict[str, Any]]) -> None:
    explore(_draw, tasks=(1, 9, 3), share=(0.25, 1.0))
    tasks, share, _ = _widget(shown[0]).children
    assert (tasks.min, tasks.max, tasks.value) == (1, 9, 3)
    assert isinstance(tasks.value, int)
    assert (share.min, share.max, share.value) == (0.25, 1.0, 0.25)


def test_the_first_state_is_there_without_widgets(shown: list[dict[str, Any]]) -> None:
    explore(_draw, tasks=(1, 9, 3))
    assert shown[0]["text/plain"] == repr(_draw(3))
    assert shown[0]["text/html"] == _draw(3)._repr_html_()


def test_moving_a_slider_draws_anew(shown: list[dict[str, Any]]) -> None:
    explore(_draw, tasks=(1, 9, 3))
    tasks, picture = _widget(shown[0]).children
    tasks.value = 5
    assert picture.value == _draw(5)._repr_html_()


def test_an_error_while_drawing_is_shown_in_place_of_the_picture(shown: list[dict[str, Any]]) -> None:
    explore(_draw, tasks=(1, 9, 3))
    tasks, picture = _widget(shown[0]).children
    tasks.value = 9
    assert "ValueError: too many &lt;tasks&gt;" in picture.value
    tasks.value = 2
    assert picture.value == _draw(2)._repr_html_()


def test_a_figure_that_cannot_be_drawn_at_first_fails_the_cell(shown: list[dict[str, Any]]) -> None:
    def broken(tasks: int) -> Figure:
        raise LookupError(tasks)

    with pytest.raises(LookupError):
        explore(broken, tasks=(1, 9))
    assert not shown
