"""Makes token_vectors.json: `python -m tests.golden.make_token_vectors`.

Run it only with a reason: a changed vector means that token files made before and after no longer agree, so it needs a
new protocol version and an entry in the changelog. Records are those of the encoder's vectors.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from linkage_core.custodian.encode_records import RecordEncoder
from linkage_core.custodian.key_derivation import derive_custodian_keys
from linkage_core.custodian.normalise import normalise_batch
from linkage_core.custodian.text_columns import raw_batch
from linkage_core.custodian.token_forms import choose_definitions, place_of, site_tokens, to_transfer_form
from linkage_core.linkage_unit.project_tokens import to_project_tokens
from linkage_core.protocol.token_table import TokenTable
from linkage_core.protocol.transfer_keys import (
    agreement_public_hex,
    secret_at_custodian,
    secret_at_linkage_unit,
)
from tests.golden.make_encoder_vectors import LINKAGE_KEY, PROTOCOL, RAW_RECORDS, SITE_KEY, SOURCE_FORMAT

VECTORS_FILE = Path(__file__).with_name("token_vectors.json")
DEFINITIONS = (
    "given_name+family_name",
    "birth_date:year_month+sex",
    "birth_date:year_digit_month_day+phone",
    "names+birth_date:decade",
    "given_name:nickname+given_name:nickname_sound+sex",
)
TRANSFER_KEY, UNIT_KEY, TOKENS_KEY = (
    hashlib.sha256(f"golden {what} key".encode()).digest() for what in ("transfer", "encryption", "tokens")
)


def token_vectors() -> dict[str, object]:
    """Every form of the records' tokens, in hexadecimal, null where a token is, in the order of the pseudonyms."""
    columns = {name: [record[name] for record in RAW_RECORDS] for name in RAW_RECORDS[0]}
    normalised = normalise_batch(raw_batch(columns), PROTOCOL, SOURCE_FORMAT).records
    encoder = RecordEncoder(PROTOCOL, derive_custodian_keys(LINKAGE_KEY, PROTOCOL), SITE_KEY)
    site = site_tokens(normalised, encoder, LINKAGE_KEY, choose_definitions(PROTOCOL, DEFINITIONS))
    at_custodian = secret_at_custodian(TRANSFER_KEY, agreement_public_hex(UNIT_KEY))
    transfer = to_transfer_form(site, place_of(PROTOCOL), SITE_KEY, at_custodian)
    at_unit = secret_at_linkage_unit(UNIT_KEY, agreement_public_hex(TRANSFER_KEY))
    project = to_project_tokens(transfer, place_of(PROTOCOL), at_unit, TOKENS_KEY)
    return {
        "transfer_public_key": agreement_public_hex(TRANSFER_KEY),
        "unit_public_key": agreement_public_hex(UNIT_KEY),
        "record_pseudonyms": [row.tobytes().hex() for row in site.pseudonyms],
        "site": _as_json(site),
        "transfer": _as_json(transfer),
        "project": _as_json(project),
    }


def _as_json(table: TokenTable) -> dict[str, list[str | None]]:
    return {
        column.definition: [
            value.tobytes().hex() if there else None
            for value, there in zip(column.values, column.present, strict=True)
        ]
        for column in table.columns
    }


def main() -> None:
    """Write the vectors."""
    VECTORS_FILE.write_text(json.dumps(token_vectors(), indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
