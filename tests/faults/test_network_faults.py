"""A network between the parties and their databases that is slow, cuts off, or leaves one side waiting for ever."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
import pytest

from tests.faults.night_world import NightWorld, RunningProcess
from tests.faults.tcp_proxy import TcpProxy
from tests.faults.test_broken_nights import locked_links
from tests.faults.warehouse_whole import assert_warehouse_whole

pytestmark = pytest.mark.timeout(600)
SLOW_BYTES_PER_S = 150_000
SHORT_DEADLINE = ("wait_for_deliveries_s = 0 ", "warehouse_deadline_s = 8\nwait_for_deliveries_s = 0 ")
UNIT_SESSIONS = "usename = 'linkage_loader'"


@contextmanager
def through_a_proxy(world: NightWorld, party: str, file: str) -> Iterator[TcpProxy]:
    """The party reaches one of its databases by way of a proxy."""
    path = world.folder(party) / "secrets" / file
    url = path.read_text().strip()
    with TcpProxy(url) as proxy, world.changed_file(path, (url, proxy.url)):
        yield proxy


def deliver(world: NightWorld, night: str) -> None:
    for custodian in ("hospital", "pharmacy"):
        delivered = world.run_party(custodian, night)
        assert delivered.process.returncode == 0, delivered.text


def published_whole(world: NightWorld, night: str, served: list[tuple[object, ...]]) -> None:
    assert world.ledger(night) == ("published", None)
    assert world.served_links() == served, "the same people, the same links"
    assert_warehouse_whole(world)


@pytest.mark.slow
def test_a_slow_network_delays_a_night_and_changes_nothing(night_world: NightWorld) -> None:
    night, served = night_world.next_night(), night_world.served_links()
    with (
        through_a_proxy(night_world, "pharmacy", "source.url") as source,
        through_a_proxy(night_world, "linkage-unit", "warehouse.url") as warehouse,
    ):
        source.slow(SLOW_BYTES_PER_S)
        warehouse.slow(SLOW_BYTES_PER_S)
        running = night_world.run_night(night)
        assert running.process.returncode == 0, running.text
    assert source.answered_bytes > 50_000 and warehouse.sent > 20
    published_whole(night_world, night, served)


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3, 4))])
def test_a_source_that_is_cut_off_in_mid_stream_leaves_no_delivery(
    night_world: NightWorld, seed: int
) -> None:
    night, served = night_world.next_night(), night_world.served_links()
    with through_a_proxy(night_world, "pharmacy", "source.url") as source:
        source.cut_after_answers(random.Random(seed).randrange(4_000, 50_000))
        failed = night_world.run_party("pharmacy", night)
    assert source.broken == 1
    assert failed.process.returncode == 1, failed.text
    assert failed.text.splitlines()[-1].startswith("E-SRC-UNAVAILABLE: ")
    assert night_world.deliveries("pharmacy", night) == []
    assert night_world.served_links() == served

    mended = night_world.run_night(night)
    assert mended.process.returncode == 0, mended.text
    published_whole(night_world, night, served)


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3, 4, 5))])
def test_a_warehouse_that_is_cut_off_anywhere_is_published_to_once(
    night_world: NightWorld, seed: int
) -> None:
    """At seeded words of the linkage unit's: it ends with its code, or it tries again and publishes."""
    night, served = night_world.next_night(), night_world.served_links()
    deliver(night_world, night)
    point = 0
    while night_world.ledger(night) != ("published", None):
        point += random.Random(f"{seed} {point}").randrange(3, 12)
        assert point < 200
        with through_a_proxy(night_world, "linkage-unit", "warehouse.url") as warehouse:
            warehouse.cut_after_sent(point)
            unit = night_world.run_party("linkage_unit", night)
        if unit.process.returncode:
            assert unit.text.splitlines()[-1].startswith("E-WH-UNAVAILABLE: "), unit.text
        assert night_world.served_links() == served
    again = night_world.run_party("linkage_unit", night)
    assert again.process.returncode == 0, again.text
    published_whole(night_world, night, served)


def sessions_of_the_unit(world: NightWorld) -> int:
    [(count,)] = world.query(f"SELECT count(*) FROM pg_stat_activity WHERE {UNIT_SESSIONS}")
    return int(str(count))


def wait_until_publishing(world: NightWorld, running: RunningProcess) -> None:
    """Wait until the publication's transaction is stopped by the lock of :func:`locked_links`."""
    running.wait_for("load links started")
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        f" AND query LIKE '%publish_run%' AND {UNIT_SESSIONS}"
    )
    wait_until(lambda: world.query(waiting) == [(1,)], running)


def wait_until(condition, running: RunningProcess) -> None:  # noqa: ANN001
    for _ in range(300):
        if condition():
            return
        signal.sigtimedwait([], 0.1)
    raise AssertionError(f"nothing came of it:\n{running.text}")


@pytest.mark.slow
def test_of_a_connection_that_is_open_at_one_end_alone_both_ends_come_free(night_world: NightWorld) -> None:
    """The server forgets the unit and frees the lock, so that another publishes; the unit gives up at its deadline."""
    night, served = night_world.next_night(), night_world.served_links()
    deliver(night_world, night)
    with (
        night_world.changed_settings("linkage-unit", SHORT_DEADLINE),
        through_a_proxy(night_world, "linkage-unit", "warehouse.url") as warehouse,
    ):
        halved = night_world.start_party("linkage_unit", night)
        halved.wait_for("score pairs started")
        warehouse.half_open()
        wait_until(lambda: sessions_of_the_unit(night_world) == 0, halved)
    other = night_world.run_party("linkage_unit", night)
    assert other.process.returncode == 0, other.text
    assert halved.finish() == 1, halved.text
    assert halved.text.splitlines()[-1].startswith("E-WH-UNAVAILABLE: "), halved.text
    published_whole(night_world, night, served)


def test_a_process_that_was_stopped_wakes_up_after_a_newer_night_and_publishes_nothing(
    night_world: NightWorld,
) -> None:
    """SIGSTOP while it publishes, its sessions ended, a newer night published, SIGCONT: the fence refuses it."""
    night, served = night_world.next_night(), night_world.served_links()
    deliver(night_world, night)
    with locked_links(night_world):
        zombie = night_world.start_party("linkage_unit", night)
        wait_until_publishing(night_world, zombie)
        os.kill(zombie.process.pid, signal.SIGSTOP)
        night_world.query(
            f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {UNIT_SESSIONS}"
        )
    try:
        newer = night_world.next_night()
        assert night_world.run_night(newer).process.returncode == 0
        whole = night_world.warehouse_digests()
    finally:
        os.kill(zombie.process.pid, signal.SIGCONT)

    assert zombie.finish() == 1, zombie.text
    assert zombie.text.splitlines()[-1].startswith("E-RUN-FENCED: "), zombie.text
    assert night_world.warehouse_digests() == whole
    assert (night_world.ledger(night) or ("",))[0] == "failed"
    published_whole(night_world, newer, served)


def test_a_process_that_was_stopped_before_a_newer_night_finds_its_files_gone_and_says_so(
    night_world: NightWorld,
) -> None:
    """SIGSTOP before it compares; a newer night is published, and its working files are removed with the others."""
    night, served = night_world.next_night(), night_world.served_links()
    deliver(night_world, night)
    zombie = night_world.start_party("linkage_unit", night)
    zombie.wait_for("block records started")
    os.kill(zombie.process.pid, signal.SIGSTOP)
    try:
        night_world.query(
            f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {UNIT_SESSIONS}"
        )
        newer = night_world.next_night()
        assert night_world.run_night(newer).process.returncode == 0
        whole = night_world.warehouse_digests()
    finally:
        os.kill(zombie.process.pid, signal.SIGCONT)

    assert zombie.finish() == 1, zombie.text
    assert zombie.text.splitlines()[-1].startswith("E-CHUNK-FILE: "), zombie.text
    assert night_world.warehouse_digests() == whole
    published_whole(night_world, newer, served)


@pytest.mark.slow
def test_a_warehouse_that_restarts_all_night_long_is_published_to_once(night_world: NightWorld) -> None:
    """An immediate shutdown and a start, again and again, while the linkage unit is at work (fault 24)."""
    night, served = night_world.next_night(), night_world.served_links()
    deliver(night_world, night)
    server, restarts = night_world.demo.servers["warehouse"], 0
    for pause_s in (0.5, 1.0, 2.0, 3.0, 5.0):
        unit = night_world.start_party("linkage_unit", night)
        unit.wait_for("enter the run in the ledger started")
        signal.sigtimedwait([], pause_s)
        os.kill(server.process_id or 0, signal.SIGQUIT)
        while server.is_running():
            signal.sigtimedwait([], 0.05)
        server.start()
        restarts += 1
        code = unit.finish()
        assert code == 0 or unit.text.splitlines()[-1].startswith("E-WH-UNAVAILABLE: "), unit.text
    assert restarts == 5
    last = night_world.run_party("linkage_unit", night)
    assert last.process.returncode == 0, last.text
    published_whole(night_world, night, served)


def test_a_warehouse_that_only_reads_is_told_and_yesterday_s_links_stay(night_world: NightWorld) -> None:
    """As after a failover to a standby: the loader may read and not write (fault 28)."""
    night, served = night_world.next_night(), night_world.served_links()
    deliver(night_world, night)
    run_as_superuser(night_world, "ALTER ROLE linkage_loader SET default_transaction_read_only = on")
    try:
        unit = night_world.run_party("linkage_unit", night)
    finally:
        run_as_superuser(night_world, "ALTER ROLE linkage_loader RESET default_transaction_read_only")
    assert unit.process.returncode == 1
    assert unit.text.splitlines()[-1].startswith("E-WH-UNAVAILABLE: found SQLSTATE 25006"), unit.text
    assert night_world.served_links() == served

    again = night_world.run_party("linkage_unit", night)
    assert again.process.returncode == 0, again.text
    published_whole(night_world, night, served)


def run_as_superuser(world: NightWorld, *statements: str) -> None:
    connection = psycopg2.connect(world.warehouse_superuser_url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()
