"""Erasure: nothing of the record is left in any table, it cannot come back, and every night still verifies."""

from __future__ import annotations

import hashlib
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from linkage_core.audit.audit_events import (
    HoldLifted,
    HoldSet,
    RecordErased,
    RetentionApplied,
    canonical_event,
)
from linkage_core.errors import NightlinkError
from sql.warehouse.erasure import (
    Erasure,
    Expiry,
    anyone_suppressed,
    apply_retention,
    erase_record,
    set_hold,
    suppressed_records,
)
from sql.warehouse.ledger import project_lock
from sql.warehouse.login_roles import content_role
from tasks.linkage_unit.forget import apply_retention_periods, change_hold, erase_records, read_record_file
from tasks.linkage_unit.settings import LinkageUnit, Retention
from tasks.linkage_unit.verify_audit import verify_audit
from tests.integration.warehouse.warehouse_nights import Nights, Warehouse, day, link, load
from tests.reference.small_world import make_unit


def erase(nights: Nights, custodian: str, record: str) -> Erasure:
    def event(erasure: Erasure) -> str:
        counted = {name: getattr(erasure, name) for name in ("links", "members", "content_rows")}
        return canonical_event(
            RecordErased(project=nights.project, custodian=custodian, code_version="0.1.0", **counted)
        )

    return erase_record(nights.warehouse.loader, nights.project, custodian, record, event)


def retain(nights: Nights, before: Any) -> Expiry:
    def event(expiry: Expiry) -> str:
        return canonical_event(
            RetentionApplied(
                project=nights.project, before=before, links=expiry.links, members=expiry.members, code_version="0.1.0"
            )
        )  # fmt: skip

    return apply_retention(nights.warehouse.loader, nights.project, before, event)


def hold(nights: Nights, record: str | None, held: bool = True) -> bool:
    make = HoldSet if held else HoldLifted
    scope = "project" if record is None else "record"
    event = canonical_event(make(project=nights.project, scope=scope, code_version="0.1.0"))
    custodian = None if record is None else "hospital"
    return set_hold(nights.warehouse.loader, nights.project, custodian, record, held=held, event=event)


def places_of(warehouse: Warehouse, record: str) -> set[str]:
    """Tables in whose rows the record's pseudonym, or what researchers saw in its place, can be read."""
    found = set()
    words = [record, record.replace("-", "")]
    connection = psycopg2.connect(warehouse.superuser_url)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        for (table,) in cursor.fetchall():
            cursor.execute(
                f"SELECT count(*) FROM {table} AS t WHERE t::text LIKE ANY (%s)", ([f"%{w}%" for w in words],)
            )
            if cursor.fetchone() != (0,):
                found.add(table)
    connection.close()
    return found


def verified(warehouse: Warehouse, tmp_path: Any) -> int:
    path = tmp_path / "auditor.url"
    path.write_text(warehouse.urls["auditor"])
    path.chmod(0o600)
    return len(verify_audit(path).nights)


def test_nothing_of_an_erased_record_is_left_in_any_table(
    nights: Nights, warehouse: Warehouse, tmp_path: Any
) -> None:
    pair, other = link(), link()
    run = nights.begin("n1")
    load(warehouse, "hospital", [(r[0], day(-9), day(-5), "I21") for r in (pair, other)], run.run_id)
    nights.publish(run, [pair, other])
    nights.night("n2", [(*pair[:3], "0.95-1.00", pair[4]), other], day(1))
    [shown] = warehouse.outside(pair[0])
    assert places_of(warehouse, pair[0]) == {
        "linkage.link", "linkage.entity_member", "access.pseudonym", "content.admission",
    }  # fmt: skip  # the positive control: the search finds it
    assert erase(nights, "hospital", pair[0]) == Erasure(2, 1, 1, erased_before=False)
    assert places_of(warehouse, pair[0]) == places_of(warehouse, shown) == set()
    assert verified(warehouse, tmp_path) >= 2
    events = warehouse.as_superuser("SELECT t::text FROM audit.event AS t")
    assert sum("record_erased" in event and nights.project in event for (event,) in events) == 1
    served = warehouse.as_researcher(
        f"SELECT record_a::text FROM research.link_history_v1 WHERE project = '{nights.project}'"
    )
    assert [record for (record,) in served] == warehouse.outside(other[0])


def test_erasing_again_changes_nothing(nights: Nights, warehouse: Warehouse) -> None:
    pair = link()
    nights.night("n1", [pair])
    erase(nights, "hospital", pair[0])
    before = warehouse.state()
    assert erase(nights, "hospital", pair[0]).nothing_left
    assert warehouse.state() == before


def test_an_erased_record_does_not_come_back(nights: Nights, warehouse: Warehouse) -> None:
    pair, other = link(), link()
    nights.night("n1", [pair, other])
    erase(nights, "hospital", pair[0])
    assert anyone_suppressed(warehouse.loader)
    asked = [pair[0], other[0]]
    assert suppressed_records(warehouse.loader, "hospital", asked) == {pair[0]}
    assert suppressed_records(warehouse.loader, "pharmacy", asked) == set()
    run = nights.begin("n2", day(1))
    rows = [(r[0], day(-9), day(-5), "I21") for r in (pair, other)]
    load(warehouse, "hospital", rows, run.run_id, day(1))
    nights.publish(run, [other])
    assert places_of(warehouse, pair[0]) == set()
    assert warehouse.as_superuser(
        f"SELECT count(*) FROM content.admission WHERE record_pseudonym = '{other[0]}'"
    ) == [(1,)]


WORST_PLANNER = ("track_functions = 'all'", "enable_hashjoin = off", "enable_mergejoin = off",
                 "enable_material = off", "enable_memoize = off")  # fmt: skip


def test_who_was_erased_is_asked_once_whatever_the_planner_believes(
    nights: Nights, warehouse: Warehouse
) -> None:
    """One that last saw the staging tables empty asked for every row anew: minutes, for 30,000 rows."""
    pair, others = link(), [link() for _ in range(50)]
    nights.night("n1", [pair])
    erase(nights, "hospital", pair[0])
    [(database,)] = warehouse.as_superuser("SELECT current_database()")
    for setting in WORST_PLANNER:
        warehouse.as_superuser(f"ALTER DATABASE {database} SET {setting}")
    try:
        again = Warehouse(warehouse.urls, warehouse.superuser_url)  # new connections, under these settings
        run = nights.begin("n2", day(1))
        rows = [(r[0], day(-9), day(-5), "I21") for r in [pair, *others]]
        before = calls_of_suppressed_records(warehouse)
        load(again, "hospital", rows, run.run_id, day(1))
        again.engine(content_role("hospital")).dispose()  # a session hands its counts over when it ends
        deadline = time.monotonic() + 30
        while (calls := calls_of_suppressed_records(warehouse) - before) == 0 and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        for setting in WORST_PLANNER:
            warehouse.as_superuser(f"ALTER DATABASE {database} RESET {setting.split(' = ')[0]}")
    assert calls == 1
    assert places_of(warehouse, pair[0]) == set()


def calls_of_suppressed_records(warehouse: Warehouse) -> int:
    statement = "SELECT coalesce(sum(calls), 0)::int FROM pg_stat_user_functions"
    [(calls,)] = warehouse.as_superuser(f"{statement} WHERE funcname = 'suppressed_records'")
    return int(calls)


def test_a_record_that_was_never_linked_is_kept_out_too(nights: Nights, warehouse: Warehouse) -> None:
    nights.night("n1", [link()])
    record = str(uuid.uuid4())
    assert erase(nights, "hospital", record) == Erasure(0, 0, 0, erased_before=False)
    assert suppressed_records(warehouse.loader, "hospital", [record]) == {record}


def test_the_partner_stays_and_may_be_linked_to_another(
    nights: Nights, warehouse: Warehouse, tmp_path: Any
) -> None:
    pair = link()
    nights.night("n1", [pair])
    erase(nights, "hospital", pair[0])
    nights.night("n2", [link(b=pair[1])], day(1))
    nights.night("n3", [], day(2))
    assert verified(warehouse, tmp_path) >= 3


def test_a_link_taken_out_in_silence_is_found(nights: Nights, warehouse: Warehouse, tmp_path: Any) -> None:
    nights.night("n1", [link(), link()])
    warehouse.as_superuser("CREATE TABLE public.kept AS SELECT * FROM linkage.link")
    warehouse.as_superuser(
        f"SELECT linkage.bury_links(ARRAY(SELECT link_id FROM linkage.link WHERE project = '{nights.project}' LIMIT 1))"
    )
    with pytest.raises(NightlinkError, match="E-AUDIT-BROKEN.*buried"):
        verified(warehouse, tmp_path)
    warehouse.as_superuser(
        f"DELETE FROM linkage.tombstone WHERE project = '{nights.project}';"
        " INSERT INTO linkage.link OVERRIDING SYSTEM VALUE SELECT * FROM public.kept ON CONFLICT DO NOTHING;"
        " DROP TABLE public.kept"
    )
    verified(warehouse, tmp_path)


def test_the_event_must_say_what_went(nights: Nights, warehouse: Warehouse) -> None:
    pair = link()
    nights.night("n1", [pair])
    before = warehouse.state()
    lie = RecordErased(
        project=nights.project, custodian="hospital", links=0, members=0, content_rows=0, code_version="0.1.0"
    )
    with pytest.raises(NightlinkError, match="E-INPUT.*audit event"):
        erase_record(warehouse.loader, nights.project, "hospital", pair[0], lambda _: canonical_event(lie))
    assert warehouse.state() == before
    assert "linkage.link" in places_of(warehouse, pair[0])


def test_what_is_held_is_neither_erased_nor_expired(nights: Nights, warehouse: Warehouse) -> None:
    held, free = link(), link()
    nights.night("n1", [held, free])
    nights.night("n2", [], day(1))
    assert hold(nights, held[0])
    assert not hold(nights, held[0])
    with pytest.raises(NightlinkError, match="E-LEGAL-HOLD"):
        erase(nights, "hospital", held[0])
    assert retain(nights, day(3)) == Expiry(links=1, members=3)  # the partner's membership is not held
    assert places_of(warehouse, free[0]) == set()
    assert "linkage.link" in places_of(warehouse, held[0])
    assert hold(nights, held[0], held=False)
    assert erase(nights, "hospital", held[0]).links == 1


def test_a_project_on_hold_keeps_all(nights: Nights) -> None:
    pair = link()
    nights.night("n1", [pair])
    nights.night("n2", [], day(1))
    hold(nights, None)
    with pytest.raises(NightlinkError, match="E-LEGAL-HOLD"):
        erase(nights, "hospital", pair[0])
    assert retain(nights, day(3)) == Expiry(0, 0)
    hold(nights, None, held=False)
    assert retain(nights, day(3)) == Expiry(1, 2)


def test_what_ended_long_ago_goes_and_its_nights_still_verify(
    nights: Nights, warehouse: Warehouse, tmp_path: Any
) -> None:
    old, recent, current = link(), link(), link()
    nights.night("n1", [old, recent, current])
    nights.night("n2", [recent, current], day(1))
    nights.night("n3", [current], day(9))
    assert retain(nights, day(5)) == Expiry(links=1, members=2)
    assert retain(nights, day(5)) == Expiry(0, 0)
    assert places_of(warehouse, old[0]) == set()
    assert "linkage.link" in places_of(warehouse, recent[0])
    assert verified(warehouse, tmp_path) >= 3


def test_a_third_custodian_s_nights_verify_after_an_erasure(nights: Nights, warehouse: Warehouse) -> None:
    """Their lines name the custodians: the leaf is the other one."""
    pair = link()
    nights.night("n1", [pair])
    [(plain, named)] = warehouse.as_superuser(
        "SELECT encode(linkage.link_leaf(l, false), 'hex'), encode(linkage.link_leaf(l, true), 'hex')"
        f" FROM linkage.link AS l WHERE l.project = '{nights.project}'"
    )
    line = "|".join([pair[0].replace("-", ""), pair[1].replace("-", ""), *pair[2:4], ",".join(pair[4])])
    assert plain == hashlib.sha256(f"{line}\n".encode()).hexdigest()
    assert named == hashlib.sha256(f"{line}|hospital|pharmacy\n".encode()).hexdigest()


def unit_of(nights: Nights, folder: Path, **settings: Any) -> LinkageUnit:
    """A linkage unit whose protocol is of the nights' project."""
    unit = make_unit(folder, **settings)
    protocol = unit.protocol.model_copy(update={"project": nights.project})
    return replace(unit, protocol=protocol, warehouse_url=nights.warehouse.urls["linkage_loader"])


def test_the_linkage_unit_erases_what_a_file_names_and_empties_its_own_folder(
    nights: Nights, warehouse: Warehouse, tmp_path: Path
) -> None:
    pair, other = link(), link()
    nights.night("n1", [pair, other])
    unit = unit_of(nights, tmp_path)
    working = unit.settings.state_folder / f"columns-{'a' * 32}"
    working.mkdir(parents=True)
    records = tmp_path / "records"
    records.write_text(f"{pair[0]}\n\n{pair[0]}\n")
    named = read_record_file(records)
    assert named == [pair[0]]
    [erasure] = erase_records(unit, "hospital", named)
    assert (erasure.links, erasure.members) == (1, 1)
    assert places_of(warehouse, pair[0]) == set()
    assert not working.exists()
    assert change_hold(unit, "hospital", other[0], held=True)
    with pytest.raises(NightlinkError, match="E-LEGAL-HOLD"):
        erase_records(unit, "hospital", [other[0]])
    with pytest.raises(NightlinkError, match="E-INPUT.*custodian"):
        erase_records(unit, "nobody", [other[0]])
    records.write_text(f"{pair[0]}\nnot a record\n")
    with pytest.raises(NightlinkError, match="E-INPUT.*line 2"):
        read_record_file(records)
    with project_lock(warehouse.loader, nights.project), pytest.raises(NightlinkError, match="E-RUN-LOCKED"):
        erase_records(unit, "hospital", named)


def test_retention_periods_come_from_the_settings(nights: Nights, tmp_path: Path) -> None:
    nights.night("n1", [link()])
    nights.night("n2", [], day(1))
    reports = tmp_path / "reports"
    reports.mkdir()
    for name in ("2026-03-01.html", "2026-03-20.html", "notes.txt"):
        (reports / name).write_text("x")
    none = unit_of(nights, tmp_path, reports_folder=reports)
    assert apply_retention_periods(none, day(30)) == []
    kept = Retention(link_history_days=10, report_days=20)
    some = unit_of(nights, tmp_path, reports_folder=reports, retention=kept)
    links, removed = apply_retention_periods(some, day(30))
    assert "1 links and 2 entity members buried" in links
    assert removed.endswith("1 removed")
    assert sorted(path.name for path in reports.iterdir()) == ["2026-03-20.html", "notes.txt"]
