"""The night's report as one self-contained HTML page.

Zone: linkage unit. Pure: the same summary gives the same bytes, with no clock and no look at the environment.
The page loads nothing, and its content security policy forbids it to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from . import report_figures as figures
from . import report_quality as quality
from .report_flow import NightFlow, draw_flow, draw_narrow_flow
from .report_histogram import draw_histogram, histogram_of
from .report_wording import NOT_RECORDED, ratio, safe_text, suppress_small

_TEMPLATE = "report_page.html.j2"


def render_report_page(summary: Mapping[str, Any]) -> str:
    """The page for one night.

    Parameters
    ----------
    summary : mapping
        The night's summary. Any part may be missing, and then shows as a dash or a sentence. Read where
        given: ``rule_sentences`` (rule to sentence), ``candidates.custodians`` (the names behind ``null_a``
        and ``null_b``), and per custodian ``linked`` and ``possible`` (needed with three or more).

    Returns
    -------
    str
        HTML, to be written as UTF-8.
    """
    return _environment().get_template(_TEMPLATE).render(_page_parts(summary))


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("tasks.linkage_unit", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    return environment


def _breakable(text: str) -> Markup:
    """Let a long name break after an underscore, so that it fits a phone."""
    return Markup(escape(text).replace("_", Markup("_<wbr>")))  # noqa: S704 - escaped just before


def _page_parts(summary: Mapping[str, Any]) -> dict[str, Any]:
    custodians = figures.custodian_figures(summary)
    checks = figures.checks_by_point(summary)
    results = [check.passed for _, found in checks for check in found]
    return {
        "project": safe_text(summary.get("project")),
        "as_of": safe_text(summary.get("as_of")),
        "run_id": safe_text(summary.get("run_id")),
        "verdict": figures.verdict(summary),
        "key_figures": _key_figures(summary, results),
        "names": [custodian.name for custodian in custodians],
        "rejections": figures.rejection_rows(summary),
        "bands": figures.bands(summary),
        "pass_columns": figures.pass_columns(summary),
        "proposers": figures.proposers_heading(summary),
        "passes": figures.pass_rows(summary),
        "checks": checks,
        "estimates": quality.estimate_rows(summary),
        "recalls": quality.recall_sentences(summary),
        "subgroups": quality.subgroup_tables(summary),
        "method": quality.method_rows(summary),
        "findings": quality.finding_sentences(summary),
        "provenance": figures.provenance(summary),
        "count": suppress_small,
        **_pictures(summary, custodians),
    }


def _pictures(summary: Mapping[str, Any], custodians: list[figures.CustodianFigures]) -> dict[str, Any]:
    """Both pictures in two widths each: a drawing scaled down to a phone would have letters of 5 px."""
    links, pairs = summary.get("links", {}), summary.get("candidates", {}).get("pairs")
    flow = NightFlow(custodians, pairs, links.get("match"), links.get("possible_match"))
    data = histogram_of(summary)
    return {
        "flow_wide": draw_flow("flow-wide", flow),
        "flow_narrow": draw_narrow_flow("flow-narrow", flow),
        "histogram_wide": draw_histogram("scores-wide", data, 960) if data else None,
        "histogram_narrow": draw_histogram("scores-narrow", data, 358) if data else None,
    }


def _key_figures(summary: Mapping[str, Any], results: list[bool]) -> list[tuple[str, str]]:
    links, candidates = summary.get("links", {}), summary.get("candidates", {})
    passed = f"{sum(results):,} of {len(results):,}" if results else NOT_RECORDED
    return [
        *figures.match_rows(summary),
        ("possible matches", suppress_small(links.get("possible_match"))),
        ("expected precision of the matches", ratio(summary.get("scores", {}).get("expected_precision"))),
        ("matches expected in all", suppress_small(summary.get("model", {}).get("expected_matches"))),
        ("pairs compared", suppress_small(candidates.get("pairs"))),
        ("of all pairs spared by blocking", ratio(candidates.get("reduction_ratio"))),
        ("data checks passed", passed),
    ]
