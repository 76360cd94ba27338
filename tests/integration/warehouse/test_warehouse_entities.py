"""Entities keep their ids from night to night; merges, splits and ends are told, and every night can be had again."""

from __future__ import annotations

import random
import re
import uuid

import psycopg2
import pytest

from linkage_core.linkage_unit.entity_clusters import digest_of_entity_rows
from sql.warehouse.audit_log import read_entities_of_run
from sql.warehouse.ledger import LedgerRun
from sql.warehouse.transactions import warehouse_snapshot
from tests.integration.warehouse.warehouse_nights import Nights, Warehouse, day, link
from tests.reference.slow_entity_ids import Members, slow_carry_entity_ids


def members(nights: Nights) -> Members:
    return dict(
        nights.warehouse.as_superuser(
            "SELECT record::text, entity_id::text FROM linkage.entity_member"
            f" WHERE project = '{nights.project}' AND valid_to = 'infinity'"
        )
    )


def changes(nights: Nights, run: LedgerRun) -> set[tuple[str, str, str | None]]:
    return set(
        nights.warehouse.as_superuser(
            "SELECT entity_id::text, change, other_entity_id::text FROM linkage.entity_change"
            f" WHERE run_id = '{run.run_id}'"
        )
    )


def joined_night(nights: Nights, number: int, groups: list[list[str]]) -> LedgerRun:
    """A night whose entities were joined elsewhere, each record at a custodian of its own."""
    run = nights.begin(f"n{number}", day(number))
    rows = [(str(uuid.uuid4()), f"c{k}", record) for k, record in enumerate(sum(groups, []))]
    numbered = iter(rows)
    staged = [(name, *next(numbered)[1:]) for group in groups for name in [str(uuid.uuid4())] for _ in group]
    nights.publish(run, [], entities=staged)
    return run


def test_a_match_is_an_entity_and_keeps_its_id_when_its_evidence_changes(nights: Nights) -> None:
    pair = link("match", "0.80-0.85")
    nights.night("n1", [pair, link("possible_match", "0.75-0.80")])
    before = members(nights)
    assert set(before) == set(pair[:2])
    assert len(set(before.values())) == 1
    nights.night("n2", [(*pair[:3], "0.95-1.00", pair[4])], day(1))
    assert members(nights) == before


def test_a_person_who_is_linked_to_another_record_keeps_the_id_once(nights: Nights) -> None:
    first = link()
    nights.night("n1", [first])
    [old] = set(members(nights).values())
    run = nights.night("n2", [link(a=first[0]), link(b=first[1])], day(1))
    now = members(nights)
    assert sorted([now[first[0]] == old, now[first[1]] == old]) == [False, True]
    [(new, change, other)] = changes(nights, run)
    assert (change, other) == ("split_from", old)
    assert new in now.values()


def test_what_is_no_longer_linked_ends(nights: Nights) -> None:
    nights.night("n1", [link()])
    [old] = set(members(nights).values())
    run = nights.night("n2", [], day(1))
    assert changes(nights, run) == {(old, "dissolved", None)}


def test_three_join_one_survives_and_they_part_again(nights: Nights) -> None:
    a, b, c, d, e = (str(uuid.uuid4()) for _ in range(5))
    joined_night(nights, 1, [[a, b, c], [d, e]])
    first = members(nights)
    run = joined_night(nights, 2, [[a, b, c, d, e]])
    assert set(members(nights).values()) == {first[a]}
    assert changes(nights, run) == {(first[d], "merged_into", first[a])}
    run = joined_night(nights, 3, [[a, b, c], [d, e]])
    now = members(nights)
    assert (now[a], now[d] not in first.values()) == (first[a], True)
    assert changes(nights, run) == {(now[d], "split_from", first[a])}


@pytest.mark.parametrize("seed", range(3))
def test_ids_are_carried_as_the_slow_twin_carries_them(nights: Nights, seed: int) -> None:
    drawn, records = random.Random(seed), [str(uuid.uuid4()) for _ in range(40)]
    runs, tables = [], []
    for number in range(4):
        labels = [str(uuid.UUID(int=drawn.getrandbits(128))) for _ in range(12)]
        placed = {record: drawn.choice(labels) for record in drawn.sample(records, 30)}
        staged = [(label, f"c{records.index(record)}", record) for record, label in placed.items()]
        before, run = members(nights), nights.begin(f"n{number}", day(number))
        nights.publish(run, [], entities=staged)
        expected, told = slow_carry_entity_ids(
            before, {r: n for n, _, r in staged}, nights.project, run.run_id
        )
        assert members(nights) == expected
        assert changes(nights, run) == told
        runs.append(run)
        tables.append(sorted(((expected[r], c, r) for _, c, r in staged), key=lambda row: (row[0], row[2])))
    with warehouse_snapshot(nights.warehouse.engine("auditor"), doing="auditing") as connection:
        for run, table in zip(runs, tables, strict=True):
            assert digest_of_entity_rows(
                read_entities_of_run(connection, run.run_id)
            ) == digest_of_entity_rows(table)


def test_members_are_met_by_their_records_also_by_a_planner_that_knows_nothing_of_them(
    nights: Nights, warehouse: Warehouse
) -> None:
    """A second night within the minute met 240,000 members with each other by custodian alone, and did not end."""
    rows = [link() for _ in range(200)]
    nights.night("n0", rows)
    run = nights.begin("n1", day(1))
    connection = psycopg2.connect(warehouse.superuser_url)
    with connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM pg_statistic WHERE starelid = 'linkage.entity_member'::regclass")
        cursor.execute(
            "INSERT INTO linkage.entity_staging (run_id, fence, entity_id, custodian, record)"
            " SELECT %s, %s, entity_id, custodian, record FROM linkage.entity_member WHERE project = %s",
            (run.run_id, run.fence, nights.project),
        )
        cursor.execute(
            "LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0;"
            " SET auto_explain.log_nested_statements = on; SET auto_explain.log_level = notice"
        )
        cursor.execute("SELECT linkage.carry_entity_ids(%s, %s)", (run.run_id, run.fence))
    plans = "".join(connection.notices)
    connection.close()
    assert "m.record" in plans, "the plans were told"
    assert re.findall(r"Hash Cond: \(\w+\.custodian = \w+\.custodian\)", plans) == []


def test_publishing_again_changes_no_id_and_tells_nothing_twice(nights: Nights, warehouse: Warehouse) -> None:
    pair = link()
    nights.night("n1", [pair])
    run = nights.night("n2", [link(a=pair[0])], day(1))
    before = warehouse.state()
    nights.publish(run, [link(a=pair[0])])
    assert warehouse.state() == before


def test_a_record_is_in_one_entity_at_a_time_even_for_a_superuser(
    nights: Nights, warehouse: Warehouse
) -> None:
    nights.night("n1", [link()])
    with pytest.raises(psycopg2.errors.ExclusionViolation):
        warehouse.as_superuser(
            "INSERT INTO linkage.entity_member (project, entity_id, custodian, record, opened_by_run, valid_from)"
            " SELECT project, gen_random_uuid(), custodian, record, opened_by_run, valid_from + 1"
            f" FROM linkage.entity_member WHERE project = '{nights.project}' LIMIT 1"
        )
