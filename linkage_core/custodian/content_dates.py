"""Dates of content as a file writes them, brought to the one form that may leave. Zone: custodian."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa

from linkage_core.custodian.source_format import SourceFormat, calendar_date, compile_date_formats


def iso_dates(column: pa.Array, source_format: SourceFormat) -> pa.Array:
    """Texts of a declared date format as ISO dates, in the order of the rows; nulls stay null.

    Whatever is in no declared format, or in no calendar, is left as it is: the rule about dates refuses it.
    """
    patterns = compile_date_formats(source_format)
    distinct = column.dictionary_encode()
    written = [_iso_date(text, patterns) for text in distinct.dictionary.to_pylist()]
    return pa.array(written, pa.string()).take(distinct.indices)


def _iso_date(text: str, patterns: Sequence[re.Pattern[str]]) -> str:
    for pattern in patterns:
        match = pattern.fullmatch(text.strip().lower())
        if match:
            day = calendar_date(int(match["year"]), int(match["month"]), int(match["day"]))
            return day.isoformat() if day else text
    return text
