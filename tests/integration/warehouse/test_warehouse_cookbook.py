"""Every question of the cookbook, asked as a researcher of a small world whose answers can be counted by hand.

Thirty patients were discharged on one day: 0 to 19 with I21, 20 to 26 with E11, 27 to 29 with J18. On the first night
0 to 23 are matches (0 to 9 of the best band) and 24 to 26 possible matches. 31 nights later 0 to 9 are linked no more,
and 10 to 19 on other evidence. Customers 0 to 19 were dispensed C10 five days after, 10 and 11 again after 100 days,
21 was dispensed A10 after ten days, 25 C10 after eight.
"""

from __future__ import annotations

import uuid
from datetime import date, timedelta
from typing import Any

import pytest

from sql.warehouse.research import QUERIES, run_query
from tests.integration.warehouse.warehouse_nights import Nights, Warehouse, day, load

DISCHARGED = day(-200)
PATIENTS = [str(uuid.uuid5(uuid.NAMESPACE_OID, f"patient {n}")) for n in range(30)]
CUSTOMERS = [str(uuid.uuid5(uuid.NAMESPACE_OID, f"customer {n}")) for n in range(30)]
DIAGNOSES = ["I21.9"] * 20 + ["E11.9"] * 7 + ["J18.0"] * 3
DISPENSED = [(n, 5, "C10AA05") for n in range(20)] + [(10, 100, "C10AA05"), (11, 100, "C10AA05")]
DISPENSED += [(21, 10, "A10BA02"), (25, 8, "C10AA05")]


def links(numbers: Any, band: str, decision: str = "match") -> list[Any]:
    return [(PATIENTS[n], CUSTOMERS[n], decision, band, ("dates",)) for n in numbers]


@pytest.fixture(scope="module")
def world(warehouse: Warehouse) -> Nights:
    nights = Nights(warehouse, "cookbook")
    same = [*links(range(20, 24), "0.80-0.85"), *links(range(24, 27), "0.75-0.80", "possible_match")]
    tables = {
        0: [*links(range(10), "0.95-1.00"), *links(range(10, 20), "0.90-0.95"), *same],
        31: [*links(range(10, 20), "0.85-0.90"), *same],
    }
    for number, rows in tables.items():
        run = nights.begin(f"n{number}", day(number))
        stays = [
            (p, DISCHARGED - timedelta(4), DISCHARGED, d) for p, d in zip(PATIENTS, DIAGNOSES, strict=True)
        ]
        load(warehouse, "hospital", stays, run.run_id, day(number))
        fills = [(CUSTOMERS[n], DISCHARGED + timedelta(after), atc, 30) for n, after, atc in DISPENSED]
        load(warehouse, "pharmacy", fills, run.run_id, day(number))
        nights.publish(run, rows, counts={"scores": {"expected_precision": 0.98, "expected_recall": 0.9}})
    return nights


PERIOD = {"project": "cookbook", "first_day": DISCHARGED, "last_day": DISCHARGED}
TWO_MONTHS = {"project": "cookbook", "first_day": date(2026, 3, 1), "last_day": date(2026, 4, 30)}
HIDDEN = None
RUN_0, RUN_31 = "cookbook.n0", "cookbook.n31"
FINGERPRINT = "ab" * 32

ANSWERS: list[tuple[str, dict[str, Any], list[tuple[Any, ...]]]] = [
    ("followup_within_30_days", PERIOD, [
        ("E11", "Type 2 diabetes mellitus", HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN, True),
        ("I21", "Acute myocardial infarction", 20, 10, 0.5, pytest.approx(0.2993, abs=1e-4),
         pytest.approx(0.7007, abs=1e-4), False),
        ("J18", "Pneumonia", HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN, True),
    ]),
    ("followup_as_of", PERIOD | {"day": day(0)}, [(day(0), 30, 21, 0.7)]),
    ("followup_as_of", PERIOD | {"day": day(30)}, [(day(30), 30, 21, 0.7)]),
    ("followup_as_of", PERIOD | {"day": day(31)}, [(day(31), 30, 11, pytest.approx(11 / 30))]),
    ("followup_as_of", PERIOD | {"day": day(-1)}, [(day(-1), 30, 0, 0.0)]),
    ("followup_by_threshold", PERIOD, [
        ("0.85-0.90", 30, 10, pytest.approx(1 / 3)), ("0.80-0.85", 30, 11, pytest.approx(11 / 30)),
        ("0.75-0.80", 30, 12, 0.4),
    ]),
    ("adherence_after_discharge", PERIOD | {"diagnosis": "I21", "atc": "C10"}, [(20, 10, 10, 2, 0.2)]),
    ("adherence_after_discharge", PERIOD | {"diagnosis": "I21", "atc": "A10"}, [(20, 10, HIDDEN, HIDDEN, HIDDEN)]),
    ("adherence_after_discharge", PERIOD | {"diagnosis": "J18", "atc": "C10"}, [(HIDDEN,) * 5]),
    ("days_to_first_fill", PERIOD | {"atc": "C10"}, [
        ("E11", "Type 2 diabetes mellitus", HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN),
        ("I21", "Acute myocardial infarction", 20, 10, 5, 5, 5),
        ("J18", "Pneumonia", HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN),
    ]),
    ("linked_by_diagnosis", PERIOD, [
        ("E11", "Type 2 diabetes mellitus", HIDDEN, HIDDEN, HIDDEN),
        ("I21", "Acute myocardial infarction", 20, 10, 0.5),
        ("J18", "Pneumonia", HIDDEN, HIDDEN, HIDDEN),
    ]),
    ("overlap_by_month", TWO_MONTHS, [
        (date(2026, 3, 31), "hospital", "pharmacy", 24, HIDDEN),
        (date(2026, 4, 30), "hospital", "pharmacy", 14, HIDDEN),
    ]),
    ("links_by_band", {"project": "cookbook"}, [
        ("0.85-0.90", 10, 0, 10), ("0.80-0.85", HIDDEN, 0, HIDDEN), ("0.75-0.80", 0, HIDDEN, HIDDEN),
    ]),
    ("links_changed_since", {"project": "cookbook", "since": day(31)}, [
        ("opened", 10), ("superseded", 10), ("withdrawn", 10),
    ]),
    ("links_changed_since", {"project": "cookbook", "since": day(32)}, [("opened", HIDDEN)]),
    ("links_of_a_day", {"project": "cookbook", "day": day(30)}, [
        ("hospital", "pharmacy", "match", 24, RUN_0, FINGERPRINT),
        ("hospital", "pharmacy", "possible_match", HIDDEN, RUN_0, FINGERPRINT),
    ]),
    ("links_of_a_day", {"project": "cookbook", "day": day(99)}, [
        ("hospital", "pharmacy", "match", 14, RUN_31, FINGERPRINT),
        ("hospital", "pharmacy", "possible_match", HIDDEN, RUN_31, FINGERPRINT),
    ]),
    ("link_survival", {"project": "cookbook", "day": day(0)}, [(30, 27, 1.0), (90, 27, None), (180, 27, None)]),
    ("link_survival", {"project": "cookbook", "day": day(1)}, [
        (30, 27, pytest.approx(7 / 27)), (90, 27, None), (180, 27, None),
    ]),
    ("entity_changes_by_month", TWO_MONTHS, [(date(2026, 4, 1), "dissolved", 10)]),
    ("quality_of_runs", TWO_MONTHS, [
        (RUN_0, day(0), 27, 0, 0, 0.98, 0.9), (RUN_31, day(31), 10, 20, 7, 0.98, 0.9),
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "parameters", "answer"), ANSWERS)
def test_the_answer_is_the_one_counted_by_hand(
    world: Nights, name: str, parameters: dict[str, Any], answer: list[tuple[Any, ...]]
) -> None:
    rows = run_query(world.warehouse.engine("researcher"), name, **parameters)
    assert [tuple(row.values()) for row in rows] == answer


def test_a_person_s_records_come_and_go(world: Nights) -> None:
    warehouse = world.warehouse
    [(entity,)] = warehouse.as_superuser(
        f"SELECT entity_id::text FROM linkage.entity_member WHERE record = '{PATIENTS[0]}'"
    )
    entity_id, patient, customer = warehouse.outside(entity, PATIENTS[0], CUSTOMERS[0])
    rows = run_query(warehouse.engine("researcher"), "person_over_time", entity_id=entity_id)
    shown = [
        tuple(str(row[name]) for name in ("day", "what", "custodian", "record_pseudonym")) for row in rows
    ]
    first, second = str(day(0)), str(day(31))
    assert shown == [
        (first, "record joined", "hospital", patient), (first, "record joined", "pharmacy", customer),
        (second, "dissolved", "None", "None"),
        (second, "record left", "hospital", patient), (second, "record left", "pharmacy", customer),
    ]  # fmt: skip


def test_every_question_is_asked_here() -> None:
    assert {name for name, _, _ in ANSWERS} | {"person_over_time"} == set(QUERIES)


def test_another_research_project_has_no_answer(world: Nights) -> None:
    engine = world.warehouse.engine("another_researcher")
    assert run_query(engine, "followup_within_30_days", **PERIOD) == []
    assert run_query(engine, "links_by_band", project="cookbook") == []
