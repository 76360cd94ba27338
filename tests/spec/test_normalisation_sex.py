"""Sex, read aloud: the source's own codes, declared one by one."""

import pytest
from pydantic import ValidationError

from linkage_core.custodian.source_format import SourceFormat
from linkage_core.custodian.value_normalisers import value_normaliser

HOSPITAL = SourceFormat(sex_codes={"1": "m", "2": "f", "3": "x", "9": ""})
PHARMACY = SourceFormat(sex_codes={"Male": "m", "Female": "f"})

CODES = [
    # whose codes, what the source wrote, what is encoded
    (HOSPITAL, "1", "m"),
    (HOSPITAL, " 2 ", "f"),
    (HOSPITAL, "3", "x"),
    (HOSPITAL, "9", None),
    (HOSPITAL, "4", None),
    (HOSPITAL, "m", None),
    (HOSPITAL, "", None),
    (PHARMACY, "FEMALE", "f"),
    (PHARMACY, "male", "m"),
    (PHARMACY, "f", None),
    (SourceFormat(), "F", "f"),
    (SourceFormat(), "male", "m"),
    (SourceFormat(), "U", None),
]


@pytest.mark.parametrize(("source", "written", "encoded"), CODES)
def test_a_sex_code(source: SourceFormat, written: str, encoded: str | None) -> None:
    assert value_normaliser("sex", source)(written) == encoded


def test_codes_that_differ_in_case_only_are_refused() -> None:
    with pytest.raises(ValidationError, match="differ in case"):
        SourceFormat(sex_codes={"f": "f", "F": "m"})
