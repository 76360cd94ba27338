"""Plans and times of the researchers' documented queries in a large generated warehouse.

``python -m tests.benchmarks.bench_warehouse --links 10000000``: links of two years (a fifth of them ended), as many
pseudonyms as their records need, stays and dispensings, one research project; then every query of
``sql/warehouse/queries`` as that project, its time, and any sequential scan in its plan. Rows are made inside the
database; indexes and constraints are built when the rows are there, as a restore would.
"""

from __future__ import annotations

import argparse
import re
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import psycopg2
from sqlalchemy import text

from sql.engine import make_engine
from sql.servers import PostgresServer
from sql.statements import load_statements
from sql.warehouse.login_roles import FIXED_ROLES, content_role, install_warehouse
from sql.warehouse.research import QUERIES

PROJECT, LAST_DAY = "generated", date(2026, 6, 30)
LARGE_TABLES = (
    "linkage.link",
    "access.pseudonym",
    "linkage.entity_member",
    "content.admission",
    "content.dispensing",
)
LEFT_OUT = r" EXCLUDE |INDEX (link_open_match|link_opened|link_closed_by|entity_one|entity_member_(op|cl))"
"""Constraints and indexes that serve publication and not questions: to build them would take as long again."""
SMALL_ROWS = 2_000
"""A sequential scan of a table this small is what an index scan would be, and no finding."""

PARAMETERS: dict[str, Any] = {
    "project": PROJECT,
    "first_day": date(2026, 5, 1),
    "last_day": date(2026, 5, 31),
    "day": date(2026, 3, 31),
    "since": date(2026, 6, 1),
    "atc": "C10",
    "diagnosis": "I21",
}

RUNS = """
INSERT INTO linkage.project (project, last_fence, head_fence) VALUES ('generated', 731, 0);
INSERT INTO linkage.link_run (run_id, project, as_of, custodian_a, custodian_b, custodians, fence, status,
    protocol_version, protocol_fingerprint, key_epoch, code_version, finished_at, links_opened, links_closed,
    links_kept, audit_sequence, counts)
SELECT 'n' || n, 'generated', date '2024-06-30' + n, 'hospital', 'pharmacy', '{hospital,pharmacy}', n, 'published',
       1, repeat('ab', 32), '2026', '0.1.0', clock_timestamp(), 0, 0, 0, n,
       '{"scores": {"expected_precision": 0.99}, "custodians": {"hospital": {"extracted": 1000, "delivered": 980}}}'
  FROM generate_series(1, 730) AS n;
UPDATE linkage.project SET head_run = 'n730', head_fence = 730;
"""
# md5 of a number: records as random as keyed hashes are, and the same in every table.
LINKS = """
INSERT INTO linkage.link (project, record_a, record_b, decision, score_band, passes_agreed, opened_by_run,
    closed_by_run, closed_because, valid_from, valid_to, custodian_a, custodian_b)
SELECT 'generated', md5('a' || n)::uuid, md5('b' || n)::uuid,
       CASE WHEN n % 20 = 0 THEN 'possible_match' ELSE 'match' END,
       CASE WHEN n % 20 = 0 THEN '0.75-0.80' WHEN n % 5 = 1 THEN '0.90-0.95' ELSE '0.95-1.00' END,
       '{both_sounds,dates}',
       'n' || first, CASE WHEN ended THEN 'n' || until END, CASE WHEN ended THEN 'superseded' END,
       date '2024-06-30' + first, CASE WHEN ended THEN date '2024-06-30' + until ELSE 'infinity' END,
       'hospital', 'pharmacy'
  FROM (SELECT n, n % 5 = 0 AS ended, (1 + (n * 7919) % 365)::int AS first, (366 + (n * 104729) % 365)::int AS until
          FROM generate_series(1::bigint, %(links)s) AS n) AS made
"""
# Not HMACs, which would take minutes more: what stands here decides nothing about a plan.
PSEUDONYMS = """
INSERT INTO access.pseudonym (research_id, inside, outside)
SELECT r.research_id, md5(i.word)::uuid, md5('outside' || i.word)::uuid
  FROM access.research_project AS r,
       (SELECT 'a' || n AS word FROM generate_series(1::bigint, %(links)s) AS n UNION ALL
        SELECT 'b' || n FROM generate_series(1::bigint, %(links)s) AS n UNION ALL
        SELECT 'e' || n FROM generate_series(1::bigint, %(links)s / 10) AS n) AS i
"""
MEMBERS = """
INSERT INTO linkage.entity_member (project, entity_id, custodian, record, opened_by_run, valid_from)
SELECT 'generated', md5('e' || n)::uuid, side.custodian, md5(side.side || n)::uuid, 'n1', '2024-07-01'
  FROM generate_series(1::bigint, %(links)s / 10) AS n,
       (VALUES ('hospital', 'a'), ('pharmacy', 'b')) AS side (custodian, side)
"""
CONTENT = """
INSERT INTO content.content_delivery (custodian, run_id, as_of, digest, row_count, audit_sequence)
VALUES ('hospital', 'n730', '2026-06-30', repeat('a', 64), 0, 1),
       ('pharmacy', 'n730', '2026-06-30', repeat('b', 64), 0, 2);
INSERT INTO content.current_delivery SELECT custodian, delivery_id FROM content.content_delivery;
INSERT INTO content.admission (delivery_id, record_pseudonym, admitted, discharged, diagnosis_code)
SELECT 1, md5('a' || n)::uuid, date '2024-07-01' + day, date '2024-07-01' + day + 5,
       (ARRAY['I21.9', 'E11.9', 'I50.0', 'J18.9', 'S72.0'])[1 + n % 5]
  FROM (SELECT n, ((n * 7919) % 720)::int AS day FROM generate_series(1::bigint, %(links)s / 5) AS n) AS made;
INSERT INTO content.dispensing (delivery_id, record_pseudonym, dispensed, atc_code, quantity)
SELECT 2, md5('b' || n)::uuid, date '2024-07-01' + ((n * 7919 + k * 37 * (n % 3)) % 725)::int,
       (ARRAY['C10AA05', 'A10BA02'])[1 + k % 2], 30
  FROM generate_series(1::bigint, %(links)s / 5) AS n, generate_series(1, 4) AS k
"""


@contextmanager
def without_indexes(cursor: Any) -> Iterator[None]:
    """Indexes and constraints of the large tables, dropped and built again."""
    tables = ", ".join(f"'{table}'::regclass" for table in LARGE_TABLES)
    cursor.execute(
        "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname),"
        " format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))"
        f" FROM pg_constraint WHERE conrelid IN ({tables}) AND contype IN ('p', 'u', 'x')"
    )
    constraints = cursor.fetchall()
    for drop, _ in constraints:
        cursor.execute(drop)
    cursor.execute(
        f"SELECT format('DROP INDEX %s', indexrelid::regclass), pg_get_indexdef(indexrelid) FROM pg_index"
        f" WHERE indrelid IN ({tables})"
    )
    indexes = cursor.fetchall()
    for drop, _ in indexes:
        cursor.execute(drop)
    yield
    cursor.execute("SET maintenance_work_mem = '2GB'; SET max_parallel_maintenance_workers = 1")
    wanted = [create for _, create in [*indexes, *constraints] if not re.search(LEFT_OUT, create)]
    for create in wanted:
        began = time.monotonic()
        cursor.execute(create)
        print(f"  {time.monotonic() - began:6.1f} s  {create[:100]}", flush=True)


def fill(url: str, links: int) -> None:
    """Generate everything; foreign keys look away, since audit entries are not generated."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("SET session_replication_role = replica; SET synchronous_commit = off")
    with without_indexes(cursor):
        for name, statement in {
            "runs": RUNS, "links": LINKS, "pseudonyms": PSEUDONYMS, "members": MEMBERS, "content": CONTENT,
        }.items():  # fmt: skip
            began = time.monotonic()
            cursor.execute(statement.replace("%(links)s", str(links)))
            print(f"  {time.monotonic() - began:6.1f} s  {name}", flush=True)
    cursor.execute("SET maintenance_work_mem = '1GB'")
    for table in (
        "linkage.link",
        "access.pseudonym",
        "linkage.entity_member",
        "content.admission",
        "content.dispensing",
    ):
        cursor.execute(f"VACUUM (ANALYZE) {table}")
    cursor.execute(
        "SELECT pg_size_pretty(pg_table_size('linkage.link')), pg_size_pretty(pg_indexes_size('linkage.link')),"
        " pg_size_pretty(pg_total_relation_size('access.pseudonym'))"
    )
    print("size of links, of their indexes, of pseudonyms:", cursor.fetchone(), flush=True)
    connection.close()


def large_scans(plan: Any) -> Iterator[tuple[str, float]]:
    """Relations of a plan that are read from end to end, with the rows read."""
    if isinstance(plan, list):
        for part in plan:
            yield from large_scans(part)
    elif isinstance(plan, dict):
        if plan.get("Node Type", "").endswith("Seq Scan"):
            rows = plan.get("Actual Rows", plan["Plan Rows"]) + plan.get("Rows Removed by Filter", 0)
            if rows > SMALL_ROWS:
                yield plan["Relation Name"], rows
        for key in ("Plan", "Plans"):
            yield from large_scans(plan.get(key, []))


def measure(url: str, show: str | None) -> int:
    """Each query twice, the second time timed by EXPLAIN; returns how many read a large table from end to end."""
    engine = make_engine(url, deadline_s=900, application_name="bench warehouse")
    found = 0
    for name in QUERIES:
        statement = load_statements("sql.warehouse", f"queries/{name}.sql")[name]
        wanted = {key: value for key, value in PARAMETERS.items() if f":{key}" in statement}
        with engine.begin() as connection:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            if ":entity_id" in statement:
                shown = connection.execute(text("SELECT entity_id FROM research.entity_member_v1 LIMIT 1"))
                wanted["entity_id"] = shown.scalar_one()
            rows = connection.execute(text(statement), wanted).all()
            explained = connection.execute(
                text(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"), wanted
            ).scalar_one()
            if show == name:
                for (line,) in connection.execute(text(f"EXPLAIN ANALYZE {statement}"), wanted):
                    print(line)
        scans = sorted(set(large_scans(explained)))
        found += bool(scans)
        told = (
            ", ".join(f"reads all of {table} ({rows:,.0f} rows)" for table, rows in scans)
            or "no sequential scan"
        )
        print(
            f"{name:28} {explained[0]['Execution Time'] / 1000:8.3f} s  {len(rows):3} rows  {told}",
            flush=True,
        )
    return found


def main() -> None:
    """Make the warehouse, ask, take it away."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--links", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="where the server's data lie meanwhile")
    parser.add_argument("--show", help="print this query's plan")
    arguments = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="bench-warehouse-", dir=arguments.folder))
    root.chmod(0o711)
    server = PostgresServer.create(root / "pg", superuser_password=secrets.token_urlsafe(16), fsync=False)
    try:
        server.start()
        tables = {"hospital": ["admission"], "pharmacy": ["dispensing"]}
        roles = [*FIXED_ROLES, *map(content_role, tables)]
        passwords = {role: secrets.token_urlsafe(16) for role in roles}
        urls = install_warehouse(
            server.superuser_url(), "warehouse", passwords, tables, {"researcher": [PROJECT]}
        )
        fill(server.superuser_url("warehouse"), arguments.links)
        sys.exit(measure(urls["researcher"], arguments.show))
    finally:
        server.stop()
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
