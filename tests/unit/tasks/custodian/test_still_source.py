"""A source that answers and stands still is warned of, then refused; one row that changes begins the count anew."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from linkage_core.errors import NightlinkError
from tasks.custodian.night_folder import night_folder
from tasks.custodian.settings import CustodianSite
from tasks.custodian.still_source import STATE_FILE, still_source
from tests.reference.small_world import NIGHT, few_people, make_site, raw_table

PEOPLE = raw_table(few_people(20).side_a)


def look(site: CustodianSite, number: int, people: pa.Table = PEOPLE, admissions: int = 3) -> tuple[str, ...]:
    """Night ``number``: what is warned of these people and so many rows of content."""
    content = pa.RecordBatch.from_pydict({"source_id": [str(n) for n in range(admissions)]})
    with night_folder(site.settings.state_folder) as folder:
        identifiers, rows = folder.spool("identifiers"), folder.spool("content")
        for batch in people.combine_chunks().to_batches(max_chunksize=8):
            identifiers.write(batch)
        rows.write(content)
        return still_source(identifiers, rows, NIGHT + timedelta(days=number), site)


def test_the_same_rows_are_warned_of_after_two_nights_and_refused_after_most(tmp_path: Path) -> None:
    site = make_site(tmp_path, most_still_nights=4)
    assert [look(site, night) for night in (0, 0, 1)] == [(), (), ()]
    for night in (2, 4):
        assert look(site, night) == (
            f"the source has not changed since {NIGHT.isoformat()}, {night} nights ago",
        )
    for _ in range(2):  # run again, it is as still
        with pytest.raises(NightlinkError, match="E-DQ-STALE.*5 nights ago"):
            look(site, 5)


@pytest.mark.parametrize("changed", ["a person", "a person less", "content"])
def test_any_change_begins_the_count_anew(tmp_path: Path, changed: str) -> None:
    site = make_site(tmp_path)
    look(site, 0)
    ids = PEOPLE["source_id"].to_pylist()
    other = PEOPLE.set_column(PEOPLE.schema.get_field_index("source_id"), "source_id", [["x", *ids[1:]]])
    people = {"a person": other, "a person less": PEOPLE.slice(1)}.get(changed, PEOPLE)
    rows = 4 if changed == "content" else 3
    assert look(site, 6, people, rows) == ()
    assert look(site, 9, people, rows) != ()


def test_without_a_limit_a_still_source_is_delivered(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    look(site, 0)
    assert look(site, 400) != ()


def test_an_unreadable_memory_and_an_earlier_night_are_no_stillness(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    look(site, 5)
    assert look(site, 3) == (), "a night that was missed, run later"
    for torn in (b"", b"{}", b'{"rows": "", "since": "soon"}'):
        (site.settings.state_folder / STATE_FILE).write_bytes(torn)
        assert look(site, 400) == ()


def test_nobody_without_the_sites_key_can_try_rows_against_what_is_kept(tmp_path: Path) -> None:
    digests = set()
    for name in ("hospital", "pharmacy"):
        site = make_site(tmp_path / name, name)
        look(site, 0)
        digests.add((site.settings.state_folder / STATE_FILE).read_bytes())
    assert len(digests) == 2
