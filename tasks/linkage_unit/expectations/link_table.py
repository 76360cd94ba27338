"""What a link table must be like before it is published. Zone: linkage_unit."""

from __future__ import annotations

import pandas as pd

from linkage_core.linkage_unit.link_decisions import BAND_NAMES, DECISION_NAMES
from linkage_core.linkage_unit.link_table import LinkTable
from tasks.protocol.expectations.run_expectations import ExpectationCount, ExpectationSuite


def judge_link_table(table: LinkTable, records_a: int, records_b: int) -> list[ExpectationCount]:
    """One-to-one on both sides, known decisions and bands, every link proposed by a pass."""
    import great_expectations.expectations as gxe

    suite = ExpectationSuite(
        "link_table",
        [
            gxe.ExpectTableRowCountToBeBetween(min_value=0, max_value=min(records_a, records_b)),
            gxe.ExpectColumnValuesToBeUnique(column="record_a"),
            gxe.ExpectColumnValuesToBeUnique(column="record_b"),
            gxe.ExpectColumnValuesToBeInSet(column="decision", value_set=["match", "possible_match"]),
            gxe.ExpectColumnValuesToBeInSet(column="score_band", value_set=list(BAND_NAMES)),
            gxe.ExpectColumnValuesToBeBetween(column="passes", min_value=1),
        ],
    )
    suite.judge(
        pd.DataFrame(
            {
                "record_a": [bytes(p) for p in table.pseudonym_a],
                "record_b": [bytes(p) for p in table.pseudonym_b],
                "decision": [DECISION_NAMES[code] for code in table.decision],
                "score_band": [BAND_NAMES[code] for code in table.score_band],
                "passes": table.passes,
            }
        )
    )
    return suite.counts()
