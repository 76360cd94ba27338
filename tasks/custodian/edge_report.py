"""What will leave, and what will not: for the person who must agree to it. Zone: custodian.

The report holds names of columns, counts and digests; no value of a record. It stays with the custodian.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from linkage_core.protocol.leaving_columns import LeavingColumn

REPORT_FORMAT = "nightlink-edge-report-1"


@dataclass(frozen=True)
class LeavingFile:
    """The file that leaves, as it was or would be written."""

    name: str
    rows: int
    bytes: int
    sha256: str
    columns: tuple[LeavingColumn, ...]


@dataclass(frozen=True)
class SourceColumn:
    """A column of the input, and what happens to it."""

    name: str
    use: str
    missing: int | None = None


@dataclass(frozen=True)
class EdgeReport:
    """All of it; ``rules`` says by which document it was encoded, ``warnings`` what a reader must know."""

    written: bool
    source: str
    rules: dict[str, Any]
    warnings: tuple[str, ...]
    rows_read: int
    rows_encoded: int
    rows_rejected: int
    rejected_by_rule: dict[str, int]
    rule_meanings: dict[str, str]
    mean_fill: float
    leaves: tuple[LeavingFile, ...]
    source_columns: tuple[SourceColumn, ...]
    stays: tuple[str, ...]
    order: str
    code_version: str
    format: str = field(default=REPORT_FORMAT)


def field_use(name: str) -> str:
    """What becomes of a protocol's field, or of ``source_id``."""
    if name == "source_id":
        return "hashed into the record pseudonym under the site key"
    if name == "sex":
        return "leaves as f, m, x or missing, readable; hashed into tokens too"
    return "hashed into tokens or filters under the linkage key; its rarity leaves as a band"


def report_json(report: EdgeReport) -> str:
    """The report as JSON, entries in a fixed order."""
    return json.dumps(asdict(report), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def report_text(report: EdgeReport) -> str:
    """The report as plain text of at most 110 columns, but for long names."""
    lines = ["WHAT LEAVES AND WHAT DOES NOT", "=============================", ""]
    lines += [f"Input: {report.source}. Code: {report.code_version}.", f"Rules: {_rules_line(report)}"]
    lines += [f"WARNING: {warning}." for warning in report.warnings]
    lines += ["", *_rows_section(report), "", *_leaving_section(report), "", *_staying_section(report)]
    return "\n".join(lines) + "\n"


def _rules_line(report: EdgeReport) -> str:
    return "; ".join(f"{name} {value}" for name, value in report.rules.items())


def _rows_section(report: EdgeReport) -> list[str]:
    lines = [
        f"Rows read {report.rows_read}, encoded {report.rows_encoded}, rejected {report.rows_rejected}"
        " (a row may break several rules):"
        if report.rows_rejected
        else f"Rows read {report.rows_read}, encoded {report.rows_encoded}, rejected 0."
    ]
    for code, count in report.rejected_by_rule.items():
        lines.append(f"  {code:<18}{count:>9}  {report.rule_meanings.get(code, '')}")
    return lines


def _leaving_section(report: EdgeReport) -> list[str]:
    lines = ["WHAT LEAVES" if report.written else "WHAT WOULD LEAVE (nothing was written)"]
    for file in report.leaves:
        lines += [
            f"  {file.name}: {file.rows} rows, {file.bytes} bytes",
            f"  SHA-256 {file.sha256}",
            *(f"    {column.name} ({column.type}): {column.meaning}" for column in file.columns),
        ]
    lines.append(f"  Order of the rows: {report.order}.")
    if report.mean_fill:
        lines.append(f"  On average {100 * report.mean_fill:.1f}% of a filter's bits are set.")
    lines.append(
        "  Whoever holds this file and the key can test guesses about people; without the key, attacks"
    )
    lines.append("  on such encodings are published. Treat it as personal data: see linkage_core/README.md.")
    return lines


def _staying_section(report: EdgeReport) -> list[str]:
    lines = ["WHAT DOES NOT LEAVE", "  Every column of the input as it is:"]
    for column in report.source_columns:
        missing = "" if column.missing is None else f"; missing in {column.missing} of the encoded rows"
        lines.append(f"    {column.name}: {column.use}{missing}")
    return lines + [f"  {line}" for line in report.stays]
