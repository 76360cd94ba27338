"""Validation over batches: quarantine by row number and pseudonym, counts by rule, thresholds; never a value."""

from __future__ import annotations

import csv
import stat
from pathlib import Path

import pyarrow as pa
import pytest

from linkage_core.custodian.record_pseudonyms import record_pseudonyms
from linkage_core.errors import NightlinkError
from tasks.custodian.night_folder import night_folder
from tasks.custodian.settings import CustodianSite
from tasks.custodian.validate import ValidatedIdentifiers, validate_identifiers
from tests.reference.small_world import NIGHT, few_people, fill_spool, make_site, raw_table

GOOD_ROWS = 30


def _rows(**changes: dict[int, object]) -> pa.Table:
    """Good rows, with the values of some columns changed in some rows (numbered from 0)."""
    table = raw_table(few_people().side_a).slice(0, GOOD_ROWS)
    columns = {name: table[name].to_pylist() for name in table.column_names}
    columns["birth_date"] = ["19600229"] * GOOD_ROWS
    for name, values in changes.items():
        for row, value in values.items():
            columns[name][row] = value
    return pa.table({name: _column(values) for name, values in columns.items()})


def _column(values: list[object]) -> pa.Array:
    if any(isinstance(value, bytes) for value in values):
        return pa.array([v.encode() if isinstance(v, str) else v for v in values], pa.binary())
    return pa.array(values, pa.string())


def _validate(site: CustodianSite, table: pa.Table, batch_rows: int = 10) -> ValidatedIdentifiers:
    with night_folder(site.settings.state_folder) as folder:
        outcome = validate_identifiers(fill_spool(folder, table, batch_rows), NIGHT, site, folder)
        assert sum(batch.num_rows for batch in outcome.accepted) == outcome.extracted - outcome.rejected
        return outcome


def _quarantine(site: CustodianSite) -> list[dict[str, str]]:
    path = site.settings.state_folder / "quarantine" / f"{NIGHT.isoformat()}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _pseudonym(site: CustodianSite, source_id: str) -> str:
    protocol = site.protocol
    found = record_pseudonyms(site.site_key, [source_id], project=protocol.project, epoch=protocol.key_epoch)
    return found[0].tobytes().hex()


def test_good_rows_pass_whole_and_the_quarantine_is_empty(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    outcome = _validate(site, _rows())
    assert (outcome.extracted, outcome.rejected, outcome.rejected_by_rule) == (GOOD_ROWS, 0, {})
    assert all(count.success for count in outcome.expectations)
    assert _quarantine(site) == []


def test_rows_are_numbered_through_all_batches(tmp_path: Path) -> None:
    site = make_site(tmp_path, max_reject_share=1)
    table = _rows(birth_date={4: "19600230", 25: "not a date"}, given_name={17: "x" * 1_000_000})
    ids = table["source_id"].to_pylist()
    outcome = _validate(site, table)
    assert (outcome.extracted, outcome.rejected) == (GOOD_ROWS, 3)
    assert outcome.rejected_by_rule == {"R-DATE-FORMAT": 1, "R-DATE-IMPOSSIBLE": 1, "R-TOO-LONG": 1}
    assert _quarantine(site) == [
        {
            "row_number": number,
            "record_pseudonym": _pseudonym(site, ids[int(number) - 1]),
            "field": f,
            "reason": r,
        }
        for number, f, r in [
            ("5", "birth_date", "R-DATE-IMPOSSIBLE"),
            ("18", "given_name", "R-TOO-LONG"),
            ("26", "birth_date", "R-DATE-FORMAT"),
        ]
    ]


@pytest.mark.parametrize("batch_rows", [1, 7, 10, 100])
def test_the_size_of_batches_changes_nothing(tmp_path: Path, batch_rows: int) -> None:
    """Also not for duplicates: a repeated id is refused wherever its first row was."""
    site = make_site(tmp_path, max_reject_share=1)
    ids = _rows()["source_id"].to_pylist()
    outcome = _validate(site, _rows(source_id={9: ids[8], 10: ids[0], 29: ids[0]}), batch_rows)
    assert outcome.rejected_by_rule == {"R-ID-DUPLICATE": 3}
    found = [(row["row_number"], row["reason"], bool(row["record_pseudonym"])) for row in _quarantine(site)]
    assert found == [
        ("10", "R-ID-DUPLICATE", True),
        ("11", "R-ID-DUPLICATE", True),
        ("30", "R-ID-DUPLICATE", True),
    ]


def test_a_row_without_an_id_has_no_pseudonym_and_its_number_finds_it(tmp_path: Path) -> None:
    table = raw_table(few_people().side_a)
    ids = [None if row == 99 else value for row, value in enumerate(table["source_id"].to_pylist())]
    site = make_site(tmp_path, max_reject_share=1)
    outcome = _validate(site, table.set_column(0, "source_id", pa.array(ids, pa.string())))
    assert outcome.rejected_by_rule["R-ID-MISSING"] == 1
    found = [row for row in _quarantine(site) if row["reason"] == "R-ID-MISSING"]
    assert [(row["row_number"], row["record_pseudonym"]) for row in found] == [("100", "")]


def test_bytes_that_are_no_text_are_quarantined_with_their_reasons(tmp_path: Path) -> None:
    site = make_site(tmp_path, max_reject_share=1)
    table = _rows(given_name={3: b"a\0b", 12: "\ud800".encode("utf-8", "surrogatepass"), 13: b"\xff"})
    outcome = _validate(site, table)
    assert outcome.rejected_by_rule == {"R-NUL": 1, "R-SURROGATE": 2}
    assert [row["row_number"] for row in _quarantine(site)] == ["4", "13", "14"]


def test_no_value_reaches_the_quarantine_a_line_of_progress_or_an_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    site = make_site(tmp_path, max_reject_share=0)
    planted, bad_dates = {2: "ZaphodX\0", 11: "ZaphodX" * 500}, {20: "Zaph-od-X"}
    with pytest.raises(NightlinkError, match="E-DQ-REJECTS") as caught:
        _validate(site, _rows(given_name=planted, birth_date=bad_dates))
    assert len(_quarantine(site)) == 3, "positive control: each planted value was met"
    written = "".join(
        path.read_text("latin-1") for path in site.settings.state_folder.rglob("*") if path.is_file()
    )
    said = capfd.readouterr()
    for text in (written, said.out, said.err, str(caught.value)):
        assert "zaph" not in text.lower()


def test_the_quarantine_is_the_owners_alone_and_of_the_last_run(tmp_path: Path) -> None:
    site = make_site(tmp_path, max_reject_share=1)
    _validate(site, _rows(birth_date={0: "x"}))
    _validate(site, _rows(birth_date={1: "x"}))
    assert [row["row_number"] for row in _quarantine(site)] == ["2"]
    assert stat.S_IMODE((site.settings.state_folder / "quarantine").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("rejects", "share", "fails"), [(3, 0.1, False), (4, 0.1, True), (1, 0.0, True), (0, 0.0, False)]
)
def test_the_share_of_rejects_that_fails_a_batch(
    tmp_path: Path, rejects: int, share: float, fails: bool
) -> None:
    site, table = (
        make_site(tmp_path, max_reject_share=share),
        _rows(birth_date=dict.fromkeys(range(rejects), "x")),
    )
    if not fails:
        assert _validate(site, table).rejected == rejects
        return
    with pytest.raises(NightlinkError) as caught:
        _validate(site, table)
    assert caught.value.code == "E-DQ-REJECTS"
    assert f"{rejects} of {GOOD_ROWS} rows rejected (R-DATE-FORMAT {rejects})" in caught.value.found


@pytest.mark.parametrize("bounds", [{"min_rows": 31}, {"max_rows": 29}])
def test_a_volume_out_of_bounds_fails_before_a_row_is_judged(tmp_path: Path, bounds: dict[str, int]) -> None:
    site = make_site(tmp_path, **bounds)
    with pytest.raises(NightlinkError, match="E-DQ-VOLUME.*30 rows from the source of hospital"):
        _validate(site, _rows())
    assert not (site.settings.state_folder / "quarantine").exists()


def test_an_empty_source_fails_unless_the_settings_allow_it(tmp_path: Path) -> None:
    with pytest.raises(NightlinkError, match="E-DQ-VOLUME"):
        _validate(make_site(tmp_path), _rows().slice(0, 0))
    assert _validate(make_site(tmp_path, min_rows=0), _rows().slice(0, 0)).extracted == 0


def test_a_field_with_more_missing_values_than_declared_fails(tmp_path: Path) -> None:
    table = _rows(phone=dict.fromkeys(range(16)))
    _validate(make_site(tmp_path), table)  # a field that is not named may be missing altogether
    with pytest.raises(NightlinkError, match="E-DQ-EXPECTATION.*not_be_null of phone") as caught:
        _validate(make_site(tmp_path, max_null_share={"phone": 0.4}), table)
    assert "raw_extract" in str(caught.value)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_quarantine_without_room_is_told_by_its_code(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    path = site.settings.state_folder / "quarantine" / f"{NIGHT.isoformat()}.csv"
    path.parent.mkdir()
    path.symlink_to("/dev/full")
    with pytest.raises(NightlinkError, match="E-OUTPUT.*No space left"):
        _validate(site, _rows())
