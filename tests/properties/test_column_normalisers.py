"""A column's normal forms are those of its values, whatever their shape."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage_core.custodian.birth_date_columns import read_birth_dates
from linkage_core.custodian.birth_dates import parse_birth_date
from linkage_core.custodian.column_normalisers import normalise_values
from linkage_core.custodian.source_format import SourceFormat, compile_date_formats
from linkage_core.custodian.text_folding import words
from linkage_core.custodian.value_normalisers import value_normaliser

FORMATS = (
    SourceFormat(date_formats=("%d/%m/%Y", "%Y-%m-%d", "%Y%m%d"), phone_region="US"),
    SourceFormat(date_formats=("%m.%d.%Y",), phone_region="GB", earliest_birth_year=1900),
    SourceFormat(phone_region=None),
)
AS_OF = dt.date(2026, 3, 31)
NOISE = st.text(alphabet="abzAZ019 .-'@+()/é\t\x00ß", max_size=14)
WORDS = st.sampled_from(
    sorted(
        words("Street street STR Mount box Box and And homeless unknown nfa main Oak-Hill O'Neil 12 7b po PO")
    )
)
DAYS = st.one_of(
    st.dates(dt.date(1870, 1, 1), dt.date(2030, 1, 1)),
    st.just(dt.date(1900, 1, 1)),
    st.just(dt.date(9999, 9, 9)),
)
DIGITS = st.integers(0, 10**10 - 1).map(lambda number: f"{number:010d}")


def _phone(digits: str, form: str) -> str:
    return form.format(digits[:3], digits[3:6], digits[6:])


def shaped(kind: str) -> st.SearchStrategy[str]:
    """Values of the kind's usual shapes, good and nearly good."""
    names = st.sampled_from(
        [
            "Anna",
            "baby",
            "BabyBoy",
            "twin",
            "xx",
            "xxx",
            "aaa",
            "aab",
            "Test",
            "dr",
            "Dr Anna",
            "jr",
            "a" * 70,
            "n/a",
            "",
        ]
    )
    dates = st.builds(
        lambda day, form: day.strftime(form).rjust(8, "0"),
        DAYS,
        st.sampled_from(
            ["%d/%m/%Y", "%Y-%m-%d", "%Y%m%d", "%m.%d.%Y", "%d-%m-%Y", "%Y/30/02", "0000%m%d", "%Y1345"]
        ),
    )
    phones = st.builds(
        _phone,
        st.one_of(DIGITS, st.sampled_from(["6145550000", "6141234567", "2222222222", "6141111111"])),
        st.sampled_from(
            [
                "({}) {}-{}",
                "{}.{}.{}",
                "{}{}{}",
                "+1 {} {} {}",
                "1-{}-{}-{}",
                "+{}{}{}",
                "{}) {} {}",
                "({}{}{}",
                "1{}{}{} x2",
            ]
        ),
    )
    emails = st.builds(
        lambda mailbox, domain: f"{mailbox}@{domain}",
        st.sampled_from(
            ["anna", "Anna.B", "a+tag", "noreply", "no-reply", "test", "x_1", "...", "a b", "notapplicable"]
        ),
        st.sampled_from(
            ["example.com", "EXAMPLE.org", "a-b.co.uk", "a..com", ".com", "x.c", "x.c1", "localhost", "-.de"]
        ),
    )
    postcodes = st.sampled_from(
        [
            "43215",
            "43215-1234",
            "432151234",
            "SW1A 1AA",
            "00000",
            "99999",
            "unknown",
            "N/A",
            "999999999",
            "0" * 12,
            "1" * 13,
        ]
    )
    texts = st.lists(WORDS, max_size=7).map(" ".join)
    of_kind = {
        "name": names,
        "date": dates,
        "phone": phones,
        "email": emails,
        "postcode": postcodes,
        "text": texts,
    }
    return st.one_of(of_kind.get(kind, NOISE), NOISE, st.sampled_from([" Anna ", "f", "M", "unknown"]))


@pytest.mark.parametrize("kind", ["name", "date", "sex", "text", "postcode", "phone", "email"])
def test_a_column_is_normalised_as_its_values_are(kind: str) -> None:
    @given(
        st.lists(st.one_of(shaped(kind).map(str.encode), st.binary(max_size=6)), max_size=10),
        st.sampled_from(FORMATS),
    )
    @settings(max_examples=150, deadline=None)
    def check(values: list[bytes], source_format: SourceFormat) -> None:
        function = value_normaliser(kind, source_format, AS_OF)  # type: ignore[arg-type]
        found = normalise_values(pa.array(values, pa.large_binary()), kind, source_format, AS_OF)  # type: ignore[arg-type]
        assert found.to_pylist() == [function(value.decode("utf-8", "replace")) for value in values]

    check()


@given(st.lists(shaped("date"), max_size=10), st.sampled_from(FORMATS), st.sampled_from([None, AS_OF]))
@settings(max_examples=100, deadline=None)
def test_a_column_of_dates_is_read_as_its_texts_are(
    texts: list[str], source_format: SourceFormat, as_of: dt.date | None
) -> None:
    column = read_birth_dates(pa.array(texts, pa.utf8()), source_format, as_of)
    patterns = compile_date_formats(source_format)
    for k, text in enumerate(texts):
        expected = parse_birth_date(text, patterns, source_format, as_of).text
        assert column.usable[k] == (expected is not None)
        assert expected is None or column.digits[k].tobytes().decode() == expected


def test_most_values_of_the_usual_shapes_need_no_python() -> None:
    """The fast way has to be taken, or it would be of no use and nobody would notice."""
    from linkage_core.custodian import column_normalisers as module

    usual = {
        "name": "Anna", "text": "12 Main Street", "postcode": "43215", "phone": "(614) 555-0123",
        "email": "anna@example.com", "date": "19800229",
    }  # fmt: skip
    for kind, value in usual.items():
        folded = module.fold_printable(pa.array([value.encode()], pa.large_binary()))
        _, sure = module._FAST_NORMALISERS[kind](folded, SourceFormat(), AS_OF)  # type: ignore[index]
        assert np.all(sure), kind
