"""The fast follow-up shares agree with the slow reading of their definition."""

from __future__ import annotations

from datetime import date, timedelta

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage_core.evaluation.synthetic_care import followup_by_group
from tests.reference.slow_followup import slow_followup_by_group

START = date(2026, 1, 1)
DAYS = st.integers(0, 100).map(lambda n: START + timedelta(days=n))
ADMISSIONS = st.lists(
    st.tuples(
        st.sampled_from(["h1", "h2", "h3", "h4"]),
        st.one_of(st.none(), DAYS),
        st.sampled_from(["I21.0", "I21.4", "G35", "K80.2", "Z00.0"]),
    ),
    max_size=12,
)
DISPENSINGS = st.lists(st.tuples(st.sampled_from(["p1", "p2", "p9"]), DAYS), max_size=12)
PERIOD = st.one_of(st.none(), st.tuples(DAYS, DAYS))


@settings(deadline=None)
@given(ADMISSIONS, DISPENSINGS, st.integers(0, 40), PERIOD)
def test_fast_and_slow_agree(admissions, dispensings, days, period):
    admission_table = pa.table(
        {
            "person_id": pa.array([row[0] for row in admissions], pa.string()),
            "discharged": pa.array([row[1] for row in admissions], pa.date32()),
            "diagnosis_code": pa.array([row[2] for row in admissions], pa.string()),
        }
    )
    dispensing_table = pa.table(
        {
            "person_id": pa.array([row[0] for row in dispensings], pa.string()),
            "dispensed": pa.array([row[1] for row in dispensings], pa.date32()),
        }
    )
    truth = pa.table({"rid_a": ["h1", "h2", "h3"], "rid_b": ["p1", "p2", "p3"]})
    arguments = (admission_table, dispensing_table, truth, days, period)
    assert followup_by_group(*arguments) == slow_followup_by_group(*arguments)
