"""Each way of getting a record wrong, on examples that one can check by eye."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from linkage_core.errors import NightlinkError
from linkage_core.evaluation import data_corruption as dc
from linkage_core.evaluation.seeded_draws import open_stream

# fmt: off
EXAMPLES = [
    (dc.drop_letter,       "smith",    0.5,  0.0,  "smth"),
    (dc.drop_letter,       "x",        0.5,  0.0,  "x"),
    (dc.double_letter,     "smith",    0.5,  0.0,  "smiith"),
    (dc.double_letter,     "",         0.5,  0.0,  ""),
    (dc.swap_letters,      "smith",    0.5,  0.0,  "smtih"),
    (dc.swap_letters,      "x",        0.5,  0.0,  "x"),
    (dc.hit_neighbour_key, "smith",    0.0,  0.0,  "amith"),
    (dc.hit_neighbour_key, "smith",    0.0,  0.99, "dmith"),
    (dc.hit_neighbour_key, "o'hara",   0.2,  0.0,  "o'hara"),
    (dc.hit_neighbour_key, "43215",    0.0,  0.0,  "33215"),
    (dc.mistype,           "smith",    0.5,  0.0,  "smth"),
    (dc.mistype,           "smith",    0.5,  0.25, "smiith"),
    (dc.mistype,           "smith",    0.5,  0.5,  "smtih"),
    (dc.mistype,           "smith",    0.0,  0.75, "amith"),
    (dc.mishear,           "philip",   0.0,  0.0,  "filip"),
    (dc.mishear,           "bjrm",     0.0,  0.0,  "bjrm"),
    (dc.misread,           "sampson",  0.0,  0.0,  "sarnpson"),
    (dc.misread,           "xx",       0.0,  0.0,  "xx"),
    (dc.swap_day_month,    "19800704", 0.0,  0.0,  "19800407"),
    (dc.swap_day_month,    "19800713", 0.0,  0.0,  "19800713"),
    (dc.swap_day_month,    "",         0.0,  0.0,  ""),
    (dc.miskey_digit,      "19800704", 0.0,  0.0,  "19900704"),
    (dc.miskey_digit,      "19800704", 0.99, 0.99, "19800703"),
    (dc.miskey_digit,      "1980",     0.0,  0.0,  "1980"),
    (dc.round_date,        "19800704", 0.0,  0.0,  "19800701"),
    (dc.round_date,        "19800704", 0.0,  0.9,  "19800101"),
    (dc.flip_sex,          "f",        0.0,  0.0,  "m"),
    (dc.flip_sex,          "x",        0.0,  0.0,  "x"),
]
# fmt: on


@pytest.mark.parametrize(("edit", "text", "place", "choice", "expected"), EXAMPLES)
def test_edit(edit, text, place, choice, expected):
    assert edit(text, place, choice) == expected


def _texts(*values):
    return np.array(values, dtype=object)


def test_rate_one_edits_every_value_that_is_there():
    edited = dc.corrupt_some(_texts("f", "", "m"), 1.0, dc.flip_sex, open_stream(1, "test"))
    assert edited.tolist() == ["m", "", "f"]


def test_rate_zero_edits_none():
    values = _texts("f", "m")
    assert dc.corrupt_some(values, 0.0, dc.flip_sex, open_stream(1, "test")).tolist() == ["f", "m"]
    assert dc.blank_some(values, 0.0, open_stream(1, "test")).tolist() == ["f", "m"]


def test_swapped_names_land_in_each_others_columns():
    first, last = dc.swap_some(_texts("ann"), _texts("lee"), 1.0, open_stream(1, "test"))
    assert (first.tolist(), last.tolist()) == (["lee"], ["ann"])


def test_a_nickname_is_one_of_the_names_own():
    nicknames = {"robert": ("bob", "rob")}
    edited = dc.replace_some(_texts("robert", "xerxes"), 1.0, nicknames, open_stream(1, "test"))
    assert edited[0] in nicknames["robert"]
    assert edited[1] == "xerxes"


PEOPLE = pa.table({"rid": ["a1", "a2"] * 500, "first": ["ann", "bo"] * 500, "zip": ["1", "2"] * 500})


def test_blank_values_spares_the_rid_and_empties_about_its_share():
    blanked = dc.blank_values(PEOPLE, 0.2, seed=3)
    assert blanked["rid"] == PEOPLE["rid"]
    for name in ("first", "zip"):
        assert 150 < blanked[name].to_pylist().count("") < 250
    assert blanked.schema == PEOPLE.schema


def test_blank_values_empties_the_same_rows_whichever_columns_are_named():
    assert dc.blank_values(PEOPLE, 0.2, 3, ["zip"])["zip"] == dc.blank_values(PEOPLE, 0.2, 3)["zip"]
    assert dc.blank_values(PEOPLE, 0.2, 3, ["zip"])["first"] == PEOPLE["first"]


@pytest.mark.parametrize(("rate", "columns"), [(1.1, None), (-0.1, None), (0.1, ["rid"]), (0.1, ["no"])])
def test_blank_values_refuses_what_it_cannot_do(rate, columns):
    with pytest.raises(NightlinkError, match="E-INPUT"):
        dc.blank_values(PEOPLE, rate, 3, columns)
