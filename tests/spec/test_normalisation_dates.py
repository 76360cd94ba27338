"""Dates of birth, read aloud: declared formats only, real days only, never guessed."""

import datetime as dt

import pytest
from pydantic import ValidationError

from linkage_core.custodian.birth_dates import parse_birth_date
from linkage_core.custodian.source_format import SourceFormat, compile_date_formats
from linkage_core.custodian.text_folding import fold_to_ascii

DATES = [
    # declared formats, what the source wrote, YYYYMMDD or None, the rule that it breaks
    (("%Y%m%d",), "19580304", "19580304", None),
    (("%Y-%m-%d",), "1958-03-04", "19580304", None),
    (("%d/%m/%Y",), "04/03/1958", "19580304", None),
    (("%m/%d/%Y",), "04/03/1958", "19580403", None),
    (("%d.%m.%Y",), " 04.03.1958 ", "19580304", None),
    (("%d/%m/%Y", "%Y-%m-%d"), "1958-03-04", "19580304", None),
    (("%d/%m/%Y", "%Y-%m-%d"), "04/03/1958", "19580304", None),
    (("%Y-%m-%dT",), "1958-03-04t", "19580304", None),
    (("%d/%m/%Y",), "０４/０３/１９５８", "19580304", None),
    (("%Y%m%d",), "20000229", "20000229", None),
    (("%Y%m%d",), "19000229", None, "R-DATE-IMPOSSIBLE"),
    (("%Y%m%d",), "19580230", None, "R-DATE-IMPOSSIBLE"),
    (("%d/%m/%Y",), "31/04/1958", None, "R-DATE-IMPOSSIBLE"),
    (("%d/%m/%Y",), "03/13/1958", None, "R-DATE-IMPOSSIBLE"),
    (("%Y%m%d",), "19580300", None, "R-DATE-IMPOSSIBLE"),
    (("%d/%m/%Y",), "4/3/1958", None, "R-DATE-FORMAT"),
    (("%d/%m/%Y",), "04/03/58", None, "R-DATE-FORMAT"),
    (("%d/%m/%Y",), "1958-03-04", None, "R-DATE-FORMAT"),
    (("%Y-%m-%d",), "1958-03-04 00:00", None, "R-DATE-FORMAT"),
    (("%Y%m%d",), "1958o304", None, "R-DATE-FORMAT"),
    (("%Y%m%d",), "+9580304", None, "R-DATE-FORMAT"),
    (("%Y%m%d",), "18790304", None, "R-DATE-RANGE"),
    (("%Y%m%d",), "21010304", None, "R-DATE-RANGE"),
    (("%Y%m%d",), "20260316", None, "R-DATE-RANGE"),
    (("%Y%m%d",), "20260315", "20260315", None),
    # placeholders are missing, and break no rule
    (("%Y%m%d",), "", None, None),
    (("%Y%m%d",), "   ", None, None),
    (("%Y%m%d",), "unknown", None, None),
    (("%Y%m%d",), "n/a", None, None),
    (("%Y-%m-%d",), "1900-01-01", None, None),
    (("%d/%m/%Y",), "01/01/1900", None, None),
    (("%Y-%m-%d",), "9999-12-31", None, None),
    (("%Y-%m-%d",), "9999-99-99", None, None),
    (("%Y-%m-%d",), "0001-01-01", None, None),
    (("%Y%m%d",), "00000000", None, None),
    (("%Y-%m-%d",), "1899-12-30", None, None),
    (("%Y-%m-%d",), "1753-01-01", None, None),
    # and days on which people were born are not
    (("%Y-%m-%d",), "1970-01-01", "19700101", None),
    (("%Y-%m-%d",), "1900-01-02", "19000102", None),
]
AS_OF = dt.date(2026, 3, 15)


@pytest.mark.parametrize(("formats", "written", "text", "rule"), DATES)
def test_a_date(formats: tuple[str, ...], written: str, text: str | None, rule: str | None) -> None:
    declared = SourceFormat(date_formats=formats)
    parsed = parse_birth_date(fold_to_ascii(written), compile_date_formats(declared), declared, AS_OF)
    assert (parsed.text, parsed.broken_rule) == (text, rule)


@pytest.mark.parametrize(
    ("formats", "why"),
    [
        (("%d/%m/%Y", "%m/%d/%Y"), "guess"),
        (("%Y%m%d", "%d%m%Y"), "guess"),
        (("%d/%m/%Y", "%d/%m/%Y"), "guess"),
        (("%d/%m/%y",), "no other directive"),
        (("%d/%m",), "each"),
        (("%d/%m/%Y %d",), "once"),
        (("%d/%m/%Y 00",), "not digits"),
        (("%d\t%m\t%Y",), "ASCII"),
        ((), "at least 1"),
    ],
)
def test_a_source_may_not_declare(formats: tuple[str, ...], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        SourceFormat(date_formats=formats)
