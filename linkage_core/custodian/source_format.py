"""How a source writes its values: declared by the custodian, never guessed. Zone: custodian."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

SexCode = Literal["f", "m", "x", ""]
EmptyingRule = Literal["R-DATE-FORMAT", "R-DATE-IMPOSSIBLE", "R-DATE-RANGE", "R-SEX-CODE"]

_DATE_PARTS = {"%Y": r"(?P<year>[0-9]{4})", "%m": r"(?P<month>[0-9]{2})", "%d": r"(?P<day>[0-9]{2})"}
_DEFAULT_SEX_CODES: dict[str, SexCode] = {
    "f": "f", "female": "f", "m": "m", "male": "m", "x": "x", "u": "", "unknown": "",
}  # fmt: skip


class SourceFormat(BaseModel):
    """One source's conventions.

    Attributes
    ----------
    date_formats : tuple of str
        Fixed-width formats of ``%Y``, ``%m``, ``%d`` (each once) and literal characters that are not digits.
        Two formats that one text could satisfy both, such as ``%d/%m/%Y`` beside ``%m/%d/%Y``, are refused: a
        date is never guessed.
    sex_codes : mapping of str to "f", "m", "x" or ""
        The source's codes, compared without regard to case and outer spaces; "" means not recorded.
    phone_region : str or None
        ISO 3166 region of numbers written without a country code; None accepts international numbers only.
    earliest_birth_year, latest_birth_year : int
        Years outside break the rule R-DATE-RANGE.
    emptying_rules : frozenset of str
        Rules whose breach empties the value instead of rejecting its row: for a source whose errors of entry
        are many, where a record without its date of birth links better than no record.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    date_formats: tuple[str, ...] = Field(default=("%Y%m%d",), min_length=1)
    sex_codes: Mapping[str, SexCode] = _DEFAULT_SEX_CODES
    phone_region: str | None = Field(default="US", pattern=r"^[A-Z]{2}$")
    earliest_birth_year: int = Field(default=1880, ge=1, le=9999)
    latest_birth_year: int = Field(default=2100, ge=1, le=9999)

    emptying_rules: frozenset[EmptyingRule] = frozenset()

    @model_validator(mode="after")
    def _unambiguous(self) -> Self:
        shapes = [_date_shape(date_format) for date_format in self.date_formats]
        if len(set(shapes)) < len(shapes):
            raise ValueError("two date formats accept the same text, so one would have to guess")
        folded = [code.strip().lower() for code in self.sex_codes]
        if len(set(folded)) < len(folded):
            raise ValueError("two sex codes differ in case or outer spaces only")
        return self


def compile_date_formats(source_format: SourceFormat) -> tuple[re.Pattern[str], ...]:
    """A pattern for each declared format, with groups year, month and day."""
    return tuple(re.compile(_date_pattern(date_format)) for date_format in source_format.date_formats)


def calendar_date(year: int, month: int, day: int) -> dt.date | None:
    """The date, or None when the calendar has no such day."""
    try:
        return dt.date(year, month, day)
    except ValueError:
        return None


def _date_steps(date_format: str) -> list[str]:
    return re.findall(r"%.|[^%]", date_format, flags=re.DOTALL)


def _date_shape(date_format: str) -> str:
    """The format with every digit as 9: equal shapes accept equal texts. ValueError for no format."""
    steps = _date_steps(date_format)
    if sorted(step for step in steps if step.startswith("%")) != ["%Y", "%d", "%m"]:
        raise ValueError("a date format names each of %Y, %m and %d once, and no other directive")
    if any(step.isdigit() or not step.isascii() or step.isspace() and step != " " for step in steps):
        raise ValueError("between its directives a date format has ASCII characters that are not digits")
    return "".join({"%Y": "9999", "%m": "99", "%d": "99"}.get(step, step.lower()) for step in steps)


def _date_pattern(date_format: str) -> str:
    return "".join(_DATE_PARTS.get(step) or re.escape(step.lower()) for step in _date_steps(date_format))


CANONICAL_FORMAT = SourceFormat()
"""How normalised batches write their values: normalising one under this format changes nothing."""
