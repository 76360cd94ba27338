"""What a batch must be like once it is normalised. Zone: custodian."""

from __future__ import annotations

from linkage_core.protocol.linkage_protocol import LinkageProtocol
from tasks.custodian.expectations.batch_rules import BatchRule, BatchSuite, batch_suite

_PATTERNS = {
    "name": r"^[a-z0-9]{1,100}$",
    "date": r"^[0-9]{8}$",
    "sex": r"^[fmx]$",
    "text": r"^[a-z0-9 ]{1,300}$",
    "postcode": r"^[a-z0-9]{1,20}$",
    "phone": r"^[+]?[0-9]{1,20}$",
    # printable ASCII but for spaces and @; a class like \s would send pandas from its own engine to Python's
    "email": r"^[!-?A-~]{1,200}@[!-?A-~]{1,200}$",
}


def normalised_suite(protocol: LinkageProtocol) -> BatchSuite:
    """Every present value has the canonical form of its kind; nothing is added or lost."""
    columns = {"column_set": ["source_id", *protocol.field_names], "exact_match": True}
    return batch_suite(
        "normalised",
        [
            BatchRule("expect_table_columns_to_match_set", arguments=columns),
            BatchRule("expect_column_values_to_be_unique", "source_id"),
            *(
                BatchRule(
                    "expect_column_values_to_match_regex",
                    field.name,
                    arguments={"regex": _PATTERNS[field.kind]},
                )
                for field in protocol.fields
            ),
        ],
    )
