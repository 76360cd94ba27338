"""What a batch of identifiers must be like, as rules, and who judges them. Zone: custodian.

The rules carry great-expectations' own names. Where it is installed it judges; a custodian's command line has neither
it nor pandas, and there the same rules are judged by a few lines over Arrow columns. The counts are the same, and a
test holds both to it: what a manifest says does not depend on what is installed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from linkage_core.custodian.text_columns import readable
from linkage_core.protocol.delivery_manifest import ExpectationCount
from tasks.protocol.expectations.run_expectations import ExpectationSuite, holds_mostly

ROWS_TOGETHER = 200_000


@dataclass(frozen=True)
class BatchRule:
    """One expectation: its great-expectations type, its column, the share that must hold, and its arguments."""

    kind: str
    column: str | None = None
    mostly: float = 1.0
    arguments: Mapping[str, Any] = field(default_factory=dict)


class BatchSuite(Protocol):
    """Judges one batch after another and adds up the counts."""

    def judge(self, batch: pa.RecordBatch) -> None: ...
    def counts(self) -> list[ExpectationCount]: ...


def batch_suite(point: str, rules: Sequence[BatchRule]) -> InLargeBatches:
    """The rules at a point of the night, judged by great-expectations where it is installed."""
    installed = importlib.util.find_spec("great_expectations") is not None
    return InLargeBatches(GreatSuite(point, rules) if installed else PlainSuite(point, rules))


class InLargeBatches:
    """Batches are judged several together, since great-expectations takes as long for few rows as for many."""

    def __init__(self, suite: BatchSuite) -> None:
        self.suite = suite
        self._waiting: list[pa.RecordBatch] = []

    def judge(self, batch: pa.RecordBatch) -> None:
        """Add one batch's counts, now or with those that follow."""
        self._waiting.append(readable(batch))
        if sum(waiting.num_rows for waiting in self._waiting) >= ROWS_TOGETHER:
            self._judge_waiting()

    def counts(self) -> list[ExpectationCount]:
        """Totals over all batches."""
        self._judge_waiting()
        return self.suite.counts()

    def _judge_waiting(self) -> None:
        if self._waiting:
            together, self._waiting = pa.concat_batches(self._waiting), []
            self.suite.judge(together)


class GreatSuite:
    """Judged by great-expectations, over pandas."""

    def __init__(self, point: str, rules: Sequence[BatchRule]) -> None:
        import great_expectations.expectations as gxe

        self._suite = ExpectationSuite(point, [_great_expectation(gxe, rule) for rule in rules])

    def judge(self, batch: pa.RecordBatch) -> None:
        """Add one batch's counts."""
        self._suite.judge(readable(batch).to_pandas())

    def counts(self) -> list[ExpectationCount]:
        """As of :class:`ExpectationSuite`."""
        return self._suite.counts()


def _great_expectation(gxe: Any, rule: BatchRule) -> Any:
    name = "".join(word.capitalize() for word in rule.kind.split("_"))
    arguments = dict(rule.arguments)
    if rule.column is not None:
        arguments["column"] = rule.column
    if rule.mostly != 1.0:
        arguments["mostly"] = rule.mostly
    return getattr(gxe, name)(**arguments)


class PlainSuite:
    """Judged here, over Arrow columns."""

    def __init__(self, point: str, rules: Sequence[BatchRule]) -> None:
        self._point = point
        self._rules = rules
        self._totals = [[0, 0] for _ in rules]

    def judge(self, batch: pa.RecordBatch) -> None:
        """Add one batch's counts: values evaluated and values at fault, or once a batch for rules about it all."""
        batch = readable(batch)
        for total, rule in zip(self._totals, self._rules, strict=True):
            evaluated, unexpected = _JUDGES[rule.kind](batch, rule)
            total[0] += evaluated
            total[1] += unexpected

    def counts(self) -> list[ExpectationCount]:
        """Totals over all batches; a rule holds when its share at fault is within ``mostly``."""
        return [
            ExpectationCount(
                point=self._point,
                expectation=rule.kind,
                column=rule.column,
                evaluated=evaluated,
                unexpected=unexpected,
                success=holds_mostly(evaluated, unexpected, rule.mostly),
            )
            for rule, (evaluated, unexpected) in zip(self._rules, self._totals, strict=True)
        ]


Judge = Callable[[pa.RecordBatch, BatchRule], tuple[int, int]]


def _once(holds: bool) -> tuple[int, int]:
    return 1, 0 if holds else 1


def _of_values(judge: Callable[[pa.Array, BatchRule], int]) -> Judge:
    """A judge of the values that are there; a column that is not there is one fault."""

    def judged(batch: pa.RecordBatch, rule: BatchRule) -> tuple[int, int]:
        if rule.column not in batch.schema.names:
            return _once(False)
        values = batch.column(rule.column).drop_null()
        return len(values), judge(values, rule) if len(values) else 0

    return judged


def _column_exists(batch: pa.RecordBatch, rule: BatchRule) -> tuple[int, int]:
    return _once(rule.column in batch.schema.names)


def _columns_match(batch: pa.RecordBatch, rule: BatchRule) -> tuple[int, int]:
    return _once(set(batch.schema.names) == set(rule.arguments["column_set"]))


def _nulls(batch: pa.RecordBatch, rule: BatchRule) -> tuple[int, int]:
    if rule.column not in batch.schema.names:
        return _once(False)
    return batch.num_rows, batch.column(rule.column).null_count


def _repeated(values: pa.Array, rule: BatchRule) -> int:
    counts = pc.value_counts(values).field("counts")
    return int(pc.sum(counts.filter(pc.greater(counts, 1))).as_py() or 0)


def _too_long(values: pa.Array, rule: BatchRule) -> int:
    return _count(pc.greater(pc.utf8_length(values), rule.arguments["max_value"]))


def _unlike_pattern(values: pa.Array, rule: BatchRule) -> int:
    return len(values) - _count(pc.match_substring_regex(values, rule.arguments["regex"]))


def _count(mask: pa.Array) -> int:
    return int(pc.sum(mask).as_py() or 0)


_JUDGES: Mapping[str, Judge] = {
    "expect_column_to_exist": _column_exists,
    "expect_table_columns_to_match_set": _columns_match,
    "expect_column_values_to_not_be_null": _nulls,
    "expect_column_values_to_be_unique": _of_values(_repeated),
    "expect_column_value_lengths_to_be_between": _of_values(_too_long),
    "expect_column_values_to_match_regex": _of_values(_unlike_pattern),
}
