"""A custodian with files in place of a database: rows, row numbers, dates, and what is no row."""

from __future__ import annotations

import csv
import random
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from linkage_core.custodian.content_dates import iso_dates
from linkage_core.custodian.source_format import SourceFormat
from linkage_core.errors import NightlinkError
from tasks.custodian.extract import extract_content, extract_identifiers, open_source
from tasks.custodian.night_folder import night_folder
from tasks.custodian.settings import CustodianSite, FileSource
from tasks.custodian.source_rows import Misfit
from tasks.custodian.validate import _row_numbers, validate_identifiers
from tests.reference.small_world import NIGHT, make_site

COLUMNS = {
    "source_id": "Patient Nr",
    "given_name": "First name",
    "family_name": "Last name",
    "birth_date": "Born",
}


def _site(folder: Path, text: str, *, encoding: str = "utf-8", **source: object) -> CustodianSite:
    site = make_site(folder, max_reject_share=1)
    (folder / "people.csv").write_bytes(text.encode(encoding))
    files = FileSource.model_validate(
        {"people_file": folder / "people.csv", "encoding": encoding, "columns": COLUMNS,
         "format": {"date_formats": ["%d/%m/%Y"]}, **source}
    )  # fmt: skip
    content = {"warehouse_content_url_file": folder / "url" if files.content_table else None}
    settings = site.settings.model_copy(update={"source": files, **content})
    return CustodianSite(**{**site.__dict__, "settings": settings})


def _quarantine(site: CustodianSite) -> list[tuple[str, str, str]]:
    path = site.settings.state_folder / "quarantine" / f"{NIGHT.isoformat()}.csv"
    rows = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    return [(row["row_number"], row["field"], row["reason"]) for row in rows]


def test_rows_are_numbered_with_what_is_no_row_between_them(tmp_path: Path) -> None:
    site = _site(
        tmp_path,
        '\ufeffPatient Nr,First name,Last name,Born\r\n1,Ann,Lee,07/03/1980\r\n2,torn\r\n3,Bo,"N\r\ng",31/02/1999\r\n'
        "\r\n4,too,many,columns,here\r\n5,Cy,Ho,01/01/2001\r\n5,Di,Ho,01/01/2002\r\n",
    )
    with night_folder(site.settings.state_folder) as folder, open_source(site) as snapshot:
        identifiers = extract_identifiers(snapshot, site, folder)
        assert (identifiers.rows, [misfit.row_number for misfit in identifiers.misfits]) == (4, [2, 4])
        outcome = validate_identifiers(identifiers, NIGHT, site, folder)
    assert (outcome.extracted, outcome.rejected) == (6, 4)
    assert outcome.rejected_by_rule == {"R-COLUMNS": 2, "R-DATE-IMPOSSIBLE": 1, "R-ID-DUPLICATE": 1}
    assert sorted(_quarantine(site)) == [
        ("2", "", "R-COLUMNS"), ("3", "birth_date", "R-DATE-IMPOSSIBLE"), ("4", "", "R-COLUMNS"),
        ("6", "source_id", "R-ID-DUPLICATE"),
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_row_numbers_by_counting(seed: int) -> None:
    """The numbers of rows between misfits, as one who counts with a finger has them."""
    rng = random.Random(seed)
    kinds = [rng.random() < 0.3 for _ in range(rng.randrange(0, 60))]
    misfits = [Misfit(number, 0, 0, "R-COLUMNS") for number, misfit in enumerate(kinds, 1) if misfit]
    wanted = [number for number, misfit in enumerate(kinds, 1) if not misfit]
    cut = rng.randrange(0, len(wanted) + 1)
    found = [*_row_numbers(0, cut, misfits), *_row_numbers(cut, len(wanted) - cut, misfits)]
    assert found == wanted


def test_thirty_percent_rubbish_in_cp1252(tmp_path: Path) -> None:
    rng = random.Random(1)
    rows, bad = [], []
    for number in range(1, 1001):
        row = f'{number};Zoë;"O;Brien\n{number}";07/03/1980'
        if number > 1 and rng.random() < 0.3:
            bad.append(number)
            row = rng.choice(
                [f"{number};Zoë", f"{number};a;b;30/02/1980", ";a;b;07/03/1980", f"{number};;;", "1;a;b;"]
            )
        rows.append(row)
    text = "Patient Nr;First name;Last name;Born\n" + "\n".join(rows)
    site = _site(tmp_path, text, encoding="cp1252", delimiter=";")
    with night_folder(site.settings.state_folder) as folder:
        outcome = validate_identifiers(extract_identifiers(None, site, folder), NIGHT, site, folder)
    assert (outcome.extracted, outcome.rejected) == (1000, len(bad))
    assert sorted({int(number) for number, _, _ in _quarantine(site)}) == bad


def test_a_file_that_is_not_as_declared_ends_the_night(tmp_path: Path) -> None:
    header = "Patient Nr,First name,Last name,Born\n"
    for text, changes, code in [
        (header.replace("Born", "DOB"), {}, "E-SRC-SCHEMA"),
        (header, {"delimiter": ";"}, "E-SRC-SCHEMA"),
        (header + "1,Zoë,x,y\n", {"encoding": "utf-16"}, "E-SRC-SCHEMA|E-INPUT"),
        (header, {"people_file": tmp_path / "absent.csv"}, "E-INPUT"),
        (header, {"encoding": "klingon"}, "E-INPUT"),
    ]:
        site = _site(tmp_path, text)
        source = site.settings.source.model_copy(update=changes)
        site.settings.__dict__["source"] = source
        with night_folder(site.settings.state_folder) as folder, pytest.raises(NightlinkError, match=code):
            extract_identifiers(None, site, folder)


def test_content_in_the_files_own_dates(tmp_path: Path) -> None:
    (tmp_path / "stays.csv").write_text(
        "source_id,in,discharged,diagnosis_code\n1,07/03/2026,,I21.4\n2,2026-03-08,31/02/2026,\n3,torn\n"
    )
    site = _site(
        tmp_path,
        "Patient Nr,First name,Last name,Born\n",
        content_file=tmp_path / "stays.csv", content_table="admission", content_columns={"admitted": "in"},
    )  # fmt: skip
    with night_folder(site.settings.state_folder) as folder:
        content = extract_content(None, site, folder)
        rows = [row for batch in content for row in batch.to_pylist()]
    assert rows == [
        {"source_id": "1", "admitted": "2026-03-07", "discharged": None, "diagnosis_code": "I21.4"},
        {"source_id": "2", "admitted": "2026-03-08", "discharged": "31/02/2026", "diagnosis_code": None},
    ]
    assert [(misfit.row_number, misfit.code) for misfit in content.misfits] == [(3, "R-COLUMNS")]


def test_dates_of_content_keep_their_order_and_their_nulls() -> None:
    source_format = SourceFormat(date_formats=("%d.%m.%Y", "%Y%m%d"))
    texts = ["01.02.2026", None, "20260203", "x", "01.02.2026", "32.01.2026"]
    assert iso_dates(pa.array(texts, pa.string()), source_format).to_pylist() == [
        "2026-02-01", None, "2026-02-03", "x", "2026-02-01", "32.01.2026",
    ]  # fmt: skip
    assert date.fromisoformat("2026-02-01")


def test_no_content_is_no_rows(tmp_path: Path) -> None:
    site = _site(tmp_path, "Patient Nr,First name,Last name,Born\n")
    with night_folder(site.settings.state_folder) as folder:
        assert extract_content(None, site, folder).rows == 0
