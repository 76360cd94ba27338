"""Who may do what, as a table: each role tries each statement. Denied is denied by the server, not by habit."""

from __future__ import annotations

import psycopg2
import pytest

from tests.integration.warehouse.warehouse_nights import Nights, Warehouse, link, load

ROLES = ("linkage_loader", "hospital_content_loader", "pharmacy_content_loader", "researcher", "auditor")
UUID = "'00000000-0000-4000-8000-000000000000'"
EMPTY_HASH = "decode(repeat('00', 32), 'hex')"

# statement -> the roles that may run it
ALLOWED: dict[str, tuple[str, ...]] = {
    # links and the ledger
    "SELECT * FROM linkage.link": ("linkage_loader", "auditor"),
    "SELECT * FROM linkage.link_run": ("linkage_loader", "auditor"),
    "SELECT * FROM linkage.delivery": ("linkage_loader", "auditor"),
    "SELECT * FROM linkage.link_staging": ("linkage_loader",),
    "UPDATE linkage.link SET decision = 'match'": (),
    "DELETE FROM linkage.link": (),
    "TRUNCATE linkage.link": (),
    f"INSERT INTO linkage.link (project, custodian_a, record_a, custodian_b, record_b, decision, score_band,"
    f" passes_agreed, opened_by_run, valid_from) VALUES ('p', 'a', {UUID}, 'b', {UUID}, 'match', '0.90-0.95', '{{}}',"
    f" 'r', '2026-01-01')": (),
    "UPDATE linkage.link_run SET status = 'failed'": (),
    "UPDATE linkage.project SET head_fence = 0": (),
    "INSERT INTO linkage.link_staging (run_id, fence, record_a, record_b, decision, score_band, passes_agreed,"
    f" custodian_a, custodian_b) VALUES ('r', 1, {UUID}, {UUID}, 'match', '0.90-0.95', '{{}}', 'a', 'b')": (
        "linkage_loader",
    ),
    "SELECT * FROM linkage.entity_member": ("linkage_loader", "auditor"),
    "SELECT * FROM linkage.entity_staging": ("linkage_loader",),
    "UPDATE linkage.entity_member SET entity_id = record": (),
    "DELETE FROM linkage.entity_member": (),
    f"INSERT INTO linkage.entity_staging VALUES ('r', 1, {UUID}, 'a', {UUID})": ("linkage_loader",),
    "SELECT linkage.replace_entities(NULL)": (),
    "SELECT linkage.replace_links(NULL)": (),
    "SELECT linkage.check_fence('r', 1)": (),
    # the audit log
    "SELECT * FROM audit.event": ("auditor",),
    "SELECT audit.append_event('{}')": (),
    "INSERT INTO audit.event VALUES (1000, '{}')": (),
    "UPDATE audit.event SET entry = '{}'": (),
    "DELETE FROM audit.event": (),
    "TRUNCATE audit.event": (),
    "SELECT * FROM audit.node": ("linkage_loader", "auditor"),
    f"INSERT INTO audit.node VALUES (0, 1000, {EMPTY_HASH})": (),
    f"UPDATE audit.node SET hash = {EMPTY_HASH}": (),
    "DELETE FROM audit.node": (),
    "TRUNCATE audit.node": (),
    "ALTER TABLE audit.event DISABLE TRIGGER ALL": (),
    # content
    "SELECT * FROM content.admission": (),
    "SELECT * FROM content.dispensing": (),
    "SELECT * FROM content.admission_staging": (),
    "DELETE FROM content.admission": (),
    f"INSERT INTO content.admission VALUES (1, {UUID}, '2026-01-01', NULL, NULL)": (),
    f"INSERT INTO content.admission_staging (record_pseudonym, admitted) VALUES ({UUID}, '2026-01-01')": (
        "hospital_content_loader",
    ),
    f"INSERT INTO content.admission_staging (loader, record_pseudonym, admitted)"
    f" VALUES ('pharmacy_content_loader', {UUID}, '2026-01-01')": (),
    "INSERT INTO content.dispensing_staging (record_pseudonym, dispensed, atc_code)"
    f" VALUES ({UUID}, '2026-01-01', 'X')": (
        "pharmacy_content_loader",
    ),
    "UPDATE content.custodian SET loader_role = session_user": (),
    "UPDATE content.current_delivery SET delivery_id = 1": (),
    "SELECT content.empty_staging()": ("hospital_content_loader", "pharmacy_content_loader"),
    "SELECT content.move_staging(1)": (),
    # the researchers' views
    "SELECT * FROM research.link_current_v1": ("researcher",),
    "SELECT * FROM research.link_count_v1": ("researcher",),
    "SELECT * FROM research.omop_person_map_v1": ("researcher",),
    "SELECT * FROM research.omop_fact_relationship_v1": ("researcher",),
    "SELECT * FROM research.link_asof_v1('2026-03-01')": ("researcher",),
    "SELECT * FROM research.entity_member_v1": ("researcher",),
    "SELECT * FROM research.entity_change_v1": ("researcher",),
    "SELECT * FROM research.linkage_quality_v1": ("researcher",),
    "SELECT * FROM research.link_history_v1": ("researcher",),
    "SELECT * FROM research.linkage_run_v1": ("researcher",),
    "SELECT * FROM research.admission_v1": ("researcher",),
    "SELECT * FROM research.dispensing_v1": ("researcher",),
    "SELECT * FROM research.data_quality_v1": ("researcher",),
    "SELECT * FROM research.diagnosis_group_v1": ("researcher",),
    "UPDATE research.diagnosis_group_v1 SET label = 'x'": (),
    # research projects, their keys and pseudonyms
    "SELECT * FROM access.research_project": (),
    "SELECT * FROM access.pseudonym": (),
    "SELECT * FROM access.linkage_project": (),
    "SELECT access.research_id()": (),
    "SELECT access.hmac_uuid('', '', '')": (),
    "SELECT access.admit_research('researcher', '{p}')": (),
    "SELECT access.name_run('r')": (),
    f"INSERT INTO access.pseudonym VALUES (1, {UUID}, {UUID})": (),
    "SELECT * FROM linkage.entity_change": ("linkage_loader", "auditor"),
    "DELETE FROM linkage.entity_change": (),
    # erasure
    "SELECT * FROM linkage.tombstone": ("linkage_loader", "auditor"),
    "DELETE FROM linkage.tombstone": (),
    "SELECT * FROM access.suppression": (),
    "SELECT * FROM access.suppression_key": (),
    "SELECT * FROM access.legal_hold": (),
    "SELECT linkage.anyone_suppressed()": ("linkage_loader",),
    "SELECT linkage.suppressed_records('hospital', '{}')": ("linkage_loader",),
    "SELECT linkage.bury_links('{}')": (),
    "SELECT linkage.bury_members('{}')": (),
    "SELECT access.suppression_tag('hospital', gen_random_uuid())": (),
    # the database itself
    "SELECT * FROM warehouse.migration": (
        "linkage_loader", "hospital_content_loader", "pharmacy_content_loader", "auditor",
    ),
    "UPDATE warehouse.migration SET sha256 = repeat('0', 64)": (),
    "CREATE TABLE public.mine (n integer)": (),
    "CREATE TABLE research.mine (n integer)": (),
    "CREATE TEMP TABLE mine (n integer)": (),
    "CREATE SCHEMA mine": (),
    "CREATE ROLE mine": (),
    "SET ROLE warehouse_owner": (),
    "SET session_replication_role = replica": (),
    "COPY (SELECT 1) TO PROGRAM 'true'": (),
    "SELECT pg_read_file('PG_VERSION')": (),
    "SELECT pg_try_advisory_lock(1)": ("linkage_loader",),
    "SELECT lo_create(0)": (),
}  # fmt: skip


@pytest.fixture(scope="module")
def filled(warehouse: Warehouse) -> Warehouse:
    Nights(warehouse, "privileges").night("n1", [link()])
    load(warehouse, "hospital", [("00000000-0000-4000-8000-000000000001", "2026-01-01", None, "I21")])
    return warehouse


@pytest.mark.parametrize("role", ROLES)
def test_privileges(filled: Warehouse, role: str) -> None:
    connection = psycopg2.connect(filled.urls[role])
    wrong = []
    for statement, allowed in ALLOWED.items():
        with connection.cursor() as cursor:
            # Whoever wants to write turns a default off first: grants must hold without it.
            cursor.execute("SET default_transaction_read_only = off")
            connection.commit()
            try:
                cursor.execute(statement)
                answer = "allowed"
            except psycopg2.errors.InsufficientPrivilege:
                answer = "denied"
            except psycopg2.Error as error:
                answer = f"SQLSTATE {error.pgcode}"
            connection.rollback()
        if answer != ("allowed" if role in allowed else "denied"):
            wrong.append((statement, answer))
    connection.close()
    assert wrong == []


def test_a_researcher_s_session_is_read_only_to_begin_with(filled: Warehouse) -> None:
    connection = psycopg2.connect(filled.urls["researcher"])
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('transaction_read_only'), current_setting('statement_timeout')"
        )
        assert cursor.fetchone() == ("on", "2min")
    connection.close()


def test_outsiders_cannot_connect(filled: Warehouse) -> None:
    filled.as_superuser("DROP ROLE IF EXISTS outsider; CREATE ROLE outsider LOGIN PASSWORD 'outsider'")
    url = filled.urls["researcher"].split("@", 1)[1]
    with pytest.raises(psycopg2.OperationalError, match="permission denied"):
        psycopg2.connect(f"postgresql://outsider:outsider@{url}")


def test_no_role_holds_another_role_or_an_attribute(filled: Warehouse) -> None:
    assert (
        filled.as_superuser(
            "SELECT rolname FROM pg_roles WHERE (rolname LIKE '%\\_content\\_loader' OR rolname IN"
            " ('warehouse_owner', 'linkage_loader', 'auditor', 'researcher'))"
            " AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls"
            "      OR EXISTS (SELECT FROM pg_auth_members AS m WHERE m.member = pg_roles.oid))"
        )
        == []
    )


def test_no_password_reaches_the_server_s_catalogue_in_clear(filled: Warehouse) -> None:
    stored = filled.as_superuser("SELECT rolpassword FROM pg_authid WHERE rolname = 'researcher'")
    assert stored[0][0].startswith("SCRAM-SHA-256$")


WITHOUT_EVENT = {
    "linkage.begin_run": "enters that a run began; nothing that readers see changes, and its end has an event",
    "linkage.stage_matches_as_entities": "fills staging alone",
    "linkage.carry_entity_ids": "fills staging, and changes that publish_run publishes in the same transaction",
    "linkage.count_link_changes": "counts",
    "linkage.count_erasure": "counts",
    "linkage.count_expired": "counts",
    "linkage.queue_pairs": "queues pairs for review, in the transaction in which publish_run publishes with its event",
    "linkage.record_unsealed": "keeps estimates of counts that publish_run wrote, once, in its transaction",
    "content.empty_staging": "empties staging alone",
}


def test_every_function_that_changes_what_is_kept_takes_its_audit_event(filled: Warehouse) -> None:
    """Of all functions that a login role may call: those that may write take an event, or are listed with a reason."""
    callable_ones = filled.as_superuser(
        "SELECT DISTINCT p.pronamespace::regnamespace || '.' || p.proname, 'p_event' = ANY (p.proargnames)"
        " FROM pg_proc AS p CROSS JOIN pg_roles AS r"
        " WHERE p.pronamespace::regnamespace::text IN ('linkage', 'content', 'audit', 'access', 'warehouse')"
        " AND p.provolatile = 'v' AND p.prorettype <> 'trigger'::regtype"
        f" AND r.rolname IN {ROLES} AND has_function_privilege(r.oid, p.oid, 'EXECUTE')"
        " AND has_schema_privilege(r.oid, p.pronamespace, 'USAGE')"
    )
    assert {name for name, event in callable_ones if event} >= {
        "linkage.publish_run",
        "content.publish_content",
    }
    assert {name for name, event in callable_ones if not event} == set(WITHOUT_EVENT)
