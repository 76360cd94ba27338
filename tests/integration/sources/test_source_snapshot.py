"""Reading a source: one moment, in batches, within a deadline, by declared columns alone."""

from __future__ import annotations

import itertools
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg2
import pytest
from sqlalchemy.engine import make_url

from linkage_core.errors import NightlinkError
from sql.custodian.source import _CopySink, read_extract, source_snapshot, stream_rows
from sql.custodian.source_creation import create_source, extractor_role

PLANTED = "Quetzalcoatlus"
STATEMENT = """
-- reads patient: patient_id text, given_name text
-- may have patient: note text
-- returns: source_id, given_name
SELECT patient_id AS source_id, given_name FROM patient ORDER BY patient_id
"""


def run(url: str, statement: str) -> None:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


@pytest.fixture
def patients(fresh_database) -> str:
    """A database with a small table of patients; the superuser's URL."""
    url = fresh_database("patients")
    run(url, "CREATE TABLE patient (patient_id text PRIMARY KEY, given_name text)")
    run(url, "INSERT INTO patient SELECT 'H' || n, 'name ' || n FROM generate_series(100, 199) n")
    return url


def read_all(url: str, statement: str = STATEMENT, deadline_s: float = 10, **options) -> list[dict]:
    with source_snapshot(url, deadline_s) as snapshot:
        batches = list(stream_rows(snapshot, statement, 30, **options))
    return [row for batch in batches for row in batch.to_pylist()]


def make_long(url: str) -> None:
    """So many rows that they do not fit into what the network buffers while nobody reads."""
    run(url, "INSERT INTO patient SELECT 'L' || n, repeat('x', 90) FROM generate_series(1, 250000) n")


# -- one moment


def test_a_writer_at_work_is_not_seen(patients):
    stopped = threading.Event()

    def write() -> None:
        connection = psycopg2.connect(patients)
        connection.autocommit = True
        with connection.cursor() as cursor:
            for number in itertools.count(1000):
                if stopped.is_set():
                    break
                cursor.execute("INSERT INTO patient VALUES (%s, 'new')", (f"H{number}",))
                cursor.execute("UPDATE patient SET given_name = 'changed' WHERE patient_id = 'H150'")
                cursor.execute("DELETE FROM patient WHERE patient_id = 'H199'")
        connection.close()

    with source_snapshot(patients, 20) as snapshot:
        writer = threading.Thread(target=write)
        writer.start()
        try:
            first = stream_rows(snapshot, STATEMENT, 10)
            rows = next(first).to_pylist()
            time.sleep(0.2)
            rows += [row for batch in first for row in batch.to_pylist()]
            again = [row for batch in stream_rows(snapshot, STATEMENT, 7) for row in batch.to_pylist()]
        finally:
            stopped.set()
            writer.join()
    assert rows == again == [{"source_id": f"H{n}", "given_name": f"name {n}"} for n in range(100, 200)]
    assert len(read_all(patients)) > 100


def test_batches_are_full_but_the_last_and_all_text(patients):
    with source_snapshot(patients, 10) as snapshot:
        batches = list(stream_rows(snapshot, STATEMENT, 30))
        exact = list(stream_rows(snapshot, STATEMENT, 50))
    assert [batch.num_rows for batch in batches] == [30, 30, 30, 10]
    assert [batch.num_rows for batch in exact] == [50, 50]
    assert {str(field.type) for batch in batches for field in batch.schema} == {"string"}


def test_a_source_without_rows_gives_one_empty_batch(patients):
    run(patients, "TRUNCATE patient")
    with source_snapshot(patients, 10) as snapshot:
        [batch] = stream_rows(snapshot, STATEMENT, 30)
    assert batch.num_rows == 0 and batch.schema.names == ["source_id", "given_name"]


def test_the_snapshot_says_when_it_was_taken_and_hides_where(patients):
    with source_snapshot(patients, 10) as snapshot:
        assert snapshot.taken_at.utcoffset() is not None
        assert "postgresql://" not in repr(snapshot)


# -- within a deadline


@contextmanager
def listener_that_never_answers() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


class Proxy:
    """Passes bytes between a client and the real server, from `opens_at` until `stall` is called."""

    def __init__(self, target_port: int, opens_after_s: float = 0.0) -> None:
        self._target = target_port
        self._sockets: list[socket.socket] = []
        self._flowing = threading.Event()
        self._flowing.set()
        self._server = socket.socket()
        self._server.bind(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._opener = threading.Timer(opens_after_s, self._open)
        self._opener.start()

    def stall(self) -> None:
        self._flowing.clear()

    def close(self) -> None:
        self._opener.cancel()
        for each in (self._server, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _open(self) -> None:
        self._server.listen()
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                upstream = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [client, upstream]
                for pair in ((client, upstream), (upstream, client)):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, origin: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := origin.recv(65536):
                if not self._flowing.is_set():
                    continue  # swallowed: the other end waits for ever
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def through(url: str, port: int) -> str:
    return make_url(url).set(port=port).render_as_string(hide_password=False)


def unavailable(url: str, deadline_s: float, **options) -> tuple[NightlinkError, float]:
    began = time.monotonic()
    with pytest.raises(NightlinkError) as caught, source_snapshot(url, deadline_s, **options) as snapshot:
        list(stream_rows(snapshot, STATEMENT, 10))
    assert caught.value.code == "E-SRC-UNAVAILABLE"
    return caught.value, time.monotonic() - began


def test_a_listener_that_accepts_and_never_answers_ends_at_the_deadline():
    with listener_that_never_answers() as port:
        error, took_s = unavailable(f"postgresql://someone:secret@127.0.0.1:{port}/source", 3)
    assert took_s < 3.5
    assert "secret" not in str(error) and error.transient


def test_a_refused_port_is_tried_again_until_the_window_closes():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"postgresql://someone:secret@127.0.0.1:{unused.getsockname()[1]}/source"
        _, took_s = unavailable(url, 10, retry_window_s=1.6)
    assert 1.4 < took_s < 2.5


def test_a_source_that_comes_up_within_the_window_is_read(patients):
    proxy = Proxy(make_url(patients).port, opens_after_s=1.0)
    try:
        assert len(read_all(through(patients, proxy.port))) == 100
    finally:
        proxy.close()


def test_a_source_that_falls_silent_in_the_middle_ends_at_the_deadline(patients):
    make_long(patients)
    proxy = Proxy(make_url(patients).port)
    began = time.monotonic()
    try:
        with (
            pytest.raises(NightlinkError) as caught,
            source_snapshot(through(patients, proxy.port), 2) as snapshot,
        ):
            for _ in stream_rows(snapshot, STATEMENT, 1000):
                proxy.stall()
    finally:
        proxy.close()
    assert caught.value.code == "E-SRC-UNAVAILABLE"
    assert time.monotonic() - began < 3


def test_a_stream_that_is_left_early_holds_up_nobody(patients):
    make_long(patients)
    began = time.monotonic()
    with source_snapshot(patients, 30) as snapshot:
        stream = stream_rows(snapshot, STATEMENT, 1000)
        assert next(stream).num_rows == 1000
        stream.close()
    assert time.monotonic() - began < 5
    assert [thread for thread in threading.enumerate() if thread.name == "nightlink extract"] == []


@pytest.mark.timeout(60)
def test_an_unforeseen_error_while_rows_are_copied_reaches_who_reads_them(patients, monkeypatch):
    def fail(sink: _CopySink) -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(_CopySink, "pass_on", fail)
    with pytest.raises(RuntimeError, match="unforeseen"):
        read_all(patients)


def test_a_locked_table_ends_at_the_deadline(patients):
    holder = psycopg2.connect(patients)
    holder.cursor().execute("LOCK TABLE patient IN ACCESS EXCLUSIVE MODE")
    try:
        _, took_s = unavailable(patients, 1.5)
    finally:
        holder.close()
    assert took_s < 2.5


def test_a_source_that_breaks_off_is_unavailable(patients):
    make_long(patients)
    with pytest.raises(NightlinkError) as caught, source_snapshot(patients, 10) as snapshot:
        for _ in stream_rows(snapshot, STATEMENT, 1000):
            run(
                patients,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'nightlink extract' AND datname = current_database()",
            )
    assert caught.value.code == "E-SRC-UNAVAILABLE" and caught.value.transient


def test_a_wrong_password_is_not_tried_again(patients):
    url = make_url(patients).set(password="hunter2").render_as_string(hide_password=False)
    error, took_s = unavailable(url, 10)
    assert took_s < 1 and not error.transient and "hunter2" not in str(error)


# -- by declared columns


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            "ALTER TABLE patient RENAME given_name TO first_name",
            "missing patient.given_name, unexpected patient.first_name",
        ),
        ("ALTER TABLE patient DROP given_name", "missing patient.given_name"),
        ("ALTER TABLE patient ADD ssn text", "unexpected patient.ssn"),
        (
            "ALTER TABLE patient ALTER given_name TYPE varchar(30)",
            "patient.given_name of type character varying(30) and not text",
        ),
        ("DROP TABLE patient", "no table patient"),
    ],
    ids=["renamed", "removed", "added", "retyped", "dropped"],
)
def test_a_drifted_table_is_refused_by_name(patients, change, named):
    run(patients, change)
    with pytest.raises(NightlinkError) as caught:
        read_all(patients)
    assert caught.value.code == "E-SRC-SCHEMA"
    assert caught.value.found == named


def test_an_optional_column_may_come_and_go(patients):
    run(patients, "ALTER TABLE patient ADD note text")
    assert len(read_all(patients)) == 100


@pytest.mark.parametrize(
    ("selected", "named"),
    [
        ("patient_id AS source_id", "missing given_name"),
        ("patient_id AS source_id, given_name, 'x'::text AS fax", "unexpected fax"),
        ("patient_id AS source_id, 7 AS given_name", "given_name not text"),
        ("patient_id AS source_id, given_name, given_name", "given_name twice"),
    ],
)
def test_a_result_of_other_columns_is_refused_by_name(patients, selected, named):
    statement = f"-- returns: source_id, given_name\nSELECT {selected} FROM patient"
    with pytest.raises(NightlinkError, match=named) as caught:
        read_all(patients, statement)
    assert caught.value.code == "E-SRC-SCHEMA"


def test_the_wanted_columns_decide_what_is_kept(patients):
    wanted = {"columns": ("given_name", "source_id", "email"), "optional": ("email",)}
    assert read_all(patients, **wanted)[0] == {"given_name": "name 100", "source_id": "H100"}
    assert read_all(patients, columns=("source_id",))[0] == {"source_id": "H100"}
    with pytest.raises(NightlinkError, match="missing email"):
        read_all(patients, columns=("source_id", "email"))


def test_a_failing_statement_quotes_no_value(patients):
    run(patients, f"UPDATE patient SET given_name = '{PLANTED}'")
    statement = "SELECT patient_id AS source_id, (given_name::date)::text AS given_name FROM patient"
    with pytest.raises(NightlinkError) as caught:
        read_all(patients, statement)
    assert PLANTED not in "".join(traceback.format_exception(caught.value))
    chain, error = [], caught.value
    while error is not None:
        chain.append(str(error))
        error = error.__cause__ or error.__context__
    assert PLANTED not in "".join(chain)
    assert "22007" in chain[0]


def test_a_declared_table_name_is_no_place_for_an_injection(patients):
    statement = '-- reads patient"; DROP TABLE patient; --: patient_id text\n' + STATEMENT
    assert len(read_all(patients, statement)) == 100
    with pytest.raises(NightlinkError, match="E-INPUT"):
        read_extract("hospital", "../../secrets")


# -- as a role that may read and nothing else


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO patient (patient_id) VALUES ('H1')",
        "UPDATE patient SET given_name = 'x'",
        "DELETE FROM patient",
        "TRUNCATE patient",
        "DROP TABLE patient",
        "CREATE TABLE copied AS SELECT * FROM patient",
        "CREATE TEMP TABLE copied AS SELECT * FROM patient",
        "COPY patient TO PROGRAM 'cat'",
        "SELECT * FROM audit_of_the_hospital",
    ],
)
def test_the_extractors_role_can_only_read(postgres_server, hospital_url, statement):
    role, database = extractor_role("hospital"), make_url(hospital_url).database
    url = postgres_server.url(role, "reader", database)
    run(url, "SELECT * FROM patient, admission")
    with pytest.raises(psycopg2.Error) as caught:
        run(url, f"SET default_transaction_read_only = off; SET transaction_read_only = off; {statement}")
    assert caught.value.pgcode == "42501"  # insufficient_privilege


@pytest.fixture(scope="module")
def hospital_url(postgres_server):
    url = create_source(postgres_server.superuser_url(), "hospital", "reader", database="role_test")
    run(url, "CREATE TABLE audit_of_the_hospital (entry text)")
    return url
