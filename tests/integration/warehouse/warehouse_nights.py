"""Nights, links and content to fill a test's warehouse with, and a look at all its rows."""

from __future__ import annotations

import hashlib
import itertools
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import psycopg2
from sqlalchemy import Engine

from linkage_core.audit.audit_events import (
    ContentLoaded,
    EntitiesPublished,
    LinkCounts,
    NightPublished,
    RunFailed,
    canonical_event,
    digest_of_summary,
)
from linkage_core.linkage_unit.entity_clusters import digest_of_entity_rows
from linkage_core.linkage_unit.link_table import digest_of_link_rows
from sql.engine import make_engine
from sql.warehouse.content import ContentLoad, load_content
from sql.warehouse.ledger import LedgerRun, RunDescription, begin_run
from sql.warehouse.links import Delivery, EntityRow, LinkChanges, LinkRow, Publication, publish_links
from sql.warehouse.login_roles import LINKAGE_LOADER, OWNER, RESEARCHER, admit_research, content_role

CONTENT_TABLES = {"hospital": ["admission"], "pharmacy": ["dispensing"]}
REVIEWERS = ("alice", "bob")
RESEARCH_ROLES = ("researcher", "another_researcher")
FINGERPRINT = "ab" * 32
KEY_CHECK_VALUE = "0123456789abcdef"
FIRST_NIGHT = date(2026, 3, 1)
NUMBERS = itertools.count(1)


@dataclass
class Warehouse:
    """An installed warehouse: an engine for each role, and nights to fill it with."""

    urls: Mapping[str, str]
    superuser_url: str
    _engines: dict[str, Engine] = field(default_factory=dict)

    def engine(self, role: str, deadline_s: float = 30.0) -> Engine:
        if role not in self._engines:
            self._engines[role] = make_engine(
                self.urls[role], deadline_s=deadline_s, application_name=f"test {role}"
            )
        return self._engines[role]

    @property
    def loader(self) -> Engine:
        return self.engine(LINKAGE_LOADER)

    def as_researcher(self, statement: str, role: str = "researcher") -> list[tuple[Any, ...]]:
        """Rows of one statement, as a research project."""
        connection = psycopg2.connect(self.urls[role])
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall()
        finally:
            connection.close()

    def outside(self, *records: str, role: str = "researcher") -> list[str]:
        """What a research project sees in place of records or entities, in their order."""
        known = dict(
            self.as_superuser(
                "SELECT p.inside::text, p.outside::text FROM access.pseudonym AS p"
                f" JOIN access.research_project AS r USING (research_id) WHERE r.login_role = '{role}'"
            )
        )
        return [known[record] for record in records]

    def as_superuser(self, statement: str, *, replica: bool = False) -> list[tuple[Any, ...]]:
        """Run SQL as a superuser; as a replica, triggers and foreign keys look away: the worst that can happen."""
        connection = psycopg2.connect(self.superuser_url)
        try:
            with connection, connection.cursor() as cursor:
                if replica:
                    cursor.execute("SET session_replication_role = replica")
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def state(self) -> str:
        """A hash of every row of every table of ours: equal before and after means that nothing changed."""
        digest = hashlib.sha256()
        connection = psycopg2.connect(self.superuser_url)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
                " WHERE schemaname IN"
                " ('linkage', 'content', 'audit', 'access', 'review', 'sealed', 'warehouse') ORDER BY 1"
            )
            for (table,) in cursor.fetchall():
                cursor.execute(f"SELECT t::text FROM {table} AS t ORDER BY 1")
                digest.update(repr((table, cursor.fetchall())).encode())
        connection.close()
        return digest.hexdigest()


@dataclass
class Nights:
    """Nights of one project of its own."""

    warehouse: Warehouse
    project: str
    resolution: str = "one_to_one"

    def __post_init__(self) -> None:
        """The role ``researcher`` sees all projects of the tests."""
        admit_research(self.warehouse.engine(OWNER), RESEARCHER, [self.project])

    def describe(self, run_id: str, as_of: date = FIRST_NIGHT) -> RunDescription:
        return RunDescription(
            f"{self.project}.{run_id}",
            self.project,
            as_of,
            ("hospital", "pharmacy"),
            1,
            FINGERPRINT,
            "2026",
            "0.1.0",
            self.resolution,
        )

    def begin(self, run_id: str, as_of: date = FIRST_NIGHT) -> LedgerRun:
        return begin_run(self.warehouse.loader, self.describe(run_id, as_of))

    def deliveries(self, run: LedgerRun) -> list[Delivery]:
        return [
            Delivery(
                hashlib.sha256(f"{run.run_id} {custodian}".encode()).hexdigest(), custodian, run.run_id, next(NUMBERS),
                run.as_of, 100, FINGERPRINT, KEY_CHECK_VALUE, "0.1.0",
            )
            for custodian in ("hospital", "pharmacy")
        ]  # fmt: skip

    def event_maker(
        self,
        run: LedgerRun,
        rows: Sequence[LinkRow],
        deliveries: Sequence[Delivery],
        counts: Mapping[str, Any] | None = None,
    ) -> Callable[..., str]:
        matches = sum(row[2] == "match" for row in rows)

        def make_event(changes: LinkChanges, members: Iterable[EntityRow] = ()) -> str:
            kept = list(members)
            return canonical_event(
                NightPublished(
                    run_id=run.run_id, project=run.project, as_of=run.as_of, fence=run.fence,
                    deliveries={d.custodian: d.manifest_sha256 for d in deliveries},
                    protocol_version=1, protocol_fingerprint=FINGERPRINT, key_epoch="2026",
                    key_check_value=KEY_CHECK_VALUE, target_precision=0.99,
                    expected_precision=0.99, match_threshold=0.8, possible_threshold=0.72, code_version="0.1.0",
                    links=LinkCounts(opened=changes.opened, closed=changes.closed, kept=changes.kept,
                                     match=matches, possible_match=len(rows) - matches),
                    link_table_digest=digest_of_link_rows(sorted(rows)),
                    summary_digest=digest_of_summary(counts or {}),
                    entities=EntitiesPublished(
                        entities=len({row[0] for row in kept}), members=len(kept), components_split=0,
                        entity_table_digest=digest_of_entity_rows(kept),
                    ),
                )
            )  # fmt: skip

        return make_event

    def publish(
        self,
        run: LedgerRun,
        rows: Sequence[LinkRow],
        counts: Mapping[str, Any] | None = None,
        deliveries: Sequence[Delivery] | None = None,
        engine: Engine | None = None,
        entities: Sequence[EntityRow] | None = None,
    ) -> Publication:
        deliveries = deliveries or self.deliveries(run)
        return publish_links(
            engine or self.warehouse.loader, run, lambda: iter(rows), deliveries=deliveries, counts=counts or {},
            make_event=self.event_maker(run, rows, deliveries, counts), retry_window_s=5.0,
            entities=None if entities is None else lambda: entities,
        )  # fmt: skip

    def night(self, run_id: str, rows: Sequence[LinkRow], as_of: date = FIRST_NIGHT) -> LedgerRun:
        run = self.begin(run_id, as_of)
        self.publish(run, rows)
        return run

    def failure_event(self, run: LedgerRun, code: str) -> str:
        return canonical_event(RunFailed(run_id=run.run_id, project=run.project, code=code))


def link(
    decision: str = "match", band: str = "0.90-0.95", a: str | None = None, b: str | None = None,
    passes: tuple[str, ...] = ("both_sounds",),
) -> LinkRow:  # fmt: skip
    return (a or str(uuid.uuid4()), b or str(uuid.uuid4()), decision, band, passes)


def day(number: int) -> date:
    return FIRST_NIGHT + timedelta(number)


def content_event(custodian: str, run_id: str, as_of: date) -> Callable[[str, Mapping[str, int]], str]:
    def make_event(digest: str, rows: Mapping[str, int]) -> str:
        return canonical_event(
            ContentLoaded(
                run_id=run_id, project="discharge_followup", as_of=as_of, custodian=custodian,
                manifest_sha256=digest, rows=dict(rows), code_version="0.1.0",
            )
        )  # fmt: skip

    return make_event


def load(
    warehouse: Warehouse, custodian: str, rows: Sequence[Any], run_id: str = "n1", as_of: date = FIRST_NIGHT
) -> ContentLoad:
    return load_content(
        warehouse.engine(content_role(custodian)), run_id=run_id, as_of=as_of,
        tables={CONTENT_TABLES[custodian][0]: rows}, make_event=content_event(custodian, run_id, as_of),
    )  # fmt: skip


def serve(warehouse: Warehouse, run_id: str = "n1", as_of: date = FIRST_NIGHT) -> None:
    """Publish a night without links, of a project of its own: its content is served from then on."""
    nights = Nights(warehouse, f"serving{next(NUMBERS)}")
    run = begin_run(warehouse.loader, replace(nights.describe(run_id, as_of), run_id=run_id))
    nights.publish(run, [])
