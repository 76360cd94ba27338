"""What a received delivery must be like; nothing in it is readable. Zone: linkage_unit."""

from __future__ import annotations

import numpy as np
import pandas as pd

from linkage_core.linkage_unit.dice_kernels import count_bits
from linkage_core.protocol.encoded_records import EncodedRecords, blocking_values
from linkage_core.protocol.evidence_spec import evidence_of
from linkage_core.protocol.linkage_protocol import LinkageProtocol
from tasks.protocol.expectations.run_expectations import ExpectationCount, ExpectationSuite

LOWEST_FILL, HIGHEST_FILL = 0.35, 0.65
"""Share of bits set in a diffused filter: about one half, whatever the record. One that misses a field is null."""


def judge_delivery(described: pd.DataFrame, protocol: LinkageProtocol) -> list[ExpectationCount]:
    """Judge all parts of a delivery together, as :func:`describe_records` describes them.

    Volume, unique pseudonyms, sane fill, and at least one blocking value for nearly each record."""
    import great_expectations.expectations as gxe

    suite = ExpectationSuite(
        "delivery",
        [
            gxe.ExpectTableRowCountToBeBetween(min_value=1),
            gxe.ExpectColumnValuesToBeUnique(column="record_pseudonym"),
            *(
                gxe.ExpectColumnValuesToBeBetween(
                    column=f"fill_{group.name}", min_value=LOWEST_FILL, max_value=HIGHEST_FILL, mostly=0.999
                )
                for group in protocol.evidence.filters
            ),
            gxe.ExpectColumnValuesToBeBetween(column="blocking_values", min_value=1, mostly=0.99),
        ],
    )
    suite.judge(described)
    return suite.counts()


def describe_records(records: EncodedRecords, protocol: LinkageProtocol) -> pd.DataFrame:
    """What the expectations ask of each record; small, so that no more than one part of a delivery is in memory."""
    columns: dict[str, object] = {
        "record_pseudonym": [bytes(p) for p in records.record_pseudonyms],
        "blocking_values": (blocking_values(records, evidence_of(protocol)) != 0).sum(axis=1),
    }
    for group, filters in zip(protocol.evidence.filters, records.evidence.group_filters, strict=True):
        bits = count_bits(filters)
        fill = np.where(bits > 0, bits / group.sent_bits, np.nan)
        # An expectation passes over missing values; a column of nothing else has nothing to judge.
        columns[f"fill_{group.name}"] = fill
    return pd.DataFrame(columns)
