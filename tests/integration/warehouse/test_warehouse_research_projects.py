"""Research projects: pseudonyms of their own, rows of their own, and nothing else, however one asks."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Iterator
from datetime import date
from typing import Any

import psycopg2
import pytest

from sql.warehouse.login_roles import OWNER, admit_research
from tests.integration.warehouse.warehouse_nights import Nights, Warehouse, day, link, load

OTHER = "another_researcher"
VIEWS = (
    "link_current_v1", "link_history_v1", "link_count_v1", "link_asof_v1('2026-03-02')", "linkage_run_v1",
    "entity_member_v1",
    "entity_change_v1", "linkage_quality_v1", "data_quality_v1", "admission_v1", "dispensing_v1",
    "omop_person_map_v1", "omop_fact_relationship_v1",
)  # fmt: skip
COUNTS: dict[str, Any] = {
    "scores": {"expected_precision": 0.99, "expected_recall": 0.9, "target_precision": 0.99, "match_threshold": 0.8},
    "custodians": {"hospital": {"extracted": 100, "rejected": 0, "delivered": 100}},
}  # fmt: skip


@pytest.fixture(scope="module")
def seen(warehouse: Warehouse) -> Iterator[Nights]:
    """Two nights with content of a linkage project that both research projects see."""
    nights = Nights(warehouse, "both_see")
    pairs = [link() for _ in range(20)]
    for number, rows in enumerate(([*pairs, link()], [*pairs, link(a=pairs[0][0])][1:])):
        run = nights.begin(f"n{number}", day(number))
        load(warehouse, "hospital", [(r[0], day(-9), day(-5), "I21") for r in rows], run.run_id, day(number))
        load(warehouse, "pharmacy", [(r[1], day(-4), "X", 1) for r in rows], run.run_id, day(number))
        nights.publish(run, rows, counts=COUNTS)
    admit_research(warehouse.engine(OWNER), OTHER, ["both_see"])
    yield nights


def uuids_seen(warehouse: Warehouse, role: str, view: str) -> set[str]:
    """Every identifier of a person, record or link that a view shows: all of its uuid columns, and OMOP's numbers."""
    columns = warehouse.as_superuser(
        "SELECT attname FROM pg_attribute WHERE attnum > 0"
        " AND (atttypid = 'uuid'::regtype OR attname ~ '^(fact|person|source_person)_id')"
        f" AND attrelid = 'research.{'link_history_v1' if '(' in view else view}'::regclass"
    )
    if not columns:
        return set()
    wanted = ", ".join(f"{name}::text" for (name,) in columns)
    return {
        value
        for row in warehouse.as_researcher(f"SELECT {wanted} FROM research.{view}", role)
        for value in row
    } - {None}


@pytest.mark.parametrize("view", VIEWS)
def test_two_research_projects_share_no_identifier(seen: Nights, warehouse: Warehouse, view: str) -> None:
    mine, theirs = uuids_seen(warehouse, "researcher", view), uuids_seen(warehouse, OTHER, view)
    inside = {value for (value,) in warehouse.as_superuser("SELECT inside::text FROM access.pseudonym")}
    if view not in ("link_count_v1", "linkage_run_v1", "linkage_quality_v1", "data_quality_v1"):
        assert mine, "a view without identifiers would prove nothing"
        assert len(mine) == len(theirs)
    assert not mine & theirs
    assert not (mine | theirs) & inside


def test_a_bigint_is_no_way_round(seen: Nights, warehouse: Warehouse) -> None:
    """Sequence numbers of rows would join two extracts as well as names do."""
    numbers = warehouse.as_superuser(
        "SELECT c.relname, a.attname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid"
        " WHERE c.relnamespace = 'research'::regnamespace AND a.attnum > 0 AND a.atttypid = 'bigint'::regtype"
        " AND c.relname NOT IN ('linkage_run_v1', 'data_quality_v1') AND c.relname NOT LIKE 'omop%'"
    )
    assert numbers == []


def test_pseudonyms_are_hmac_sha256_under_the_project_s_own_key(seen: Nights, warehouse: Warehouse) -> None:
    rows = warehouse.as_superuser(
        "SELECT r.research_id, r.inner_block, r.outer_block, p.inside::text, p.outside::text"
        " FROM access.pseudonym AS p JOIN access.research_project AS r USING (research_id)"
    )
    keys = {}
    for research_id, inner, outer, inside, outside in rows:
        padded = bytes(byte ^ 0x36 for byte in bytes(inner))
        assert padded == bytes(byte ^ 0x5C for byte in bytes(outer))
        assert padded[32:] == bytes(32)
        keys[research_id] = padded[:32]
        expected = hmac.new(padded[:32], uuid.UUID(inside).bytes, hashlib.sha256).digest()[:16]
        assert uuid.UUID(outside).bytes == expected
    assert len(set(keys.values())) == 2
    assert all(len(set(key)) > 16 for key in keys.values())


def test_admitting_again_keeps_the_key(seen: Nights, warehouse: Warehouse) -> None:
    before = warehouse.state()
    admit_research(warehouse.engine(OWNER), OTHER, ["both_see"])
    assert warehouse.state() == before


def test_links_and_content_join_under_the_project_s_pseudonyms(seen: Nights, warehouse: Warehouse) -> None:
    [(count,)] = warehouse.as_researcher(
        "SELECT count(*) FROM research.link_current_v1 AS l"
        " JOIN research.admission_v1 AS a ON a.custodian = l.custodian_a AND a.record_pseudonym = l.record_a"
        " JOIN research.dispensing_v1 AS d ON d.custodian = l.custodian_b AND d.record_pseudonym = l.record_b"
        " JOIN research.entity_member_v1 AS m ON m.record_pseudonym = l.record_a AND m.valid_to = 'infinity'",
        OTHER,
    )
    assert count == 20


@pytest.mark.parametrize("view", VIEWS)
def test_another_project_s_rows_are_not_there(seen: Nights, warehouse: Warehouse, view: str) -> None:
    hidden = Nights(warehouse, "hidden_from_others")
    if not warehouse.as_superuser("SELECT FROM linkage.link_run WHERE project = 'hidden_from_others'"):
        pair = link()
        hidden.night("n0", [pair])
        run = hidden.begin("n1", day(1))
        hidden.publish(run, [link(a=pair[0]), link(b=pair[1])], counts=COUNTS)
    counted = f"SELECT count(*) FROM research.{view}"
    if "admission" in view or "dispensing" in view:
        return  # content has no project: it is seen through pseudonyms, which the test above covers
    counted += " WHERE project = 'hidden_from_others'"
    assert warehouse.as_researcher(counted, "researcher")[0][0] > 0
    assert warehouse.as_researcher(counted, OTHER) == [(0,)]


def test_a_condition_cannot_be_made_to_look_at_hidden_rows(seen: Nights, warehouse: Warehouse) -> None:
    Nights(warehouse, "looked_at").night("n0", [link()])
    for view in ("link_current_v1", "link_history_v1", "entity_member_v1"):
        # Evaluated on a hidden row, this divides by zero.
        rows = warehouse.as_researcher(
            f"SELECT count(*) FROM research.{view} WHERE 1 / length(replace(project, 'looked_at', '')) >= 0",
            OTHER,
        )
        assert rows[0][0] > 0
    with pytest.raises(
        psycopg2.errors.DivisionByZero
    ):  # the positive control: it does, where the row is seen
        warehouse.as_researcher(
            "SELECT count(*) FROM research.link_current_v1 WHERE 1 / length(replace(project, 'looked_at', '')) >= 0"
        )


ATTEMPTS = (
    "SELECT * FROM linkage.link", "SELECT * FROM linkage.link_run", "SELECT counts FROM linkage.link_run",
    "SELECT * FROM linkage.link_staging", "SELECT * FROM linkage.entity_member", "SELECT * FROM linkage.delivery",
    "SELECT * FROM content.admission", "SELECT * FROM content.content_delivery", "SELECT * FROM audit.event",
    "SELECT * FROM access.pseudonym", "SELECT inner_block FROM access.research_project",
    "SELECT access.hmac_uuid('', '', '')", "SELECT access.research_id()",
    "UPDATE access.linkage_project SET linkage_project = 'x'", "SET ROLE warehouse_owner", "SET ROLE linkage_loader",
    "SET SESSION AUTHORIZATION warehouse_owner", "SET SESSION AUTHORIZATION researcher",
    "ALTER TABLE linkage.link DISABLE ROW LEVEL SECURITY", "DROP POLICY by_project ON linkage.link",
    "ALTER VIEW research.link_current_v1 RESET (security_barrier)",
    "CREATE FUNCTION research.leak(text) RETURNS boolean LANGUAGE sql COST 0.001 AS 'SELECT true'",
    "CREATE TEMP TABLE leak (n integer)", "SELECT pg_stat_reset()", "SELECT * FROM pg_authid",
    "SELECT * FROM pg_statistic", "SELECT pg_read_file('postgresql.conf')", "COPY (SELECT 1) TO PROGRAM 'true'",
    "SELECT lo_create(0)", "SELECT pg_advisory_lock(1)", "DO $$ BEGIN PERFORM count(*) FROM linkage.link; END $$",
)  # fmt: skip


def test_what_a_researcher_tries_is_denied(seen: Nights, warehouse: Warehouse) -> None:
    connection = psycopg2.connect(warehouse.urls[OTHER])
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = off")
        connection.commit()
        for attempt in ATTEMPTS:
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(attempt)
            connection.rollback()
        # Statistics quote values: those of the tables below the views are not shown.
        cursor.execute(
            "SELECT count(*) FROM pg_stats WHERE schemaname IN ('linkage', 'access', 'content', 'audit')"
        )
        assert cursor.fetchone() == (0,)
        cursor.execute("SET row_security = off")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("SELECT * FROM research.link_current_v1")
    connection.close()


def test_no_view_shows_a_score_finer_than_a_band(seen: Nights, warehouse: Warehouse) -> None:
    bands = warehouse.as_researcher("SELECT DISTINCT score_band FROM research.link_history_v1")
    assert bands
    columns = warehouse.as_superuser(
        "SELECT a.attname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0"
        " WHERE c.relnamespace = 'research'::regnamespace AND c.relname LIKE 'link\\_%'"
        " AND (a.atttypid IN ('double precision'::regtype, 'numeric'::regtype) OR a.attname ~ 'score$|probab|weight')"
    )
    assert columns == []


def test_the_links_of_any_day_can_be_had_again(nights: Nights, warehouse: Warehouse) -> None:
    kept, first, second = link(), link(), link()
    tables = {0: [kept, first], 1: [kept, second], 3: [kept, first, second]}
    for number, rows in tables.items():
        nights.night(f"n{number}", rows, day(number))
    tables[2] = tables[1]
    for number in range(4):
        shown = warehouse.as_researcher(
            f"SELECT record_a::text, record_b::text FROM research.link_asof_v1('{day(number)}')"
            f" WHERE project = '{nights.project}'"
        )
        records = [warehouse.outside(row[0], row[1]) for row in tables[number]]
        assert sorted(shown) == sorted(map(tuple, records)), number
    assert warehouse.as_researcher(
        f"SELECT count(*) FROM research.link_asof_v1('{day(-1)}') WHERE project = '{nights.project}'"
    ) == [(0,)]


def test_who_is_admitted_late_sees_the_whole_history(warehouse: Warehouse) -> None:
    nights = Nights(warehouse, "admitted_late")
    pair = link()
    nights.night("n0", [pair])
    nights.night("n1", [link(a=pair[0])], day(1))
    admit_research(warehouse.engine(OWNER), OTHER, ["admitted_late"])
    shown = warehouse.as_researcher(
        "SELECT record_a::text, valid_to FROM research.link_history_v1 WHERE project = 'admitted_late'", OTHER
    )
    [record] = warehouse.outside(pair[0], role=OTHER)
    assert sorted(shown) == [(record, day(1)), (record, date.max)]


def test_a_run_tells_its_own_estimate_of_its_quality(seen: Nights, warehouse: Warehouse) -> None:
    rows = warehouse.as_researcher(
        f"SELECT measure, estimate FROM research.linkage_quality_v1 WHERE run_id = '{seen.project}.n1'", OTHER
    )
    assert dict(rows) == {
        "target_precision": 0.99, "precision": 0.99, "recall": 0.9, "match_threshold": 0.8,
    }  # fmt: skip
