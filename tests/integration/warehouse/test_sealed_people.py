"""People who do not exist: counted and taken out in the transaction that publishes, seen by no reader."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest

from linkage_core.audit.audit_events import PeopleSealed, canonical_event
from linkage_core.errors import NightlinkError
from sql.warehouse.ledger import LedgerRun, begin_run, read_run
from sql.warehouse.links import publish_links
from sql.warehouse.login_roles import content_role
from sql.warehouse.sealed import UnsealedCounts, name_sealed_people, unsealed_of_run
from tasks.linkage_unit.unsealed import unsealed_rows
from tasks.linkage_unit.verify_audit import verify_audit
from tests.integration.warehouse.warehouse_nights import NUMBERS, Nights, Warehouse, day, link

SERVED = "SELECT record_a::text, record_b::text FROM research.link_current_v1 WHERE project = '{}' ORDER BY 1"


def name_people(
    warehouse: Warehouse, run: LedgerRun, custodian: str, people: Sequence[tuple[str, int | None]]
) -> None:
    event = PeopleSealed(
        run_id=run.run_id, project=run.project, as_of=run.as_of, custodian=custodian, people=len(people),
        people_sha256="0" * 64, code_version="0.1.0",
    )  # fmt: skip
    name_sealed_people(
        warehouse.engine(content_role(custodian)), run_id=run.run_id, as_of=run.as_of, people=people,
        event=canonical_event(event),
    )  # fmt: skip


def some(count: int) -> list[str]:
    return sorted(str(uuid.uuid4()) for _ in range(count))


def publish(nights: Nights, run: LedgerRun, rows: list) -> None:
    deliveries = nights.deliveries(run)
    publish_links(
        nights.warehouse.loader, run, lambda: iter(rows), deliveries=deliveries, counts={},
        make_event=nights.event_maker(run, rows, deliveries), estimate=unsealed_rows,
    )  # fmt: skip


def auditor_file(warehouse: Warehouse, folder: Path) -> Path:
    file = folder / "auditor.url"
    file.write_text(warehouse.urls["auditor"])
    file.chmod(0o600)
    return file


def test_sealed_people_are_counted_taken_out_and_still_in_the_digest(
    warehouse: Warehouse, nights: Nights, tmp_path: Path
) -> None:
    """One null person is matched, one of two canary pairs is found; readers have the two real links alone."""
    run = nights.begin("n1")
    (a1, a2), (b1, b2, b3) = some(2), some(3)
    null_a, null_b, (c0a, c1a), (c0b, c1b) = some(3), some(2), some(2), some(2)
    name_people(warehouse, run, "hospital", [*((n, None) for n in null_a), (c0a, 0), (c1a, 1)])
    name_people(warehouse, run, "pharmacy", [*((n, None) for n in null_b), (c0b, 0), (c1b, 1)])
    rows = [link(a=a1, b=b1), link(a=a2, b=b2), link(a=null_a[0], b=b3), link(a=c0a, b=c0b)]
    rows.append(link("possible_match", a=c1a, b=c1b))
    publish(nights, run, rows)

    assert sorted(warehouse.as_researcher(SERVED.format(run.project))) == sorted(
        zip(warehouse.outside(a1, a2), warehouse.outside(b1, b2), strict=True)
    )
    everybody = [*null_a, *null_b, c0a, c1a, c0b, c1b, b3]
    known = warehouse.as_superuser("SELECT inside::text FROM access.pseudonym")
    assert not {row[0] for row in known} & set(everybody)  # nobody who reads has a name for one
    ledger = read_run(warehouse.loader, run.run_id)
    assert ledger is not None and (ledger.links_opened, ledger.links_kept) == (2, 0)
    [found] = unsealed_of_run(warehouse.loader, run.run_id)
    assert found == UnsealedCounts("hospital", "pharmacy", 5, 4, 3, 2, 1, 0, 2, 1, 2, 100, 100)
    estimates = warehouse.as_researcher(
        "SELECT measure, method, estimate FROM research.linkage_quality_v1"
        f" WHERE run_id = '{run.run_id}' AND method IN ('null_people', 'canary_pairs') ORDER BY 2"
    )
    assert [row[:2] for row in estimates] == [("recall", "canary_pairs"), ("precision", "null_people")]
    assert estimates[0][2] == 0.5
    assert verify_audit(auditor_file(warehouse, tmp_path)).nights[run.run_id] == 5


def test_who_gave_way_to_a_null_person_is_withdrawn_and_comes_back(
    warehouse: Warehouse, nights: Nights, tmp_path: Path
) -> None:
    """A real record that a null person took for a night is unlinked that night, and its entity ends and begins."""
    first, (a, b), [nobody] = nights.begin("n1"), some(2), some(1)
    publish(nights, first, [link(a=a, b=b)])
    second = nights.begin("n2", day(1))
    name_people(warehouse, second, "hospital", [(nobody, None)])
    publish(nights, second, [link(a=nobody, b=b)])
    assert warehouse.as_researcher(SERVED.format(second.project)) == []
    history = f"SELECT closed_because FROM research.link_history_v1 WHERE project = '{second.project}'"
    assert warehouse.as_researcher(history) == [("withdrawn",)]
    changes = f"SELECT change, run_id FROM research.entity_change_v1 WHERE project = '{second.project}'"
    assert warehouse.as_researcher(changes) == [("dissolved", second.run_id)]
    members = f"SELECT count(*) FROM linkage.entity_member WHERE project = '{second.project}' AND valid_to = 'infinity'"
    assert warehouse.as_superuser(members) == [(0,)]
    third = nights.begin("n3", day(2))
    publish(nights, third, [link(a=a, b=b)])
    assert warehouse.as_researcher(SERVED.format(third.project)) == [
        (*warehouse.outside(a), *warehouse.outside(b))
    ]
    verified = verify_audit(auditor_file(warehouse, tmp_path)).nights
    assert [verified[run.run_id] for run in (first, second, third)] == [1, 1, 1]


def test_a_real_link_hidden_among_the_sealed_is_found(
    warehouse: Warehouse, nights: Nights, tmp_path: Path
) -> None:
    """Moving a real link there keeps the digest; the number that the log tells does not fit any more."""
    run, (a, b) = nights.begin("n1"), some(2)
    publish(nights, run, [link(a=a, b=b)])
    warehouse.as_superuser(
        "INSERT INTO sealed.link SELECT opened_by_run, project, custodian_a, custodian_b, decision,"
        " linkage.link_leaf(l, false), linkage.link_leaf(l, true), record_a, NULL"
        f" FROM linkage.link AS l WHERE project = '{run.project}';"
        f" DELETE FROM linkage.link WHERE project = '{run.project}'"
    )
    with pytest.raises(NightlinkError, match="another number of sealed links"):
        verify_audit(auditor_file(warehouse, tmp_path))
    warehouse.as_superuser(f"DELETE FROM sealed.link WHERE project = '{run.project}'")


def test_nobody_but_owner_and_auditor_reads_who_is_sealed(warehouse: Warehouse) -> None:
    for role in ("linkage_loader", "researcher", content_role("hospital"), "alice_reviewer"):
        connection = psycopg2.connect(warehouse.urls[role])
        with connection.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("SELECT * FROM sealed.person")
        connection.close()


def test_a_published_night_takes_no_more_names(warehouse: Warehouse, nights: Nights) -> None:
    run = nights.begin("n1")
    publish(nights, run, [])
    with pytest.raises(NightlinkError, match="E-RUN-FENCED"):
        name_people(warehouse, run, "hospital", [(some(1)[0], None)])


def test_names_of_a_failed_attempt_are_replaced(warehouse: Warehouse) -> None:
    """A delivery that is made anew names its people anew."""
    nights = Nights(warehouse, f"again{next(NUMBERS)}")
    run = begin_run(warehouse.loader, replace(nights.describe("n1")))
    name_people(warehouse, run, "hospital", [(person, None) for person in some(3)])
    name_people(warehouse, run, "hospital", [(person, None) for person in some(2)])
    count = f"SELECT count(*) FROM sealed.person WHERE run_id = '{run.run_id}'"
    assert warehouse.as_superuser(count) == [(2,)]
