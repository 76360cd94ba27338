"""Load and audit: the ledger's run, and one transaction that publishes links with their audit event.

Zone: linkage_unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

from linkage_core.audit.audit_events import (
    Approval,
    EntitiesPublished,
    KnownLinksUsed,
    LinkCounts,
    NightPublished,
    RunFailed,
    canonical_event,
    digest_of_summary,
)
from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.entity_clusters import digest_of_entity_rows
from linkage_core.linkage_unit.link_table import digest_of_link_rows, links_as_rows, merge_link_rows
from linkage_core.protocol.linkage_protocol import protocol_fingerprint
from sql.engine import Engine, make_engine
from sql.warehouse.erasure import anyone_suppressed, suppressed_records
from sql.warehouse.ledger import LedgerRun, RunDescription, begin_run, fail_run, project_lock
from sql.warehouse.links import Delivery, EntityRow, LinkChanges, LinkRow, publish_links
from tasks.linkage_unit.linked_custodians import JoinedEntities, LinkedCustodians
from tasks.linkage_unit.receive import ErasedOf, ReceivedDelivery
from tasks.linkage_unit.settings import LinkageUnit
from tasks.linkage_unit.unsealed import unsealed_rows
from tasks.linkage_unit.work_folder import remove_work
from tasks.protocol.code_version import code_version
from tasks.protocol.stages import announce, stage
from tasks.protocol.watched import tell_published


@dataclass(frozen=True)
class NightRun:
    """A run of the ledger, and whether its night was published before this process began."""

    engine: Engine
    ledger: LedgerRun
    published_before: bool

    @property
    def erased_of(self) -> ErasedOf | None:
        """Tells which records were erased; None where nobody was, so that nobody need ask for every record."""
        return partial(suppressed_records, self.engine) if anyone_suppressed(self.engine) else None


@contextmanager
def night_in_ledger(night: date, unit: LinkageUnit) -> Iterator[NightRun]:
    """Hold the project's lock and the night's ledger entry; a failure inside is entered with its code.

    Raises
    ------
    NightlinkError
        E-RUN-LOCKED when another run is at work; E-RUN-FENCED when a later night is published.
    """
    engine = make_engine(
        unit.warehouse_url,
        deadline_s=unit.settings.warehouse_deadline_s,
        application_name="nightlink linkage unit",
    )
    with project_lock(engine, unit.protocol.project):
        run = enter_run(engine, night, unit)
        try:
            yield run
        except NightlinkError as error:
            if not run.published_before:
                _enter_failure(run, error.code)
            raise


@stage("enter the run in the ledger")
def enter_run(engine: Engine, night: date, unit: LinkageUnit) -> NightRun:
    """Begin the night's run; one that is published already is left as it is."""
    ledger = begin_run(
        engine,
        RunDescription(
            run_id=night.isoformat(),
            project=unit.protocol.project,
            as_of=night,
            custodians=unit.protocol.custodians,
            protocol_version=unit.protocol.version,
            protocol_fingerprint=protocol_fingerprint(unit.protocol),
            key_epoch=unit.protocol.key_epoch,
            code_version=code_version(),
            resolution=unit.protocol.decision.resolution,
        ),
    )
    if ledger.is_published:
        announce("published already: nothing to do")
    return NightRun(engine, ledger, ledger.is_published)


@stage("load links")
def load_links(
    run: NightRun,
    deliveries: Sequence[ReceivedDelivery],
    linked: Sequence[LinkedCustodians],
    entities: JoinedEntities | None,
    summary: dict[str, Any],
    reviews: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Links, deliveries, summary and audit event in one transaction; E-RUN-FENCED when a newer run was faster."""
    digest = digest_of_link_rows(_link_rows(linked))
    counts = {**summary, "link_table_digest": digest}
    publication = publish_links(
        run.engine,
        run.ledger,
        lambda: _link_rows(linked),
        deliveries=[_ledger_delivery(delivery) for delivery in deliveries],
        counts=counts,
        make_event=lambda changes, members: canonical_event(
            _published_event(
                run.ledger, deliveries, _entities_of_event(entities, members), counts, changes, digest
            )
        ),
        entities=None if entities is None else lambda: entities.rows,
        reviews=reviews,
        estimate=unsealed_rows,
    )
    changes = publication.links
    announce(f"links opened: {changes.opened}, closed: {changes.closed}, kept: {changes.kept}")
    tell_published(run.ledger.project, run.ledger.run_id)


def _link_rows(linked: Sequence[LinkedCustodians]) -> Iterable[LinkRow]:
    """The night's link table; with three custodians or more, each link with the names of its two."""
    if len(linked) == 1:
        return links_as_rows(linked[0].links.table)
    return merge_link_rows([(two.links.table, *two.custodians) for two in linked])


def forget_working_files(unit: LinkageUnit) -> None:
    """A night that is published has no use for its columns and chunks: nothing of them stays."""
    remove_work(unit.settings.state_folder)


def _ledger_delivery(delivery: ReceivedDelivery) -> Delivery:
    manifest = delivery.manifest
    return Delivery(
        manifest_sha256=delivery.manifest_sha256,
        custodian=manifest.custodian,
        run_id=manifest.run_id,
        sequence=manifest.sequence,
        as_of=manifest.as_of,
        row_count=manifest.row_count,
        protocol_fingerprint=manifest.protocol_fingerprint,
        key_check_value=manifest.key_check_value,
        code_version=manifest.code_version,
    )


def _published_event(
    ledger: LedgerRun,
    deliveries: Sequence[ReceivedDelivery],
    entities: EntitiesPublished,
    summary: dict[str, Any],
    changes: LinkChanges,
    digest: str,
) -> NightPublished:
    scores, known, approval = summary["scores"], summary.get("known_links"), summary.get("approval")
    return NightPublished(
        run_id=ledger.run_id,
        project=ledger.project,
        as_of=ledger.as_of,
        fence=ledger.fence,
        deliveries={d.manifest.custodian: d.manifest_sha256 for d in deliveries},
        protocol_version=ledger.protocol_version,
        protocol_fingerprint=ledger.protocol_fingerprint,
        key_epoch=ledger.key_epoch,
        key_check_value=deliveries[0].manifest.key_check_value,
        target_precision=scores["target_precision"],
        expected_precision=scores["expected_precision"],
        match_threshold=scores["match_threshold"],
        possible_threshold=scores["possible_threshold"],
        code_version=ledger.code_version,
        links=LinkCounts(
            opened=changes.opened,
            closed=changes.closed,
            kept=changes.kept,
            match=summary["links"]["match"],
            possible_match=summary["links"]["possible_match"],
        ),
        link_table_digest=digest,
        summary_digest=digest_of_summary(summary),
        resolution=summary.get("resolution"),
        known_links=None if known is None else KnownLinksUsed(**known),
        approval=None if approval is None else Approval(**approval),
        entities=entities,
        trained_model=summary["trained_model"]["sha256"] if "trained_model" in summary else None,
    )


def _entities_of_event(joined: JoinedEntities | None, rows: Iterable[EntityRow]) -> EntitiesPublished:
    """What the event says of the entities, whose rows come under their lasting ids."""
    counted = CountedEntities()
    digest = digest_of_entity_rows(counted.count(rows))
    return EntitiesPublished(
        entities=counted.entities,
        members=counted.members,
        components_split=0 if joined is None else joined.clusters.components_split,
        entity_table_digest=digest,
    )


@dataclass
class CountedEntities:
    """Entities and members of rows that stream past in ascending order of entity."""

    entities: int = 0
    members: int = 0

    def count(self, rows: Iterable[EntityRow]) -> Iterator[EntityRow]:
        """The rows as they come."""
        before = ""
        for row in rows:
            self.entities += row[0] != before
            self.members += 1
            before = row[0]
            yield row


def _enter_failure(run: NightRun, code: str) -> None:
    event = RunFailed(run_id=run.ledger.run_id, project=run.ledger.project, code=code)
    # The failure that is being reported matters more than one in reporting it; a run that the ledger still
    # calls running is found by its free lock.
    with suppress(NightlinkError):
        fail_run(run.engine, run.ledger, code, canonical_event(event))
