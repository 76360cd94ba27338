"""Streets, cities and postcodes, read aloud."""

import pytest

from linkage_core.custodian.source_format import CANONICAL_FORMAT
from linkage_core.custodian.value_normalisers import value_normaliser

TEXTS = [
    # what the source wrote, what is encoded
    ("12 Main Street", "12 main st"),
    ("12 MAIN ST.", "12 main st"),
    ("12  Main   St", "12 main st"),
    ("12, Main St", "12 main st"),
    ("8203 West Farwell Avenue", "8203 w farwell ave"),
    ("8203 W. Farwell Ave", "8203 w farwell ave"),
    ("437 Willow Trace Court", "437 willow trace ct"),
    ("5 St. Mary's Road", "5 st marys rd"),
    ("5 Saint Marys Rd", "5 st marys rd"),
    ("12-14 High Street", "12 14 high st"),
    ("Apartment 4, 9 Elm Drive", "apt 4 9 elm dr"),
    ("#4 9 Elm Dr", "4 9 elm dr"),
    ("P.O. Box 77", "po box 77"),
    ("Post Office Box 77", "po box 77"),
    ("PO Box 77", "po box 77"),
    ("Rose & Crown Lane", "rose crown ln"),
    ("Rose and Crown Ln", "rose crown ln"),
    ("Königstraße 5", "konigstrasse 5"),
    ("North Hobart", "n hobart"),
    ("Fort Worth", "ft worth"),
    ("St. Louis", "st louis"),
]
MISSING_TEXTS = ["", "-", "unknown", "n/a", "No fixed abode", "homeless", "NFA", "address unknown", "&"]

POSTCODES = [
    ("12345", "12345"),
    ("12345-6789", "12345"),
    ("123456789", "12345"),
    ("01234", "01234"),
    ("2250", "2250"),
    ("sw1a 1aa", "sw1a1aa"),
    ("SW1A1AA", "sw1a1aa"),
    ("K1A 0B1", "k1a0b1"),
]
MISSING_POSTCODES = ["", "00000", "00000-0000", "99999", "9999", "unknown", "N/A", "-"]


@pytest.mark.parametrize(("written", "encoded"), TEXTS)
def test_a_street_or_city(written: str, encoded: str) -> None:
    assert value_normaliser("text", CANONICAL_FORMAT)(written) == encoded


@pytest.mark.parametrize("written", MISSING_TEXTS)
def test_a_missing_street_or_city(written: str) -> None:
    assert value_normaliser("text", CANONICAL_FORMAT)(written) is None


def test_a_long_street_ends_with_a_whole_word() -> None:
    text = value_normaliser("text", CANONICAL_FORMAT)("seven77 " * 50)
    assert text == " ".join(["seven77"] * 12)


@pytest.mark.parametrize(("written", "encoded"), POSTCODES)
def test_a_postcode(written: str, encoded: str) -> None:
    assert value_normaliser("postcode", CANONICAL_FORMAT)(written) == encoded


@pytest.mark.parametrize("written", MISSING_POSTCODES)
def test_a_missing_postcode(written: str) -> None:
    assert value_normaliser("postcode", CANONICAL_FORMAT)(written) is None
