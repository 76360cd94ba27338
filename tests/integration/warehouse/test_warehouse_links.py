"""Links: one night whole or not at all, a history that cannot overlap, and any night's table to be had again."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from datetime import date
from typing import Any

import psycopg2
import pytest

import sql.warehouse.links as links_module
from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.link_table import digest_of_link_rows
from sql.engine import make_engine
from sql.warehouse.audit_log import read_deliveries_of_run, read_links_of_run
from sql.warehouse.ledger import LedgerRun, read_run
from sql.warehouse.links import (
    EntityRow,
    LinkChanges,
    LinkRow,
    publish_links,
    publish_staged_links,
    stage_links,
)
from sql.warehouse.transactions import warehouse_snapshot, warehouse_transaction
from tests.faults.tcp_proxy import TcpProxy
from tests.integration.warehouse.warehouse_nights import Nights, Warehouse, day, link

FOREVER = date.max  # what psycopg2 makes of infinity


def current(warehouse: Warehouse, nights: Nights) -> list[tuple[Any, ...]]:
    return warehouse.as_superuser(
        "SELECT record_a::text, record_b::text, decision, score_band, passes_agreed, link_id, valid_from"
        f" FROM linkage.link WHERE project = '{nights.project}' AND valid_to = 'infinity' ORDER BY 1, 2"
    )


def digest_of(warehouse: Warehouse, run: LedgerRun) -> str:
    with warehouse_snapshot(warehouse.engine("auditor"), doing="auditing") as connection:
        return digest_of_link_rows(read_links_of_run(connection, run.run_id))


def test_a_night_publishes_its_links_with_their_evidence(nights: Nights, warehouse: Warehouse) -> None:
    rows = [link(passes=("both_sounds", "phone_birth_year")), link("possible_match", "0.75-0.80")]
    run = nights.begin("n1")
    deliveries = nights.deliveries(run)
    publication = nights.publish(run, rows, deliveries=deliveries)
    assert publication.links == LinkChanges(opened=2, closed=0, kept=0)
    assert [tuple(row[:5]) for row in current(warehouse, nights)] == [
        (*r[:4], list(r[4])) for r in sorted(rows)
    ]
    with warehouse_snapshot(warehouse.engine("auditor"), doing="auditing") as connection:
        assert read_deliveries_of_run(connection, run.run_id) == deliveries
    ledger = read_run(warehouse.loader, run.run_id)
    assert ledger is not None
    assert (ledger.status, ledger.audit_sequence) == ("published", publication.audit_sequence)


def test_publishing_twice_changes_nothing(nights: Nights, warehouse: Warehouse) -> None:
    rows = [link(), link()]
    run = nights.begin("n1")
    first = nights.publish(run, rows)
    before = warehouse.state()
    assert nights.publish(run, rows) == first
    assert warehouse.state() == before


def test_a_night_without_links_is_a_night(nights: Nights, warehouse: Warehouse) -> None:
    nights.night("n1", [link()])
    run = nights.night("n2", [], day(1))
    assert current(warehouse, nights) == []
    assert digest_of(warehouse, run) == digest_of_link_rows([])


def test_unchanged_links_keep_their_id_and_changed_ones_get_a_new_version(
    nights: Nights, warehouse: Warehouse
) -> None:
    same, gone, better = link(), link(), link("possible_match", "0.75-0.80")
    nights.night("n1", [same, gone, better])
    ids = {row[0]: row[5] for row in current(warehouse, nights)}
    run = nights.begin("n2", day(1))
    upgraded, new = (*better[:2], "match", "0.80-0.85", better[4]), link()
    assert nights.publish(run, [same, upgraded, new]).links == LinkChanges(opened=2, closed=2, kept=1)
    now = {row[0]: row for row in current(warehouse, nights)}
    assert now[same[0]][5] == ids[same[0]]
    assert now[better[0]][5] != ids[better[0]]
    closed = warehouse.as_superuser(
        "SELECT record_a::text, valid_from, valid_to, closed_by_run, closed_because FROM linkage.link"
        f" WHERE project = '{nights.project}' AND valid_to < 'infinity'"
    )
    ended = [(gone, "withdrawn"), (better, "superseded")]
    assert sorted(closed) == sorted((pair[0], day(0), day(1), run.run_id, why) for pair, why in ended)


def test_a_link_that_gives_way_to_another_of_its_record_says_so(nights: Nights, warehouse: Warehouse) -> None:
    first, second, third = link(), link(), link()
    nights.night("n1", [first, second, third])
    nights.night("n2", [link(a=first[0]), link(b=second[1]), third], day(1))
    assert warehouse.as_superuser(
        f"SELECT closed_because FROM linkage.link WHERE project = '{nights.project}' AND valid_to < 'infinity'"
    ) == [("relinked",), ("relinked",)]


@pytest.mark.parametrize("column", ["decision", "band", "passes"])
def test_any_change_of_evidence_is_a_new_version(nights: Nights, column: str) -> None:
    before = link("match", "0.80-0.85")
    changed = {
        "decision": (*before[:2], "possible_match", *before[3:]),
        "band": (*before[:3], "0.85-0.90", before[4]),
        "passes": (*before[:4], ("both_sounds", "x")),
    }[column]
    nights.night("n1", [before])
    assert nights.publish(nights.begin("n2", day(1)), [changed]).links == LinkChanges(
        opened=1, closed=1, kept=0
    )


def test_every_night_s_table_can_be_had_again(nights: Nights, warehouse: Warehouse) -> None:
    kept, first, second = link(), link(), link()
    tables = [[kept, first], [kept, second], [kept, first, second], []]
    runs = [nights.night(f"n{n}", rows, day(n)) for n, rows in enumerate(tables)]
    for run, rows in zip(runs, tables, strict=True):
        assert digest_of(warehouse, run) == digest_of_link_rows(sorted(rows))


def test_two_runs_of_one_day_leave_both_tables_to_be_had(nights: Nights, warehouse: Warehouse) -> None:
    kept, first, second = link(), link(), link()
    morning = nights.night("morning", [kept, first])
    evening = nights.night("evening", [kept, second])
    back = nights.night("back", [kept, first])
    assert (
        digest_of(warehouse, morning)
        == digest_of(warehouse, back)
        == digest_of_link_rows(sorted([kept, first]))
    )
    assert digest_of(warehouse, evening) == digest_of_link_rows(sorted([kept, second]))
    # A version that no day saw is not history for researchers.
    visible = warehouse.as_researcher(
        f"SELECT record_a::text, valid_to FROM research.link_history_v1 WHERE project = '{nights.project}' ORDER BY 1"
    )
    assert visible == sorted((record, FOREVER) for record in warehouse.outside(kept[0], first[0]))


def test_versions_of_a_pair_cannot_overlap_even_for_a_superuser(nights: Nights, warehouse: Warehouse) -> None:
    row = link()
    run = nights.night("n1", [row])
    nights.night("n2", [], day(5))
    insert = (
        "INSERT INTO linkage.link (project, custodian_a, record_a, custodian_b, record_b, decision, score_band,"
        " passes_agreed, opened_by_run, closed_by_run, closed_because, valid_from, valid_to) VALUES"
        f" ('{nights.project}', 'hospital', '{row[0]}', 'pharmacy', '{row[1]}', 'match', '0.90-0.95', '{{}}',"
        f" '{run.run_id}', '{run.run_id}', 'withdrawn', "
    )
    with pytest.raises(psycopg2.errors.ExclusionViolation):
        warehouse.as_superuser(insert + f"'{day(4)}', '{day(6)}')")
    warehouse.as_superuser(insert + f"'{day(5)}', '{day(6)}')")  # half-open: one ends where the other begins


def test_a_record_is_in_one_open_match_only(nights: Nights, warehouse: Warehouse) -> None:
    first = link()
    for second in (link(a=first[0]), link(b=first[1])):
        run = nights.begin("n1")
        with pytest.raises(NightlinkError, match="SQLSTATE 23505"):
            nights.publish(run, [first, second])
    assert current(warehouse, nights) == []


def test_a_record_may_be_in_several_where_the_protocol_says_so(nights: Nights, warehouse: Warehouse) -> None:
    first = link()
    also_a, also_b = link(a=first[0]), link(b=first[1])
    nights.resolution = "one_to_many"
    run = nights.begin("n1")
    with pytest.raises(NightlinkError, match="SQLSTATE 23505"):
        nights.publish(run, [first, also_a, also_b])
    nights.publish(nights.begin("n1"), [first, also_a])
    assert len(current(warehouse, nights)) == 2
    nights.resolution = "one_to_one"  # the next night is held to one link again, those that it keeps as well
    with pytest.raises(NightlinkError, match="SQLSTATE 23505"):
        nights.publish(nights.begin("n2", day(2)), [first, also_a])
    nights.publish(nights.begin("n2", day(2)), [first])
    assert warehouse.as_superuser(
        "SELECT one_a_record_of_a, one_a_record_of_b FROM linkage.link"
        f" WHERE project = '{nights.project}' AND valid_to = 'infinity'"
    ) == [(True, True)]


def test_staging_must_hold_what_was_announced(nights: Nights, warehouse: Warehouse) -> None:
    run = nights.begin("n1")
    deliveries, rows = nights.deliveries(run), [link(), link()]
    with (
        pytest.raises(NightlinkError, match="E-RUN-FENCED.*staged"),
        warehouse_transaction(warehouse.loader, doing="publishing") as connection,
    ):
        stage_links(connection, run, rows)
        publish_staged_links(
            connection,
            run,
            3,
            deliveries=deliveries,
            counts={},
            make_event=nights.event_maker(run, rows, deliveries),
            member_count=0,
        )
    assert current(warehouse, nights) == []


def test_the_event_must_say_what_the_publication_did(nights: Nights, warehouse: Warehouse) -> None:
    run = nights.begin("n1")
    deliveries, rows = nights.deliveries(run), [link(), link()]
    truth = nights.event_maker(run, rows, deliveries)
    before = warehouse.state()
    for lie in (
        lambda *_: truth(LinkChanges(opened=0, closed=0, kept=2)),
        lambda *_: truth(LinkChanges(opened=2, closed=1, kept=0)),
        lambda changes, _: truth(changes).replace(run.run_id, "another-run"),
        lambda changes, _: truth(changes).replace(deliveries[0].manifest_sha256, "0" * 64),
        lambda changes, _: truth(changes).replace('"fence":1', '"fence":2'),
        lambda *_: "no JSON",
        lambda *_: "{}",
    ):
        with pytest.raises(NightlinkError, match="E-INPUT.*audit event"):
            publish_links(
                warehouse.loader, run, lambda: rows, deliveries=deliveries, counts={}, make_event=lie
            )
    assert warehouse.state() == before


def test_deliveries_must_be_one_of_each_custodian(nights: Nights) -> None:
    run = nights.begin("n1")
    both = nights.deliveries(run)
    for wrong in ([both[0]], [both[0], both[0]], [*both, both[1]]):
        with pytest.raises(NightlinkError, match="E-INPUT.*deliveries"):
            nights.publish(run, [link()], deliveries=wrong)


def test_one_sequence_number_cannot_stand_for_two_deliveries(nights: Nights, warehouse: Warehouse) -> None:
    first = nights.begin("n1")
    deliveries = nights.deliveries(first)
    nights.publish(first, [link()], deliveries=deliveries)
    second = nights.begin("n2", day(1))
    altered = [dataclasses.replace(d, manifest_sha256=d.manifest_sha256[::-1]) for d in deliveries]
    with pytest.raises(NightlinkError, match="E-DLV-EQUIVOCATION"):
        nights.publish(second, [link()], deliveries=altered)
    # The same deliveries again are fine: another run may compare them anew.
    nights.publish(second, [link()], deliveries=deliveries)


class RowsEnded(Exception):  # noqa: N818
    """The test's own."""


def test_rows_that_cannot_be_produced_leave_nothing_and_say_nothing_to_the_server(
    nights: Nights, warehouse: Warehouse
) -> None:
    run = nights.begin("n1")

    def rows() -> Iterator[LinkRow]:
        yield link()
        raise RowsEnded("PLANTED-NAME in the words of an error")

    before = warehouse.state()
    with pytest.raises(RowsEnded):
        publish_links(
            warehouse.loader,
            run,
            rows,
            deliveries=nights.deliveries(run),
            counts={},
            make_event=lambda *_: "{}",
        )
    assert warehouse.state() == before


@pytest.mark.parametrize("moment", ["in the COPY", "before the publication", "before the COMMIT"])
def test_a_backend_that_dies_leaves_nothing_and_the_retry_publishes_once(
    nights: Nights, warehouse: Warehouse, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights.night("n0", [link()])
    run = nights.begin("n1", day(1))
    deliveries, rows, left = nights.deliveries(run), [link() for _ in range(2000)], [1]
    states: list[str] = []

    def kill(now: str) -> None:
        if now == moment and left:
            left.pop()
            warehouse.as_superuser(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE application_name = 'test linkage_loader' AND state <> 'idle'"
            )
            states.append(warehouse.state())

    def produce() -> Iterator[LinkRow]:
        for number, row in enumerate(rows):
            if number == 1000:
                kill("in the COPY")
            yield row

    truth = nights.event_maker(run, rows, deliveries)

    def make_event(changes: LinkChanges, members: Iterator[EntityRow]) -> str:
        kill("before the publication")
        return truth(changes, members)

    original = links_module._publication

    def last_act(row: Any) -> Any:
        kill("before the COMMIT")
        return original(row)

    monkeypatch.setattr(links_module, "_publication", last_act)
    before = warehouse.state()
    publication = publish_links(
        warehouse.loader,
        run,
        produce,
        deliveries=deliveries,
        counts={},
        make_event=make_event,
        retry_window_s=60.0,
    )
    assert states == [before]  # the dead attempt left nothing
    assert publication.links == LinkChanges(opened=2000, closed=1, kept=0)
    assert digest_of(warehouse, run) == digest_of_link_rows(sorted(rows))
    events = f"SELECT count(*) FROM audit.event WHERE entry::jsonb -> 'event' ->> 'run_id' = '{run.run_id}'"
    assert warehouse.as_superuser(events) == [(1,)]


def test_a_commit_whose_answer_is_lost_is_found_in_the_ledger(nights: Nights, warehouse: Warehouse) -> None:
    run = nights.begin("n1")
    rows = [link(), link()]
    with TcpProxy(warehouse.urls["linkage_loader"]) as proxy:
        proxy.break_after(b"COMMIT")
        engine = make_engine(proxy.url, deadline_s=10, application_name="lost answer")
        publication = nights.publish(run, rows, engine=engine)
        assert proxy.broken == 1
    assert publication.links == LinkChanges(opened=2, closed=0, kept=0)
    events = f"SELECT count(*) FROM audit.event WHERE entry::jsonb -> 'event' ->> 'run_id' = '{run.run_id}'"
    assert warehouse.as_superuser(events) == [(1,)]


def test_a_reader_neither_blocks_a_publication_nor_sees_a_mix(nights: Nights, warehouse: Warehouse) -> None:
    old, new = [link() for _ in range(50)], [link() for _ in range(70)]
    nights.night("n1", old)
    query = (
        "SELECT count(*), min(opened_by_run), max(opened_by_run) FROM research.link_current_v1"
        f" WHERE project = '{nights.project}'"
    )
    reader = psycopg2.connect(warehouse.urls["researcher"])
    cursor = reader.cursor()
    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    cursor.execute(query)
    assert cursor.fetchone()[0] == 50
    seen, stop = [], threading.Event()

    def watch() -> None:
        connection = psycopg2.connect(warehouse.urls["researcher"])
        connection.autocommit = True
        with connection.cursor() as watching:
            while not stop.is_set():
                watching.execute(query)
                seen.append(watching.fetchone())
        connection.close()

    watcher = threading.Thread(target=watch)
    watcher.start()
    nights.night("n2", new, day(1))  # not held up by the open transaction
    stop.set()
    watcher.join()
    cursor.execute(query)
    assert cursor.fetchone()[0] == 50  # the open snapshot still shows yesterday
    reader.close()
    wholes = {
        (50, f"{nights.project}.n1", f"{nights.project}.n1"),
        (70, f"{nights.project}.n2", f"{nights.project}.n2"),
    }
    assert set(seen) <= wholes


def test_projects_do_not_touch_each_other(nights: Nights, warehouse: Warehouse) -> None:
    other = Nights(warehouse, nights.project + "_other")
    row = link()
    nights.night("n1", [row])
    other.night("n1", [row])
    other.night("n2", [], day(1))
    assert len(current(warehouse, nights)) == 1
    assert current(warehouse, other) == []
