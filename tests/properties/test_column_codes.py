"""A code over a whole column is the code of each of its values."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage_core.custodian.blocking_keys import BLOCKING_FUNCTIONS
from linkage_core.custodian.column_codes import COLUMN_CODES, code_values

STREET_WORDS = st.sampled_from(
    ["st", "ave", "n", "hwy", "apt", "main", "oak", "lakeside", "12", "007", "12b", "0", "a1", "3rd", ""]
)
STREETS = st.one_of(
    st.lists(STREET_WORDS, max_size=6).map(" ".join), st.text(alphabet="0127abst ", max_size=14)
)
DATES = st.dates().map(lambda day: day.strftime("%Y%m%d").rjust(8, "0"))
NAMES = st.text(alphabet="abcdefghklmnrstwyz0é", max_size=12)


def inputs(code: str) -> st.SearchStrategy[str]:
    if code in ("house_number", "street_start"):
        return STREETS
    return DATES if "year" in code or code in ("month_day", "decade") else NAMES


@pytest.mark.parametrize("code", sorted(BLOCKING_FUNCTIONS))
def test_a_column_s_codes_are_its_values_codes(code: str) -> None:
    @given(st.lists(inputs(code), max_size=12), st.integers(0, 3))
    @settings(max_examples=60, deadline=None)
    def check(values: list[str], skipped: int) -> None:
        column = pa.array([*["x"] * skipped, *values], pa.utf8()).slice(skipped)
        assert code_values(column, code).to_pylist() == [BLOCKING_FUNCTIONS[code](v) for v in values]

    check()


def test_every_column_code_has_its_function() -> None:
    assert set(COLUMN_CODES) <= set(BLOCKING_FUNCTIONS)
