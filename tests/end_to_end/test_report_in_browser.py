"""The night's report in a real browser: it loads nothing, complains of nothing, fits phone and desk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.linkage_unit.report_page import render_report_page

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

SUMMARY_FILE = Path(__file__).parents[1] / "unit" / "tasks" / "night_summary.json"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium", path="/usr/bin")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HEIGHTS = "shapes => shapes.map(shape => shape.getBoundingClientRect().height)"
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium at /usr/bin/chromium or on PATH")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A night's page on disk, with a custodian whose name tries to be a script."""
    summary = json.loads(SUMMARY_FILE.read_text(encoding="utf-8"))
    summary["custodians"]["<script>alert(1)</script>"] = summary["custodians"].pop("pharmacy")
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(render_report_page(summary), encoding="utf-8")
    return file.as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_report_opens_quietly_and_fits(browser: Any, report: str, width: int, scheme: str) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("dialog", lambda dialog: (heard.append("dialog"), dialog.dismiss()))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report)

    assert heard == []
    assert [url for url in asked if url != report and not url.startswith("data:")] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.get_by_role("heading", level=1).inner_text() == "Published"
    assert "A date is not in the calendar, such as 30 February" in page.inner_text("main")
    assert "<script>alert(1)</script>" in page.inner_text("main")
    page.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_histogram_is_drawn_with_both_thresholds(browser: Any, report: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(report)
    drawing = page.locator("#scores svg:visible")
    heights = drawing.locator("rect.bar").evaluate_all(
        "bars => bars.map(b => b.getBoundingClientRect().height)"
    )
    assert drawing.count() == 1
    assert len(heights) > 20
    assert min(heights) > 0
    assert drawing.locator("line.threshold").count() == 2
    letters = drawing.locator("text").evaluate_all(HEIGHTS)
    assert min(letters) > 9  # a picture merely shrunk to a phone could not be read
    page.close()


def test_words_in_the_pictures_stay_inside_them(browser: Any, report: str) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 900})
    page.goto(report)
    outside = page.evaluate(
        """() => [...document.querySelectorAll('svg text')].filter(words => {
            const inner = words.getBoundingClientRect();
            const outer = words.ownerSVGElement.getBoundingClientRect();
            return inner.width && (inner.left < outer.left - 1 || inner.right > outer.right + 1);
        }).map(words => words.textContent)"""
    )
    assert outside == []
    page.close()
