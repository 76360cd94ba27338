"""Verify: the audit log's Merkle tree, and the nights that its entries describe. Zone: linkage_unit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from linkage_core.audit.audit_events import (
    AuditEvent,
    NightPublished,
    NightUnsealed,
    RecordErased,
    RetentionApplied,
    digest_of_summary,
    parse_entry,
)
from linkage_core.audit.log_check import Finding, LogEntry, Witnessed, check_log
from linkage_core.audit.merkle_tree import leaf_hash
from linkage_core.errors import NightlinkError
from sql.engine import make_engine
from sql.warehouse.audit_log import (
    RecordedPublication,
    count_buried,
    count_sealed,
    read_all_deliveries,
    read_entries,
    read_nodes,
    read_publications,
)
from sql.warehouse.transactions import warehouse_snapshot
from tasks.linkage_unit.published_tables import check_tables
from tasks.protocol.settings_files import read_secret

DEADLINE_S = 3600.0
MOST_FINDINGS_TOLD = 20


@dataclass(frozen=True)
class VerifiedAudit:
    """What was verified: entries, the tree's root over them, links by night, and against how much of witnesses.

    ``witnessed_size`` is how much of the log its witnesses bear out: what came after, nobody but the database tells.
    """

    entries: int
    root: str
    nights: dict[str, int]
    checkpoints: int = 0
    witnessed_size: int = 0


@dataclass(frozen=True)
class PublishedNight:
    """A night as the log tells it: the entry's number and leaf hash, and the event."""

    sequence: int
    leaf: bytes
    event: NightPublished


def verify_audit(url_file: Path, witnessed: Witnessed | None = None) -> VerifiedAudit:
    """Check tree, publications, deliveries and tables of all nights in one snapshot.

    Raises
    ------
    NightlinkError
        E-AUDIT-BROKEN naming every entry and night that does not hold.
    """
    engine = make_engine(read_secret(url_file), deadline_s=DEADLINE_S, application_name="nightlink audit")
    findings: list[Finding] = []
    with warehouse_snapshot(engine, doing="verifying the audit log") as connection:
        entries = list(read_entries(connection))
        checked = check_log(entries, read_nodes(connection), witnessed)
        findings += checked.findings
        told = list(_told(entries, findings))
        nights = {e.run_id: PublishedNight(*at, e) for *at, e in told if isinstance(e, NightPublished)}
        recorded = {run.run_id: run for run in read_publications(connection)}
        deliveries = read_all_deliveries(connection)
        for run_id in sorted(set(nights) | set(recorded)):
            findings += _compare_with_ledger(run_id, nights.get(run_id), recorded.get(run_id))
        for run_id, night in nights.items():
            if deliveries.get(run_id, {}) != dict(night.event.deliveries):
                findings.append(Finding(f"night {run_id}", "other deliveries than its entry names"))
        links: dict[str, int] = {}
        for project in sorted({night.event.project for night in nights.values()}):
            events = [night.event for night in nights.values() if night.event.project == project]
            counts, wrong = check_tables(connection, project, events)
            links |= counts
            findings += wrong
        findings += _compare_buried((event for _, _, event in told), count_buried(connection))
        findings += _compare_sealed((event for _, _, event in told), count_sealed(connection))
    if findings:
        raise _broken(findings)
    return VerifiedAudit(
        checked.head.size,
        checked.head.root.hex(),
        {run_id: links[run_id] for run_id in nights},
        len(witnessed.roots) if witnessed else 0,
        witnessed.size if witnessed else 0,
    )


def _told(entries: list[LogEntry], findings: list[Finding]) -> Iterator[tuple[int, bytes, AuditEvent]]:
    """Events with their entry's number and leaf hash."""
    for sequence, text in entries:
        try:
            event = parse_entry(text).event
        except NightlinkError as error:
            findings.append(Finding(f"entry {sequence}", error.found))
            continue
        yield sequence, leaf_hash(text.encode()), event


def _compare_with_ledger(
    run_id: str, told: PublishedNight | None, run: RecordedPublication | None
) -> Iterator[Finding]:
    night = f"night {run_id}"
    if run is None:
        yield Finding(night, "is published in the log, and not in the ledger")
    elif told is None:
        yield Finding(night, "is published in the ledger, and has no entry in the log")
    else:
        if (run.audit_sequence, run.audit_event_hash) != (told.sequence, told.leaf):
            yield Finding(night, f"points to another entry than its own, which is entry {told.sequence}")
        event = told.event
        if run.told != tuple(getattr(event, name) for name in run.TOLD) or (
            digest_of_summary(run.counts) != event.summary_digest
        ):
            yield Finding(night, f"stands otherwise in the ledger than in entry {told.sequence}")


def _compare_buried(events: Iterable[AuditEvent], found: dict[tuple[str, str], int]) -> Iterator[Finding]:
    """A row that was taken out in silence could look like an erased one: events say how many there are."""
    told: Counter[tuple[str, str]] = Counter()
    for event in events:
        if isinstance(event, RecordErased | RetentionApplied):
            told[event.project, "link"] += event.links
            told[event.project, "member"] += event.members
    for project, kind in sorted(set(+told) | set(found)):
        if told[project, kind] != found.get((project, kind), 0):
            yield Finding(f"project {project}", f"another number of buried {kind}s than was entered")


def _compare_sealed(events: Iterable[AuditEvent], found: dict[str, tuple[int, int]]) -> Iterator[Finding]:
    """A real link could be hidden among those of people who do not exist: events say how many there are."""
    told = {e.run_id: (e.links, e.members) for e in events if isinstance(e, NightUnsealed)}
    for run_id in sorted(set(told) | set(found)):
        if told.get(run_id, (0, 0)) != found.get(run_id, (0, 0)):
            yield Finding(f"night {run_id}", "another number of sealed links or members than was entered")


def _broken(findings: list[Finding]) -> NightlinkError:
    told = [str(finding) for finding in findings[:MOST_FINDINGS_TOLD]]
    if len(findings) > MOST_FINDINGS_TOLD:
        told.append(f"and {len(findings) - MOST_FINDINGS_TOLD} findings more")
    return NightlinkError(
        "E-AUDIT-BROKEN",
        found="; ".join(told),
        expected="what the audit log and its witnesses say was published",
        remedy="Somebody altered the warehouse by another way than Nightlink's; stop publishing, keep it as evidence.",
    )
