"""What a custodian's own command does with a file of people: check, encode, report. Zone: custodian.

Needs no database, no settings and no orchestrator: a key file, a file of rules, a file of people.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from linkage_core.errors import NightlinkError
from linkage_core.protocol.leaving_columns import LeavingColumn
from linkage_core.protocol.row_rules import FILE_RULES
from tasks.custodian.edge_input import Columns, EdgeInput, People, open_people
from tasks.custodian.edge_progress import Progress, progress
from tasks.custodian.edge_report import (
    EdgeReport,
    LeavingFile,
    SourceColumn,
    report_json,
    report_text,
)
from tasks.custodian.edge_schema import EdgeCounts
from tasks.custodian.reasons_file import ReasonsFile
from tasks.protocol.code_version import code_version
from tasks.protocol.output_files import DigestedFile, whole_file, write_whole

ALL_ENCODED, SOME_REJECTED = 0, 4
"""Exit codes of a run that ended well."""


@dataclass(frozen=True)
class EdgeOrder:
    """Where everything lies and goes; no output is a dry run."""

    source: EdgeInput
    output: Path | None
    reasons: Path | None
    report: Path | None = None
    max_reject_share: float = 0.5

    @property
    def written(self) -> tuple[Path, ...]:
        """Every file that the order may write."""
        files = [self.output, self.reasons, self.output and _row_numbers_file(self.output)]
        if self.report is not None:
            files += _report_files(self.report)
        return tuple(file for file in files if file is not None)


class EdgeRules(Protocol):
    """Either kind of rules, with its key: a linkage schema or a linkage protocol."""

    def columns(self) -> Columns: ...
    def check(self, people: People, reasons: ReasonsFile, tell: Progress) -> EdgeCounts: ...
    def encode(
        self, people: People, output: DigestedFile, reasons: ReasonsFile, tell: Progress
    ) -> EdgeCounts: ...
    def described(self) -> dict[str, str]: ...
    def warnings(self) -> tuple[str, ...]: ...
    def leaving_columns(self) -> tuple[LeavingColumn, ...]: ...
    def source_columns(self) -> tuple[SourceColumn, ...]: ...
    def meanings(self) -> dict[str, str]: ...
    @property
    def order(self) -> str: ...
    @property
    def keeps_order(self) -> bool: ...


@dataclass(frozen=True)
class EdgeOutcome:
    """The report, and the exit code."""

    report: EdgeReport
    exit_code: int

    @property
    def verdict(self) -> str:
        """One sentence."""
        counts = self.report
        done = f"{counts.rows_encoded} of {counts.rows_read} rows are sound"
        return f"{done}, {counts.rows_rejected} rejected" if counts.rows_rejected else f"{done}"


def _report_files(base: Path) -> list[Path]:
    return [base.with_name(f"{base.name}{ending}") for ending in (".txt", ".json")]


def _row_numbers_file(output: Path) -> Path:
    return output.with_suffix(".rows.csv")


def encode_people(order: EdgeOrder, rules: EdgeRules) -> EdgeOutcome:
    """Encode, then write output, reasons, numbers of the rows, and report; the output last and whole.

    Raises
    ------
    NightlinkError
        E-DQ-REJECTS when more rows are rejected than the order allows (their reasons are written, the output is
        not); whatever reading or writing raises.
    """
    with whole_file(order.output) as output:

        def work(people: People, reasons: ReasonsFile, tell: Progress) -> EdgeCounts:
            return rules.encode(people, output, reasons, tell)

        counts, reasons, unread = _go_through(order, rules, "encoding", work)
        outcome = _outcome(order, rules, counts, reasons, unread, output)
        if order.output is not None and reasons.rejected and rules.keeps_order:
            write_whole(_row_numbers_file(order.output), reasons.accepted_numbers_text(counts.read))
        if order.output is not None and order.report is not None:
            text_file, json_file = _report_files(order.report)
            write_whole(text_file, report_text(outcome.report))
            write_whole(json_file, report_json(outcome.report))
    return outcome


def check_people(order: EdgeOrder, rules: EdgeRules) -> EdgeOutcome:
    """Judge every row without writing anything but the reasons."""
    counts, reasons, unread = _go_through(order, rules, "checking", rules.check)
    return _outcome(order, rules, counts, reasons, unread, DigestedFile(None))


def _go_through(
    order: EdgeOrder,
    rules: EdgeRules,
    doing: str,
    work: Callable[[People, ReasonsFile, Progress], EdgeCounts],
) -> tuple[EdgeCounts, ReasonsFile, tuple[str, ...]]:
    """Do the work over all rows; E-DQ-REJECTS, with the reasons written, when too many are refused."""
    with whole_file(order.reasons) as file:
        reasons = ReasonsFile(file)
        with (
            open_people(order.source, rules.columns()) as people,
            progress(doing, people.total_bytes) as tell,
        ):
            counts = work(people, reasons, tell)
    if reasons.rejected > order.max_reject_share * counts.read:
        meanings = {**FILE_RULES, **rules.meanings()}
        by_rule = "; ".join(
            f"{code} {count}: {meanings.get(code, '')}" for code, count in sorted(reasons.by_rule.items())
        )
        raise NightlinkError(
            "E-DQ-REJECTS",
            found=f"{reasons.rejected} of {counts.read} rows rejected ({by_rule})",
            expected=f"at most a share of {order.max_reject_share}",
            remedy=f"See {order.reasons.name if order.reasons else 'the reasons'} for rows and reasons.",
        )
    return counts, reasons, people.unread


def _outcome(
    order: EdgeOrder,
    rules: EdgeRules,
    counts: EdgeCounts,
    reasons: ReasonsFile,
    unread: tuple[str, ...],
    output: DigestedFile,
) -> EdgeOutcome:
    name = order.output.name if order.output else "the output"
    leaving = LeavingFile(name, counts.encoded, output.bytes, output.sha256, rules.leaving_columns())
    stays = [
        "the key file, and every key derived from it",
        "this report, and the list of rejected rows (row numbers, fields and reason codes)",
    ]
    report = EdgeReport(
        written=order.output is not None,
        source=f"{order.source.path.name} ({order.source.kind})",
        rules=rules.described(),
        warnings=rules.warnings(),
        rows_read=counts.read,
        rows_encoded=counts.encoded,
        rows_rejected=reasons.rejected,
        rejected_by_rule=dict(sorted(reasons.by_rule.items())),
        rule_meanings={**FILE_RULES, **rules.meanings()},
        mean_fill=round(counts.fill, 4),
        leaves=(leaving,) if output.bytes else (),
        source_columns=(*rules.source_columns(), *(SourceColumn(name, "not read") for name in unread)),
        stays=tuple(stays),
        order=rules.order,
        code_version=code_version(),
    )
    return EdgeOutcome(report, SOME_REJECTED if reasons.rejected else ALL_ENCODED)
