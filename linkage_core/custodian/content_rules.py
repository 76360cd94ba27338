"""Rules that a row of content must keep before it leaves: codes and dates, and nothing else. Zone: custodian.

Content travels readable, under record pseudonyms, so a name that somebody typed into a code would be published
with it. Only what has the form of a code passes.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import pyarrow as pa
import pyarrow.compute as pc

from linkage_core.custodian.text_columns import SOURCE_ID
from linkage_core.errors import NightlinkError

CONTENT_RULES: Mapping[str, str] = MappingProxyType(
    {
        "C-ID-MISSING": "a row of content has no source id",
        "C-CODE": "a diagnosis is no ICD-10 code, or a drug no ATC code",
        "C-DATE": "a date is missing, or is no ISO date",
        "C-QUANTITY": "a quantity is no number of at most nine digits",
    }
)
"""Reason codes of rejected rows of content; the codes are stable."""

_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")  # fromisoformat alone takes weeks too
_ICD_10 = re.compile(r"[A-Z][0-9][0-9A-Z](\.?[0-9A-Z]{1,4})?")
_ATC = re.compile(r"[A-Z]([0-9]{2}([A-Z]([A-Z]([0-9]{2})?)?)?)?")
_QUANTITY = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")

Test = Callable[[str | None], bool]


def _is_date(value: str | None) -> bool:
    if value is None or _ISO_DATE.fullmatch(value) is None:
        return False
    try:
        dt.date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is(pattern: re.Pattern[str]) -> Test:
    return lambda value: value is not None and pattern.fullmatch(value) is not None


def _missing_or(test: Test) -> Test:
    return lambda value: value is None or test(value)


def _is_there(value: str | None) -> bool:
    return bool(value)


COLUMN_RULES: Mapping[str, tuple[str, Test]] = MappingProxyType(
    {
        SOURCE_ID: ("C-ID-MISSING", _is_there),
        "admitted": ("C-DATE", _is_date),
        "discharged": ("C-DATE", _missing_or(_is_date)),
        "diagnosis_code": ("C-CODE", _missing_or(_is(_ICD_10))),
        "dispensed": ("C-DATE", _is_date),
        "atc_code": ("C-CODE", _is(_ATC)),
        "quantity": ("C-QUANTITY", _missing_or(_is(_QUANTITY))),
    }
)
"""What each column must be; a column that is not named here does not leave."""


DATE_COLUMNS = frozenset(name for name, (code, _) in COLUMN_RULES.items() if code == "C-DATE")
"""Columns that hold dates."""


@dataclass(frozen=True)
class CheckedContent:
    """Rows that may leave, in their order, and how many rows broke which rule (a row may break several)."""

    rows: pa.RecordBatch = field(repr=False)
    rejected: int
    rejected_by_rule: Mapping[str, int]


def check_content(batch: pa.RecordBatch) -> CheckedContent:
    """Drop every row with a value that has not the form of its column.

    Parameters
    ----------
    batch : RecordBatch
        ``source_id`` and content columns, nullable utf8.

    Raises
    ------
    NightlinkError
        E-SRC-SCHEMA for a column that no rule knows.
    """
    kept = pa.array([True] * batch.num_rows, pa.bool_())
    counts: dict[str, int] = {}
    for name in batch.schema.names:
        if name not in COLUMN_RULES:
            raise NightlinkError(
                "E-SRC-SCHEMA",
                found=f"the content column {name}",
                expected=f"columns of {', '.join(COLUMN_RULES)}",
                remedy="Select those columns alone; nothing else may leave as content.",
            )
        code, test = COLUMN_RULES[name]
        holds = _holds(batch.column(name), test)
        broken = batch.num_rows - pc.sum(holds).as_py() if batch.num_rows else 0
        if broken:
            counts[code] = counts.get(code, 0) + broken
        kept = pc.and_(kept, holds)
    rows = batch.filter(kept)
    return CheckedContent(rows, batch.num_rows - rows.num_rows, counts)


def _holds(column: pa.Array, test: Test) -> pa.Array:
    """The test of each row, made once for each distinct value."""
    distinct = column.dictionary_encode()
    passed = [test(value) for value in distinct.dictionary.to_pylist()]
    # One more place at the end answers for null.
    answers = pa.array([*passed, test(None)], pa.bool_())
    return answers.take(distinct.indices.fill_null(len(passed)))
