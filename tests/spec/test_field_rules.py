"""The row rules, read aloud: which rows go to quarantine, and under which code."""

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from linkage_core.custodian.field_rules import (
    RowVerdicts,
    accepted_rows,
    check_rows,
    reject_seen_ids,
)
from linkage_core.custodian.source_format import SourceFormat
from linkage_core.custodian.text_columns import raw_batch
from linkage_core.errors import NightlinkError
from linkage_core.protocol.linkage_protocol import parse_protocol
from linkage_core.protocol.row_rules import ROW_RULES

PROTOCOL = parse_protocol((Path(__file__).parents[1] / "golden" / "encoder_protocol.toml").read_text())
SOURCE = SourceFormat(date_formats=("%Y-%m-%d",))
AS_OF = dt.date(2026, 3, 15)
GOOD: dict[str, str | bytes | None] = {
    "source_id": "7", "given_name": "Ann", "family_name": "Lee", "birth_date": "1958-03-04", "sex": "f",
    "street": "12 Main Street", "phone": "2125550123",
}  # fmt: skip

ROWS = [
    # what differs from a good row, field and code of each breach
    ({}, []),
    ({"given_name": None}, []),
    ({"given_name": "Baby Girl"}, []),
    ({"birth_date": "1900-01-01"}, []),
    ({"sex": "unknown"}, []),
    ({"sex": ""}, []),
    ({"sex": "n/a"}, []),
    ({"phone": "no idea"}, []),
    ({"given_name": "Анна 😀 \u202e"}, []),
    ({"given_name": "e\u0301" * 500}, []),
    ({"given_name": "An\x00n"}, [("given_name", "R-NUL")]),
    ({"street": "\x00"}, [("street", "R-NUL")]),
    ({"given_name": "\ud800nn"}, [("given_name", "R-SURROGATE")]),
    ({"family_name": "M\xfcller".encode("cp1252")}, [("family_name", "R-SURROGATE")]),
    ({"street": "x" * 1001}, [("street", "R-TOO-LONG")]),
    ({"street": "x" * 1_000_000}, [("street", "R-TOO-LONG")]),
    ({"street": "x" * 1000}, []),
    ({"birth_date": "1958-02-30"}, [("birth_date", "R-DATE-IMPOSSIBLE")]),
    ({"birth_date": "04/03/1958"}, [("birth_date", "R-DATE-FORMAT")]),
    ({"birth_date": "58-03-04"}, [("birth_date", "R-DATE-FORMAT")]),
    ({"birth_date": "1858-03-04"}, [("birth_date", "R-DATE-RANGE")]),
    ({"birth_date": "2026-03-16"}, [("birth_date", "R-DATE-RANGE")]),
    ({"birth_date": "2026-03-15"}, []),
    ({"sex": "w"}, [("sex", "R-SEX-CODE")]),
    ({"source_id": None}, [("source_id", "R-ID-MISSING")]),
    ({"source_id": "  "}, [("source_id", "R-ID-MISSING")]),
    ({"source_id": "7\x00"}, [("source_id", "R-NUL")]),
    ({"given_name": None, "family_name": None}, [("record", "R-TOO-LITTLE")]),
    ({"given_name": "test", "birth_date": "9999-12-31"}, [("record", "R-TOO-LITTLE")]),
    ({"given_name": None, "birth_date": "1958-02-30"}, [("birth_date", "R-DATE-IMPOSSIBLE")]),
    (
        {"given_name": "\x00", "birth_date": "?1958", "sex": "w"},
        [("given_name", "R-NUL"), ("birth_date", "R-DATE-FORMAT"), ("sex", "R-SEX-CODE")],
    ),
]


def check(rows: list[dict[str, str | bytes | None]], source: SourceFormat = SOURCE) -> RowVerdicts:
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return check_rows(raw_batch(columns), PROTOCOL, source, AS_OF)


def breaches(verdicts: RowVerdicts) -> list[tuple[int, str, str]]:
    return list(zip(verdicts.rows.tolist(), verdicts.fields, verdicts.codes, strict=True))


@pytest.mark.parametrize(("change", "expected"), ROWS, ids=[ascii(row[0])[:60] for row in ROWS])
def test_a_row(change: dict[str, str | bytes | None], expected: list[tuple[str, str]]) -> None:
    verdicts = check([GOOD | {"source_id": "1"}, GOOD | change])
    assert breaches(verdicts) == [(1, field, code) for field, code in expected]
    assert verdicts.accepted.tolist() == [True, not expected]


def test_every_rule_has_an_example() -> None:
    shown = {code for _, expected in ROWS for _, code in expected} | {"R-ID-DUPLICATE"}
    assert shown == set(ROW_RULES)


def test_the_first_of_two_rows_with_one_id_is_kept() -> None:
    verdicts = check([GOOD, GOOD | {"source_id": "8"}, GOOD, GOOD])
    assert breaches(verdicts) == [(2, "source_id", "R-ID-DUPLICATE"), (3, "source_id", "R-ID-DUPLICATE")]
    assert verdicts.rejected_by_rule == {"R-ID-DUPLICATE": 2}


def test_two_rows_without_id_are_missing_and_not_duplicate() -> None:
    verdicts = check([GOOD | {"source_id": None}, GOOD | {"source_id": None}, GOOD | {"source_id": ""}])
    assert set(verdicts.codes) == {"R-ID-MISSING"}


def test_an_id_of_an_earlier_batch_is_a_duplicate() -> None:
    first = check([GOOD, GOOD | {"source_id": "8"}])
    seen = {digest.tobytes() for digest in first.id_digests}
    second = check(
        [GOOD | {"source_id": "9", "sex": "w"}, GOOD | {"sex": "w"}, GOOD | {"source_id": "10"}, GOOD]
    )
    verdicts = reject_seen_ids(second, seen)
    assert sorted(breaches(verdicts)) == [
        (0, "sex", "R-SEX-CODE"),
        (1, "sex", "R-SEX-CODE"),
        (1, "source_id", "R-ID-DUPLICATE"),
        (3, "source_id", "R-ID-DUPLICATE"),
    ]
    assert np.all(np.diff(verdicts.rows) >= 0)
    assert verdicts.accepted.tolist() == [False, False, True, False]
    assert reject_seen_ids(verdicts, seen).codes == verdicts.codes


def test_a_source_may_have_broken_values_emptied_instead() -> None:
    tolerant = SOURCE.model_copy(
        update={"emptying_rules": frozenset({"R-DATE-IMPOSSIBLE", "R-DATE-FORMAT", "R-SEX-CODE"})}
    )
    verdicts = check(
        [
            GOOD | {"source_id": "1", "birth_date": "1958-02-30"},
            GOOD | {"source_id": "2", "birth_date": "1958-02-30", "given_name": None},
            GOOD | {"source_id": "3", "birth_date": "4 March", "sex": "w"},
            GOOD | {"source_id": "4", "birth_date": "1858-03-04"},
        ],
        tolerant,
    )
    assert breaches(verdicts) == [(1, "record", "R-TOO-LITTLE"), (3, "birth_date", "R-DATE-RANGE")]
    assert verdicts.emptied_by_rule == {"R-DATE-IMPOSSIBLE": 2, "R-DATE-FORMAT": 1, "R-SEX-CODE": 1}


def test_a_field_without_a_column_is_no_breach_but_may_leave_too_little() -> None:
    batch = raw_batch({"source_id": ["1", "2"], "family_name": ["Lee", "Kim"], "given_name": ["Ann", ""]})
    assert breaches(check_rows(batch, PROTOCOL, SOURCE)) == [(1, "record", "R-TOO-LITTLE")]


def test_accepted_rows_go_on_in_their_order() -> None:
    batch = raw_batch(
        {name: [value, value, value] for name, value in GOOD.items()} | {"source_id": ["3", "3", "1"]}
    )
    kept = accepted_rows(batch, check_rows(batch, PROTOCOL, SOURCE))
    assert kept.column("source_id").to_pylist() == [b"3", b"1"]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.null()])
def test_any_column_type_of_text_is_accepted(kind: pa.DataType) -> None:
    empty = pa.RecordBatch.from_pydict({"source_id": pa.array([], kind), "sex": pa.array([], kind)})
    assert len(check_rows(empty, PROTOCOL, SOURCE).accepted) == 0
    nulls = pa.RecordBatch.from_pydict({"source_id": pa.array([None, None], kind)})
    assert set(check_rows(nulls, PROTOCOL, SOURCE).codes) == {"R-ID-MISSING", "R-TOO-LITTLE"}


def test_numbers_are_refused_and_so_is_a_batch_without_ids() -> None:
    numbers = pa.RecordBatch.from_pydict({"source_id": ["1"], "postcode": [12345]})
    with pytest.raises(NightlinkError, match="E-SRC-SCHEMA.*postcode"):
        check_rows(numbers, PROTOCOL, SOURCE)
    with pytest.raises(NightlinkError, match="E-SRC-SCHEMA.*source_id"):
        check_rows(pa.RecordBatch.from_pydict({"sex": ["f"]}), PROTOCOL, SOURCE)


def test_no_value_shows_in_a_verdict() -> None:
    verdicts = check([GOOD | {"sex": "zaphod"}, GOOD | {"source_id": "beeblebrox", "birth_date": "trillian"}])
    assert not any(word in repr(verdicts) for word in ("zaphod", "beeblebrox", "trillian", "Ann", "Lee"))
