"""The night's summary, arranged for a reader: every part that may be missing has its place here.

Zone: linkage unit. Takes the summary dictionary of a night (counts, digests, names; no record) and returns
figures that the page and the artifact both draw from, so that the two cannot disagree. Keyed parts are
sorted, so that equal summaries give equal figures, in whatever order their keys were written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .report_wording import NOT_RECORDED, drawn_count, safe_text, suppress_small

POINTS = {
    "raw_extract": "Raw extract, at the custodian",
    "normalised": "Normalised fields, at the custodian",
    "delivery": "Received delivery, at the linkage unit",
    "link_table": "Link table, before publication",
}


@dataclass(frozen=True)
class CustodianFigures:
    """One custodian's records; counts are None where the summary lacks them."""

    name: str
    extracted: int | None
    rejected: int | None
    delivered: int | None
    linked: int | None
    possible: int | None
    unlinked: int | None
    rejected_by_rule: Mapping[str, int]


@dataclass(frozen=True)
class Band:
    """Links of one score band; ``kind`` is match or possible, ``width`` the bar's length in percent."""

    label: str
    kind: str
    count: int
    width: float


@dataclass(frozen=True)
class Check:
    """One expectation's result, as counts; ``details`` are its column and custodian, where it has them."""

    name: str
    details: Sequence[str]
    evaluated: str
    unexpected: str
    passed: bool


@dataclass(frozen=True)
class Verdict:
    """What the night did to the links that are served. ``kind`` is published, unchanged or withheld."""

    kind: str
    headline: str
    sentence: str


def count_in(part: Mapping[str, Any], *names: str) -> int | None:
    """The sum of the named counts, or None when one is missing."""
    values = [part.get(name) for name in names]
    return None if None in values else sum(int(value) for value in values if value is not None)


def custodian_figures(summary: Mapping[str, Any]) -> list[CustodianFigures]:
    """Custodians in order of name.

    One-to-one between two custodians means as many linked records on each side as links. With three or more
    that does not follow, so linked and unlinked records stay unknown unless its own part says ``linked``.
    """
    parts, links = summary.get("custodians", {}), summary.get("links", {})
    return [_one_custodian(name, parts[name], links if len(parts) == 2 else {}) for name in sorted(parts)]


def _one_custodian(name: str, part: Mapping[str, Any], links: Mapping[str, Any]) -> CustodianFigures:
    linked = part.get("linked", links.get("match"))
    possible = part.get("possible", links.get("possible_match"))
    known = None not in (part.get("delivered"), linked, possible)
    return CustodianFigures(
        name=safe_text(name),
        extracted=part.get("extracted"),
        rejected=part.get("rejected"),
        delivered=part.get("delivered"),
        linked=linked if known else None,
        possible=possible if known else None,
        unlinked=part["delivered"] - linked - possible if known else None,
        rejected_by_rule=part.get("rejected_by_rule", {}),
    )


def verdict(summary: Mapping[str, Any]) -> Verdict:
    """Published, nothing changed, or not published where the summary records no publication."""
    part = summary.get("publication")
    if not part:
        return Verdict(
            "withheld",
            "Not published",
            "No publication is recorded for this run. The links of the last published night stay served.",
        )
    opened, closed, kept = (part.get(f"links_{act}") or 0 for act in ("opened", "closed", "kept"))
    if not opened and not closed:
        return Verdict(
            "unchanged",
            "Nothing changed",
            f"The night ran whole and found the links already in force ({suppress_small(kept)} kept).",
        )
    without = " Those of people who do not exist are not among them." if summary.get("unsealed") else ""
    return Verdict(
        "published",
        "Published",
        f"The link table was published whole: {suppress_small(opened)} links opened, "
        f"{suppress_small(closed)} closed, {suppress_small(kept)} kept.{without}",
    )


def match_rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(what is counted, shown count) of the matches: two rows where people who do not exist were taken out."""
    found = suppress_small(summary.get("links", {}).get("match"))
    unsealed = summary.get("unsealed")
    if not unsealed:
        return [("matches", found)]
    # Two custodians without such people have no counts; the difference to the first row is then not told.
    published = sum(int(two.get("matches_left", 0)) for two in unsealed)
    told = len(unsealed) == len(summary.get("quality", []))
    return [
        ("matches of real records, published", suppress_small(published) if told else NOT_RECORDED),
        ("matches before null people and canary pairs were taken out", found),
    ]


def rejection_rows(summary: Mapping[str, Any]) -> list[tuple[str, str, list[str]]]:
    """(rule, its sentence or "", shown count per custodian), by rule; custodians in order of name."""
    sentences = summary.get("rule_sentences", {})
    per_custodian = [custodian.rejected_by_rule for custodian in custodian_figures(summary)]
    rules = sorted({rule for counts in per_custodian for rule in counts})
    return [
        (
            safe_text(rule),
            _capitalised(safe_text(sentences[rule])) if rule in sentences else "",
            [suppress_small(counts.get(rule, 0)) for counts in per_custodian],
        )
        for rule in rules
    ]


def _capitalised(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def bands(summary: Mapping[str, Any]) -> list[Band]:
    """Links by score band, highest band first; bars are relative to the fullest band."""
    counts = summary.get("links", {}).get("by_band", {})
    longest = max((drawn_count(count) for count in counts.values()), default=0) or 1
    threshold = summary.get("scores", {}).get("match_threshold")
    return [
        Band(
            safe_text(label),
            _band_kind(label, threshold),
            counts[label],
            100 * drawn_count(counts[label]) / longest,
        )
        for label in sorted(counts, reverse=True)
    ]


def _band_kind(label: str, match_threshold: float | None) -> str:
    try:
        lower_edge = float(label.partition("-")[0])
    except ValueError:
        return "match"
    return "possible" if match_threshold is not None and lower_edge < match_threshold else "match"


def proposers_heading(summary: Mapping[str, Any]) -> str:
    """What proposed the candidate pairs: blocking passes, or filters with the protocol's mode."""
    mode = summary.get("candidates", {}).get("mode")
    return "Blocking passes" if mode is None else f"Filters ({safe_text(mode)})"


def pass_columns(summary: Mapping[str, Any]) -> list[str]:
    """Names for ``null_a`` and ``null_b``: ``candidates.custodians`` if given, else both in order of name."""
    names = summary.get("candidates", {}).get("custodians") or sorted(summary.get("custodians", {}))
    return [safe_text(name) for name in names] if len(names) == 2 else ["first custodian", "second custodian"]


def pass_rows(summary: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """(pass, [pairs, largest block, blocks, blocks dropped, null in a, null in b]), in given order."""
    columns = ("pairs", "largest_block_pairs", "blocks", "blocks_dropped", "null_a", "null_b")
    return [
        (safe_text(row.get("name")), [suppress_small(row.get(column)) for column in columns])
        for row in summary.get("candidates", {}).get("passes", [])
    ]


def checks_by_point(summary: Mapping[str, Any]) -> list[tuple[str, list[Check]]]:
    """(heading, checks) for each point of validation, in the order of the data; unknown points come last."""
    found: dict[str, list[Check]] = {}
    custodians = summary.get("custodians", {})
    rows = [(name, row) for name in sorted(custodians) for row in custodians[name].get("expectations", [])]
    rows += [(row.get("custodian"), row) for row in summary.get("expectations", [])]
    for subject, row in rows:
        found.setdefault(str(row.get("point")), []).append(_one_check(subject, row))
    order = [*POINTS, *sorted(set(found) - set(POINTS))]
    return [(POINTS.get(point, safe_text(point)), found[point]) for point in order if point in found]


def _one_check(subject: str | None, row: Mapping[str, Any]) -> Check:
    name = safe_text(row.get("expectation")).removeprefix("expect_").replace("_", " ")
    return Check(
        name=_capitalised(name),
        details=[safe_text(detail) for detail in (row.get("column"), subject) if detail],
        # A table-level expectation counts batches, not records.
        evaluated=NOT_RECORDED if name.startswith("table ") else suppress_small(row.get("evaluated")),
        unexpected=suppress_small(row.get("unexpected")),
        passed=bool(row.get("success")),
    )


def provenance(summary: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """(group, its (label, value) rows) of all that a link is traced and verified by."""
    custodians = summary.get("custodians", {})
    groups = [("Run", _shown(summary, _RUN_ROWS))]
    groups += [
        (f"Delivery of {safe_text(name)}", _shown(custodians[name], _DELIVERY_ROWS))
        for name in sorted(custodians)
    ]
    groups += [
        (
            "Linkage key",
            [
                ("Key epoch", safe_text(summary.get("key_epoch"))),
                ("Key check values", _key_agreement(custodians)),
            ],
        )
    ]
    groups += [("Resolution", rows)] if (rows := _resolution_rows(summary)) else []
    return [*groups, ("Publication", _shown(summary.get("publication") or {}, _PUBLICATION_ROWS))]


def _resolution_rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was resolved otherwise than one-to-one between two: nothing in most nights."""
    rows = [("Links a record may have", safe_text(summary["resolution"]))] if "resolution" in summary else []
    for part, labels in _RESOLUTION_COUNTS.items():
        told = summary.get(part, {})
        rows += [(label, suppress_small(told.get(name))) for label, name in labels if part in summary]
    if "known_links" in summary:
        rows.append(("Known links, file's SHA-256", safe_text(summary["known_links"].get("sha256"))))
    if "trained_model" in summary:
        rows.append(
            ("Trained match model, file's SHA-256", safe_text(summary["trained_model"].get("sha256")))
        )
    return rows


def _shown(part: Mapping[str, Any], rows: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    return [(label, safe_text(part.get(name))) for label, name in rows]


_RUN_ROWS = (
    ("Run", "run_id"),
    ("As of", "as_of"),
    ("Project", "project"),
    ("Protocol version", "protocol_version"),
    ("Protocol fingerprint", "protocol_fingerprint"),
    ("Code version", "code_version"),
)
_DELIVERY_ROWS = (
    ("Delivery number", "sequence"),
    ("Data as of", "as_of"),
    ("Manifest SHA-256", "manifest_sha256"),
    ("Key check value", "key_check_value"),
)
_RESOLUTION_COUNTS = {
    "optimum": (
        ("Groups of candidates", "components"),
        ("Groups where the optimum is not greedy's choice", "improved"),
        ("Groups too large, left to greedy", "left_to_greedy"),
    ),
    "known_links": (
        ("Known links published", "links"),
        ("Pairs known to be none", "never"),
        ("Known pairs without a record tonight", "absent"),
    ),
    "entities": (
        ("People whom several custodians share", "entities"),
        ("Their records", "members"),
        ("Groups too large or too loose, split", "components_split"),
        ("Records of the largest group", "largest_component"),
    ),
}
_PUBLICATION_ROWS = (
    ("Audit event number", "audit_sequence"),
    ("Audit event hash", "audit_event_hash"),
    ("Link table digest", "link_table_digest"),
)


def _key_agreement(custodians: Mapping[str, Any]) -> str:
    values = {part.get("key_check_value") for part in custodians.values()}
    if not values or None in values:
        return NOT_RECORDED
    return (
        "equal: one linkage key was used"
        if len(values) == 1
        else "DIFFERENT: the encodings cannot be compared"
    )
