"""What a batch must be like as it leaves the source. Zone: custodian."""

from __future__ import annotations

from collections.abc import Mapping

from linkage_core.protocol.linkage_protocol import REQUIRED_FIELDS, LinkageProtocol
from tasks.custodian.expectations.batch_rules import BatchRule, BatchSuite, batch_suite

LONGEST_VALUE = 1000
"""Characters; longer values are quarantined row by row, and the batch fails when they are many."""


def raw_extract_suite(protocol: LinkageProtocol, max_null_share: Mapping[str, float]) -> BatchSuite:
    """Columns, source ids, null rates and lengths of the raw extract."""
    limits = {**dict.fromkeys(REQUIRED_FIELDS, 0.5), **max_null_share}
    length = {"max_value": LONGEST_VALUE}
    return batch_suite(
        "raw_extract",
        [
            BatchRule("expect_column_to_exist", "source_id"),
            BatchRule("expect_column_values_to_not_be_null", "source_id", 0.99),
            *(BatchRule("expect_column_to_exist", name) for name in REQUIRED_FIELDS),
            *(
                BatchRule("expect_column_values_to_not_be_null", name, 1.0 - share)
                for name, share in sorted(limits.items())
            ),
            *(
                BatchRule("expect_column_value_lengths_to_be_between", name, 0.9, length)
                for name in REQUIRED_FIELDS
            ),
        ],
    )
