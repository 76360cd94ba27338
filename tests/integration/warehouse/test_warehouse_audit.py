"""The log as PostgreSQL writes it; what tampering with it leaves behind is in test_audit_tampering.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from linkage_core.audit.audit_events import NightPublished, parse_entry
from linkage_core.audit.log_check import check_log
from linkage_core.audit.merkle_tree import grow_tree, leaf_hash
from sql.warehouse.audit_log import read_entries, read_head_runs, read_nodes, read_publications
from sql.warehouse.transactions import warehouse_snapshot
from tests.integration.warehouse.warehouse_nights import Nights, day, link


@pytest.fixture
def three_nights(nights: Nights) -> Iterator[Nights]:
    """Three published nights."""
    for number in range(3):
        nights.night(f"n{number}", [link() for _ in range(3 + number)], day(number))
    return nights


def test_an_untouched_log_verifies(three_nights: Nights) -> None:
    with warehouse_snapshot(three_nights.warehouse.engine("auditor"), doing="auditing") as connection:
        entries = list(read_entries(connection))
        publications = read_publications(connection)
        heads = read_head_runs(connection)
        checked = check_log(entries, read_nodes(connection))
    assert checked.findings == ()
    assert checked.head.size == len(entries)
    told = {n: text for n, text in entries if isinstance(parse_entry(text).event, NightPublished)}
    assert [p.audit_sequence for p in publications] == sorted(told)
    assert [p.audit_event_hash for p in publications] == [leaf_hash(told[n].encode()) for n in sorted(told)]
    assert heads[three_nights.project] == f"{three_nights.project}.n2"


def test_postgresql_and_python_grow_the_same_tree(three_nights: Nights) -> None:
    with warehouse_snapshot(three_nights.warehouse.engine("auditor"), doing="auditing") as connection:
        leaves = [leaf_hash(text.encode()) for _, text in read_entries(connection)]
        assert read_nodes(connection) == grow_tree(leaves)[1]


def test_an_entry_says_who_and_when(three_nights: Nights) -> None:
    with warehouse_snapshot(three_nights.warehouse.engine("auditor"), doing="auditing") as connection:
        *_, (_, newest) = read_entries(connection)
        now = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
    entry = parse_entry(newest)
    assert entry.by == "linkage_loader"
    assert 0 <= (now - entry.at).total_seconds() < 60


@pytest.mark.parametrize("table", ["event", "node"])
@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit.{} SET {} = {}", "DELETE FROM audit.{}", "TRUNCATE audit.{} CASCADE"],
    ids=["update", "delete", "truncate"],
)
def test_even_a_superuser_must_mean_it(three_nights: Nights, table: str, statement: str) -> None:
    column = "sequence" if table == "event" else "level"
    with pytest.raises(Exception, match="insert-only"):
        three_nights.warehouse.as_superuser(statement.format(table, column, column))
