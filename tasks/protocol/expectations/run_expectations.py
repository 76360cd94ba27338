"""Great Expectations, reduced to counts at once. Zone: protocol.

The result format keeps counts and copies no value; whatever else a result holds is dropped here, before
anything can be stored, logged or shown. The context is ephemeral, one a process.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from linkage_core.errors import NightlinkError
from linkage_core.protocol.delivery_manifest import ExpectationCount

if TYPE_CHECKING:
    import pandas as pd

COUNTS_ONLY = {"result_format": "BASIC", "partial_unexpected_count": 0}


class ExpectationSuite:
    """A named suite that judges one data frame after another and adds up the counts.

    Parameters
    ----------
    point : str
        Where in the night it stands: ``raw_extract``, ``normalised``, ``delivery`` or ``link_table``.
    expectations : sequence of great_expectations Expectation
    """

    def __init__(self, point: str, expectations: Sequence[Any]) -> None:
        self.point = point
        self._mostly = [float(getattr(e, "mostly", 1.0) or 0.0) for e in expectations]
        self._totals: list[list[int]] = [[0, 0] for _ in expectations]
        self._definition = _definition(point, expectations)
        self._labels = [(e.expectation_type, getattr(e, "column", None)) for e in expectations]

    def judge(self, frame: pd.DataFrame) -> None:
        """Add one frame's counts."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outcome = self._definition.run(batch_parameters={"dataframe": frame}, result_format=COUNTS_ONLY)
        _forget_frames(self._definition)
        by_id = {r.expectation_config.id: r for r in outcome.results}
        for total, expectation in zip(self._totals, self._definition.suite.expectations, strict=True):
            result = by_id[expectation.id]
            counts = result.result or {}
            if {"unexpected_count", "element_count"} <= counts.keys():
                total[0] += int(counts["element_count"]) - int(counts.get("missing_count") or 0)
                total[1] += int(counts["unexpected_count"])
            else:  # a table-level expectation, or one that could not be evaluated at all
                total[0] += 1
                total[1] += 0 if result.success else 1

    def counts(self) -> list[ExpectationCount]:
        """Totals over all frames; an expectation holds when its share of unexpected rows is within ``mostly``."""
        return [
            ExpectationCount(
                point=self.point,
                expectation=kind,
                column=column,
                evaluated=evaluated,
                unexpected=unexpected,
                success=holds_mostly(evaluated, unexpected, mostly),
            )
            for (kind, column), (evaluated, unexpected), mostly in zip(
                self._labels, self._totals, self._mostly, strict=True
            )
        ]


def holds_mostly(evaluated: int, unexpected: int, mostly: float) -> bool:
    """Whether the share at fault is at most ``1 - mostly``."""
    return unexpected <= (1.0 - mostly) * evaluated + 1e-9


def _definition(point: str, expectations: Sequence[Any]) -> Any:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    batch = context.data_sources.add_pandas(point).add_dataframe_asset(point)
    suite = context.suites.add(gx.ExpectationSuite(point, expectations=list(expectations)))
    return context.validation_definitions.add(
        gx.ValidationDefinition(
            name=point, data=batch.add_batch_definition_whole_dataframe(point), suite=suite
        )
    )


def _forget_frames(definition: Any) -> None:
    """Let go of the frame: the library keeps its context, and with it the last batch, for the process's lifetime."""
    manager = definition.data.data_asset.datasource.get_execution_engine().batch_manager
    manager.reset_batch_cache()
    manager.batch_data_cache.clear()


def refuse_broken(counts: Iterable[ExpectationCount]) -> None:
    """Raise E-DQ-EXPECTATION naming every expectation that does not hold, with counts."""
    broken = [count for count in counts if not count.success]
    if broken:
        found = "; ".join(
            f"{c.expectation}{f' of {c.column}' if c.column else ''} broken by {c.unexpected} of {c.evaluated}"
            for c in broken
        )
        raise NightlinkError(
            "E-DQ-EXPECTATION",
            found=f"at the point {broken[0].point}: {found}",
            expected="every expectation of the suite to hold",
            remedy="Look at the source of that field, or change the suite in tasks/*/expectations with a review.",
        )
