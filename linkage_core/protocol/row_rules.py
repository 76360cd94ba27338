"""Reason codes of rejected rows: the custodian applies the rules, everybody's reports name them. Zone: protocol."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

LONGEST_TEXT_CHARS = 1000

ROW_RULES: Mapping[str, str] = MappingProxyType(
    {
        "R-NUL": "a text holds the character NUL, which no database text may",
        "R-SURROGATE": "a text is not valid UTF-8, or holds half of a surrogate pair",
        "R-TOO-LONG": f"a text is longer than {LONGEST_TEXT_CHARS} characters",
        "R-DATE-FORMAT": "a date is in none of the source's declared formats",
        "R-DATE-IMPOSSIBLE": "a date is not in the calendar, such as 30 February",
        "R-DATE-RANGE": "a date of birth is before the earliest plausible year, or in the future",
        "R-SEX-CODE": "a sex code is not in the source's declared list",
        "R-ID-MISSING": "a row has no source id",
        "R-ID-DUPLICATE": "an earlier row has the same source id",
        "R-TOO-LITTLE": "a row has fewer than two of given name, family name and date of birth",
    }
)
"""Reason codes and what each means; the codes are stable."""

FILE_RULES: Mapping[str, str] = MappingProxyType(
    {
        "R-COLUMNS": "a row has fewer or more columns than the header, or than the schema without one",
        "R-QUOTES": "quotation marks do not match, so that where a row ends cannot be told",
        "R-TOO-LONG": "a text is too long to be one",
    }
)
"""Reason codes of what is no row to begin with; the codes are stable."""
