"""Forget: erase records, apply retention periods, set holds; each with its audit event. Zone: linkage_unit.

A custodian names records by their pseudonyms, one UUID a line. Whatever of them lies in the linkage unit's own working
files goes too; their encodings in deliveries are the custodian's to delete (`nightlink custodian erase`).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

from linkage_core.audit.audit_events import (
    HoldLifted,
    HoldSet,
    RecordErased,
    RetentionApplied,
    canonical_event,
)
from linkage_core.errors import NightlinkError
from sql.engine import Engine, make_engine
from sql.warehouse.erasure import Erasure, Expiry, apply_retention, erase_record, set_hold
from sql.warehouse.ledger import project_lock
from tasks.linkage_unit.kept_comparisons import forget_comparisons
from tasks.linkage_unit.record_store import forget_records
from tasks.linkage_unit.settings import LinkageUnit
from tasks.linkage_unit.work_folder import remove_work
from tasks.protocol.bounded_files import read_bounded
from tasks.protocol.code_version import code_version
from tasks.protocol.stages import announce

MOST_RECORDS_BYTES = 1 << 24


def read_record_file(path: Path) -> list[str]:
    """Record pseudonyms of a file, one UUID a line, each once, in its order; E-INPUT by line number."""
    records: dict[str, None] = {}
    for number, line in enumerate(read_bounded(path, MOST_RECORDS_BYTES).split(b"\n"), start=1):
        if line.strip():
            records[_record(line, number)] = None
    return list(records)


def erase_records(unit: LinkageUnit, custodian: str, records: list[str]) -> list[Erasure]:
    """Erase a custodian's records, one transaction and one event each; no night runs meanwhile (E-RUN-LOCKED).

    Raises
    ------
    NightlinkError
        E-LEGAL-HOLD: those before the held one are erased, and it and those after are not.
    """
    _check_custodian(unit, custodian)
    project = unit.protocol.project

    def event(erasure: Erasure) -> str:
        return canonical_event(
            RecordErased(
                project=project,
                custodian=custodian,
                links=erasure.links,
                members=erasure.members,
                content_rows=erasure.content_rows,
                code_version=code_version(),
            )
        )

    with _alone(unit) as engine:
        remove_work(unit.settings.state_folder)
        forget_records(unit.settings.state_folder, custodian)
        forget_comparisons(unit.settings.state_folder, custodian)
        return [erase_record(engine, project, custodian, record, event) for record in records]


def apply_retention_periods(unit: LinkageUnit, today: date) -> list[str]:
    """Bury link history and remove reports that are older than the settings keep them; a line for each.

    A period that the settings do not name has no end.
    """
    kept, done = unit.settings.retention, []
    if kept.link_history_days is not None:
        before = today - timedelta(days=kept.link_history_days)
        expiry = _expire_links(unit, before)
        done.append(f"ended before {before}: {expiry.links} links and {expiry.members} entity members buried")
    if kept.report_days is not None:
        before = today - timedelta(days=kept.report_days)
        removed = _remove_reports(unit.settings.reports_folder, before)
        done.append(f"reports of nights before {before}: {removed} removed")
    return done


def change_hold(unit: LinkageUnit, custodian: str | None, record: str | None, *, held: bool) -> bool:
    """Set or lift a hold of a record, or without one of the whole project; False when it was so already."""
    if custodian is not None:
        _check_custodian(unit, custodian)
    make = HoldSet if held else HoldLifted
    scope = "project" if record is None else "record"
    event = make(project=unit.protocol.project, scope=scope, code_version=code_version())
    with _alone(unit) as engine:
        return set_hold(
            engine, unit.protocol.project, custodian, record, held=held, event=canonical_event(event)
        )


def _expire_links(unit: LinkageUnit, before: date) -> Expiry:
    project = unit.protocol.project

    def event(expiry: Expiry) -> str:
        return canonical_event(
            RetentionApplied(
                project=project,
                before=before,
                links=expiry.links,
                members=expiry.members,
                code_version=code_version(),
            )
        )

    with _alone(unit) as engine:
        return apply_retention(engine, project, before, event)


def _remove_reports(folder: Path, before: date) -> int:
    """Reports bear their night's date; what bears none is not ours to remove."""
    removed = 0
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        try:
            night = date.fromisoformat(path.name[:10])
        except ValueError:
            continue
        if path.is_file() and night < before:
            path.unlink()
            removed += 1
    return removed


@contextmanager
def _alone(unit: LinkageUnit) -> Iterator[Engine]:
    engine = make_engine(
        unit.warehouse_url,
        deadline_s=unit.settings.warehouse_deadline_s,
        application_name="nightlink linkage unit",
    )
    with project_lock(engine, unit.protocol.project):
        yield engine
    announce("done")


def _record(line: bytes, number: int) -> str:
    try:
        return str(uuid.UUID(line.strip().decode("ascii")))
    except ValueError:
        raise NightlinkError(
            "E-INPUT",
            found=f"no record pseudonym in line {number}",
            expected="a UUID in every line",
            remedy="Let the custodian make the file: nightlink custodian erase.",
        ) from None


def _check_custodian(unit: LinkageUnit, custodian: str) -> None:
    if custodian not in unit.protocol.custodians:
        raise NightlinkError(
            "E-INPUT",
            found="a custodian that the protocol does not name",
            expected=f"one of {', '.join(unit.protocol.custodians)}",
            remedy="Correct the option --custodian.",
        )
