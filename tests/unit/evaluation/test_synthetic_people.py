"""Two registers and their truth: what is promised, and that the mistakes come at the rates asked for."""

from __future__ import annotations

import pyarrow as pa
import pytest
from pydantic import ValidationError

from linkage_core.errors import NightlinkError
from linkage_core.evaluation.synthetic_people import (
    FIELDS,
    MissingRates,
    PeopleParameters,
    generate_people,
    people_digest,
)

NOTHING_MISSING = MissingRates(**dict.fromkeys(MissingRates.model_fields, 0))
WITHOUT_MISTAKES = PeopleParameters(
    people_per_side=3_000,
    nickname_rate=0,
    goes_by_middle_rate=0,
    middle_written_out_rate=0,
    names_swapped_rate=0,
    typo_rate=0,
    phonetic_rate=0,
    ocr_rate=0,
    date_swapped_rate=0,
    date_miskeyed_rate=0,
    date_rounded_rate=0,
    sex_flipped_rate=0,
    street_abbreviated_rates=(0, 0),
    missing_rates=NOTHING_MISSING,
)
WITHOUT_LIFE = {
    "marriage_rename_rate": 0,
    "move_rate": 0,
    "new_phone_rate": 0,
    "new_email_rate": 0,
}


@pytest.fixture(scope="module")
def people():
    return generate_people(PeopleParameters(people_per_side=5_000), seed=7)


def _pairs(people):
    """Both records of each person who is on both sides."""
    side_a = {row["rid"]: row for row in people.side_a.to_pylist()}
    side_b = {row["rid"]: row for row in people.side_b.to_pylist()}
    return [(side_a[row["rid_a"]], side_b[row["rid_b"]]) for row in people.truth.to_pylist()]


def _disagreeing(people, field):
    pairs = _pairs(people)
    return sum(a[field] != b[field] for a, b in pairs) / len(pairs)


def test_layout(people):
    for side, letter in ((people.side_a, "a"), (people.side_b, "b")):
        assert side.column_names == ["rid", *FIELDS]
        assert set(side.schema.types) == {pa.string()}
        assert side["rid"].to_pylist() == [f"{letter}{row:08d}" for row in range(5_000)]
        for column in side.columns:
            assert column.null_count == 0
            assert all(text == text.lower() for text in column.to_pylist())
    assert set(people.side_a["sex"].to_pylist()) == {"f", "m", ""}


def test_the_truth_is_one_to_one_partial_and_in_order(people):
    rids_a, rids_b = people.truth["rid_a"].to_pylist(), people.truth["rid_b"].to_pylist()
    assert len(rids_a) == len(set(rids_a)) == len(set(rids_b)) == 3_000
    assert rids_a == sorted(rids_a)
    assert rids_b != sorted(rids_b)


@pytest.mark.parametrize(
    ("people_per_side", "share", "pairs"), [(1, 0.6, 1), (1, 0.0, 0), (10, 1.0, 10), (10, 0.25, 2)]
)
def test_the_overlap_is_the_one_asked_for(people_per_side, share, pairs):
    parameters = PeopleParameters(people_per_side=people_per_side, overlap_share=share)
    people = generate_people(parameters, seed=1)
    assert (people.side_a.num_rows, people.truth.num_rows) == (people_per_side, pairs)


def test_a_row_number_tells_nothing(people):
    """A pair's rows on the two sides are unrelated: their correlation is about 0."""
    rows = [(int(a["rid"][1:]), int(b["rid"][1:])) for a, b in _pairs(people)]
    near = sum(abs(a - b) < 50 for a, b in rows) / len(rows)
    assert near < 0.04


def test_without_mistakes_and_life_the_two_records_are_the_same():
    people = generate_people(WITHOUT_MISTAKES.model_copy(update=WITHOUT_LIFE), seed=7)
    assert all(a | {"rid": ""} == b | {"rid": ""} for a, b in _pairs(people))


def test_life_changes_names_homes_and_numbers_and_nothing_else():
    people = generate_people(WITHOUT_MISTAKES, seed=7)
    for field in ("first", "middle", "dob", "sex"):
        assert _disagreeing(people, field) == 0
    assert _disagreeing(people, "last") == pytest.approx(0.03, abs=0.015)
    assert _disagreeing(people, "street") == pytest.approx(0.17, abs=0.03)
    assert _disagreeing(people, "phone") == pytest.approx(0.12, abs=0.03)
    assert _disagreeing(people, "email") == pytest.approx(0.15, abs=0.03)
    renamed = [(a, b) for a, b in _pairs(people) if a["last"] != b["last"]]
    assert all(a["sex"] == "f" for a, _ in renamed)


def test_by_default_pairs_disagree_as_in_usgen20k_min():
    """Shares measured on that set: they are the yardstick of the default rates."""
    people = generate_people(PeopleParameters(people_per_side=10_000), seed=7)
    measured = {"first": 0.176, "last": 0.117, "dob": 0.083, "sex": 0.050, "zip": 0.197}
    for field, share in measured.items():
        assert _disagreeing(people, field) == pytest.approx(share, abs=0.015), field


def test_side_b_is_the_worse_one():
    people = generate_people(PeopleParameters(people_per_side=10_000), seed=7)
    empty_a = people.side_a["phone"].to_pylist().count("")
    empty_b = people.side_b["phone"].to_pylist().count("")
    assert empty_a / 10_000 == pytest.approx(0.08, abs=0.01)
    assert empty_b / 10_000 == pytest.approx(0.16, abs=0.015)


@pytest.mark.parametrize("field", FIELDS)
def test_each_field_can_be_emptied_alone(field):
    rates = NOTHING_MISSING.model_copy(update={field: 0.6})
    side_b = generate_people(PeopleParameters(people_per_side=50, missing_rates=rates), seed=1).side_b
    empty = {name for name in FIELDS if "" in side_b[name].to_pylist()}
    assert empty == {field}
    assert side_b[field].to_pylist().count("") == 50, "0.6 times 2 is at most all"


def test_families_twins_and_juniors():
    family = {"household_size_weights": (0, 0, 0, 1), "twins_rate": 0.5, "junior_rate": 1.0}
    people = generate_people(WITHOUT_MISTAKES.model_copy(update=family | {"overlap_share": 1.0}), seed=7)
    rows = people.side_a.to_pylist()
    by_birth: dict[tuple[str, str, str], int] = {}
    for row in rows:
        key = (row["street"], row["last"], row["dob"])
        by_birth[key] = by_birth.get(key, 0) + 1
    assert sum(count - 1 for count in by_birth.values()) > 200, "twins share home, surname and birthday"
    homes: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        homes.setdefault((row["street"], row["last"], row["first"]), []).append(row["dob"])
    namesakes = [sorted(dates) for dates in homes.values() if len(dates) > 1]
    assert len(namesakes) > 150
    fathers = [dates for dates in namesakes if int(dates[-1][:4]) - int(dates[0][:4]) >= 17]
    assert len(fathers) > 0.8 * len(namesakes), "a junior is a generation younger"


def test_people_who_live_alone_share_no_home():
    alone = PeopleParameters(
        people_per_side=1_000, household_size_weights=(1,), missing_rates=NOTHING_MISSING
    )
    people = generate_people(alone, seed=7)
    homes = set(zip(people.side_a["street"].to_pylist(), people.side_a["zip"].to_pylist(), strict=True))
    assert len(homes) > 990


def test_nobody_is_born_after_the_year_or_before_the_oldest():
    people = generate_people(WITHOUT_MISTAKES.model_copy(update={"as_of_year": 2030}), seed=7)
    dates = people.side_a["dob"].to_pylist()
    assert "19250101" < min(dates) < max(dates) < "20300101"


def test_the_catchment_has_as_many_postcodes_as_asked_for():
    for postcodes in (1, 3, 1_000):
        parameters = WITHOUT_MISTAKES.model_copy(update={"postcodes": postcodes})
        people = generate_people(parameters, seed=7)
        found = len(set(people.side_a["zip"].to_pylist()))
        assert found == postcodes if postcodes < 1_000 else found > 30


def test_contact_details_are_nobodys():
    people = generate_people(WITHOUT_MISTAKES, seed=7)
    assert all(phone[3:6] == "555" and len(phone) == 10 for phone in people.side_a["phone"].to_pylist())
    endings = (".example.com", "@example.com", "@example.org", "@example.net", ".example.net")
    assert all(email.endswith(endings) for email in people.side_a["email"].to_pylist())


def test_a_seed_gives_the_same_people_and_another_seed_others():
    parameters = PeopleParameters(people_per_side=200)
    one, again, other = (people_digest(generate_people(parameters, seed)) for seed in (1, 1, 2))
    assert one == again != other


def test_more_typos_leave_births_alone():
    """Each purpose draws from a stream of its own."""
    few = generate_people(PeopleParameters(people_per_side=200), seed=1)
    many = generate_people(PeopleParameters(people_per_side=200, typo_rate=0.2), seed=1)
    assert few.side_b["dob"] == many.side_b["dob"]
    assert few.side_b["last"] != many.side_b["last"]
    assert few.truth == many.truth


@pytest.mark.parametrize(
    "wrong",
    [
        {"overlap_share": 1.1},
        {"people_per_side": 0},
        {"typo_rate": -1},
        {"typo_rate": float("nan")},
        {"side_b_factor": float("inf")},
        {"household_size_weights": (0, 0)},
        {"household_size_weights": (2, -1)},
        {"typos": 0.1},
    ],
)
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(ValidationError):
        PeopleParameters(**wrong)


def test_a_negative_seed_is_refused():
    with pytest.raises(NightlinkError, match="E-INPUT"):
        generate_people(PeopleParameters(people_per_side=1), seed=-1)
