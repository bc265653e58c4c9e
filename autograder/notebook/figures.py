"""Figures that a lesson draws: pictures in a browser, text in a terminal, and sliders over either."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

Range = tuple[float, float] | tuple[float, float, float]

# Fills that tell apart in every common colour blindness (Okabe and Ito); the text form's sign of the same kind.
STYLES = (("#0072b2", "#"), ("#e69f00", "."), ("#009e73", "="), ("#d55e00", "x"), ("#cc79a7", "o"))
# Pixels: the height of a row, the widest that a letter gets, the width of the plot. Then the text form's width.
ROW = 22
LETTER = 8
PLOT_WIDTH = 560
TEXT_WIDTH = 60


class Figure(Protocol):
    """What a figure has to offer: HTML for a browser; its `repr` is the form for a terminal."""

    def _repr_html_(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time on the row `label`, in the figure's unit of time, of one `kind`."""

    label: str
    start: float
    end: float
    kind: str = "runs"


@dataclass(frozen=True, slots=True, repr=False)
class Timeline:
    """Rows of spans on one axis of time, a row for each label in the order of first appearance."""

    spans: Sequence[Span]
    title: str = ""
    unit: str = "s"

    def __post_init__(self) -> None:
        for span in self.spans:
            if span.end < span.start:
                raise ValueError(f"a span can't end before it starts: {span}")

    @property
    def end(self) -> float:
        """When the last span ends, 0 where there is none."""
        return max((span.end for span in self.spans), default=0.0)

    @property
    def labels(self) -> tuple[str, ...]:
        """The rows, from top to bottom."""
        return tuple(dict.fromkeys(span.label for span in self.spans))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of span, in the order of first appearance."""
        return tuple(dict.fromkeys(span.kind for span in self.spans))

    def _style(self, kind: str) -> tuple[str, str]:
        """Return the fill and the sign of a kind."""
        return STYLES[self.kinds.index(kind) % len(STYLES)]

    def __repr__(self) -> str:
        """Draw one bar of signs for each row."""
        margin = max(map(len, self.labels), default=0)
        scale = TEXT_WIDTH / self.end if self.end else 0.0
        lines = [self.title] if self.title else []
        for label in self.labels:
            bar = [" "] * TEXT_WIDTH
            for span in self.spans:
                if span.label == label:
                    first, last = round(span.start * scale), round(span.end * scale)
                    bar[first:last] = self._style(span.kind)[1] * (last - first)
            lines.append(f"{label:>{margin}} |{''.join(bar)}|")
        legend = "  ".join(f"{self._style(kind)[1]} {kind}" for kind in self.kinds)
        span_of_time = f"0 to {self.end:g} {self.unit}"
        room = max(TEXT_WIDTH - len(legend), len(span_of_time) + 2)
        lines.append(f"{'':>{margin}}  {span_of_time:<{room}}{legend}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Draw an SVG that takes the colour of the text around it, so that it reads on a light and on a dark page."""
        margin = LETTER * max(map(len, self.labels), default=0) + 12
        scale = PLOT_WIDTH / self.end if self.end else 0.0
        bottom = ROW * (len(self.labels) + 1)
        width, height = margin + PLOT_WIDTH + 40, bottom + 2 * ROW
        parts = [
            f'<svg role="img" aria-label="{html.escape(self.title or "timeline")}" viewBox="0 0 {width} {height}" '
            f'width="{width}" style="max-width: 100%; height: auto" fill="currentColor" font-family="sans-serif" '
            'font-size="12" xmlns="http://www.w3.org/2000/svg">',
            f'<text x="0" y="14" font-weight="bold">{html.escape(self.title)}</text>',
        ]
        for row, label in enumerate(self.labels, start=1):
            parts.append(f'<text x="{margin - 8}" y="{row * ROW + 14}" text-anchor="end">{html.escape(label)}</text>')
        for span in self.spans:
            row = self.labels.index(span.label) + 1
            tip = f"{span.label} {span.kind}: {span.start:g} to {span.end:g} {self.unit}"
            parts.append(
                f'<rect x="{margin + span.start * scale:.1f}" y="{row * ROW + 2}" '
                f'width="{(span.end - span.start) * scale:.1f}" height="{ROW - 5}" rx="2" '
                f'fill="{self._style(span.kind)[0]}" stroke="currentColor"><title>{html.escape(tip)}</title></rect>'
            )
        axis = bottom + 4
        parts.append(f'<line x1="{margin}" x2="{margin + PLOT_WIDTH}" y1="{axis}" y2="{axis}" stroke="currentColor"/>')
        for quarter in range(5):
            x = margin + PLOT_WIDTH * quarter / 4
            text = f"{self.end * quarter / 4:.3g} {self.unit}"
            parts.append(f'<text x="{x:.1f}" y="{axis + 14}" text-anchor="middle">{html.escape(text)}</text>')
        left = margin
        for kind in self.kinds:
            parts.append(
                f'<rect x="{left}" y="{axis + 20}" width="12" height="12" rx="2" fill="{self._style(kind)[0]}" '
                f'stroke="currentColor"/><text x="{left + 18}" y="{axis + 30}">{html.escape(kind)}</text>'
            )
            left += LETTER * len(kind) + 40
        return "".join((*parts, "</svg>"))


class _Slider(Protocol):
    """The part of ipywidgets' sliders that `explore` uses."""

    value: float

    def observe(self, handler: Callable[[object], None], names: str) -> None: ...


def explore(draw: Callable[..., Figure], **sliders: Range) -> None:
    """Display `draw(**values)` below one slider for each keyword: `(low, high)` or `(low, high, start)`.

    Whole numbers make a slider of whole numbers. Without a start it stands at the low end. Where no widget can be
    shown (a printed book, a terminal) the figure of the starting values stands in its place.
    """
    import ipywidgets
    from IPython.display import display

    controls = {name: _slider(name, bounds) for name, bounds in sliders.items()}

    def values() -> dict[str, float]:
        return {name: control.value for name, control in controls.items()}

    figure = draw(**values())
    picture = ipywidgets.HTML(figure._repr_html_())

    def redraw(_: object) -> None:
        try:
            picture.value = draw(**values())._repr_html_()
        except Exception as error:  # an error in a widget's callback would end in a log that nobody reads
            picture.value = f"<pre>{html.escape(f'{type(error).__name__}: {error}')}</pre>"

    for control in controls.values():
        control.observe(redraw, "value")
    view = ipywidgets.VBox([*controls.values(), picture])._repr_mimebundle_()
    static = {"text/plain": repr(figure), "text/html": figure._repr_html_()}
    display({**view, **static}, raw=True)


def _slider(name: str, bounds: Range) -> _Slider:
    """Return the slider for one keyword of `explore`."""
    import ipywidgets

    low, high, *start = bounds
    kind = ipywidgets.IntSlider if all(isinstance(bound, int) for bound in bounds) else ipywidgets.FloatSlider
    slider: _Slider = kind(value=start[0] if start else low, min=low, max=high, description=name.replace("_", " "))
    return slider
