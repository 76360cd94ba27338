"""Would it pay to partition the link history? One table, hash partitions by record, open links apart from ended ones.

``python -m tests.benchmarks.bench_partitions --links 1000000``: the same links in three layouts, each with the indexes
and constraints that it can have; then questions, and a night of 1% (links closed and opened). See decision 0035.
"""

from __future__ import annotations

import argparse
import secrets
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg2

from sql.servers import PostgresServer

COLUMNS = """
    link_id bigint NOT NULL, project text NOT NULL, record_a uuid NOT NULL, record_b uuid NOT NULL,
    decision text NOT NULL, score_band text NOT NULL, opened_by_run text NOT NULL, closed_by_run text,
    valid_from date NOT NULL, valid_to date NOT NULL"""
EXCLUSION = """ALTER TABLE {table} ADD EXCLUDE USING gist
    (record_a WITH =, record_b WITH =, project WITH =, daterange(valid_from, valid_to) WITH &&)"""
INDEXES = (
    "CREATE INDEX ON {table} (project, valid_to, valid_from, decision, score_band)",
    "CREATE INDEX ON {table} (project, record_a, record_b)",
    "CREATE INDEX ON {table} (record_b)",
    "CREATE INDEX ON {table} (opened_by_run)",
)
UNIQUE_OPEN = (
    "CREATE UNIQUE INDEX ON {table} (project, record_a) WHERE valid_to = 'infinity' AND decision = 'match'",
    "CREATE UNIQUE INDEX ON {table} (project, record_b) WHERE valid_to = 'infinity' AND decision = 'match'",
)
LAYOUTS = {
    "one table": ["CREATE TABLE {table} (" + COLUMNS + ")"],
    "16 hash partitions by record_a": [
        "CREATE TABLE {table} (" + COLUMNS + ") PARTITION BY HASH (record_a)",
        *(
            f"CREATE TABLE {{table}}_{n} PARTITION OF {{table}} FOR VALUES WITH (MODULUS 16, REMAINDER {n})"
            for n in range(16)
        ),
    ],
    "open links apart, ended ones by year": [
        "CREATE TABLE {table} (" + COLUMNS + ") PARTITION BY RANGE (valid_to)",
        "CREATE TABLE {table}_2024 PARTITION OF {table} FOR VALUES FROM (MINVALUE) TO ('2025-07-01')",
        "CREATE TABLE {table}_2025 PARTITION OF {table} FOR VALUES FROM ('2025-07-01') TO ('2026-07-01')",
        "CREATE TABLE {table}_2026 PARTITION OF {table} FOR VALUES FROM ('2026-07-01') TO ('infinity')",
        "CREATE TABLE {table}_open PARTITION OF {table} FOR VALUES FROM ('infinity') TO (MAXVALUE)",
    ],
}
FILL = """
INSERT INTO {table}
SELECT n, 'generated', md5('a' || n)::uuid, md5('b' || n)::uuid,
       CASE WHEN n % 20 = 0 THEN 'possible_match' ELSE 'match' END,
       CASE WHEN n % 5 = 1 THEN '0.90-0.95' ELSE '0.95-1.00' END, 'n' || first,
       CASE WHEN ended THEN 'n' || until END, date '2024-06-30' + first,
       CASE WHEN ended THEN date '2024-06-30' + until ELSE 'infinity' END
  FROM (SELECT n, n % 5 = 0 AS ended, (1 + (n * 7919) % 365)::int AS first, (366 + (n * 104729) % 365)::int AS until
          FROM generate_series(1::bigint, {links}) AS n) AS made
"""
NIGHT = """
UPDATE {table} SET valid_to = '2026-08-01', closed_by_run = 'n760'
 WHERE project = 'generated' AND valid_to = 'infinity' AND record_a = ANY (
       SELECT md5('a' || n)::uuid FROM generate_series(1::bigint, {links}, 100) AS n);
INSERT INTO {table}
SELECT {links} + n, 'generated', md5('a' || n)::uuid, md5('c' || n)::uuid, 'match', '0.95-1.00', 'n760', NULL,
       '2026-08-01', 'infinity' FROM generate_series(1::bigint, {links}, 100) AS n WHERE n % 5 <> 0
"""
QUESTIONS = {
    "a record's links, 1,000 times": """
        SELECT count(*) FROM generate_series(1, 1000) AS n, LATERAL (SELECT 1 FROM {table} AS l
         WHERE l.project = 'generated' AND l.record_a = md5('a' || n * 37)::uuid) AS found""",
    "open links by band": """
        SELECT score_band, count(*) FROM {table} WHERE project = 'generated' AND valid_to = 'infinity' GROUP BY 1""",
    "links as of a day": """
        SELECT count(*) FROM {table} 
         WHERE project = 'generated' AND valid_from <= '2025-12-01' AND valid_to > '2025-12-01'""",
}


def main() -> None:
    """Make each layout, ask it, take it away; a line for each figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--links", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where the server's data lie meanwhile")
    chosen = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="bench-partitions-", dir=chosen.folder))
    root.chmod(0o711)
    server = PostgresServer.create(root / "pg", superuser_password=secrets.token_urlsafe(16), fsync=False)
    try:
        connection = psycopg2.connect(server.start().superuser_url())
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("CREATE EXTENSION btree_gist; SET maintenance_work_mem = '512MB'; SET jit = off")
        for number, (name, statements) in enumerate(LAYOUTS.items()):
            measure(cursor, name, statements, f"link_{number}", chosen.links)
    finally:
        server.stop()
        shutil.rmtree(root, ignore_errors=True)


def measure(cursor: Any, name: str, statements: list[str], table: str, links: int) -> None:
    """One layout: what it can promise, and its times."""
    print(f"-- {name}", flush=True)
    for statement in statements:
        cursor.execute(statement.format(table=table))
    timed(cursor, "fill", FILL.format(table=table, links=links))
    for index in INDEXES:
        cursor.execute(index.format(table=table))
    can("no two versions of a link overlap (exclusion)", cursor, EXCLUSION.format(table=table))
    for index, side in zip(UNIQUE_OPEN, "ab", strict=True):
        can(f"one open match of a record of side {side} (unique)", cursor, index.format(table=table))
    cursor.execute(f"VACUUM (ANALYZE) {table}")
    for question, statement in QUESTIONS.items():
        timed(cursor, question, statement.format(table=table))
    timed(cursor, "a night of 1%", NIGHT.format(table=table, links=links))
    cursor.execute(
        "SELECT pg_size_pretty(sum(pg_table_size(relid))), pg_size_pretty(sum(pg_indexes_size(relid)))"
        " FROM (SELECT relid FROM pg_partition_tree(%s) UNION SELECT %s::regclass) AS tables",
        [table, table],
    )
    print("  size of rows and of indexes:", *cursor.fetchone(), flush=True)
    cursor.execute(f"DROP TABLE {table}")


def timed(cursor: Any, what: str, statement: str) -> None:
    began = time.monotonic()
    cursor.execute(statement)
    print(f"  {time.monotonic() - began:8.3f} s  {what}", flush=True)


def can(what: str, cursor: Any, statement: str) -> None:
    began = time.monotonic()
    try:
        cursor.execute(statement)
        print(f"  {time.monotonic() - began:8.3f} s  {what}: yes", flush=True)
    except psycopg2.Error as error:
        print(f"            {what}: NO, {str(error).splitlines()[0]}", flush=True)


if __name__ == "__main__":
    main()
