"""What a received delivery must be like; nothing in it is readable. Zone: linkage_unit."""

from __future__ import annotations

import pandas as pd

from linkage_core.linkage_unit.dice_kernels import count_bits
from linkage_core.protocol.encoded_records import EncodedRecords
from linkage_core.protocol.linkage_protocol import LinkageProtocol
from tasks.protocol.expectations.run_expectations import ExpectationCount, ExpectationSuite

LOWEST_FILL, HIGHEST_FILL = 0.02, 0.65
"""Share of bits set. Above it an all-ones filter would come near the threshold with everybody (row 16)."""


def judge_delivery(records: EncodedRecords, protocol: LinkageProtocol) -> list[ExpectationCount]:
    """Volume, unique pseudonyms, sane fill, and for each record at least one blocking value."""
    import great_expectations.expectations as gxe

    suite = ExpectationSuite(
        "delivery",
        [
            gxe.ExpectTableRowCountToBeBetween(min_value=1),
            gxe.ExpectColumnValuesToBeUnique(column="record_pseudonym"),
            gxe.ExpectColumnValuesToBeBetween(
                column="fill", min_value=LOWEST_FILL, max_value=HIGHEST_FILL, mostly=0.999
            ),
            gxe.ExpectColumnValuesToBeBetween(column="blocking_values", min_value=1, mostly=0.99),
        ],
    )
    suite.judge(_describe(records, protocol))
    return suite.counts()


def _describe(records: EncodedRecords, protocol: LinkageProtocol) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "record_pseudonym": [bytes(p) for p in records.record_pseudonyms],
            "fill": count_bits(records.filters) / protocol.filter.bits,
            "blocking_values": (records.blocking_values != 0).sum(axis=1),
        }
    )
