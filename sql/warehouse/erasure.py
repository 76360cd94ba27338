"""Forgetting: erase a record, bury what ended long ago, and hold records against both. Zone: linkage_unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial

from sqlalchemy import Engine, text

from sql.statements import load_statements
from sql.warehouse.migrate import check_schema_version
from sql.warehouse.transactions import warehouse_transaction

_statements = partial(load_statements, "sql.warehouse", "erasure.sql")


@dataclass(frozen=True)
class Erasure:
    """Rows that an erasure buries or deletes; ``erased_before`` when the record was suppressed already."""

    links: int
    members: int
    content_rows: int
    erased_before: bool

    @property
    def nothing_left(self) -> bool:
        return self.erased_before and not (self.links or self.members or self.content_rows)


@dataclass(frozen=True)
class Expiry:
    """Versions that ended before a day and are held by nobody."""

    links: int
    members: int


def suppressed_records(engine: Engine, custodian: str, records: Sequence[str]) -> set[str]:
    """Those of a custodian's records (UUID text) that were erased and must not be linked again."""
    with warehouse_transaction(engine, doing="asking who must not come back") as connection:
        key = {"custodian": custodian, "records": list(records)}
        return set(connection.execute(text(_statements()["suppressed_records"]), key).scalars())


def anyone_suppressed(engine: Engine) -> bool:
    """Whether any record at all was erased."""
    with warehouse_transaction(engine, doing="asking who must not come back") as connection:
        return bool(connection.execute(text(_statements()["anyone_suppressed"])).scalar_one())


def erase_record(
    engine: Engine, project: str, custodian: str, record: str, make_event: Callable[[Erasure], str]
) -> Erasure:
    """Erase one record from a project, in one transaction with its ``record_erased`` event.

    Its links and memberships are buried with their whole history, its content and its researchers' pseudonyms
    deleted, and a keyed entry keeps it from coming back. Again, it changes nothing.

    Raises
    ------
    NightlinkError
        E-LEGAL-HOLD; E-INPUT for a project that the warehouse does not know.
    """
    key = {"project": project, "custodian": custodian, "record": record}
    with warehouse_transaction(engine, doing="erasing a record") as connection:
        check_schema_version(connection)
        counted = connection.execute(text(_statements()["count_erasure"]), key).mappings().one()
        erasure = Erasure(**counted)
        if not erasure.nothing_left:
            event = make_event(erasure)
            connection.execute(text(_statements()["erase_record"]), key | {"event": event})
    return erasure


def apply_retention(
    engine: Engine, project: str, before: date, make_event: Callable[[Expiry], str]
) -> Expiry:
    """Bury versions of links and members that ended before a day, but for held ones; nothing to bury, no event."""
    key = {"project": project, "before": before}
    with warehouse_transaction(engine, doing="applying the retention period") as connection:
        check_schema_version(connection)
        expiry = Expiry(**connection.execute(text(_statements()["count_expired"]), key).mappings().one())
        if expiry.links or expiry.members:
            connection.execute(text(_statements()["apply_retention"]), key | {"event": make_event(expiry)})
    return expiry


def set_hold(
    engine: Engine, project: str, custodian: str | None, record: str | None, *, held: bool, event: str
) -> bool:
    """Set or lift a legal hold, of the whole project without a record; False when it was so already."""
    key = {"project": project, "custodian": custodian, "record": record, "held": held, "event": event}
    with warehouse_transaction(engine, doing="changing a legal hold") as connection:
        check_schema_version(connection)
        return bool(connection.execute(text(_statements()["set_hold"]), key).scalar_one())
