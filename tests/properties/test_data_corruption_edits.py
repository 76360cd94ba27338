"""What every edit of a text promises, whatever the text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkage_core.evaluation import data_corruption as dc
from linkage_core.evaluation.seeded_draws import open_stream

TEXTS = st.text(max_size=20)
NAMES = st.text(alphabet="abcdefghijklmnopqrstuvwxyz '-", max_size=20)
DRAWS = st.floats(0, 1, exclude_max=True)
DATES = st.dates().map(lambda day: f"{day:%Y%m%d}".zfill(8))
TEXT_EDITS = [
    dc.drop_letter,
    dc.double_letter,
    dc.swap_letters,
    dc.hit_neighbour_key,
    dc.mistype,
    dc.mishear,
    dc.misread,
]


@pytest.mark.parametrize("edit", TEXT_EDITS)
@given(text=TEXTS | NAMES, place=DRAWS, choice=DRAWS)
def test_an_edit_stays_small_and_never_empties_or_fills(edit, text, place, choice):
    edited = edit(text, place, choice)
    assert abs(len(edited) - len(text)) <= 2
    assert bool(edited) == bool(text)


@pytest.mark.parametrize("edit", [dc.swap_day_month, dc.miskey_digit, dc.round_date])
@given(date=DATES, place=DRAWS, choice=DRAWS)
def test_an_edited_date_has_eight_digits_and_its_century(edit, date, place, choice):
    edited = edit(date, place, choice)
    assert len(edited) == 8
    assert edited.isdigit()
    assert edited[:2] == date[:2]


@given(date=DATES, place=DRAWS, choice=DRAWS)
def test_a_miskeyed_date_differs_in_one_digit(date, place, choice):
    edited = dc.miskey_digit(date, place, choice)
    assert sum(new != old for new, old in zip(edited, date, strict=True)) == 1


@given(st.lists(NAMES, max_size=30), st.floats(0, 1), st.integers(0, 2**32))
def test_missing_values_stay_missing_and_the_input_stays_as_it_was(names, rate, seed):
    values = np.array([*names, ""], dtype=object)[:-1]
    before = values.copy()
    edited = dc.corrupt_some(values, rate, dc.mistype, open_stream(seed, "test"))
    assert (values == before).all()
    assert all((new == "") == (old == "") for new, old in zip(edited, values, strict=True))


@given(st.integers(0, 2**32), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_rate_touches_the_same_rows_and_more(seed, one, other):
    values = np.array(["abcdefghij"] * 50, dtype=object)
    low, high = (
        dc.corrupt_some(values, rate, dc.drop_letter, open_stream(seed, "test"))
        for rate in sorted((one, other))
    )
    assert set(np.flatnonzero(low != values)) <= set(np.flatnonzero(high != values))
