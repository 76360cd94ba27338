"""The night's report: what a reader sees, what no reader may see, and that foreign text stays text."""

from __future__ import annotations

import base64
import copy
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tasks.linkage_unit.report_artifact import render_report_artifact
from tasks.linkage_unit.report_page import render_report_page
from tasks.linkage_unit.report_wording import (
    drawn_count,
    markdown_text,
    ratio,
    safe_text,
    share,
    suppress_small,
)

SUMMARY_FILE = Path(__file__).parent / "night_summary.json"
HOSTILE_NAMES = [
    "<script>alert(1)</script>",
    "=cmd|x",
    '"><img src=x onerror=alert(1)>',
    "a`b|c\\d\n# e",
    "{{ 7 * 7 }}",
]


@pytest.fixture
def summary() -> dict[str, Any]:
    return json.loads(SUMMARY_FILE.read_text(encoding="utf-8"))


class _Page(HTMLParser):
    """Elements in order, and the visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] != "style":
            self.text += data + " "

    def tags(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == name]


def _bars(page: _Page) -> list[dict[str, str | None]]:
    return [
        rect for rect in page.tags("rect") if (rect["class"] or "").startswith("bar") and rect["rx"] == "0"
    ]


# --- wording


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0"), (1, "<10"), (9, "<10"), (10, "10"), (999, "999"), (1_234_567, "1,234,567"), (None, "–")],
)
def test_counts_under_ten_are_suppressed_and_others_have_separators(count: int | None, shown: str) -> None:
    assert suppress_small(count) == shown


@pytest.mark.parametrize(("count", "drawn"), [(0, 0), (1, 10), (9, 10), (10, 10), (11, 11)])
def test_no_bar_length_gives_a_small_count_away(count: int, drawn: int) -> None:
    assert drawn_count(count) == drawn


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [(50, 100, "50.0%"), (9, 100, "–"), (91, 100, "–"), (100, 100, "100.0%"), (0, 100, "0.0%"), (0, 0, "–")],
)
def test_a_share_is_shown_only_when_neither_part_is_small(part: int, whole: int, shown: str) -> None:
    assert share(part, whole) == shown


def test_a_ratio_is_cut_and_never_rounded_up_to_all() -> None:
    assert (ratio(0.999999), ratio(1.0), ratio(0.9993), ratio(None)) == ("99.99%", "100.00%", "99.93%", "–")


@pytest.mark.parametrize("lead", ["=", "+", "-", "@", " =", "\t=", "\r-", "\0@"])
def test_no_text_starts_as_a_formula(lead: str) -> None:
    assert safe_text(lead + "cmd|x")[0] in "'\ufffd"


def test_text_keeps_no_control_surrogate_or_direction_character_and_ends() -> None:
    shown = safe_text("a\x00b\ud800c\u202ed\u2028e" + "x" * 500)
    assert shown.startswith("a\ufffdb\ufffdc\ufffdd\ufffde")
    assert len(shown) == 200
    shown.encode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<script>", "&lt;script&gt;"),
        ('a`b|c\\d*_[]{}"', r"a\`b\|c\\d\*\_\[\]\{\}&quot;"),
        ("#1 a&b!", r"\#1 a&amp;b\!"),
        ("https://www.example.org", r"https\://www\.example\.org"),
        ("0.80-0.85, 99.9%", "0.80-0.85, 99.9%"),
        ("a\nb", "a\ufffdb"),
    ],
)
def test_markdown_text_holds_no_active_character(text: str, shown: str) -> None:
    assert markdown_text(text) == shown


# --- the page


def test_page_tells_the_night(summary: dict[str, Any]) -> None:
    text = _Page(render_report_page(summary)).text
    for words in (
        "Published",
        "214 links opened, 37 closed, 13,010 kept",
        "271,330",
        "99.93%",
        "12 of 12",
        "A date is not in the calendar, such as 30 February",
        "match from 0.80",
        "possible match from 0.72",
        "Counts under 10 are suppressed",
        "equal: one linkage key was used",
    ):
        assert words in text
    for digest in (summary["protocol_fingerprint"], *map(str, summary["publication"].values())):
        assert len(digest) < 64 or digest in text


def test_page_loads_nothing_and_says_so(summary: dict[str, Any]) -> None:
    page = _Page(render_report_page(summary))
    policy = [meta["content"] for meta in page.tags("meta") if "http-equiv" in meta]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    assert not {"script", "img", "iframe", "object", "a"} & {tag for tag, _ in page.elements}
    assert [link["href"] for link in page.tags("link")] == ["data:,"]
    assert "url(" not in render_report_page(summary)


def test_tables_and_pictures_are_announced(summary: dict[str, Any]) -> None:
    page = _Page(render_report_page(summary))
    assert len(page.tags("table")) == len(page.tags("caption")) == 8
    assert all("scope" in heading for heading in page.tags("th"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for drawing in page.tags("svg"):
        assert set((drawing["aria-labelledby"] or "").split()) <= set(ids)


def test_small_counts_appear_nowhere(summary: dict[str, Any]) -> None:
    summary["links"] = {"match": 7, "possible_match": 3, "by_band": {"0.95-1.00": 7, "0.75-0.80": 3}}
    page = _Page(render_report_page(summary))
    alone = re.findall(r"(?<![\w.,:-])[1-9](?![\w.,:%-])", page.text)
    assert alone == ["1"]  # the protocol's version
    assert [span["style"] for span in page.tags("span") if "style" in span] == ["width:100.0%"] * 2


@pytest.mark.parametrize("count", [1, 9])
def test_bars_of_small_counts_are_as_high_as_of_ten(summary: dict[str, Any], count: int) -> None:
    summary["scores"]["counts"][40] = count
    at_ten = copy.deepcopy(summary)
    at_ten["scores"]["counts"][40] = 10
    assert _bars(_Page(render_report_page(summary))) == _bars(_Page(render_report_page(at_ten)))


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_foreign_text_stays_text(summary: dict[str, Any], name: str) -> None:
    usual = [tag for tag, _ in _Page(render_report_page(summary)).elements]
    summary["custodians"][name] = summary["custodians"].pop("hospital")
    summary["custodians"][name]["rejected_by_rule"] = {name: 12}
    summary["rule_sentences"] = {name: name}
    summary["run_id"] = summary["project"] = summary["candidates"]["passes"][0]["name"] = name
    page = _Page(render_report_page(summary))
    assert {tag for tag, _ in page.elements} <= set(usual)
    assert not any(attribute.startswith("on") for _, found in page.elements for attribute in found)
    assert safe_text(name) in page.text
    markdown = render_report_artifact(summary)
    assert "<" not in markdown
    widths = {re.sub(r"\\.", "", line).count("|") for line in markdown.splitlines() if line.startswith("| ")}
    assert widths <= {3, 4, 5, 8}


def test_formula_names_get_an_apostrophe(summary: dict[str, Any]) -> None:
    summary["custodians"]["=cmd|x"] = summary["custodians"].pop("hospital")
    assert "'=cmd|x" in _Page(render_report_page(summary)).text
    assert r"'\=cmd\|x" in render_report_artifact(summary)


@pytest.mark.parametrize(
    ("publication", "headline"),
    [
        ({"links_opened": 0, "links_closed": 0, "links_kept": 13_010}, "Nothing changed"),
        ({"links_opened": 1, "links_closed": 0, "links_kept": 0}, "Published"),
        (None, "Not published"),
    ],
)
def test_verdict(summary: dict[str, Any], publication: dict[str, int] | None, headline: str) -> None:
    summary["publication"] = publication
    assert f"<h1>{headline}</h1>" in render_report_page(summary)
    assert render_report_artifact(summary).startswith(f"# {headline}\n")


def test_failed_checks_and_different_keys_are_told(summary: dict[str, Any]) -> None:
    summary["custodians"]["hospital"]["expectations"][0]["success"] = False
    summary["custodians"]["hospital"]["key_check_value"] = "0" * 16
    text = _Page(render_report_page(summary)).text
    assert "11 of 12" in text
    assert "✗ failed" in text
    assert "DIFFERENT" in text


def test_a_night_without_links_or_pairs(summary: dict[str, Any]) -> None:
    summary["links"] = {"match": 0, "possible_match": 0, "by_band": {}}
    summary["scores"]["counts"] = [0] * len(summary["scores"]["counts"])
    summary["candidates"] = {"pairs": 0, "all_pairs": 0, "reduction_ratio": None, "passes": []}
    text = _Page(render_report_page(summary)).text
    assert "No link was made." in text
    assert "No pair was compared" in text
    assert "No pair was compared." in render_report_artifact(summary)


def test_any_part_may_be_missing(summary: dict[str, Any]) -> None:
    for part in summary:
        rest = {name: value for name, value in summary.items() if name != part}
        assert "</html>" in render_report_page(rest)
        assert render_report_artifact(rest)
    assert "Not published" in render_report_page({})
    assert render_report_artifact({})


def test_three_custodians_claim_no_linked_records_unless_told(summary: dict[str, Any]) -> None:
    summary["custodians"]["registry"] = {**summary["custodians"]["pharmacy"], "delivered": 8_001}
    text = _Page(render_report_page(summary)).text
    assert "8,001" in text
    assert "no link" not in text
    summary["custodians"]["registry"] |= {"linked": 5_000, "possible": 1_000}
    assert "2,001" in _Page(render_report_page(summary)).text


def test_same_summary_same_bytes_whatever_the_order_of_its_keys(summary: dict[str, Any]) -> None:
    turned = json.loads(json.dumps(summary, sort_keys=True))
    assert render_report_page(summary) == render_report_page(turned)
    assert render_report_artifact(summary) == render_report_artifact(turned)


@pytest.mark.parametrize("thresholds", [(0.1, 0.2), (0.96, 0.99), (0.5, 1.0)])
def test_thresholds_are_marked_wherever_they_lie(
    summary: dict[str, Any], thresholds: tuple[float, float]
) -> None:
    summary["scores"] |= {"possible_threshold": thresholds[0], "match_threshold": thresholds[1]}
    lines = [line for line in _Page(render_report_page(summary)).tags("line") if line["class"] == "threshold"]
    assert len(lines) == 4  # two thresholds in each of two widths


# --- the artifact


def test_artifact_carries_tables_and_a_picture(summary: dict[str, Any]) -> None:
    markdown = render_report_artifact(summary)
    encoded = re.search(r"!\[[^]]+]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", markdown)
    assert encoded is not None
    drawing = ElementTree.fromstring(base64.b64decode(encoded[1]))  # noqa: S314 - our own drawing
    bars = [
        rect
        for rect in drawing.iter("{http://www.w3.org/2000/svg}rect")
        if rect.get("class", "")[:3] == "bar"
    ]
    assert len(bars) > 20
    assert min(float(bar.get("height", 0)) for bar in bars) > 0
    assert "| Matches | 12,806 |" in markdown
    assert "| 0.95-1.00 | 4,453 |" in markdown


def test_what_was_resolved_otherwise_than_one_to_one_is_told(summary: dict[str, Any]) -> None:
    assert "Links a record may have" not in _Page(render_report_page(summary)).text
    summary |= {
        "resolution": "optimal_one_to_one",
        "optimum": {"components": 1200, "improved": 3, "left_to_greedy": 0, "pairs_left_to_greedy": 0},
        "known_links": {"sha256": "ab" * 32, "links": 40, "never": 2, "absent": 0},
        "entities": {
            "entities": 300,
            "members": 800,
            "components": 305,
            "components_split": 5,
            "largest_component": 7,
        },
    }
    text = _Page(render_report_page(summary)).text
    for words in ("optimal_one_to_one", "1,200", "Known links published", "ab" * 32, "split"):
        assert words in text


def _with_unsealed(summary: dict[str, Any]) -> dict[str, Any]:
    counts = {
        "custodian_a": "hospital",
        "custodian_b": "pharmacy",
        "sealed_a": 40,
        "sealed_b": 41,
        "matches_left": 1234,
    }
    estimate = {"value": 0.99, "low": 0.95, "high": 1.0, "basis": 40}
    found = {"precision": {"null_people": estimate}, "recall": 0.95, "canary_recall": estimate}
    return {**summary, "quality": [{"custodians": ["hospital", "pharmacy"], **found}], "unsealed": [counts]}


@pytest.mark.parametrize("render", [render_report_page, render_report_artifact])
def test_matches_before_and_after_the_unsealing_explain_themselves(render, summary):
    before = f"{summary['links']['match']:,}"
    text = render(_with_unsealed(summary))
    assert "1,234" in text and before in text
    for told in ("atches of real records, published", "before null people and canary pairs were taken out"):
        assert told in text
    assert (
        "not among them" in text and "upper bound of the recall" in text and "count the others, too" in text
    )
    assert "taken out" not in render(summary)


def test_matches_of_three_custodians_are_not_added_up_where_some_have_no_counts(summary):
    unsealed = _with_unsealed(summary)
    page = render_report_page({**unsealed, "quality": unsealed["quality"] * 3})
    assert page.index("published</dt><dd>\u2013") > 0
