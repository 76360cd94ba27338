"""What a batch must be like once it is normalised. Zone: custodian."""

from __future__ import annotations

from linkage_core.protocol.linkage_protocol import LinkageProtocol
from tasks.protocol.expectations.run_expectations import ExpectationSuite

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


def normalised_suite(protocol: LinkageProtocol) -> ExpectationSuite:
    """Every present value has the canonical form of its kind; nothing is added or lost."""
    import great_expectations.expectations as gxe

    return ExpectationSuite(
        "normalised",
        [
            gxe.ExpectTableColumnsToMatchSet(
                column_set=["source_id", *protocol.field_names], exact_match=True
            ),
            gxe.ExpectColumnValuesToBeUnique(column="source_id"),
            *(
                gxe.ExpectColumnValuesToMatchRegex(column=field.name, regex=_PATTERNS[field.kind])
                for field in protocol.fields
            ),
        ],
    )
