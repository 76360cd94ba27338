"""Synthetic admissions and dispensings, and the true answer to the researcher's question.

The question, in words: *of the patients discharged in a period, by diagnosis group, what share filled
a prescription within 30 days?* The definition, which the warehouse's SQL repeats exactly:

1. **Diagnosis group**: the first three characters of an admission's ICD-10 code
   (``left(diagnosis_code, 3)``), if they are a key of :data:`DIAGNOSIS_GROUPS`; an admission with any other
   code is in no group.
2. **Discharge**: an admission with a discharge date inside the period, both ends included
   (``discharged BETWEEN first_day AND last_day``); without a period, every admission that has a discharge
   date. An admission without one (the patient is still in hospital) is no discharge.
3. **discharged_patients** of a group: the distinct hospital patients with at least one discharge in the
   group. A patient counts once in a group however many discharges they have there, and once in each
   group in which they have any. **Every such patient is in the denominator, linked or not**: a patient
   without a counterpart in the pharmacy counts as not followed up.
4. **followed_up** of a group: those of them who, after **at least one** of their discharges in that group,
   have at least one dispensing of **any** drug to the linked pharmacy customer with
   ``dispensed BETWEEN discharged AND discharged + 30`` (whole days; the day of the discharge and the 30th day
   after it are both inside).
5. **share** = ``followed_up / discharged_patients``. A group without a discharged patient has no row. Rows
   come in the order of the group's code. Nothing is suppressed here: suppression of groups under 10
   patients is the warehouse's duty, and this module's figures are never published.

A window that reaches past the last day of data is cut short, and would pull the share down: a fair
period ends 30 days before the as-of date (:func:`last_complete_discharge`).

The admissions and dispensings are invented: their rates are set for contrast between
groups, not taken from a study.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from linkage_core.errors import NightlinkError
from linkage_core.evaluation.seeded_draws import (
    IntArray,
    draw_order,
    draw_positions,
    draw_weighted,
    open_stream,
)

DIAGNOSIS_GROUPS: Mapping[str, str] = MappingProxyType(
    {
        "C81": "Hodgkin lymphoma",
        "E11": "Type 2 diabetes mellitus",
        "F32": "Depressive episode",
        "G35": "Multiple sclerosis",
        "I21": "Acute myocardial infarction",
        "I50": "Heart failure",
        "I63": "Cerebral infarction",
        "J18": "Pneumonia",
        "J44": "Chronic obstructive pulmonary disease",
        "K35": "Acute appendicitis",
        "K80": "Gallstones",
        "S72": "Fracture of the femur",
    }
)
"""First three characters of an ICD-10 code -> what a reader calls the group."""


class DiagnosisProfile(NamedTuple):
    """How often a group occurs, how it is followed up, and with what."""

    weight: int
    followed_up_percent: int
    subcodes: str
    atc_codes: tuple[str, ...]


DIAGNOSIS_PROFILES: Mapping[str, DiagnosisProfile] = MappingProxyType(
    {
        "E11": DiagnosisProfile(12, 60, "2569", ("A10BA02", "A10BK03", "A10AE04")),
        "F32": DiagnosisProfile(9, 50, "0129", ("N06AB04", "N06AB06", "N06AX16")),
        "I21": DiagnosisProfile(13, 85, "01349", ("C10AA05", "C10AA07", "B01AC06", "C07AB02")),
        "I50": DiagnosisProfile(12, 75, "019", ("C03CA01", "C09AA05", "C07AB07")),
        "I63": DiagnosisProfile(8, 65, "3459", ("B01AC04", "C10AA05")),
        "J18": DiagnosisProfile(13, 45, "0189", ("J01CA04", "J01FA09")),
        "J44": DiagnosisProfile(10, 70, "0189", ("R03BB04", "R03AK06", "H02AB06")),
        "K35": DiagnosisProfile(5, 15, "238", ("N02BE01",)),
        "K80": DiagnosisProfile(9, 20, "0125", ("N02BE01", "A03BB01")),
        "S72": DiagnosisProfile(9, 40, "0123", ("N02BE01", "M05BA04", "B01AB05")),
        # No weight: exactly RARE_PATIENTS people have these, so that a demo has something to suppress.
        "C81": DiagnosisProfile(0, 50, "0129", ("L01BA01",)),
        "G35": DiagnosisProfile(0, 67, "", ("L04AA27", "L03AX13")),
    }
)
"""Invented weights and follow-up percentages by group; every group of :data:`DIAGNOSIS_GROUPS` is here."""

RARE_PATIENTS: Mapping[str, int] = MappingProxyType({"C81": 4, "G35": 7})
"""Groups with a fixed, small number of discharged patients."""

EVERYDAY_ATC_CODES = ("A02BC01", "C09AA02", "H03AA01", "J01CA04", "M01AE01", "N02BE01", "R06AE07", "C08CA01")
QUANTITIES = (10, 20, 28, 28, 30, 30, 30, 60, 90, 100)

ADMITTED_PERCENT = 45
ADMISSIONS_WEIGHTS = (0, 70, 22, 8)  # of an admitted person: 1, 2 or 3 in the year
EVERYDAY_WEIGHTS = (40, 26, 17, 10, 5, 2)  # everyday dispensings in the year: 0 .. 5
DAYS_OBSERVED = 365
LONGEST_STAY_DAYS = 14


@dataclass(frozen=True)
class Care:
    """A year of care.

    Attributes
    ----------
    admissions : pyarrow.Table
        person_id string, admitted date32, discharged date32 (never null here), diagnosis_code string
        (ICD-10), in the order of the hospital's people, then by date. One person's stays do not overlap.
    dispensings : pyarrow.Table
        person_id string, dispensed date32, atc_code string, quantity int32, in the order of the pharmacy's
        people, then by date and code.
    """

    admissions: pa.Table
    dispensings: pa.Table


class FollowUp(NamedTuple):
    """One row of the answer; the definition is in the module's docstring."""

    diagnosis_group: str
    discharged_patients: int
    followed_up: int
    share: float


def generate_care(
    person_ids_hospital: Sequence[str],
    person_ids_pharmacy: Sequence[str],
    truth_pairs: pa.Table,
    as_of: date,
    seed: int,
) -> Care:
    """Invent the admissions and dispensings of the 365 days that end with ``as_of``, included.

    About 45% of the hospital's people have one to three admissions. A dispensing follows a discharge only
    where the person truly is a customer of the pharmacy; everyday dispensings go to all customers.

    Parameters
    ----------
    person_ids_hospital, person_ids_pharmacy : sequence of str
        Each without repetition; their order is part of the input.
    truth_pairs : pyarrow.Table
        ``rid_a`` (hospital) and ``rid_b`` (pharmacy), strictly one-to-one.
    as_of : datetime.date
        The last day of data.
    seed : int
        The same seed and input give the same care.

    Raises
    ------
    NightlinkError
        ``E-INPUT`` when the pairs are not one-to-one or name a person who is not in the lists.
    """
    check_one_to_one(truth_pairs)
    customer_of = np.full(len(person_ids_hospital), -1, dtype=np.int64)
    hospital_rows = _rows_of(truth_pairs["rid_a"], person_ids_hospital, "rid_a")
    customer_of[hospital_rows] = _rows_of(truth_pairs["rid_b"], person_ids_pharmacy, "rid_b")
    patients, admitted, discharged, groups = _draw_admissions(len(person_ids_hospital), seed)
    after = _draw_prescriptions(customer_of[patients], discharged, groups, seed)
    everyday = _draw_everyday_dispensings(len(person_ids_pharmacy), seed)
    return Care(
        admissions=pa.table(
            {
                "person_id": _take(person_ids_hospital, patients),
                "admitted": _as_dates(admitted, as_of),
                "discharged": _as_dates(discharged, as_of),
                "diagnosis_code": _draw_diagnosis_codes(groups, seed),
            }
        ),
        dispensings=_dispensings_table(person_ids_pharmacy, [after, everyday], as_of, seed),
    )


def last_complete_discharge(as_of: date, days: int = 30) -> date:
    """Return the last day of discharge whose window of ``days`` days lies wholly inside the data."""
    return as_of - timedelta(days=days)


def followup_by_group(
    admissions: pa.Table,
    dispensings: pa.Table,
    truth_pairs: pa.Table,
    days: int = 30,
    discharged_period: tuple[date, date] | None = None,
) -> list[FollowUp]:
    """Compute the true answer by the definition in the module's docstring.

    Parameters
    ----------
    admissions, dispensings : pyarrow.Table
        As in :class:`Care`; ``discharged`` may be null.
    truth_pairs : pyarrow.Table
        ``rid_a`` (hospital) and ``rid_b`` (pharmacy), strictly one-to-one.
    days : int
        Length of the window: a dispensing counts from the day of the discharge to ``days`` days after it.
    discharged_period : (date, date), optional
        First and last day of discharge, both included. By default every discharge counts.

    Returns
    -------
    list of FollowUp
        One row per group with a discharged patient, in the order of its code.

    Raises
    ------
    NightlinkError
        ``E-INPUT`` when the pairs are not one-to-one.
    """
    check_one_to_one(truth_pairs)
    discharges = _discharges(admissions, discharged_period)
    patients = discharges["person_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    groups = pc.index_in(
        pc.utf8_slice_codeunits(discharges["diagnosis_code"], 0, 3), pa.array(sorted(DIAGNOSIS_GROUPS))
    ).to_numpy()
    filled = _filled_in_window(discharges, dispensings, truth_pairs, days)
    # One row per patient and group, with whether any of the discharges was followed up.
    cells, cell_of = np.unique(groups.astype(np.int64) << 32 | patients, return_inverse=True)
    cell_filled = np.zeros(len(cells), dtype=bool)
    cell_filled[cell_of[filled]] = True
    answer = []
    for position, group in enumerate(sorted(DIAGNOSIS_GROUPS)):
        in_group = cells >> 32 == position
        total, followed_up = int(in_group.sum()), int(cell_filled[in_group].sum())
        if total:
            answer.append(FollowUp(group, total, followed_up, followed_up / total))
    return answer


def check_one_to_one(truth_pairs: pa.Table) -> None:
    """Refuse pairs in which a person occurs twice on one side (``E-INPUT``)."""
    for column in ("rid_a", "rid_b"):
        repeated = truth_pairs.num_rows - pc.count_distinct(truth_pairs[column]).as_py()
        if repeated:
            raise NightlinkError(
                "E-INPUT",
                found=f"{repeated} repeated ids in {column} of the true pairs",
                expected="pairs that are strictly one-to-one",
                remedy="Correct the truth table.",
            )


def _rows_of(ids: pa.ChunkedArray, people: Sequence[str], column: str) -> IntArray:
    rows = pc.index_in(ids, pa.array(people, pa.string()))
    if rows.null_count:
        raise NightlinkError(
            "E-INPUT",
            found=f"{rows.null_count} ids of {column} that are nobody's",
            expected="true pairs of people in the two lists",
            remedy="Give the truth that belongs to these people.",
        )
    positions: IntArray = rows.to_numpy().astype(np.int64)
    return positions


def _draw_admissions(n_people: int, seed: int) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Draw who is admitted, when and with what.

    Returns four (m,) arrays: person, day of admission, day of discharge (days before the as-of date are
    negative, the as-of date is 0), and position of the group in ``DIAGNOSIS_PROFILES``.
    """
    stream = open_stream(seed, "admissions")
    counts = draw_weighted(stream, ADMISSIONS_WEIGHTS, n_people)
    counts[stream.random(n_people) * 100 >= ADMITTED_PERCENT] = 0
    patients = np.repeat(np.arange(n_people), counts)
    nth = np.arange(len(patients)) - np.repeat(np.cumsum(counts) - counts, counts)
    # Each stay has its own slot of the year, so that nobody lies in two beds.
    slot_days = DAYS_OBSERVED // np.maximum(counts[patients], 1)
    first_day = nth * slot_days - (DAYS_OBSERVED - 1)
    admitted = first_day + (stream.random(len(patients)) * slot_days).astype(np.int64)
    stay = (np.square(stream.random(len(patients))) * (LONGEST_STAY_DAYS + 1)).astype(np.int64)
    discharged = np.minimum(admitted + stay, first_day + slot_days - 1)
    groups = draw_weighted(stream, [p.weight for p in DIAGNOSIS_PROFILES.values()], len(patients))
    first_stays = np.flatnonzero(nth == 0)
    chosen = first_stays[draw_order(stream, len(first_stays))]
    for code, rare in RARE_PATIENTS.items():
        groups[chosen[:rare]] = list(DIAGNOSIS_PROFILES).index(code)
        chosen = chosen[rare:]
    return patients, admitted, discharged, groups


def _draw_diagnosis_codes(groups: IntArray, seed: int) -> pa.Array:
    codes = [
        [f"{code}.{digit}" for digit in profile.subcodes] or [code]
        for code, profile in DIAGNOSIS_PROFILES.items()
    ]
    return pa.array(_draw_member(open_stream(seed, "diagnosis codes"), codes, groups), pa.string())


def _draw_member(stream: np.random.Generator, members: Sequence[Sequence[str]], groups: IntArray) -> Any:
    """Draw, for each row, one of its group's members."""
    flat = np.array([member for group in members for member in group], dtype=object)
    sizes = np.array([len(group) for group in members])
    starts = np.cumsum(sizes) - sizes
    return flat[starts[groups] + (stream.random(len(groups)) * sizes[groups]).astype(np.int64)]


Dispensed = tuple[IntArray, IntArray, Any]
"""(m,) customers, (m,) days counted from the as-of date, (m,) ATC codes."""


def _draw_prescriptions(customers: IntArray, discharged: IntArray, groups: IntArray, seed: int) -> Dispensed:
    """Draw the prescriptions filled after discharges: within 30 days, late, or never; some refilled."""
    stream = open_stream(seed, "prescriptions")
    n = len(customers)
    percent = np.array([p.followed_up_percent for p in DIAGNOSIS_PROFILES.values()])
    prompt = stream.random(n) * 100 < percent[groups]
    late = ~prompt & (stream.random(n) < 0.15)
    delay = np.where(prompt, np.square(stream.random(n)) * 31, 31 + stream.random(n) * 30).astype(np.int64)
    refilled = stream.random(n) < 0.5
    drugs = _draw_member(stream, [p.atc_codes for p in DIAGNOSIS_PROFILES.values()], groups)
    day = discharged + delay
    filled = (prompt | late) & (customers >= 0)
    again = filled & refilled
    return (
        np.concatenate([customers[filled], customers[again]]),
        np.concatenate([day[filled], day[again] + 28]),
        np.concatenate([drugs[filled], drugs[again]]),
    )


def _draw_everyday_dispensings(n_people: int, seed: int) -> Dispensed:
    stream = open_stream(seed, "everyday dispensings")
    customers = np.repeat(np.arange(n_people), draw_weighted(stream, EVERYDAY_WEIGHTS, n_people))
    days = -draw_positions(stream, DAYS_OBSERVED, len(customers))
    drugs = np.array(EVERYDAY_ATC_CODES, dtype=object)
    return customers, days, drugs[draw_positions(stream, len(drugs), len(customers))]


def _dispensings_table(people: Sequence[str], parts: Sequence[Dispensed], as_of: date, seed: int) -> pa.Table:
    """Put the parts together in order, without what lies after the as-of date."""
    customers, days, drugs = (np.concatenate(column) for column in zip(*parts, strict=True))
    drug_names, drug_codes = np.unique(drugs.astype(str), return_inverse=True)
    order = np.lexsort((drug_codes, days, customers))
    order = order[days[order] <= 0]
    stream = open_stream(seed, "quantities")
    quantities = np.array(QUANTITIES, dtype=np.int32)[draw_positions(stream, len(QUANTITIES), len(order))]
    return pa.table(
        {
            "person_id": _take(people, customers[order]),
            "dispensed": _as_dates(days[order], as_of),
            "atc_code": pa.array(drug_names[drug_codes[order]], pa.string()),
            "quantity": pa.array(quantities, pa.int32()),
        }
    )


def _take(people: Sequence[str], rows: IntArray) -> pa.Array:
    return pa.array(people, pa.string()).take(pa.array(rows))


def _as_dates(days: IntArray, as_of: date) -> pa.Array:
    return pa.array((days + (as_of - date(1970, 1, 1)).days).astype(np.int32)).cast(pa.date32())


def _discharges(admissions: pa.Table, period: tuple[date, date] | None) -> pa.Table:
    """Keep the admissions that are discharges of a group, inside the period."""
    discharged = admissions["discharged"]
    group = pc.utf8_slice_codeunits(admissions["diagnosis_code"], 0, 3)
    kept = pc.and_(pc.is_valid(discharged), pc.is_in(group, pa.array(list(DIAGNOSIS_GROUPS))))
    if period is not None:
        first_day, last_day = (pa.scalar(day, pa.date32()) for day in period)
        inside = pc.and_(pc.greater_equal(discharged, first_day), pc.less_equal(discharged, last_day))
        kept = pc.and_(kept, pc.fill_null(inside, False))
    return admissions.filter(kept)


def _filled_in_window(
    discharges: pa.Table, dispensings: pa.Table, truth_pairs: pa.Table, days: int
) -> npt.NDArray[np.bool_]:
    """Say for each discharge whether its patient's next dispensing from that day on comes within ``days``."""
    pair_of_discharge = _pair_numbers(discharges["person_id"], truth_pairs["rid_a"])
    pair_of_dispensing = _pair_numbers(dispensings["person_id"], truth_pairs["rid_b"])
    # Pair and day in one sortable number: the first dispensing at or after a discharge is one search away.
    dispensed = np.sort((pair_of_dispensing << 32) + _day_numbers(dispensings["dispensed"]))
    wanted = (pair_of_discharge << 32) + _day_numbers(discharges["discharged"])
    following = np.append(dispensed, np.iinfo(np.int64).max)[np.searchsorted(dispensed, wanted)]
    return (pair_of_discharge >= 0) & (following <= wanted + days)


def _pair_numbers(ids: pa.ChunkedArray, paired: pa.ChunkedArray) -> IntArray:
    """Return each id's row among the pairs, -1 for none."""
    numbers: IntArray = (
        pc.fill_null(pc.index_in(ids, paired.combine_chunks()), -1).to_numpy().astype(np.int64)
    )
    return numbers


def _day_numbers(days: pa.ChunkedArray) -> IntArray:
    numbers: IntArray = days.cast(pa.int32()).to_numpy().astype(np.int64)
    return numbers
