"""A database call ends by its deadline, whatever the server does, and its error quotes nothing."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import text

from linkage_core.errors import NightlinkError
from sql.copy_rows import copy_rows
from sql.engine import coded_database_errors, make_engine, retry_transient
from sql.servers import PostgresServer
from tests.faults.tcp_proxy import TcpProxy


@pytest.fixture(scope="module")
def url(postgres_server: PostgresServer) -> str:
    return postgres_server.superuser_url()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=8) as listener:
        yield listener.getsockname()[1]


def ask(url: str, deadline_s: float, question: str = "SELECT 1") -> None:
    engine = make_engine(url, deadline_s=deadline_s, application_name="test deadline")
    with coded_database_errors("E-SRC-UNAVAILABLE", doing="asking"), engine.begin() as connection:
        connection.execute(text(question))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("deadline_s", [1.0, 3.0])
def test_a_server_that_accepts_and_never_answers(silent_port: int, host: str, deadline_s: float) -> None:
    began = time.monotonic()
    with pytest.raises(NightlinkError, match="E-SRC-UNAVAILABLE") as raised:
        ask(f"postgresql://someone:PLANTED@{host}:{silent_port}/x", deadline_s)
    assert time.monotonic() - began < deadline_s + 1.5
    assert raised.value.transient
    assert "PLANTED" not in repr(raised.value)
    assert raised.value.__cause__ is None


def test_a_port_on_which_nobody_listens(silent_port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(NightlinkError, match="E-SRC-UNAVAILABLE") as raised:
        ask(f"postgresql://someone:PLANTED@127.0.0.1:{port}/x", 5.0)
    assert raised.value.transient
    assert time.monotonic() - began < 2


def test_a_server_that_falls_silent_after_the_login(url: str) -> None:
    with TcpProxy(url) as proxy:
        engine = make_engine(proxy.url, deadline_s=2.0, application_name="test deadline")
        began = time.monotonic()
        with (
            pytest.raises(NightlinkError, match="E-WH-UNAVAILABLE.*no answer") as raised,
            coded_database_errors("E-WH-UNAVAILABLE", doing="asking"),
            engine.begin() as connection,
        ):
            connection.execute(text("SELECT 1"))
            proxy.hang()
            connection.execute(text("SELECT 2"))
        assert 1.5 < time.monotonic() - began < 4
        assert raised.value.transient


def test_a_server_that_falls_silent_in_a_copy(url: str) -> None:
    with TcpProxy(url) as proxy:
        engine = make_engine(proxy.url, deadline_s=2.0, application_name="test deadline")
        began = time.monotonic()

        def rows() -> Iterator[tuple[str]]:
            yield ("x",)
            proxy.hang()
            while True:
                yield ("x" * 8000,)

        with (
            pytest.raises(NightlinkError, match="E-WH-UNAVAILABLE"),
            coded_database_errors("E-WH-UNAVAILABLE", doing="copying"),
            engine.begin() as connection,
        ):
            connection.execute(text("CREATE TEMP TABLE sink (t text)"))
            copy_rows(connection, "COPY sink FROM STDIN", rows())
        assert time.monotonic() - began < 4


def test_a_statement_that_takes_too_long(url: str) -> None:
    began = time.monotonic()
    with pytest.raises(NightlinkError, match="E-SRC-UNAVAILABLE"):
        ask(url, 1.0, "SELECT pg_sleep(30)")
    assert time.monotonic() - began < 3


def test_many_short_statements_share_one_deadline(url: str) -> None:
    began = time.monotonic()
    engine = make_engine(url, deadline_s=1.0, application_name="test deadline")
    with (
        pytest.raises(NightlinkError, match="E-WH-UNAVAILABLE"),
        coded_database_errors("E-WH-UNAVAILABLE", doing="asking"),
        engine.begin() as connection,
    ):
        while True:
            connection.execute(text("SELECT pg_sleep(0.2)"))
    assert time.monotonic() - began < 3


def test_connections_that_end_in_time_leave_no_thread(url: str) -> None:
    before = _watchdogs()
    for _ in range(5):
        ask(url, 60.0)
    give_up = time.monotonic() + 10  # a countdown that was stopped takes a moment to end; 60 s is not one
    while _watchdogs() - before and time.monotonic() < give_up:
        time.sleep(0.02)
    assert not _watchdogs() - before


def _watchdogs() -> set[threading.Thread]:
    """Countdowns alone: a Prefect test server that ran in this process has threads that come and go."""
    return {thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)}


@pytest.mark.parametrize(
    ("statement", "code", "transient"),
    [
        ("SELECT 'PLANTED'::uuid", "E-INTERNAL", False),
        ("SELECT * FROM planted_table", "E-SRC-SCHEMA", False),
        ("DO $$ BEGIN RAISE EXCEPTION 'PLANTED' USING ERRCODE = '40001'; END $$", "E-SRC-UNAVAILABLE", True),
        ("DO $$ BEGIN RAISE EXCEPTION 'PLANTED' USING ERRCODE = '57P01'; END $$", "E-SRC-UNAVAILABLE", True),
        ("DO $$ BEGIN RAISE EXCEPTION 'PLANTED' USING ERRCODE = '08006'; END $$", "E-SRC-UNAVAILABLE", True),
        ("DO $$ BEGIN RAISE EXCEPTION 'PLANTED' USING ERRCODE = '53100'; END $$", "E-SRC-UNAVAILABLE", False),
        ("DO $$ BEGIN RAISE EXCEPTION 'PLANTED' USING ERRCODE = '23514'; END $$", "E-INTERNAL", False),
        ("SELECT pg_terminate_backend(pg_backend_pid())", "E-SRC-UNAVAILABLE", True),
    ],
)
def test_errors_keep_their_sqlstate_and_nothing_else(
    url: str, statement: str, code: str, transient: bool
) -> None:
    with pytest.raises(NightlinkError) as raised:
        ask(url, 10.0, statement)
    assert (raised.value.code, raised.value.transient) == (code, transient)
    assert "planted" not in repr(raised.value).lower()
    assert raised.value.__suppress_context__


def test_a_wrong_password_is_not_worth_another_try(postgres_server: PostgresServer) -> None:
    with pytest.raises(NightlinkError, match="refused the credentials") as raised:
        ask(postgres_server.url("somebody", "PLANTED", "postgres"), 5.0)
    assert not raised.value.transient
    assert "somebody" not in str(raised.value)


@pytest.mark.parametrize(
    "wrong", ["", "nonsense", "mysql://a:PLANTED@b/c", "postgresql://a:PLANTED@b:port/c"]
)
def test_a_wrong_url_is_a_mistake_in_the_settings(wrong: str) -> None:
    with pytest.raises(NightlinkError, match="E-SETTINGS") as raised:
        make_engine(wrong, deadline_s=1.0, application_name="x")
    assert "PLANTED" not in repr(raised.value)


def failing(errors: list[NightlinkError]) -> Callable[[], str]:
    def call() -> str:
        if errors:
            raise errors.pop(0)
        return "done"

    return call


def unavailable(transient: bool) -> NightlinkError:
    return NightlinkError("E-WH-UNAVAILABLE", found="f", expected="e", remedy="r", transient=transient)


def test_only_what_may_pass_is_tried_again_and_within_the_window() -> None:
    now, pauses = [0.0], []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    assert (
        retry_transient(failing([unavailable(True)] * 3), window_s=10, sleep=sleep, clock=lambda: now[0])
        == "done"
    )
    assert pauses == [0.5, 1.0, 2.0]
    for errors in ([unavailable(False)], [unavailable(True)] * 99):
        with pytest.raises(NightlinkError):
            retry_transient(failing(errors), window_s=10, sleep=sleep, clock=lambda: now[0])
    assert now[0] < 20
