"""A reader of the built book."""

from __future__ import annotations

import os
import re
import shutil

import pytest
from playwright.sync_api import Page, expect

pytestmark = [
    pytest.mark.skipif(
        shutil.which("chromium") is None and "CI" not in os.environ,
        reason="Chromium is not installed (Debian's package chromium)",
    ),
    pytest.mark.slow,
    pytest.mark.xdist_group("book"),
]


def test_a_reader_follows_a_link_unfolds_an_answer_and_searches(page: Page, book: str) -> None:
    page.goto(book)
    page.get_by_role("article").get_by_role("link", name="Asynchronous programming").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Asynchronous programming")

    answer = page.locator("details", has=page.get_by_text("Answer", exact=True)).first
    expect(answer.locator("pre")).to_be_hidden()
    answer.locator("summary").click()
    expect(answer.locator("pre")).to_be_visible()

    page.keyboard.press("ControlOrMeta+k")
    page.keyboard.type("semaphore")
    page.keyboard.press("Enter")
    found = page.locator("#search-results").get_by_role("link", name="Asynchronous programming")
    found.first.click()
    expect(page).to_have_url(re.compile("01_async"))


def test_a_page_asks_nobody_else_for_anything(page: Page, book: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for name in ("index.html", "01_core_python/01_async.html", "search.html?q=loop"):
        page.goto(book + name)
        page.wait_for_load_state("networkidle")
    assert [url for url in asked if not url.startswith((book, "data:"))] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_report_is_legible_on_a_page_of_either_theme(page: Page, book: str, theme: str) -> None:
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    page.goto(book + "01_core_python/01_async.html")
    report = page.locator(".cell_output .text_html", has_text="tests pass").first
    colours = report.evaluate(
        """report => {
            const opaque = element => {
                const colour = getComputedStyle(element).backgroundColor;
                return colour === "rgba(0, 0, 0, 0)" ? opaque(element.parentElement) : colour;
            };
            const sign = [...report.querySelectorAll("span")].find(span => span.textContent === "✔");
            return [getComputedStyle(report).color, getComputedStyle(sign).color, opaque(report)];
        }"""
    )
    text, sign, background = (luminance(colour) for colour in colours)
    assert contrast(text, background) >= 4.5, "WCAG's least for text"
    assert contrast(sign, background) >= 3, "WCAG's least for signs"
    assert (background < 0.5) == (theme == "dark")


def luminance(colour: str) -> float:
    """Return the relative luminance of a CSS colour `rgb(…)`, as WCAG defines it."""
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (int(number) / 255 for number in re.findall(r"\d+", colour)[:3])
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: float, other: float) -> float:
    """Return the contrast of two luminances, from 1 to 21."""
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)
