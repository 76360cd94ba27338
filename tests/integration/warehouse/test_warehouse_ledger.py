"""The ledger: who may run, who may publish, and what a dead run leaves behind."""

from __future__ import annotations

import dataclasses
import threading
import time
from datetime import date

import pytest

from linkage_core.errors import NightlinkError
from sql.engine import make_engine
from sql.warehouse.ledger import begin_run, fail_run, list_runs, project_lock, read_head, read_run
from sql.warehouse.links import stage_links
from sql.warehouse.transactions import warehouse_transaction
from tests.integration.warehouse.warehouse_nights import Nights, Warehouse, day, link


def test_a_run_begins_and_gets_the_next_fence(nights: Nights) -> None:
    first, second = nights.begin("n1"), nights.begin("n2", day(1))
    assert (first.fence, first.status, second.fence) == (1, "running", 2)


def test_beginning_a_published_run_again_changes_nothing(nights: Nights, warehouse: Warehouse) -> None:
    nights.night("n1", [link()])
    before = warehouse.state()
    again = nights.begin("n1")
    assert again.is_published
    assert warehouse.state() == before


def test_a_run_that_died_begins_anew_under_a_higher_fence(nights: Nights) -> None:
    died = nights.begin("n1")
    again = nights.begin("n1")
    assert (again.fence, again.attempts, again.status) == (died.fence + 1, 2, "running")


def test_the_next_run_calls_the_dead_one_failed_and_empties_its_staging(
    nights: Nights, warehouse: Warehouse
) -> None:
    died = nights.begin("n1")
    with warehouse_transaction(warehouse.loader, doing="staging") as connection:
        stage_links(connection, died, [link(), link()])
    nights.begin("n2", day(1))
    found = read_run(warehouse.loader, died.run_id)
    assert found is not None
    assert (found.status, found.failure_code) == ("failed", "E-RUN-FENCED")
    staged = f"SELECT count(*) FROM linkage.link_staging WHERE run_id = '{died.run_id}'"
    assert warehouse.as_superuser(staged) == [(0,)]


@pytest.mark.parametrize(
    "change",
    [{"project": "another_project"}, {"as_of": date(2020, 1, 1)}, {"custodians": ("hospital", "clinic")}],
)
def test_a_run_id_stands_for_one_night(nights: Nights, warehouse: Warehouse, change: dict[str, str]) -> None:
    nights.begin("n1")
    with pytest.raises(NightlinkError, match="E-INPUT.*run id"):
        begin_run(warehouse.loader, dataclasses.replace(nights.describe("n1"), **change))


def test_an_older_night_does_not_begin_after_a_newer_one_is_published(nights: Nights) -> None:
    nights.night("n2", [link()], day(1))
    with pytest.raises(NightlinkError, match="E-RUN-FENCED.*later day"):
        nights.begin("n1", day(0))


def test_a_failed_run_is_visibly_failed_and_may_run_again(nights: Nights, warehouse: Warehouse) -> None:
    nights.night("n1", [link()])
    run = nights.begin("n2", day(1))
    assert fail_run(warehouse.loader, run, "E-TIMEOUT", nights.failure_event(run, "E-TIMEOUT"))
    failed = read_run(warehouse.loader, run.run_id)
    head = read_head(warehouse.loader, nights.project)
    assert failed is not None
    assert head is not None
    assert (failed.status, failed.failure_code, failed.audit_sequence is not None) == (
        "failed",
        "E-TIMEOUT",
        True,
    )
    assert head.run_id == f"{nights.project}.n1"  # yesterday's links stay served
    assert nights.begin("n2", day(1)).status == "running"


def test_failing_twice_or_after_the_publication_changes_nothing(nights: Nights, warehouse: Warehouse) -> None:
    run = nights.night("n1", [link()])
    before = warehouse.state()
    assert not fail_run(warehouse.loader, run, "E-TIMEOUT", nights.failure_event(run, "E-TIMEOUT"))
    assert warehouse.state() == before


def test_a_failure_s_event_must_tell_of_that_failure(nights: Nights, warehouse: Warehouse) -> None:
    run = nights.begin("n1")
    with pytest.raises(NightlinkError, match="E-INPUT.*audit event"):
        fail_run(warehouse.loader, run, "E-TIMEOUT", nights.failure_event(run, "E-INTERNAL"))


def test_a_zombie_cannot_publish_after_a_newer_run_published(nights: Nights, warehouse: Warehouse) -> None:
    zombie = nights.begin("n1")
    nights.night("n2", [link()], day(1))
    before = warehouse.state()
    with pytest.raises(NightlinkError, match="E-RUN-FENCED"):
        nights.publish(zombie, [link()])
    assert warehouse.state() == before


def test_a_zombie_cannot_publish_after_a_newer_run_merely_began(nights: Nights, warehouse: Warehouse) -> None:
    # The newer start emptied the zombie's staging: it would publish a night without links.
    zombie = nights.begin("n1")
    nights.begin("n2", day(1))
    before = warehouse.state()
    with pytest.raises(NightlinkError, match="E-RUN-FENCED"):
        nights.publish(zombie, [link()])
    assert warehouse.state() == before


def test_an_earlier_attempt_of_the_same_run_is_fenced_too(nights: Nights, warehouse: Warehouse) -> None:
    zombie = nights.begin("n1")
    nights.night("n1", [link()])
    before = warehouse.state()
    for act in (
        lambda: nights.publish(zombie, [link()]),
        lambda: fail_run(warehouse.loader, zombie, "E-TIMEOUT", nights.failure_event(zombie, "E-TIMEOUT")),
    ):
        with pytest.raises(NightlinkError, match="E-RUN-FENCED"):
            act()
    assert warehouse.state() == before


def test_runs_are_listed_in_the_order_of_their_fences(nights: Nights, warehouse: Warehouse) -> None:
    nights.night("n1", [link()])
    nights.begin("n2", day(1))
    assert [run.fence for run in list_runs(warehouse.loader, nights.project)] == [1, 2]
    assert read_run(warehouse.loader, "nobody-knows") is None
    assert read_head(warehouse.loader, "nobody-knows") is None


def test_the_lock_is_refused_at_once_while_another_holds_it(warehouse: Warehouse) -> None:
    with project_lock(warehouse.loader, "locked"):
        began = time.monotonic()
        with pytest.raises(NightlinkError, match="E-RUN-LOCKED"), project_lock(warehouse.loader, "locked"):
            pytest.fail("two runs at a time")
        assert time.monotonic() - began < 2
        with project_lock(warehouse.loader, "another"):
            pass
    with project_lock(warehouse.loader, "locked"):
        pass


def test_of_five_at_once_one_gets_the_lock(warehouse: Warehouse) -> None:
    taken, refused, gate, done = [], [], threading.Barrier(5), threading.Event()

    def run() -> None:
        gate.wait()
        try:
            with project_lock(warehouse.loader, "five"):
                taken.append(1)
                done.wait(10)
        except NightlinkError as error:
            refused.append(error.code)
            if len(refused) == 4:
                done.set()

    threads = [threading.Thread(target=run) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(taken), refused) == (1, ["E-RUN-LOCKED"] * 4)


def test_the_lock_outlives_the_engine_s_deadline_and_not_its_session(warehouse: Warehouse) -> None:
    brief = make_engine(warehouse.urls["linkage_loader"], deadline_s=1.0, application_name="brief lock")
    with project_lock(brief, "long"):
        time.sleep(1.3)
        with pytest.raises(NightlinkError, match="E-RUN-LOCKED"), project_lock(warehouse.loader, "long"):
            pytest.fail("the lock was lost")
        warehouse.as_superuser(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'brief lock'"
        )
        with project_lock(warehouse.loader, "long"):
            pass
