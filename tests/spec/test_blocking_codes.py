"""What each blocking code takes from a normalised value; None leaves the record out of the pass."""

import pytest

from linkage_core.custodian.blocking_keys import coding_functions
from linkage_core.custodian.nickname_table import load_formal_names
from linkage_core.protocol.linkage_protocol import BLOCKING_CODES
from tests.golden.make_encoder_vectors import PROTOCOL
from tests.reference.slow_encoder import slow_code

FUNCTIONS = coding_functions(load_formal_names(PROTOCOL.nickname_table))

# fmt: off
CODES: list[tuple[str, str, str | None]] = [
    # code, value, what is taken
    ("exact", "smith", "smith"),
    ("soundex", "smith", "S530"),
    ("soundex", "smyth", "S530"),
    ("soundex", "2", None),
    ("nickname", "bob", "robert"),
    ("nickname", "robert", "robert"),
    ("nickname", "xanthippe", "xanthippe"),
    ("nickname_sound", "bob", "R163"),
    ("nickname_sound", "rupert", "R163"),
    ("nickname_sound", "7", None),
    ("prefix1", "smith", "s"),
    ("prefix3", "ng", "ng"),
    ("suffix3", "johnson", "son"),
    ("decade", "19580304", "195"),
    ("year", "19580304", "1958"),
    ("year_month", "19580304", "195803"),
    ("month_day", "19580304", "0304"),
    ("year_digit_month_day", "19580304", "80304"),
    ("year_sorted_day_month", "19580403", "19580304"),
    ("house_number", "flat 4a 0077 w elm ave", "4"),
    ("house_number", "rose cottage", None),
    ("street_start", "0077 w elm ave", "elm"),
    ("street_start", "12 hill view rd", "hill"),
    ("street_start", "12 n st", None),
]
# fmt: on


@pytest.mark.parametrize(("code", "value", "taken"), CODES)
def test_a_code_and_its_twin(code: str, value: str, taken: str | None) -> None:
    assert FUNCTIONS[code](value) == taken
    assert slow_code(value, code) == taken


def test_the_table_above_has_every_code() -> None:
    assert {code for code, _, _ in CODES} == set(FUNCTIONS) == set(BLOCKING_CODES)
