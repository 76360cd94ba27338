"""The night's report as Markdown, for the artifact that the orchestrator's pages show beside the run.

Zone: linkage unit. Pure, and the same bytes for the same summary. Foreign text is inert in it
(``markdown_text``). The histogram travels as a picture in a ``data:`` address: diagrams written in Markdown
are not drawn there.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from . import report_figures as figures
from . import report_quality as quality
from .report_histogram import draw_histogram, histogram_of
from .report_wording import markdown_text, ratio, suppress_small

# A picture does not inherit the page's colours: it brings paper and ink that read on light and dark alike.
_PICTURE_STYLE = (
    "svg{background:#fbfaf7;font:13px Arial,Helvetica,sans-serif}text{fill:#3d4a52}.grid{stroke:#e2e0d8}"
    ".axis-line{stroke:#8b969c}.bar.none{fill:#a9b4b9}.bar.possible{fill:#c98a1b}.bar.match{fill:#1f6f78}"
    ".threshold{stroke:#3d4a52;stroke-dasharray:4 4}.mark{font-weight:600}"
)


def render_report_artifact(summary: Mapping[str, Any]) -> str:
    """Markdown for one night: verdict, records, rejections, passes, links by band, histogram.

    Takes the summary that ``render_report_page`` takes. Parts that it lacks are left out or shown as a dash.
    """
    verdict = figures.verdict(summary)
    sections = [
        f"# {verdict.headline}\n\n{markdown_text(verdict.sentence)}",
        _findings(summary),
        _overview(summary),
        _quality(summary),
        _records(summary),
        _rejections(summary),
        _histogram(summary),
        _bands(summary),
        _subgroups(summary),
        _method(summary),
        _passes(summary),
        "Counts under 10 are suppressed and shown as &lt;10. The full report is the run's HTML page.",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _table(headings: Sequence[object], rows: Sequence[Sequence[object]], numeric: range | None = None) -> str:
    """A Markdown table with every cell escaped; ``numeric`` columns, by default all but the first, stand right."""
    numeric = range(1, len(headings)) if numeric is None else numeric
    rule = ["---:" if k in numeric else "---" for k in range(len(headings))]
    lines = [[markdown_text(cell) for cell in headings], rule]
    lines += [[markdown_text(cell) for cell in row] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _overview(summary: Mapping[str, Any]) -> str:
    links, candidates = summary.get("links", {}), summary.get("candidates", {})
    rows = [
        ("Run", summary.get("run_id")),
        ("As of", summary.get("as_of")),
        *((name.capitalize(), count) for name, count in figures.match_rows(summary)),
        ("Possible matches", suppress_small(links.get("possible_match"))),
        ("Expected precision", ratio(summary.get("scores", {}).get("expected_precision"))),
        ("Matches expected in all", suppress_small(summary.get("model", {}).get("expected_matches"))),
        ("Pairs compared", suppress_small(candidates.get("pairs"))),
        ("Spared by blocking", ratio(candidates.get("reduction_ratio"))),
        ("Protocol fingerprint", summary.get("protocol_fingerprint")),
        ("Link table digest", (summary.get("publication") or {}).get("link_table_digest")),
    ]
    return _table(["This night", "Value"], rows, range(0))


def _findings(summary: Mapping[str, Any]) -> str:
    sentences = [f"- {markdown_text(sentence)}" for sentence in quality.finding_sentences(summary)]
    return "\n".join(["## What stood out", "", *sentences]) if sentences else ""


def _quality(summary: Mapping[str, Any]) -> str:
    rows = [[name, *values] for name, _, values in quality.estimate_rows(summary)]
    if not rows:
        return ""
    table = _table(["Estimated precision, without truth", "Value", "95% from", "To", "Counted on"], rows)
    recalls = [markdown_text(sentence) for sentence in quality.recall_sentences(summary)]
    return "\n\n".join(["## How good the links are", table, *recalls])


def _subgroups(summary: Mapping[str, Any]) -> str:
    headings = ["Subgroup", "Records", "In a match", "Share", "95% from", "To"]
    parts = [
        f"### {markdown_text(title)}\n\n" + _table(headings, [[name, *values] for name, values in rows])
        for title, rows in quality.subgroup_tables(summary)
    ]
    return "\n\n".join(["## Who is linked, by subgroup", *parts]) if parts else ""


def _method(summary: Mapping[str, Any]) -> str:
    rows = quality.method_rows(summary)
    return "## How records were linked\n\n" + _table(["Step", "How"], rows, range(0)) if rows else ""


def _records(summary: Mapping[str, Any]) -> str:
    rows = [
        [
            c.name,
            *map(suppress_small, (c.extracted, c.rejected, c.delivered, c.linked, c.possible, c.unlinked)),
        ]
        for c in figures.custodian_figures(summary)
    ]
    headings = ["Custodian", "Extracted", "Rejected", "Delivered", "Linked", "Possible", "Not linked"]
    return "## Records\n\n" + _table(headings, rows) if rows else ""


def _rejections(summary: Mapping[str, Any]) -> str:
    names = [custodian.name for custodian in figures.custodian_figures(summary)]
    found = figures.rejection_rows(summary)
    if not found:
        return "## Rejections by rule\n\nNo record was rejected."
    rows = [[rule, *counts, sentence] for rule, sentence, counts in found]
    return "## Rejections by rule\n\n" + _table(
        ["Rule", *names, "What is wrong"], rows, range(1, 1 + len(names))
    )


def _histogram(summary: Mapping[str, Any]) -> str:
    data = histogram_of(summary)
    if data is None:
        return "## Scores\n\nNo pair was compared."
    drawing = draw_histogram("scores", data, 720, 280, _PICTURE_STYLE)
    encoded = base64.b64encode(drawing.encode()).decode()
    return f"## Scores\n\n![Histogram of scores with both thresholds](data:image/svg+xml;base64,{encoded})"


def _bands(summary: Mapping[str, Any]) -> str:
    rows = [(band.label, suppress_small(band.count)) for band in figures.bands(summary)]
    return "## Links by score band\n\n" + _table(["Score", "Links"], rows) if rows else ""


def _passes(summary: Mapping[str, Any]) -> str:
    names = [f"Without value: {name}" for name in figures.pass_columns(summary)]
    rows = [[name, *counts] for name, counts in figures.pass_rows(summary)]
    headings = ["Proposed by", "Pairs", "Largest block", "Blocks", "Blocks dropped", *names]
    return f"## {figures.proposers_heading(summary)}\n\n" + _table(headings, rows) if rows else ""
