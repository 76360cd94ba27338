"""A year of care, and the definition of follow-up on cases at its edges."""

from __future__ import annotations

from datetime import date, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from linkage_core.errors import NightlinkError
from linkage_core.evaluation.synthetic_care import (
    DIAGNOSIS_GROUPS,
    DIAGNOSIS_PROFILES,
    RARE_PATIENTS,
    followup_by_group,
    generate_care,
    last_complete_discharge,
)

AS_OF = date(2026, 6, 30)
HOSPITAL = [f"h{n}" for n in range(6_000)]
PHARMACY = [f"p{n}" for n in range(6_000)]
TRUTH = pa.table({"rid_a": HOSPITAL[:3_600], "rid_b": PHARMACY[-3_600:]})


@pytest.fixture(scope="module")
def care():
    return generate_care(HOSPITAL, PHARMACY, TRUTH, AS_OF, seed=5)


def test_layout(care):
    assert care.admissions.schema == pa.schema(
        [
            ("person_id", pa.string()),
            ("admitted", pa.date32()),
            ("discharged", pa.date32()),
            ("diagnosis_code", pa.string()),
        ]
    )
    assert care.dispensings.schema == pa.schema(
        [
            ("person_id", pa.string()),
            ("dispensed", pa.date32()),
            ("atc_code", pa.string()),
            ("quantity", pa.int32()),
        ]
    )


def test_everything_happens_in_the_year_that_ends_with_the_as_of_date(care):
    first_day = AS_OF - timedelta(days=364)
    admitted, discharged = care.admissions["admitted"], care.admissions["discharged"]
    assert pc.min(admitted).as_py() >= first_day
    assert pc.max(discharged).as_py() == AS_OF
    assert pc.all(pc.less_equal(admitted, discharged)).as_py()
    dispensed = care.dispensings["dispensed"]
    assert pc.min(dispensed).as_py() >= first_day
    assert pc.max(dispensed).as_py() == AS_OF


def test_nearly_half_of_the_hospitals_people_have_one_to_three_admissions_apart_in_time(care):
    stays: dict[str, list[tuple[date, date]]] = {}
    for row in care.admissions.to_pylist():
        stays.setdefault(row["person_id"], []).append((row["admitted"], row["discharged"]))
    assert len(stays) / len(HOSPITAL) == pytest.approx(0.45, abs=0.02)
    assert {len(own) for own in stays.values()} == {1, 2, 3}
    for own in stays.values():
        assert all(earlier[1] < later[0] for earlier, later in zip(own, own[1:], strict=False))


def test_every_code_is_of_a_group_and_the_rare_groups_are_rare(care):
    rows = followup_by_group(care.admissions, care.dispensings, TRUTH)
    assert [row.diagnosis_group for row in rows] == sorted(DIAGNOSIS_GROUPS) == sorted(DIAGNOSIS_PROFILES)
    patients = {row.diagnosis_group: row.discharged_patients for row in rows}
    assert {group: patients[group] for group in RARE_PATIENTS} == dict(RARE_PATIENTS)
    assert min(n for group, n in patients.items() if group not in RARE_PATIENTS) >= 50
    assert all(count < 10 for count in RARE_PATIENTS.values())


def test_groups_differ_in_their_follow_up(care):
    period = (AS_OF - timedelta(days=364), last_complete_discharge(AS_OF))
    rows = followup_by_group(care.admissions, care.dispensings, TRUTH, discharged_period=period)
    share = {row.diagnosis_group: row.share for row in rows}
    # .85 of the 60% who are customers, and what everyday dispensings add
    assert share["I21"] == pytest.approx(0.53, abs=0.06)
    assert share["I21"] > share["F32"] > share["K80"]


def test_without_a_true_pair_no_dispensing_follows_a_discharge():
    nobody = TRUTH.slice(0, 0)
    care = generate_care(HOSPITAL, PHARMACY, nobody, AS_OF, seed=5)
    codes = set(care.dispensings["atc_code"].to_pylist())
    assert not codes & {"C10AA05", "N06AB04"}
    assert all(row.followed_up == 0 for row in followup_by_group(care.admissions, care.dispensings, nobody))


def test_the_same_seed_gives_the_same_care(care):
    again = generate_care(HOSPITAL, PHARMACY, TRUTH, AS_OF, seed=5)
    assert (again.admissions, again.dispensings) == (care.admissions, care.dispensings)
    other = generate_care(HOSPITAL, PHARMACY, TRUTH, AS_OF, seed=6)
    assert other.admissions != care.admissions


@pytest.mark.parametrize("people", [0, 1, 5])
def test_few_people_are_no_error(people):
    care = generate_care(HOSPITAL[:people], PHARMACY[:people], TRUTH.slice(0, 0), AS_OF, seed=5)
    assert care.admissions.num_rows <= 3 * people


@pytest.mark.parametrize(
    ("truth", "complaint"),
    [
        (pa.table({"rid_a": ["h1", "h1"], "rid_b": ["p1", "p2"]}), "1 repeated ids in rid_a"),
        (pa.table({"rid_a": ["h1", "h2"], "rid_b": ["p1", "p1"]}), "1 repeated ids in rid_b"),
        (pa.table({"rid_a": ["x"], "rid_b": ["p1"]}), "1 ids of rid_a that are nobody's"),
        (pa.table({"rid_a": ["h1"], "rid_b": ["x"]}), "1 ids of rid_b that are nobody's"),
    ],
)
def test_a_wrong_truth_is_refused(truth, complaint):
    with pytest.raises(NightlinkError, match=complaint):
        generate_care(HOSPITAL, PHARMACY, truth, AS_OF, seed=5)


DISCHARGED = date(2026, 3, 1)


def _follow_up(*dispensed_after_days, customer="p1", codes=("I21.0",), **arguments):
    """Follow-up of h1, whose counterpart is p1, discharged on 1 March 2026."""
    admissions = pa.table(
        {
            "person_id": ["h1"] * len(codes),
            "discharged": pa.array([DISCHARGED] * len(codes), pa.date32()),
            "diagnosis_code": list(codes),
        }
    )
    days = [DISCHARGED + timedelta(days=n) for n in dispensed_after_days]
    dispensings = pa.table(
        {
            "person_id": pa.array([customer] * len(days), pa.string()),
            "dispensed": pa.array(days, pa.date32()),
        }
    )
    truth = pa.table({"rid_a": ["h1"], "rid_b": ["p1"]})
    return [tuple(row) for row in followup_by_group(admissions, dispensings, truth, **arguments)]


@pytest.mark.parametrize(("after_days", "followed_up"), [(-1, 0), (0, 1), (1, 1), (30, 1), (31, 0), (400, 0)])
def test_the_window_has_both_its_ends(after_days, followed_up):
    assert _follow_up(after_days) == [("I21", 1, followed_up, float(followed_up))]


def test_an_early_dispensing_does_not_hide_a_prompt_one():
    assert _follow_up(-3, 12, 90) == [("I21", 1, 1, 1.0)]


def test_another_customers_dispensing_does_not_count():
    assert _follow_up(5, customer="p2") == [("I21", 1, 0, 0.0)]


def test_a_patient_counts_once_a_group_and_in_every_group():
    assert _follow_up(5, codes=("I21.0", "I21.4", "K80.2")) == [("I21", 1, 1, 1.0), ("K80", 1, 1, 1.0)]


def test_other_codes_are_in_no_group():
    assert _follow_up(5, codes=("Z00.0",)) == []


@pytest.mark.parametrize(
    ("first_after", "last_after", "rows"), [(0, 0, 1), (-5, 5, 1), (1, 9, 0), (-9, -1, 0)]
)
def test_a_period_has_both_its_ends(first_after, last_after, rows):
    period = tuple(DISCHARGED + timedelta(days=n) for n in (first_after, last_after))
    assert len(_follow_up(5, discharged_period=period)) == rows


def test_a_patient_who_is_still_in_hospital_is_no_discharge():
    admissions = pa.table(
        {
            "person_id": ["h1"],
            "discharged": pa.array([None], pa.date32()),
            "diagnosis_code": ["I21.0"],
        }
    )
    no_dispensing = pa.table({"person_id": pa.array([], pa.string()), "dispensed": pa.array([], pa.date32())})
    truth = pa.table({"rid_a": ["h1"], "rid_b": ["p1"]})
    for period in (None, (date(2026, 1, 1), date(2026, 12, 31))):
        assert followup_by_group(admissions, no_dispensing, truth, discharged_period=period) == []


def test_the_last_complete_discharge_leaves_the_whole_window():
    assert last_complete_discharge(date(2026, 6, 30)) == date(2026, 5, 31)
