"""Telephone numbers and e-mail addresses, read aloud."""

import pytest

from linkage_core.custodian.source_format import SourceFormat
from linkage_core.custodian.value_normalisers import value_normaliser

PHONES = [
    # the source's region, what it wrote, what is encoded
    ("US", "2125550123", "+12125550123"),
    ("US", "(212) 555-0123", "+12125550123"),
    ("US", "212.555.0123", "+12125550123"),
    ("US", "1-212-555-0123", "+12125550123"),
    ("US", "+1 212 555 0123", "+12125550123"),
    ("US", "212-555-0123 ext. 9", "+12125550123"),
    ("US", "+44 20 7946 0018", "+442079460018"),
    ("GB", "020 7946 0018", "+442079460018"),
    ("GB", "+1 212 555 0123", "+12125550123"),
    (None, "+1 212 555 0123", "+12125550123"),
]
MISSING_PHONES = [
    ("US", ""),
    ("US", "unknown"),
    ("US", "555-0123"),  # without an area code it names nobody
    ("US", "000-000-0000"),
    ("US", "999-999-9999"),
    ("US", "1234567890"),
    ("US", "12"),
    ("US", "9" * 300),
    (None, "2125550123"),
]

EMAILS = [
    ("Ann.Lee@Example.ORG", "ann.lee@example.org"),
    (" ann.lee@example.org ", "ann.lee@example.org"),
    ("ann.lee+news@example.org", "ann.lee@example.org"),
    ("mailto:ann@example.org", "ann@example.org"),
    ("ann＠example.org", "ann@example.org"),
]
MISSING_EMAILS = [
    "", "n/a", "none", "none@none.com", "noemail@example.org", "test@example.org", "ann", "ann@", "@example.org",
    "ann@example", "a@b@example.org", "ann lee", "...@example.org", "a" * 250 + "@example.org",
]  # fmt: skip


@pytest.mark.parametrize(("region", "written", "encoded"), PHONES)
def test_a_phone(region: str | None, written: str, encoded: str) -> None:
    assert value_normaliser("phone", SourceFormat(phone_region=region))(written) == encoded


@pytest.mark.parametrize(("region", "written"), MISSING_PHONES)
def test_a_missing_phone(region: str | None, written: str) -> None:
    assert value_normaliser("phone", SourceFormat(phone_region=region))(written) is None


@pytest.mark.parametrize(("written", "encoded"), EMAILS)
def test_an_email(written: str, encoded: str) -> None:
    assert value_normaliser("email", SourceFormat())(written) == encoded


@pytest.mark.parametrize("written", MISSING_EMAILS)
def test_a_missing_email(written: str) -> None:
    assert value_normaliser("email", SourceFormat())(written) is None
