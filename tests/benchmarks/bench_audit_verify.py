"""How long `nightlink audit verify` takes over many nights: ``python -m tests.benchmarks.bench_audit_verify``.

The nights are put into the tables by a superuser, as the publishing function would leave them (a share of the links
changes each night), entries through ``audit.append_event``; then what the command calls is timed.
"""

from __future__ import annotations

import argparse
import hashlib
import secrets
import tempfile
import time
import uuid
from datetime import date, timedelta
from pathlib import Path

import psycopg2

from linkage_core.audit.audit_events import LinkCounts, NightPublished, canonical_event, digest_of_summary
from linkage_core.audit.log_check import Witnessed
from linkage_core.linkage_unit.link_table import link_line
from linkage_core.linkage_unit.published_rows import PublishedRows
from sql.servers import PostgresServer
from sql.warehouse.login_roles import FIXED_ROLES, install_warehouse
from tasks.linkage_unit.verify_audit import verify_audit

CUSTODIANS = ("hospital", "pharmacy")
FINGERPRINT, FIRST = "ab" * 32, date(2026, 1, 1)


def main() -> None:
    """Print seconds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nights", type=int, default=1000)
    parser.add_argument("--links", type=int, default=20_000)
    parser.add_argument("--changes", type=float, default=0.01)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nightlink-bench-", dir="/var/tmp") as folder:  # noqa: S108
        Path(folder).chmod(0o711)
        server = PostgresServer.create(
            Path(folder) / "pg", superuser_password=secrets.token_urlsafe(16), fsync=False
        )
        server.start()
        try:
            passwords = {role: secrets.token_urlsafe(16) for role in FIXED_ROLES}
            urls = install_warehouse(server.superuser_url(), "warehouse", passwords, {}, {})
            rows = _fill(server.superuser_url("warehouse"), options.nights, options.links, options.changes)
            url_file = Path(folder) / "auditor.url"
            url_file.touch(0o600)
            url_file.write_text(urls["auditor"])
            began, cpu = time.perf_counter(), time.process_time()
            verified = verify_audit(url_file)
            first, cpu = time.perf_counter() - began, time.process_time() - cpu
            began = time.perf_counter()
            root = bytes.fromhex(verified.root)
            verify_audit(url_file, Witnessed({verified.entries: root}))
            second = time.perf_counter() - began
        finally:
            server.stop()
    print(
        f"{len(verified.nights)} nights of {options.links} links, {rows} versions, {verified.entries} entries:"
    )
    print(f"verify {first:.1f} s ({cpu:.1f} s of CPU here); with a witness's checkpoint {second:.1f} s")


def _fill(url: str, nights: int, links: int, share: float) -> int:
    changed = max(1, int(links * share))
    versions = [(uuid.uuid4(), uuid.uuid4(), 1, None) for _ in range(links)]
    for fence in range(2, nights + 1):
        for _ in range(changed):
            at = secrets.randbelow(links)
            a, b, start, _ = versions[at]
            versions.append((a, b, start, fence))
            versions[at] = (uuid.uuid4(), uuid.uuid4(), fence, None)
    versions = [v for v in versions if v[2] != v[3]]
    table = PublishedRows(
        (hashlib.sha256(link_line(a.hex, b.hex, "match", "0.95-1.00", ("x",))).digest(), start, stop)
        for a, b, start, stop in versions
    )
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("INSERT INTO linkage.project VALUES ('p', %s, %s, %s)", (nights, _run(nights), nights))
        for fence in range(1, nights + 1):
            _publish(cursor, fence, *table.digest_at(fence))
        lines = [
            (str(a), str(b), _run(start), None if stop is None else _run(stop))
            for a, b, start, stop in versions
        ]
        cursor.execute("CREATE TEMP TABLE made (a uuid, b uuid, o text, c text)")
        for at in range(0, len(lines), 5000):
            some = lines[at : at + 5000]
            cursor.execute(
                "INSERT INTO made SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::text[])",
                [list(column) for column in zip(*some, strict=True)],
            )
        cursor.execute("ALTER TABLE linkage.link ENABLE ALWAYS TRIGGER keep_leaf")
        cursor.execute(
            "INSERT INTO linkage.link (project, custodian_a, record_a, custodian_b, record_b, decision, score_band,"
            " passes_agreed, opened_by_run, closed_by_run, valid_from, valid_to, closed_because)"
            " SELECT 'p', 'hospital', a, 'pharmacy', b, 'match', '0.95-1.00', '{x}', o, c, ro.as_of,"
            " coalesce(rc.as_of, 'infinity'), CASE WHEN c IS NOT NULL THEN 'withdrawn' END"
            " FROM made JOIN linkage.link_run AS ro ON ro.run_id = o"
            " LEFT JOIN linkage.link_run AS rc ON rc.run_id = c"
        )
    connection.close()
    return len(versions)


def _run(fence: int) -> str:
    return (FIRST + timedelta(days=fence)).isoformat()


def _publish(cursor: object, fence: int, digest: str, links: int) -> None:
    """One night: two deliveries, the ledger's row, the entry."""
    run_id, as_of = _run(fence), FIRST + timedelta(days=fence)
    manifests = {c: hashlib.sha256(f"{run_id} {c}".encode()).hexdigest() for c in CUSTODIANS}
    event = NightPublished(
        run_id=run_id, project="p", as_of=as_of, fence=fence, deliveries=manifests, protocol_version=1,
        protocol_fingerprint=FINGERPRINT, key_epoch="2026", key_check_value="0123456789abcdef",
        target_precision=0.99, expected_precision=0.99, match_threshold=0.9, possible_threshold=0.7,
        code_version="0.1.0", link_table_digest=digest, summary_digest=digest_of_summary({}),
        links=LinkCounts(opened=links, closed=0, kept=0, match=links, possible_match=0),
    )  # fmt: skip
    cursor.execute("SELECT sequence, event_hash FROM audit.append_event(%s)", (canonical_event(event),))
    sequence, leaf = cursor.fetchone()
    cursor.execute(
        "INSERT INTO linkage.link_run (run_id, project, as_of, custodian_a, custodian_b, custodians, fence, status,"
        " protocol_version, protocol_fingerprint, key_epoch, code_version, finished_at, links_opened, links_closed,"
        " links_kept, audit_sequence, audit_event_hash) VALUES (%s, 'p', %s, 'hospital', 'pharmacy',"
        " '{hospital,pharmacy}', %s, 'published', 1, %s, '2026', '0.1.0', now(), %s, 0, 0, %s, %s)",
        (run_id, as_of, fence, FINGERPRINT, links, sequence, leaf),
    )
    for custodian, manifest in manifests.items():
        cursor.execute(
            "INSERT INTO linkage.delivery (manifest_sha256, project, custodian, run_id, sequence, as_of, row_count,"
            " protocol_fingerprint, key_check_value, code_version) VALUES (%s, 'p', %s, %s, %s, %s, 1, %s, %s, %s)",
            (manifest, custodian, run_id, fence, as_of, FINGERPRINT, "0123456789abcdef", "0.1.0"),
        )
        cursor.execute("INSERT INTO linkage.run_delivery VALUES (%s, %s)", (run_id, manifest))


if __name__ == "__main__":
    main()
