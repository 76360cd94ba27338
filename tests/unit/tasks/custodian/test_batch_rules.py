"""The batch rules: great-expectations and the few lines that stand in for it count the same."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest

from linkage_core.protocol.delivery_manifest import ExpectationCount
from tasks.custodian.expectations import batch_rules
from tasks.custodian.expectations.batch_rules import BatchRule, GreatSuite, PlainSuite, batch_suite
from tasks.custodian.expectations.normalised_identifiers import normalised_suite
from tasks.custodian.expectations.raw_extract import raw_extract_suite
from tests.reference.small_world import shipped_protocol

VALUES = [
    None,
    "a",
    "a",
    "b",
    "Ü",
    "x" * 1000,
    "x" * 1001,
    "ü" * 1001,
    "19800102",
    "1980-01-02",
    "f",
    " ",
    "a@b",
]


def _rules() -> list[BatchRule]:
    """Every rule of both suites."""
    found: list[BatchRule] = []
    original, batch_rules.PlainSuite = batch_rules.PlainSuite, _note(found)  # type: ignore[misc, assignment]
    great, batch_rules.GreatSuite = batch_rules.GreatSuite, _note(found)  # type: ignore[misc, assignment]
    try:
        raw_extract_suite(shipped_protocol(), {"sex": 0.25, "postcode": 1.0, "shoe_size": 0.5})
        normalised_suite(shipped_protocol())
    finally:
        batch_rules.PlainSuite, batch_rules.GreatSuite = original, great  # type: ignore[misc]
    return found


def _note(found: list[BatchRule]):  # noqa: ANN202
    return lambda point, rules: found.extend(rules)


def _batch(rng: random.Random, rows: int, columns: list[str]) -> pa.RecordBatch:
    made = [pa.array([rng.choice(VALUES) for _ in range(rows)], pa.string()) for _ in columns]
    return pa.RecordBatch.from_arrays(made, names=columns)


@pytest.mark.parametrize("seed", range(2))
def test_both_judges_count_the_same(seed: int) -> None:
    rng = random.Random(seed)
    names = ["source_id", *shipped_protocol().field_names]
    columns = names if seed else rng.sample(names, 6)  # some rules miss their column
    rules = _rules()
    suites = GreatSuite("raw_extract", rules), PlainSuite("raw_extract", rules)
    for rows in (rng.randrange(1, 60), 1, rng.randrange(1, 60)):
        batch = _batch(rng, rows, columns)
        for suite in suites:
            suite.judge(batch)
    theirs, ours = (suite.counts() for suite in suites)
    assert ours == theirs
    assert any(count.unexpected for count in ours) and any(count.success for count in ours)
    assert {rule.kind for rule in rules} == set(batch_rules._JUDGES)


def test_bytes_that_are_no_text_are_judged_too() -> None:
    rule = BatchRule("expect_column_value_lengths_to_be_between", "name", 0.9, {"max_value": 3})
    batch = pa.RecordBatch.from_arrays([pa.array([b"\xff\xff", b"\xff" * 4, None], pa.binary())], ["name"])
    counts = []
    for suite in (GreatSuite("raw_extract", [rule]), PlainSuite("raw_extract", [rule])):
        suite.judge(batch)
        counts.append(suite.counts())
    assert counts[0] == counts[1]
    assert (counts[0][0].evaluated, counts[0][0].unexpected) == (2, 1)


def test_the_stand_in_is_used_where_great_expectations_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(batch_suite("normalised", []).suite, GreatSuite)
    monkeypatch.setattr(batch_rules.importlib.util, "find_spec", lambda name: None)
    assert isinstance(batch_suite("normalised", []).suite, PlainSuite)


def test_batches_are_judged_several_together_and_none_is_forgotten() -> None:
    judged: list[int] = []

    class Recorder:
        def judge(self, batch: pa.RecordBatch) -> None:
            judged.append(batch.num_rows)

        def counts(self) -> list[ExpectationCount]:
            return []

    suite = batch_rules.InLargeBatches(Recorder())
    for rows in (3, batch_rules.ROWS_TOGETHER, 5):
        suite.judge(pa.RecordBatch.from_pydict({"f": pa.nulls(rows, pa.utf8())}))
    suite.counts()
    assert judged == [3 + batch_rules.ROWS_TOGETHER, 5]
