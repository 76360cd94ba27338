"""Migrations: once, recorded, unedited, whole or not at all; and every column of the views is explained."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from linkage_core.audit.merkle_tree import grow_tree, leaf_hash
from linkage_core.errors import NightlinkError
from sql.engine import make_engine
from sql.warehouse.login_roles import OWNER
from sql.warehouse.migrate import (
    Definition,
    Migration,
    apply_migrations,
    check_schema_version,
    shipped_definitions,
    shipped_migrations,
)
from sql.warehouse.transactions import warehouse_transaction
from tests.integration.warehouse.warehouse_nights import Nights, Warehouse, day, load

ONE = Migration(1, "one", "CREATE TABLE one (n integer); INSERT INTO one VALUES (1);")
TWO = Migration(2, "two", "CREATE TABLE two (n integer);")


@pytest.fixture
def empty(fresh_database: Callable[..., str]) -> Warehouse:
    """A database in which nothing was migrated yet, owned by a superuser for the tests' sake."""
    url = fresh_database("migrations")
    return Warehouse({OWNER: url}, url)


def test_a_second_call_does_nothing(warehouse: Warehouse) -> None:
    before = warehouse.state()
    assert apply_migrations(warehouse.engine(OWNER)) == []
    assert warehouse.state() == before


def test_each_migration_is_recorded_with_the_digest_of_its_text(warehouse: Warehouse) -> None:
    recorded = warehouse.as_superuser("SELECT number, title, sha256 FROM warehouse.migration ORDER BY number")
    assert recorded == [(m.number, m.title, m.sha256) for m in shipped_migrations()]


@pytest.mark.parametrize("role", ["linkage_loader", "auditor", "hospital_content_loader"])
def test_the_roles_that_work_here_can_check_the_version(warehouse: Warehouse, role: str) -> None:
    with warehouse_transaction(warehouse.engine(role), doing="checking") as connection:
        check_schema_version(connection)


def test_migrations_run_in_order_and_only_new_ones_later(empty: Warehouse) -> None:
    assert apply_migrations(empty.engine(OWNER), [ONE], []) == ["0001_one"]
    assert apply_migrations(empty.engine(OWNER), [ONE, TWO], []) == ["0002_two"]
    assert empty.as_superuser("SELECT count(*) FROM one") == [(1,)]


def test_two_at_once_apply_each_migration_once(empty: Warehouse) -> None:
    engines = [make_engine(empty.urls[OWNER], deadline_s=20, application_name="twin") for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        apply_migrations(engines[0], [], [])  # the bookkeeping tables
        applied = list(pool.map(lambda engine: apply_migrations(engine, [ONE, TWO], []), engines))
    assert sorted(applied[0] + applied[1]) == ["0001_one", "0002_two"]
    assert empty.as_superuser("SELECT count(*) FROM one") == [(1,)]


def test_an_edited_migration_is_refused(empty: Warehouse) -> None:
    apply_migrations(empty.engine(OWNER), [ONE], [])
    edited = Migration(1, "one", ONE.sql + " -- nobody will notice")
    with pytest.raises(NightlinkError, match="E-WH-SCHEMA.*migration 1 "):
        apply_migrations(empty.engine(OWNER), [edited, TWO], [])
    assert empty.as_superuser("SELECT to_regclass('two') IS NULL") == [(True,)]


def test_a_migration_that_fails_leaves_nothing(empty: Warehouse) -> None:
    broken = Migration(2, "broken", "CREATE TABLE half (n integer); SELECT 1 / 0;")
    with pytest.raises(NightlinkError, match="SQLSTATE 22012"):
        apply_migrations(empty.engine(OWNER), [ONE, broken], [])
    assert empty.as_superuser("SELECT to_regclass('half') IS NULL, count(*) FROM warehouse.migration") == [
        (True, 1)
    ]


def test_an_older_version_refuses_a_newer_warehouse(empty: Warehouse) -> None:
    apply_migrations(empty.engine(OWNER), [ONE, TWO], [])
    with pytest.raises(NightlinkError, match="E-WH-SCHEMA.*at migration 2.*at most migration 1"):
        apply_migrations(empty.engine(OWNER), [ONE], [])


@pytest.mark.parametrize(
    ("migrations", "definitions", "found"),
    [
        ((*shipped_migrations(), Migration(99, "x", "")), shipped_definitions(), "a warehouse at migration"),
        (shipped_migrations()[:-1], shipped_definitions(), "a warehouse at migration"),
        (shipped_migrations(), (*shipped_definitions(), Definition("x", "")), "functions, views or grants"),
    ],
    ids=["warehouse too old", "warehouse too new", "other functions"],
)
def test_a_role_refuses_a_warehouse_of_another_version(
    warehouse: Warehouse, migrations: list[Migration], definitions: list[Definition], found: str
) -> None:
    with (
        pytest.raises(NightlinkError, match=f"E-WH-SCHEMA.*{found}"),
        warehouse_transaction(warehouse.loader, doing="checking") as connection,
    ):
        check_schema_version(connection, migrations, definitions)


def test_a_database_without_a_schema_is_refused(empty: Warehouse) -> None:
    with (
        pytest.raises(NightlinkError, match="E-WH-SCHEMA"),
        warehouse_transaction(empty.engine(OWNER), doing="checking") as connection,
    ):
        check_schema_version(connection)


def test_a_lock_held_by_a_reader_delays_a_migration_for_seconds_only(empty: Warehouse) -> None:
    apply_migrations(empty.engine(OWNER), [ONE], [])
    drop = Migration(2, "drop", "SET LOCAL lock_timeout = '200ms'; ALTER TABLE one ADD m integer;")
    with (
        warehouse_transaction(empty.engine(OWNER), doing="reading") as connection,
    ):
        connection.exec_driver_sql("SELECT * FROM one")
        with pytest.raises(NightlinkError, match="SQLSTATE 55P03"):
            apply_migrations(empty.engine(OWNER), [ONE, drop], [])


def test_every_view_and_column_for_researchers_is_explained(warehouse: Warehouse) -> None:
    unexplained = warehouse.as_superuser(
        "SELECT c.relname, a.attname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0"
        " WHERE n.nspname = 'research' AND (length(coalesce(col_description(c.oid, a.attnum), '')) < 10"
        " OR length(coalesce(obj_description(c.oid), '')) < 10)"
    )
    assert unexplained == []


def test_every_view_for_researchers_is_versioned_and_a_security_barrier(warehouse: Warehouse) -> None:
    relations = warehouse.as_superuser(
        "SELECT relname, relkind::text, coalesce(reloptions, '{}') FROM pg_class"
        " WHERE relnamespace = 'research'::regnamespace ORDER BY 1"
    )
    assert [name for name, _, _ in relations] == [
        "admission_v1", "data_quality_v1", "diagnosis_group_v1", "dispensing_v1", "entity_change_v1",
        "entity_member_v1", "link_count_v1", "link_current_v1", "link_history_v1", "linkage_quality_v1",
        "linkage_run_v1", "omop_fact_relationship_v1", "omop_person_map_v1",
    ]  # fmt: skip
    assert all(kind == "v" and "security_barrier=true" in options for _, kind, options in relations)


def test_functions_that_run_as_the_owner_pin_their_search_path(warehouse: Warehouse) -> None:
    loose = warehouse.as_superuser(
        "SELECT p.oid::regprocedure::text FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace"
        " WHERE n.nspname IN ('linkage', 'content', 'audit', 'access', 'research', 'warehouse')"
        # These three run as their caller, name all with its schema, and must stay such that they can be inlined.
        " AND p.proname NOT IN ('link_asof_v1', 'hmac_uuid', 'whole_number')"
        " AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false)"
    )
    assert loose == []
    assert warehouse.as_superuser(
        "SELECT bool_or(prosecdef) FROM pg_proc WHERE proname IN ('link_asof_v1', 'hmac_uuid', 'whole_number')"
    ) == [(False,)]


def test_no_night_and_no_content_enters_a_warehouse_of_another_version(
    nights: Nights, warehouse: Warehouse
) -> None:
    nights.begin("n1")
    warehouse.as_superuser(
        "INSERT INTO warehouse.migration (number, title, sha256) VALUES (999, 'x', repeat('0', 64))"
    )
    try:
        for act in (lambda: nights.begin("n2", day(1)), lambda: load(warehouse, "hospital", [])):
            with pytest.raises(NightlinkError, match="E-WH-SCHEMA"):
                act()
    finally:
        warehouse.as_superuser("DELETE FROM warehouse.migration WHERE number = 999")


def test_links_from_before_the_third_custodian_keep_theirs(fresh_database: Callable[..., str]) -> None:
    url = fresh_database("migrations")
    old = Warehouse({OWNER: url}, url)
    apply_migrations(old.engine(OWNER), shipped_migrations()[:4], [])
    old.as_superuser(
        "INSERT INTO linkage.project (project) VALUES ('p'); INSERT INTO linkage.link_run (run_id, project, as_of,"
        " custodian_a, custodian_b, fence, status, protocol_version, protocol_fingerprint, key_epoch, code_version)"
        f" VALUES ('r', 'p', '2026-01-01', 'hospital', 'pharmacy', 1, 'running', 1, '{'ab' * 32}', '2026', '0.1.0');"
        " INSERT INTO linkage.link (project, record_a, record_b, decision, score_band, passes_agreed,"
        " opened_by_run, valid_from) VALUES ('p', gen_random_uuid(), gen_random_uuid(), 'match', '0.95-1.00',"
        " '{x}', 'r', '2026-01-01')"
    )
    assert apply_migrations(old.engine(OWNER), shipped_migrations(), [])[0] == "0005_custodians_and_entities"
    assert old.as_superuser(
        "SELECT l.custodian_a, l.custodian_b, l.one_a_record_of_a, r.custodians, r.resolution"
        " FROM linkage.link AS l JOIN linkage.link_run AS r ON r.run_id = l.opened_by_run"
    ) == [("hospital", "pharmacy", True, ["hospital", "pharmacy"], "one_to_one")]


def test_a_chained_log_becomes_a_tree_that_keeps_its_events(fresh_database: Callable[..., str]) -> None:
    url = fresh_database("migrations")
    old = Warehouse({OWNER: url}, url)
    apply_migrations(old.engine(OWNER), shipped_migrations()[:7], [])
    old.as_superuser(
        "INSERT INTO audit.event (sequence, previous_hash, event, event_hash) SELECT n, sha256(n::text::bytea),"
        " '{\"n\":' || n || '}', sha256((n + 100)::text::bytea) FROM generate_series(1, 5) AS n;"
        " INSERT INTO linkage.project (project) VALUES ('p'); INSERT INTO linkage.link_run (run_id, project, as_of,"
        " custodian_a, custodian_b, custodians, fence, status, failure_code, finished_at, protocol_version,"
        " protocol_fingerprint, key_epoch, code_version, audit_sequence, audit_event_hash) VALUES ('r', 'p',"
        " '2026-01-01', 'hospital', 'pharmacy', '{hospital,pharmacy}', 1, 'failed', 'E-INPUT', now(), 1,"
        f" '{'ab' * 32}', '2026', '0.1.0', 4, sha256('104'))"
    )
    apply_migrations(old.engine(OWNER), shipped_migrations(), [])
    entries = [entry for (entry,) in old.as_superuser("SELECT entry FROM audit.event ORDER BY sequence")]
    assert [json.loads(entry)["event"] for entry in entries] == [{"n": n} for n in range(1, 6)]
    leaves = [leaf_hash(entry.encode()) for entry in entries]
    stored = old.as_superuser("SELECT level, position, hash FROM audit.node")
    assert {(level, position): bytes(found) for level, position, found in stored} == grow_tree(leaves)[1]
    [(run_hash,)] = old.as_superuser("SELECT audit_event_hash FROM linkage.link_run")
    assert bytes(run_hash) == leaves[3]
