"""Links into the warehouse: staged by COPY and published with their audit event, in one transaction.

Zone: linkage_unit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, text

from linkage_core.errors import NightlinkError
from sql.copy_rows import copy_rows
from sql.engine import retry_transient
from sql.statements import load_statements
from sql.warehouse.ledger import LedgerRun, find_run
from sql.warehouse.review import queue_pairs
from sql.warehouse.sealed import UnsealedCounts, read_unsealed, record_unsealed
from sql.warehouse.transactions import warehouse_errors, warehouse_transaction

LinkRow = tuple[str, str, str, str, Sequence[str]] | tuple[str, str, str, str, Sequence[str], str, str]
"""record_a and record_b as UUID text, decision, score band, names of the passes in protocol order; where a run has
more than two custodians, those of the two records as well."""
EntityRow = tuple[str, str, str]
"""Entity id as UUID text, custodian, record as UUID text."""

_ROWS_PER_FETCH = 5_000
_statements = partial(load_statements, "sql.warehouse", "links.sql")


@dataclass(frozen=True)
class Delivery:
    """A delivery of encodings that a run compared, as the warehouse keeps it; no path, no record."""

    manifest_sha256: str
    custodian: str
    run_id: str
    sequence: int
    as_of: date
    row_count: int
    protocol_fingerprint: str
    key_check_value: str
    code_version: str


@dataclass(frozen=True)
class LinkChanges:
    """What a publication does to the served links: versions opened, closed, and kept as they are."""

    opened: int
    closed: int
    kept: int


@dataclass(frozen=True)
class Publication:
    """What a publication did; ``audit_event_hash`` is the 32 bytes of the audit chain's entry."""

    links: LinkChanges
    audit_sequence: int
    audit_event_hash: bytes


EventMaker = Callable[[LinkChanges, Iterator[EntityRow]], str]
UnsealedEstimator = Callable[[UnsealedCounts], Sequence[Mapping[str, Any]]]
"""From a published night's counts to rows of estimates: measure, estimator, value, low, high, basis."""


def publish_links(
    engine: Engine,
    run: LedgerRun,
    rows: Callable[[], Iterable[LinkRow]],
    *,
    deliveries: Sequence[Delivery],
    counts: Mapping[str, Any],
    make_event: EventMaker,
    entities: Callable[[], Iterable[EntityRow]] | None = None,
    reviews: Sequence[Mapping[str, Any]] = (),
    estimate: UnsealedEstimator = lambda counts: (),
    retry_window_s: float = 60.0,
) -> Publication:
    """Stage and publish a run's links, its deliveries and its audit event in one transaction.

    After an error that may pass (connection lost, server restarted, serialization) the ledger is read before
    anything is tried again: a COMMIT whose answer was lost is found there, and done is done.

    Parameters
    ----------
    engine : Engine
        As the linkage loader; its deadline bounds each attempt.
    run : LedgerRun
        Of :func:`sql.warehouse.ledger.begin_run`.
    rows : callable
        Gives the links anew for each attempt, each pair once, in any order.
    deliveries : sequence of Delivery
        One of each custodian.
    counts : mapping
        The nightly summary, JSON-able: counts only.
    make_event : callable
        Makes the canonical ``night_published`` event of what the publication will do, from the changes of links and
        the members of the entities under their lasting ids, in ascending order of entity and record. The warehouse
        refuses one that says something else.
    entities : callable, optional
        Gives the members of all entities anew for each attempt, each record once, under any ids that tell entities
        apart. Left out, the matches of a one-to-one night of two custodians are its entities.
    reviews : sequence of mapping
        Possible matches with masked evidence, for the reviewers' queue: all that are possible tonight.
    estimate : callable, optional
        What the people who do not exist, once they are counted and taken out, say of the links.

    Raises
    ------
    NightlinkError
        E-RUN-FENCED when a newer run began or published; E-WH-UNAVAILABLE when the warehouse stays away. In
        both cases nothing was changed, and yesterday's links are served.
    """

    def attempt() -> Publication:
        with warehouse_transaction(engine, doing="publishing links") as connection:
            earlier = published_earlier(connection, run)
            if earlier is not None:
                return earlier
            link_count = stage_links(connection, run, rows())
            queue_pairs(connection, run, reviews)
            publication = publish_staged_links(
                connection,
                run,
                link_count,
                deliveries=deliveries,
                counts=counts,
                make_event=make_event,
                member_count=stage_entities(connection, run, None if entities is None else entities()),
            )
            _estimate_unsealed(connection, run, estimate)
            return publication

    return retry_transient(attempt, window_s=retry_window_s)


def published_earlier(connection: Connection, run: LedgerRun) -> Publication | None:
    """The publication of this attempt of the run, if the ledger has it."""
    found = find_run(connection, run.run_id)
    if found is None or not found.is_published or found.fence != run.fence:
        return None
    return _publication(asdict(found))


def stage_links(connection: Connection, run: LedgerRun, rows: Iterable[LinkRow]) -> int:
    """COPY a run's links into staging, in place of what it staged before; returns their number."""
    with warehouse_errors("staging links"):
        connection.execute(text(_statements()["empty_staging"]), {"run_id": run.run_id})
        staged = copy_rows(
            connection,
            _statements()["stage_links"],
            ((run.run_id, run.fence, *row[:5], *(row[5:] or run.custodians[:2])) for row in rows),
        )
    return staged.row_count


def stage_entities(connection: Connection, run: LedgerRun, rows: Iterable[EntityRow] | None) -> int:
    """Stage the members of a run's entities, by default its staged matches; returns their number."""
    key = {"run_id": run.run_id, "fence": run.fence}
    with warehouse_errors("staging entities"):
        connection.execute(text(_statements()["empty_entity_staging"]), {"run_id": run.run_id})
        if rows is None:
            staged = connection.execute(text(_statements()["stage_matches_as_entities"]), key)
            return int(staged.scalar_one())
        copied = copy_rows(
            connection, _statements()["stage_entities"], ((run.run_id, run.fence, *row) for row in rows)
        )
    return copied.row_count


def _read_staged_entities(connection: Connection, run: LedgerRun) -> Iterator[EntityRow]:
    options = {"stream_results": True, "max_row_buffer": _ROWS_PER_FETCH}
    key = {"run_id": run.run_id, "fence": run.fence}
    statement = text(_statements()["read_staged_entities"])
    with warehouse_errors("reading the staged entities"):
        for row in connection.execute(statement, key, execution_options=options):
            yield row[0], row[1], row[2]


def publish_staged_links(
    connection: Connection,
    run: LedgerRun,
    link_count: int,
    *,
    deliveries: Sequence[Delivery],
    counts: Mapping[str, Any],
    make_event: EventMaker,
    member_count: int,
) -> Publication:
    """Turn what is staged into the served links; the caller's COMMIT makes it so."""
    key = {"run_id": run.run_id, "fence": run.fence, "link_count": link_count}
    with warehouse_errors("publishing links"):
        changes = connection.execute(text(_statements()["count_link_changes"]), key).mappings().one()
        connection.execute(text(_statements()["carry_entity_ids"]), key)
    event = make_event(_link_changes(changes), _read_staged_entities(connection, run))
    with warehouse_errors("publishing links"):
        published = connection.execute(
            text(_statements()["publish_run"]),
            key
            | {
                "member_count": member_count,
                "deliveries": _as_json([asdict(d) for d in deliveries]),
                "counts": _as_json(counts),
                "event": event,
            },
        )
        return _publication(published.mappings().one())


def _estimate_unsealed(connection: Connection, run: LedgerRun, estimate: UnsealedEstimator) -> None:
    rows = [
        {**row, "custodian_a": counts.custodian_a, "custodian_b": counts.custodian_b}
        for counts in read_unsealed(connection, run.run_id)
        for row in estimate(counts)
    ]
    if rows:
        record_unsealed(connection, run.run_id, run.fence, rows)


def _as_json(value: Any) -> str:
    return json.dumps(value, default=_spell_date, allow_nan=False)


def _spell_date(value: Any) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise NightlinkError(
        "E-INPUT",
        found=f"a value of type {type(value).__name__} in a summary",
        expected="numbers, text, dates, lists and tables of these",
        remedy="This is a mistake in the calling code.",
    )


def _link_changes(row: Mapping[Any, Any]) -> LinkChanges:
    return LinkChanges(row["links_opened"], row["links_closed"], row["links_kept"])


def _publication(row: Mapping[Any, Any]) -> Publication:
    return Publication(_link_changes(row), row["audit_sequence"], bytes(row["audit_event_hash"]))
