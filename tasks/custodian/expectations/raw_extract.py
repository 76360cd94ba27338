"""What a batch must be like as it leaves the source. Zone: custodian."""

from __future__ import annotations

from collections.abc import Mapping

from linkage_core.protocol.linkage_protocol import REQUIRED_FIELDS, LinkageProtocol
from tasks.protocol.expectations.run_expectations import ExpectationSuite

LONGEST_VALUE = 1000
"""Characters; longer values are quarantined row by row, and the batch fails when they are many."""


def raw_extract_suite(protocol: LinkageProtocol, max_null_share: Mapping[str, float]) -> ExpectationSuite:
    """Columns, source ids, null rates and lengths of the raw extract."""
    import great_expectations.expectations as gxe

    limits = {**dict.fromkeys(REQUIRED_FIELDS, 0.5), **max_null_share}
    return ExpectationSuite(
        "raw_extract",
        [
            gxe.ExpectColumnToExist(column="source_id"),
            gxe.ExpectColumnValuesToNotBeNull(column="source_id", mostly=0.99),
            *(gxe.ExpectColumnToExist(column=name) for name in REQUIRED_FIELDS),
            *(
                gxe.ExpectColumnValuesToNotBeNull(column=name, mostly=1.0 - share)
                for name, share in sorted(limits.items())
            ),
            *(
                gxe.ExpectColumnValueLengthsToBeBetween(column=name, max_value=LONGEST_VALUE, mostly=0.9)
                for name in REQUIRED_FIELDS
            ),
        ],
    )
