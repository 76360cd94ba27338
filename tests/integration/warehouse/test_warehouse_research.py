"""The researcher's question, held against the truth; small groups and small counts stay hidden."""

from __future__ import annotations

import math
import uuid
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from linkage_core.errors import NightlinkError
from linkage_core.evaluation.synthetic_care import DIAGNOSIS_GROUPS, followup_by_group, generate_care
from sql.warehouse.research import followup_within_30_days, run_query
from tests.integration.warehouse.warehouse_nights import (
    FIRST_NIGHT,
    Nights,
    Warehouse,
    day,
    link,
    load,
    serve,
)


def pseudonym(person_id: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, person_id))


@pytest.fixture(scope="module")
def care(warehouse: Warehouse) -> Any:
    """2,000 patients and 2,000 customers, 1,500 of them the same people; their care, loaded."""
    hospital, pharmacy = [f"a{n}" for n in range(2000)], [f"b{n}" for n in range(2000)]
    truth = pa.table({"rid_a": hospital[:1500], "rid_b": pharmacy[:1500]})
    made = generate_care(hospital, pharmacy, truth, FIRST_NIGHT, seed=7)
    for custodian, table in (("hospital", made.admissions), ("pharmacy", made.dispensings)):
        columns = table.to_pydict()
        columns["person_id"] = [pseudonym(person) for person in columns["person_id"]]
        load(warehouse, custodian, list(zip(*columns.values(), strict=True)))
    serve(warehouse)
    return made, truth


def test_the_groups_are_those_of_the_definition(warehouse: Warehouse) -> None:
    groups = warehouse.as_researcher("SELECT code, label FROM research.diagnosis_group_v1")
    assert dict(groups) == dict(DIAGNOSIS_GROUPS)


@pytest.mark.parametrize("period", [None, (FIRST_NIGHT - timedelta(200), FIRST_NIGHT - timedelta(30))])
def test_with_the_true_links_the_answer_is_the_true_answer(
    nights: Nights, warehouse: Warehouse, care: Any, period: Any
) -> None:
    made, truth = care
    pairs = zip(truth["rid_a"].to_pylist(), truth["rid_b"].to_pylist(), strict=True)
    nights.night("n1", [link(a=pseudonym(a), b=pseudonym(b)) for a, b in pairs])
    expected = followup_by_group(made.admissions, made.dispensings, truth, discharged_period=period)
    rows = followup_within_30_days(warehouse.engine("researcher"), nights.project, *(period or ()))
    assert [row["diagnosis_group"] for row in rows] == [group.diagnosis_group for group in expected]
    for row, group in zip(rows, expected, strict=True):
        if group.discharged_patients < 10:
            figures = ("discharged_patients", "followed_up", "share", "share_low", "share_high")
            assert [row[name] for name in figures] == [None] * 5
            assert row["suppressed"]
        else:
            assert (row["discharged_patients"], row["followed_up"]) == (
                group.discharged_patients,
                group.followed_up,
            )
            assert row["share"] == pytest.approx(group.share)
            assert not row["suppressed"]
    assert sum(row["suppressed"] for row in rows) >= 2


def answer(warehouse: Warehouse, nights: Nights) -> dict[str, Any]:
    return {
        row["diagnosis_group"]: row
        for row in followup_within_30_days(warehouse.engine("researcher"), nights.project)
    }


def test_without_links_all_patients_stay_and_nobody_is_followed_up(
    nights: Nights, warehouse: Warehouse, care: Any
) -> None:
    made, truth = care
    nights.night("n1", [])
    expected = followup_by_group(made.admissions, made.dispensings, truth)
    rows = answer(warehouse, nights)
    for group in expected:
        if group.discharged_patients >= 10:
            row = rows[group.diagnosis_group]
            assert (row["discharged_patients"], row["followed_up"], row["share_low"]) == (
                group.discharged_patients,
                0,
                0,
            )


def test_possible_matches_do_not_count(nights: Nights, warehouse: Warehouse, care: Any) -> None:
    _, truth = care
    pairs = zip(truth["rid_a"].to_pylist(), truth["rid_b"].to_pylist(), strict=True)
    nights.night("n1", [link("possible_match", a=pseudonym(a), b=pseudonym(b)) for a, b in pairs])
    assert all(row["followed_up"] in (0, None) for row in answer(warehouse, nights).values())


def wilson(k: int, n: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson's interval as the two roots of (p - k/n)^2 = z^2 p (1 - p) / n, by the quadratic formula."""
    share = k / n
    a, b, c = 1 + z * z / n, -(2 * share + z * z / n), share * share
    root = math.sqrt(max(b * b - 4 * a * c, 0.0))
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def test_edges_of_the_definition_and_of_the_interval(nights: Nights, warehouse: Warehouse) -> None:
    patients = [str(uuid.uuid4()) for _ in range(10)]
    customers = [str(uuid.uuid4()) for _ in range(10)]
    nights.night("n1", [link(a=a, b=b) for a, b in zip(patients, customers, strict=True)])
    load(warehouse, "hospital", [
        *[(p, day(-60), day(-50), "I21.9") for p in patients],
        (patients[0], day(-90), day(-80), "I21.0"),  # a second discharge: the patient counts once
        (patients[1], day(-9), None, "E11.9"),  # still in hospital: no discharge
        (patients[2], day(-60), day(-50), "Z99.9"),  # in no group
        *[(p, day(-60), day(-50), "J18.0") for p in patients[:9]],  # a group of nine
    ], "edges", day(5))  # fmt: skip
    load(warehouse, "pharmacy", [
        (customers[0], day(-50), "X", 1),  # the day of the discharge
        (customers[1], day(-20), "X", None),  # the 30th day after
        (customers[2], day(-19), "X", 1),  # the 31st
        (customers[3], day(-51), "X", 1),  # the day before
        (str(uuid.uuid4()), day(-45), "X", 1),  # nobody's
    ], "edges", day(5))  # fmt: skip
    serve(warehouse, "edges", day(5))
    rows = answer(warehouse, nights)
    assert sorted(rows) == ["I21", "J18"]
    assert (rows["I21"]["discharged_patients"], rows["I21"]["followed_up"]) == (10, 2)
    assert (rows["I21"]["share_low"], rows["I21"]["share_high"]) == pytest.approx(wilson(2, 10))
    assert rows["J18"]["suppressed"]


def test_an_unknown_query_is_refused(warehouse: Warehouse) -> None:
    with pytest.raises(NightlinkError, match="E-INPUT.*followup_within_30_days"):
        run_query(warehouse.engine("researcher"), "../../etc/passwd")


def test_a_researcher_sees_where_each_link_comes_from(nights: Nights, warehouse: Warehouse) -> None:
    run = nights.begin("n1")
    deliveries = nights.deliveries(run)
    nights.publish(run, [link()], deliveries=deliveries)
    found = warehouse.as_researcher(
        "SELECT l.custodian_a, l.custodian_b, l.opened_by_run, l.deliveries, l.protocol_fingerprint, l.code_version,"
        " r.is_current FROM research.link_current_v1 AS l"
        " JOIN research.linkage_run_v1 AS r ON r.run_id = l.opened_by_run"
        f" WHERE l.project = '{nights.project}'"
    )
    manifests = sorted(d.manifest_sha256 for d in deliveries)
    assert found == [("hospital", "pharmacy", run.run_id, manifests, "ab" * 32, "0.1.0", True)]


QUALITY = [
    # rejected, by rule -> what is shown: extracted, rejected, each rule
    (0, {}, (1000, 0, {})),
    (25, {"R-A": 15, "R-B": 12}, (1000, 25, {"R-A": 15, "R-B": 12})),
    (5, {"R-A": 5}, (None, None, {"R-A": None})),
    (25, {"R-A": 20, "R-B": 5}, (None, None, {"R-A": 20, "R-B": None})),
]


@pytest.mark.parametrize(("rejected", "by_rule", "shown"), QUALITY)
def test_small_counts_are_hidden_also_from_subtraction(
    nights: Nights, warehouse: Warehouse, rejected: int, by_rule: dict[str, int], shown: tuple[Any, ...]
) -> None:
    run = nights.begin("n1")
    hospital = {
        "extracted": 1000,
        "rejected": rejected,
        "rejected_by_rule": by_rule,
        "delivered": 1000 - rejected,
    }
    nights.publish(run, [link()], counts={"custodians": {"hospital": hospital}, "as_of": run.as_of})
    rows = warehouse.as_researcher(
        "SELECT measure, rule, row_count, suppressed FROM research.data_quality_v1"
        f" WHERE run_id = '{run.run_id}' AND custodian = 'hospital'"
    )
    told = {(measure, rule): count for measure, rule, count, _ in rows}
    assert all(hidden == (count is None) for _, _, count, hidden in rows)
    rules = {rule: count for (measure, rule), count in told.items() if measure == "rejected_by_rule"}
    assert (told["extracted", None], told["rejected", None], rules) == shown
    assert told["delivered", None] == 1000 - rejected
