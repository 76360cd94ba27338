"""What a link table must be like before it is published. Zone: linkage_unit."""

from __future__ import annotations

import pandas as pd

from linkage_core.linkage_unit.link_decisions import BAND_NAMES, DECISION_NAMES
from linkage_core.linkage_unit.link_selection import LinkLimits
from linkage_core.linkage_unit.link_table import LinkTable
from tasks.protocol.expectations.run_expectations import ExpectationCount, ExpectationSuite


def judge_link_table(
    table: LinkTable, records_a: int, records_b: int, limits: LinkLimits
) -> list[ExpectationCount]:
    """At most one link of a record where it may have one, known decisions and bands, every link from a pass."""
    import great_expectations.expectations as gxe

    limited = [
        (limits.one_a_record_of_a, "record_a", records_a),
        (limits.one_a_record_of_b, "record_b", records_b),
    ]
    most = min([records_a * records_b, *(records for is_limited, _, records in limited if is_limited)])
    suite = ExpectationSuite(
        "link_table",
        [
            gxe.ExpectTableRowCountToBeBetween(min_value=0, max_value=most),
            *(gxe.ExpectColumnValuesToBeUnique(column=name) for is_limited, name, _ in limited if is_limited),
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
