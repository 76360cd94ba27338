"""Great Expectations reduced to counts: right over batches, and no value of a record in any result."""

from __future__ import annotations

import json
import logging

import pandas as pd
import pytest

from linkage_core.errors import NightlinkError
from tasks.protocol.expectations.run_expectations import ExpectationSuite, refuse_broken

PLANTED = "Zaphod Beeblebrox"


@pytest.fixture(scope="module")
def gxe():  # noqa: ANN201
    import great_expectations.expectations

    return great_expectations.expectations


def test_counts_add_up_over_batches(gxe) -> None:  # noqa: ANN001
    suite = ExpectationSuite(
        "raw_extract",
        [
            gxe.ExpectColumnValuesToNotBeNull(column="name", mostly=0.6),
            gxe.ExpectColumnValuesToBeInSet(column="sex", value_set=["f", "m"]),
            gxe.ExpectColumnToExist(column="name"),
        ],
    )
    suite.judge(pd.DataFrame({"name": ["a", None, "b"], "sex": ["f", "m", None]}))
    suite.judge(pd.DataFrame({"name": [None, "c"], "sex": ["q", "f"]}))
    counts = [(c.expectation, c.column, c.evaluated, c.unexpected, c.success) for c in suite.counts()]
    assert counts == [
        ("expect_column_values_to_not_be_null", "name", 5, 2, True),  # 2 of 5 is just within mostly = 0.6
        ("expect_column_values_to_be_in_set", "sex", 4, 1, False),  # nulls are not evaluated
        ("expect_column_to_exist", "name", 2, 0, True),  # once a batch
    ]
    assert {c.point for c in suite.counts()} == {"raw_extract"}


def test_a_batch_that_fails_alone_may_pass_with_the_others(gxe) -> None:  # noqa: ANN001
    """The judgement is about the set, so the size of batches does not change it."""
    rows = [None] + ["x"] * 9
    verdicts = []
    for size in (1, 3, 10):
        suite = ExpectationSuite("raw_extract", [gxe.ExpectColumnValuesToNotBeNull(column="n", mostly=0.9)])
        for first in range(0, 10, size):
            suite.judge(pd.DataFrame({"n": pd.Series(rows[first : first + size], dtype=object)}))
        verdicts += [(c.evaluated, c.unexpected, c.success) for c in suite.counts()]
    assert verdicts == [(10, 1, True)] * 3


def test_a_missing_column_breaks_its_expectations_rather_than_passing(gxe) -> None:  # noqa: ANN001
    suite = ExpectationSuite(
        "raw_extract",
        [
            gxe.ExpectColumnToExist(column="name"),
            gxe.ExpectColumnValuesToNotBeNull(column="name", mostly=0.5),
            gxe.ExpectColumnValuesToMatchRegex(column="name", regex="^a"),
        ],
    )
    suite.judge(pd.DataFrame({"other": ["x"]}))
    assert [c.success for c in suite.counts()] == [False, False, False]


def test_no_batch_at_all_breaks_nothing_and_an_empty_batch_neither(gxe) -> None:  # noqa: ANN001
    suite = ExpectationSuite("normalised", [gxe.ExpectColumnValuesToBeUnique(column="id")])
    assert [(c.evaluated, c.success) for c in suite.counts()] == [(0, True)]
    suite.judge(pd.DataFrame({"id": pd.Series([], dtype=object)}))
    assert [(c.unexpected, c.success) for c in suite.counts()] == [(0, True)]


def test_a_planted_value_is_in_no_result_log_output_or_error(gxe, capfd, caplog) -> None:  # noqa: ANN001
    caplog.set_level(logging.DEBUG)
    suite = ExpectationSuite(
        "raw_extract",
        [
            gxe.ExpectColumnValuesToMatchRegex(column="name", regex="^[a-z]+$"),
            gxe.ExpectColumnValuesToBeUnique(column="name"),
            gxe.ExpectColumnValuesToBeInSet(column="name", value_set=["a"]),
            gxe.ExpectColumnValueLengthsToBeBetween(column="name", max_value=3),
            gxe.ExpectColumnValuesToBeBetween(
                column="name", min_value=1, max_value=2
            ),  # text: it cannot tell
            gxe.ExpectColumnDistinctValuesToBeInSet(column="name", value_set=["a"]),
        ],
    )
    suite.judge(pd.DataFrame({"name": [PLANTED, PLANTED, "a"]}))
    counts = suite.counts()
    assert [c.success for c in counts] == [False] * 6, "positive control: each of them met the value"
    with pytest.raises(NightlinkError, match="E-DQ-EXPECTATION") as caught:
        refuse_broken(counts)
    said = capfd.readouterr()
    everything = [
        json.dumps([c.model_dump() for c in counts]), str(caught.value), said.out, said.err, caplog.text,
        repr(suite.__dict__),
    ]  # fmt: skip
    assert not any("Zaphod" in text or "Beeblebrox" in text for text in everything)


def test_the_refusal_names_point_expectation_column_and_counts(gxe) -> None:  # noqa: ANN001
    suite = ExpectationSuite(
        "normalised",
        [
            gxe.ExpectColumnValuesToBeUnique(column="source_id"),
            gxe.ExpectTableRowCountToBeBetween(min_value=9),
        ],
    )
    suite.judge(pd.DataFrame({"source_id": ["1", "1", "2"]}))
    with pytest.raises(NightlinkError) as caught:
        refuse_broken(suite.counts())
    assert caught.value.code == "E-DQ-EXPECTATION"
    assert "at the point normalised" in caught.value.found
    assert "expect_column_values_to_be_unique of source_id broken by 2 of 3" in caught.value.found
    assert "expect_table_row_count_to_be_between broken by 1 of 1" in caught.value.found
    refuse_broken([c.model_copy(update={"success": True}) for c in suite.counts()])
