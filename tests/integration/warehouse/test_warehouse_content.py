"""Content: whole versions under record pseudonyms, each custodian its own, and no value in any server's words."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from linkage_core.errors import NightlinkError
from sql.servers import PostgresServer
from sql.warehouse.content import load_content
from tests.integration.warehouse.warehouse_nights import Nights, Warehouse, content_event, day, load, serve


def admission(code: str | None = "I21.9") -> tuple[Any, ...]:
    return (str(uuid.uuid4()), day(-20), day(-10), code)


def dispensing() -> tuple[Any, ...]:
    return (str(uuid.uuid4()), day(-5), "C10AA05", 30)


def visible(warehouse: Warehouse, view: str = "admission_v1") -> list[tuple[Any, ...]]:
    shown = warehouse.as_researcher(f"SELECT record_pseudonym::text FROM research.{view}")
    inside = dict(warehouse.as_superuser("SELECT outside::text, inside::text FROM access.pseudonym"))
    return sorted((inside[record],) for (record,) in shown)


def stored(warehouse: Warehouse) -> int:
    return warehouse.as_superuser("SELECT count(*) FROM content.admission")[0][0]


def test_readers_see_the_last_version_and_the_one_before_it_goes_with_the_next(warehouse: Warehouse) -> None:
    versions = [[admission() for _ in range(n)] for n in (3, 4, 5)]
    for number, rows in enumerate(versions):
        assert load(warehouse, "hospital", rows, f"n{number}", day(number)).status == "loaded"
        serve(warehouse, f"n{number}", day(number))
        assert visible(warehouse) == sorted((row[0],) for row in rows)
    assert stored(warehouse) == 4 + 5


def test_content_is_served_from_the_same_moment_as_the_links_of_its_night(warehouse: Warehouse) -> None:
    """Invariant I4: no reader sees the content of one night with the links of another."""
    yesterday, today = [admission()], [admission(), admission()]
    load(warehouse, "hospital", yesterday, "yesterday", day(4))
    serve(warehouse, "yesterday", day(4))
    nights = Nights(warehouse, "served_together")
    run = nights.begin("failed", day(5))
    load(warehouse, "hospital", today, run.run_id, day(5))
    assert visible(warehouse) == [(yesterday[0][0],)], "delivered, and the night not published yet"
    nights.publish(run, [])
    assert visible(warehouse) == sorted((row[0],) for row in today)


def test_content_that_comes_again_after_another_version_is_loaded_again(warehouse: Warehouse) -> None:
    first, second = [admission()], [admission(), admission()]
    assert load(warehouse, "hospital", first, "to-and-fro", day(6)).status == "loaded"
    assert load(warehouse, "hospital", second, "to-and-fro", day(6)).status == "loaded"
    assert load(warehouse, "hospital", first, "to-and-fro", day(6)).status == "loaded"
    serve(warehouse, "to-and-fro", day(6))
    assert visible(warehouse) == [(first[0][0],)]


def test_the_same_rows_of_the_same_run_change_nothing(warehouse: Warehouse) -> None:
    rows = [admission(), admission(None)]
    first = load(warehouse, "hospital", rows, "same", day(10))
    before = warehouse.state()
    second = load(warehouse, "hospital", rows, "same", day(10))
    assert (first.status, second.status) == ("loaded", "unchanged")
    assert (first.digest, first.audit_sequence) == (second.digest, second.audit_sequence)
    assert warehouse.state() == before


def test_other_rows_of_the_same_run_replace_it(warehouse: Warehouse) -> None:
    load(warehouse, "hospital", [admission()], "again", day(11))
    rows = [admission(), admission()]
    assert load(warehouse, "hospital", rows, "again", day(11)).status == "loaded"
    serve(warehouse, "again", day(11))
    assert visible(warehouse) == sorted((row[0],) for row in rows)


def test_a_version_without_rows_is_a_version(warehouse: Warehouse) -> None:
    assert load(warehouse, "hospital", [], "none", day(12)).rows == {"admission": 0}
    serve(warehouse, "none", day(12))
    assert visible(warehouse) == []


def test_content_of_an_earlier_day_is_refused(warehouse: Warehouse) -> None:
    load(warehouse, "pharmacy", [dispensing()], "late", day(21))
    serve(warehouse, "late", day(21))
    with pytest.raises(NightlinkError, match="E-RUN-FENCED.*later day"):
        load(warehouse, "pharmacy", [dispensing()], "early", day(20))


def test_custodians_do_not_touch_each_other_s_content(warehouse: Warehouse) -> None:
    load(warehouse, "hospital", [admission()], "both", day(30))
    load(warehouse, "pharmacy", [dispensing()], "both", day(30))
    serve(warehouse, "both", day(30))
    load(warehouse, "pharmacy", [dispensing()], "both2", day(31))
    serve(warehouse, "both2", day(31))
    assert len(visible(warehouse)) == 1
    assert len(visible(warehouse, "dispensing_v1")) == 1


def test_a_custodian_may_not_load_what_it_was_not_admitted_to(warehouse: Warehouse) -> None:
    with pytest.raises(NightlinkError, match="E-WH-SCHEMA.*42501"):
        load_content(
            warehouse.engine("hospital_content_loader"), run_id="x", as_of=day(40),
            tables={"dispensing": [dispensing()]}, make_event=content_event("hospital", "x", day(40)),
        )  # fmt: skip
    with pytest.raises(NightlinkError, match="E-INPUT.*content tables"):
        load_content(
            warehouse.engine("hospital_content_loader"), run_id="x", as_of=day(40), tables={"patient": []},
            make_event=content_event("hospital", "x", day(40)),
        )  # fmt: skip


def test_a_custodian_cannot_enter_another_kind_of_event(warehouse: Warehouse) -> None:
    before = warehouse.state()
    for forge in (
        content_event("pharmacy", "forged", day(50)),
        content_event("hospital", "another", day(50)),
        content_event("hospital", "forged", day(51)),
        lambda _digest, rows: content_event("hospital", "forged", day(50))("0" * 64, rows),
        lambda _digest, _rows: '{"kind":"night_published"}',
    ):
        with pytest.raises(NightlinkError, match="E-INPUT.*audit event"):
            load_content(
                warehouse.engine("hospital_content_loader"), run_id="forged", as_of=day(50),
                tables={"admission": [admission()]}, make_event=forge,
            )  # fmt: skip
    assert warehouse.state() == before


def test_every_load_has_its_event(warehouse: Warehouse) -> None:
    done = load(warehouse, "hospital", [admission()], "evented", day(60))
    events = warehouse.as_superuser(
        f"SELECT entry::jsonb -> 'event' ->> 'manifest_sha256' FROM audit.event WHERE sequence = {done.audit_sequence}"
    )
    assert events == [(done.digest,)]


class RowsEnded(Exception):  # noqa: N818
    """The test's own."""


def test_bad_rows_leave_nothing_and_no_word_of_theirs_reaches_the_server_s_log(
    warehouse: Warehouse, postgres_server: PostgresServer
) -> None:
    def breaks_off() -> Iterator[tuple[Any, ...]]:
        yield admission("PLANTED-1")
        raise RowsEnded("PLANTED-2")

    before = warehouse.state()
    bad: list[tuple[Any, type[Exception], str]] = [
        ([admission("PLANTED-3\x00")], NightlinkError, "E-INPUT.*row 1, column 4"),
        ([admission(), admission("PLANTED-4\ud800")], NightlinkError, "E-INPUT.*row 2, column 4"),
        ([("PLANTED-5", day(0), None, None)], NightlinkError, "SQLSTATE 22P02"),
        ([(str(uuid.uuid4()), "PLANTED-6", None, None)], NightlinkError, "SQLSTATE 22007"),
        ([(*admission("PLANTED-7"), "one too many")], NightlinkError, "SQLSTATE 22P04"),
        ([(str(uuid.uuid4()), None, None, "PLANTED-8")], NightlinkError, "E-INPUT.*rows without"),
        (breaks_off(), RowsEnded, "PLANTED-2"),
    ]
    for rows, error_type, message in bad:
        with pytest.raises(error_type, match=message) as raised:
            load(warehouse, "hospital", rows, "bad", day(70))
        assert error_type is RowsEnded or "PLANTED" not in repr(raised.value)
    assert warehouse.state() == before
    assert "PLANTED" not in postgres_server.log_path.read_text()


def test_text_arrives_as_it_was(warehouse: Warehouse) -> None:
    codes = ["tab\there", "line\nbreak", "back\\slash", "\\N", "", "É–中文", "\r", "quote'\""]
    load(warehouse, "hospital", [admission(code) for code in codes], "text", day(80))
    serve(warehouse, "text", day(80))
    found = warehouse.as_researcher("SELECT diagnosis_code FROM research.admission_v1")
    assert sorted(code for (code,) in found) == sorted(codes)
