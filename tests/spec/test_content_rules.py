"""Content leaves readable, so only what has the form of a code, a date or a number leaves."""

from __future__ import annotations

import pyarrow as pa
import pytest

from linkage_core.custodian.content_rules import CONTENT_RULES, check_content
from linkage_core.errors import NightlinkError

GOOD = {
    "admission": {
        "source_id": "H1",
        "admitted": "2026-01-02",
        "discharged": "2026-01-09",
        "diagnosis_code": "I21.9",
    },
    "dispensing": {"source_id": "P1", "dispensed": "2026-01-10", "atc_code": "C10AA05", "quantity": "30"},
}

TABLE = [
    # table, column, value, the rule that it breaks
    ("admission", "diagnosis_code", "I21", None),
    ("admission", "diagnosis_code", "S72.04XA", None),
    ("admission", "diagnosis_code", None, None),
    ("admission", "diagnosis_code", "Quillfeather", "C-CODE"),
    ("admission", "diagnosis_code", "I21 Quillfeather", "C-CODE"),
    ("admission", "diagnosis_code", "i21", "C-CODE"),
    ("admission", "diagnosis_code", "I21\n", "C-CODE"),
    ("admission", "diagnosis_code", "", "C-CODE"),
    ("admission", "discharged", None, None),
    ("admission", "discharged", "2026-02-30", "C-DATE"),
    ("admission", "admitted", None, "C-DATE"),
    ("admission", "admitted", "02/01/2026", "C-DATE"),
    ("admission", "admitted", "2026-W01-1", "C-DATE"),
    ("admission", "source_id", None, "C-ID-MISSING"),
    ("admission", "source_id", "", "C-ID-MISSING"),
    ("dispensing", "atc_code", "C10", None),
    ("dispensing", "atc_code", None, "C-CODE"),
    ("dispensing", "atc_code", "statin for Mrs Quillfeather", "C-CODE"),
    ("dispensing", "atc_code", "C10AA0", "C-CODE"),
    ("dispensing", "quantity", None, None),
    ("dispensing", "quantity", "0.5", None),
    ("dispensing", "quantity", "thirty", "C-QUANTITY"),
    ("dispensing", "quantity", "-1", "C-QUANTITY"),
    ("dispensing", "quantity", "1234567890", "C-QUANTITY"),
]


@pytest.mark.parametrize(("table", "column", "value", "rule"), TABLE)
def test_a_value_and_the_rule_that_it_breaks(
    table: str, column: str, value: str | None, rule: str | None
) -> None:
    good, row = GOOD[table], {**GOOD[table], column: value}
    batch = pa.RecordBatch.from_pylist(
        [good, row, good], schema=pa.schema({name: pa.string() for name in good})
    )
    checked = check_content(batch)
    assert checked.rejected_by_rule == ({} if rule is None else {rule: 1})
    assert checked.rows.to_pylist() == ([good, row, good] if rule is None else [good, good])


def test_every_rule_is_shown_above() -> None:
    assert {rule for *_, rule in TABLE if rule} == set(CONTENT_RULES)


def test_a_batch_without_rows() -> None:
    batch = pa.RecordBatch.from_pylist(
        [], schema=pa.schema({"source_id": pa.string(), "admitted": pa.string()})
    )
    assert check_content(batch).rejected == 0


def test_a_column_that_no_rule_knows_does_not_leave() -> None:
    with pytest.raises(NightlinkError, match="E-SRC-SCHEMA: found the content column note"):
        check_content(pa.RecordBatch.from_pydict({"source_id": ["H1"], "note": ["x"]}))
