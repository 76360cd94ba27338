"""The tables of all nights of a project against the digests in the audit log, in one pass. Zone: linkage_unit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from linkage_core.audit.audit_events import NightPublished
from linkage_core.audit.log_check import Finding
from linkage_core.linkage_unit.entity_clusters import digest_of_entity_rows, member_line
from linkage_core.linkage_unit.link_table import link_line
from linkage_core.linkage_unit.published_rows import PublishedRows, Version
from sql.warehouse.audit_log import (
    read_buried,
    read_link_versions,
    read_member_versions,
    read_sealed_links,
    read_sealed_members,
)
from sql.warehouse.transactions import Connection

NO_ENTITIES = digest_of_entity_rows([])


def check_tables(
    connection: Connection, project: str, events: Sequence[NightPublished]
) -> tuple[dict[str, int], list[Finding]]:
    """Links by night, and what is wrong with links and entities; nights that follow each other are told together."""
    findings: list[Finding] = []
    named, unnamed = _links(connection, project, findings)
    members = PublishedRows(_members(connection, project))
    in_order = sorted(events, key=lambda event: event.fence)
    counts: dict[str, int] = {}
    wrong_links, wrong_entities = [], []
    for event in in_order:
        links = named if len(event.deliveries) > 2 else unnamed
        digest, counts[event.run_id] = links.digest_at(event.fence)
        wrong_links.append(digest != event.link_table_digest)
        published = NO_ENTITIES if event.entities is None else event.entities.entity_table_digest
        wrong_entities.append(members.digest_at(event.fence)[0] != published)
    findings += _told_together(in_order, wrong_links, "links with another digest than was published")
    findings += _told_together(in_order, wrong_entities, "entities with another digest than was published")
    return counts, findings


def _links(
    connection: Connection, project: str, findings: list[Finding]
) -> tuple[PublishedRows, PublishedRows]:
    """Versions of links with and without their custodians' names, as nights of more than two, or of two, have them."""
    named: list[Version] = []
    unnamed: list[Version] = []
    for row in read_link_versions(connection, project):
        told = (row.record_a, row.record_b, row.decision, row.score_band, row.passes_agreed)
        leaf = hashlib.sha256(link_line(*told, row.custodian_a, row.custodian_b)).digest()
        if row.leaf is not None and bytes(row.leaf) != leaf:
            findings.append(
                Finding(f"link {row.link_id} of night {row.opened_by_run}", "is not as it was opened")
            )
        named.append((leaf, row.from_fence, row.until_fence))
        unnamed.append((hashlib.sha256(link_line(*told)).digest(), row.from_fence, row.until_fence))
    for row in read_buried(connection, project):
        if row.kind == "link":
            named.append((bytes(row.leaf_named), row.from_fence, row.until_fence))
            unnamed.append((bytes(row.leaf), row.from_fence, row.until_fence))
    for row in read_sealed_links(connection, project):
        named.append((bytes(row.leaf_named), row.fence, row.fence + 1))
        unnamed.append((bytes(row.leaf), row.fence, row.fence + 1))
    return PublishedRows(named), PublishedRows(unnamed)


def _members(connection: Connection, project: str) -> Iterator[Version]:
    for row in read_member_versions(connection, project):
        line = member_line(row.entity_id, row.custodian, row.record)
        yield hashlib.sha256(line).digest(), row.from_fence, row.until_fence
    for row in read_buried(connection, project):
        if row.kind == "member":
            yield bytes(row.leaf), row.from_fence, row.until_fence
    for row in read_sealed_members(connection, project):
        yield bytes(row.leaf), row.fence, row.fence + 1


def _told_together(
    events: Sequence[NightPublished], wrong: Sequence[bool], problem: str
) -> Iterator[Finding]:
    """One finding for each stretch of wrong nights: a link that is altered is so in every night that has it."""
    start = 0
    while start < len(events):
        stop = start
        while stop < len(events) and wrong[stop]:
            stop += 1
        if stop > start:
            more = f" to {events[stop - 1].run_id} ({stop - start} nights)" if stop > start + 1 else ""
            yield Finding(f"night {events[start].run_id}{more}", problem)
        start = stop + 1
