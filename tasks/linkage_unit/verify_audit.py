"""Verify: the audit log's chain, and the links that it describes. Zone: linkage_unit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from linkage_core.audit.audit_events import NightPublished, RecordErased, RetentionApplied, parse_event
from linkage_core.audit.hash_chain import check_chain
from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.entity_clusters import digest_of_entity_rows
from linkage_core.linkage_unit.link_table import LinkRow, digest_of_link_rows
from sql.engine import make_engine
from sql.warehouse.audit_log import (
    ChainEntry,
    RecordedPublication,
    count_buried,
    read_buried_of_run,
    read_deliveries_of_run,
    read_entities_of_run,
    read_events,
    read_links_of_run,
    read_publications,
)
from sql.warehouse.transactions import Connection, warehouse_snapshot
from tasks.protocol.settings_files import read_secret

DEADLINE_S = 3600.0
NO_ENTITIES = digest_of_entity_rows([])


@dataclass(frozen=True)
class VerifiedAudit:
    """What was verified: events, the chain's newest hash, and links by night."""

    events: int
    head: str
    nights: dict[str, int]


def verify_audit(url_file: Path) -> VerifiedAudit:
    """Check chain, publications, deliveries and link tables in one snapshot.

    Raises
    ------
    NightlinkError
        E-AUDIT-BROKEN naming the first event or night that does not hold.
    """
    engine = make_engine(read_secret(url_file), deadline_s=DEADLINE_S, application_name="nightlink audit")
    with warehouse_snapshot(engine, doing="verifying the audit log") as connection:
        events: list[ChainEntry] = []
        head = check_chain(_kept(read_events(connection), events))
        published = {e.run_id: (sequence, digest, e) for sequence, digest, e in _publications(events)}
        recorded = read_publications(connection)
        _check_runs({run: (s, d) for run, (s, d, _) in published.items()}, recorded)
        _check_buried(events, count_buried(connection))
        nights = {run: _check_night(connection, event) for run, (_, _, event) in published.items()}
    return VerifiedAudit(head.sequence, head.hash.hex(), nights)


def _kept(entries: Iterable[ChainEntry], kept: list[ChainEntry]) -> Iterator[ChainEntry]:
    for entry in entries:
        kept.append(entry)
        yield entry


def _publications(events: list[ChainEntry]) -> Iterator[tuple[int, bytes, NightPublished]]:
    for sequence, _, text, event_hash in events:
        event = parse_event(text)
        if isinstance(event, NightPublished):
            yield sequence, event_hash, event


def _check_runs(published: dict[str, tuple[int, bytes]], recorded: list[RecordedPublication]) -> None:
    in_ledger = {run.run_id: (run.audit_sequence, run.audit_event_hash) for run in recorded}
    for run_id in sorted(set(published) | set(in_ledger)):
        if published.get(run_id) != in_ledger.get(run_id):
            raise _broken(f"the night {run_id} told differently by the ledger and the audit log")


def _check_buried(events: list[ChainEntry], found: dict[tuple[str, str], int]) -> None:
    """A row that was taken out in silence could look like an erased one: events say how many there are."""
    told: Counter[tuple[str, str]] = Counter()
    for _, _, text, _ in events:
        event = parse_event(text)
        if isinstance(event, RecordErased | RetentionApplied):
            told[event.project, "link"] += event.links
            told[event.project, "member"] += event.members
    if +told != Counter(found):
        raise _broken("another number of buried links or entity members than erasures and retention entered")


def _check_night(connection: Connection, event: NightPublished) -> int:
    deliveries = {d.custodian: d.manifest_sha256 for d in read_deliveries_of_run(connection, event.run_id)}
    if deliveries != dict(event.deliveries):
        raise _broken(f"other deliveries of the night {event.run_id} than were published")
    rows: list[int] = [0]
    links = _counted(read_links_of_run(connection, event.run_id), rows)
    digest = digest_of_link_rows(links, read_buried_of_run(connection, event.run_id, "link"))
    if digest != event.link_table_digest:
        raise _broken(f"links of the night {event.run_id} with another digest than was published")
    members = digest_of_entity_rows(
        read_entities_of_run(connection, event.run_id), read_buried_of_run(connection, event.run_id, "member")
    )
    published = NO_ENTITIES if event.entities is None else event.entities.entity_table_digest
    if members != published:
        raise _broken(f"entities of the night {event.run_id} with another digest than was published")
    return rows[0]


def _counted(links: Iterable[LinkRow], total: list[int]) -> Iterator[LinkRow]:
    for link in links:
        total[0] += 1
        yield link


def _broken(found: str) -> NightlinkError:
    return NightlinkError(
        "E-AUDIT-BROKEN",
        found=found,
        expected="what the audit log says was published",
        remedy="Somebody altered the warehouse by another way than Nightlink's; keep it as evidence.",
    )
