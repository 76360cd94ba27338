"""A superuser can change anything; the audit must find it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from linkage_core.audit.audit_events import NightPublished, parse_event
from linkage_core.audit.hash_chain import ChainHead, chain_hash, check_chain
from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.link_table import digest_of_link_rows
from sql.warehouse.audit_log import read_events, read_head_runs, read_links_of_run, read_publications
from sql.warehouse.transactions import warehouse_snapshot
from tests.integration.warehouse.warehouse_nights import Nights, Warehouse, day, link


@pytest.fixture
def three_nights(nights: Nights) -> Iterator[Nights]:
    """Three published nights; what a test does to the tables is undone, as far as later tests care."""
    for number in range(3):
        nights.night(f"n{number}", [link() for _ in range(3 + number)], day(number))
    warehouse = nights.warehouse
    warehouse.as_superuser("CREATE TABLE public.saved AS SELECT * FROM audit.event")
    yield nights
    warehouse.as_superuser(
        "DELETE FROM audit.event; INSERT INTO audit.event SELECT * FROM public.saved; DROP TABLE public.saved",
        replica=True,
    )


def verify(warehouse: Warehouse, witnessed: dict[int, bytes] | None = None) -> ChainHead:
    """What ``nightlink audit verify`` does: the chain, then each night's table against its event."""
    with warehouse_snapshot(warehouse.engine("auditor"), doing="auditing") as connection:
        head = check_chain(read_events(connection), witnessed)
        events = [parse_event(text) for _, _, text, _ in read_events(connection)]
        for event in events:
            if isinstance(event, NightPublished):
                found = digest_of_link_rows(read_links_of_run(connection, event.run_id))
                if found != event.link_table_digest:
                    raise NightlinkError(
                        "E-AUDIT-BROKEN", found=event.run_id, expected="its digest", remedy="Look."
                    )
    return head


def test_an_untouched_log_verifies(three_nights: Nights) -> None:
    with warehouse_snapshot(three_nights.warehouse.engine("auditor"), doing="auditing") as connection:
        events = list(read_events(connection))
        publications = read_publications(connection)
        heads = read_head_runs(connection)
    assert verify(three_nights.warehouse).sequence == len(events) == len(publications)
    assert [p.audit_sequence for p in publications] == [event[0] for event in events]
    assert [p.audit_event_hash for p in publications] == [event[3] for event in events]
    assert heads[three_nights.project] == f"{three_nights.project}.n2"


def test_postgresql_and_python_compute_the_same_chain(three_nights: Nights) -> None:
    with warehouse_snapshot(three_nights.warehouse.engine("auditor"), doing="auditing") as connection:
        for _, previous, event, event_hash in read_events(connection):
            assert chain_hash(previous, event.encode()) == event_hash


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit.event SET event = '{}'", "DELETE FROM audit.event", "TRUNCATE audit.event CASCADE"],
)
def test_even_a_superuser_must_mean_it(three_nights: Nights, statement: str) -> None:
    with pytest.raises(Exception, match="insert-only"):
        three_nights.warehouse.as_superuser(statement)


LAST = "(SELECT max(sequence) FROM audit.event)"


@pytest.mark.parametrize(
    "tampering",
    [
        f"UPDATE audit.event SET event = replace(event, '2026-03', '2026-04') WHERE sequence = {LAST} - 1",
        f"UPDATE audit.event SET event = replace(event, '2026-03', '2026-04'), event_hash = sha256('\\x00'::bytea ||"
        f" previous_hash || convert_to(replace(event, '2026-03', '2026-04'), 'UTF8')) WHERE sequence = {LAST} - 1",
        f"DELETE FROM audit.event WHERE sequence = {LAST} - 1",
        f"UPDATE audit.event SET sequence = 2 * {LAST} - 1 - sequence + 1000 WHERE sequence > {LAST} - 2;"
        " UPDATE audit.event SET sequence = sequence - 1000 WHERE sequence > 1000",
    ],
    ids=["an event edited", "an event edited and hashed anew", "an event deleted", "two events swapped"],
)
def test_a_changed_log_is_found(three_nights: Nights, tampering: str) -> None:
    three_nights.warehouse.as_superuser(tampering, replica=True)
    with pytest.raises(NightlinkError, match="E-AUDIT-BROKEN"):
        verify(three_nights.warehouse)


def test_newest_events_cut_off_are_found_by_a_witness(three_nights: Nights) -> None:
    head = verify(three_nights.warehouse)
    three_nights.warehouse.as_superuser(
        f"DELETE FROM audit.event WHERE sequence = {head.sequence}", replica=True
    )
    with pytest.raises(NightlinkError, match="E-AUDIT-BROKEN.*witness"):
        verify(three_nights.warehouse, {head.sequence: head.hash})


@pytest.mark.parametrize(
    ("tampering", "undo"),
    [
        (
            "UPDATE linkage.link SET score_band = '0.95-1.00' WHERE link_id = {link}",
            "UPDATE linkage.link SET score_band = '0.90-0.95' WHERE link_id = {link}",
        ),
        (
            "UPDATE linkage.link SET opened_by_run = '{project}.n1' WHERE link_id = {link}",
            "UPDATE linkage.link SET opened_by_run = '{project}.n2' WHERE link_id = {link}",
        ),
    ],
    ids=["a band", "the run"],
)
def test_a_changed_link_is_found(three_nights: Nights, tampering: str, undo: str) -> None:
    warehouse, project = three_nights.warehouse, three_nights.project
    newest = warehouse.as_superuser(f"SELECT max(link_id) FROM linkage.link WHERE project = '{project}'")[0][
        0
    ]
    verify(warehouse)
    warehouse.as_superuser(tampering.format(link=newest, project=project), replica=True)
    with pytest.raises(NightlinkError, match="E-AUDIT-BROKEN"):
        verify(warehouse)
    warehouse.as_superuser(undo.format(link=newest, project=project), replica=True)
    verify(warehouse)
