"""Makes encoder_vectors.json: `python -m tests.golden.make_encoder_vectors`.

Run it only with a reason: a changed vector means that deliveries made before and after no longer match, so it needs
a new protocol version and an entry in the changelog. Raw records are made up; keys are hashes of their names.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from linkage_core.custodian.encode_records import RecordEncoder, encode_records
from linkage_core.custodian.key_derivation import derive_custodian_keys
from linkage_core.custodian.normalise import normalise_batch
from linkage_core.custodian.source_format import SourceFormat
from linkage_core.custodian.text_columns import raw_batch
from linkage_core.protocol.linkage_protocol import parse_protocol, protocol_fingerprint

FOLDER = Path(__file__).parent
VECTORS_FILE = FOLDER / "encoder_vectors.json"
PROTOCOL = parse_protocol((FOLDER / "encoder_protocol.toml").read_text(encoding="utf-8"))
LINKAGE_KEY = hashlib.sha256(b"golden linkage key").digest()
SITE_KEY = hashlib.sha256(b"golden site key").digest()
SOURCE_FORMAT = SourceFormat(date_formats=("%d/%m/%Y",), sex_codes={"1": "m", "2": "f", "9": ""})
RAW_RECORDS: list[dict[str, str | None]] = [
    {
        "source_id": "H-0001", "given_name": "Maria", "middle_name": "K.", "family_name": "van der Berg",
        "birth_date": "04/03/1958", "sex": "2", "street": "12 Main Street", "city": "Springfield",
        "postcode": "12345-6789", "phone": "(212) 555-0123", "email": "Maria.Berg+news@Example.org",
    },
    {
        "source_id": "H-0002", "given_name": "Jean-Pierre", "middle_name": None, "family_name": "O’Shea",
        "birth_date": "31/12/1999", "sex": "1", "street": "Flat 4a, 0077 West Elm Ave.", "city": "St. Louis",
        "postcode": "SW1A 1AA", "phone": "+44 20 7946 0018", "email": None,
    },
    {
        "source_id": "Å-3", "given_name": "Łukasz", "middle_name": "", "family_name": "Müller, Jr.",
        "birth_date": "01/01/1900", "sex": "9", "street": None, "city": "Köln", "postcode": "00000",
        "phone": "n/a", "email": "none@none.com",
    },
    {
        "source_id": "H-0004", "given_name": "Иван", "middle_name": "x", "family_name": "Ng",
        "birth_date": "29/02/2000", "sex": "1", "street": "Rose and Crown Lane", "city": None, "postcode": "2250",
        "phone": None, "email": None,
    },
    {
        "source_id": "H-0005", "given_name": "Baby Boy", "middle_name": None, "family_name": "aa" * 60,
        "birth_date": "30/02/1958", "sex": None, "street": "-", "city": None, "postcode": None, "phone": None,
        "email": None,
    },
]  # fmt: skip


def encoder_vectors() -> dict[str, object]:
    """What the encoder makes of the records, as JSON: tokens, filters and pseudonyms in hexadecimal, bit 0 first."""
    columns = {name: [record[name] for record in RAW_RECORDS] for name in RAW_RECORDS[0]}
    normalised = normalise_batch(raw_batch(columns), PROTOCOL, SOURCE_FORMAT)
    keys = derive_custodian_keys(LINKAGE_KEY, PROTOCOL)
    encoder = RecordEncoder(PROTOCOL, keys, SITE_KEY)
    whole, aggregates = encode_records(normalised.records, encoder)
    in_order = {p.tobytes(): i for i, p in enumerate(whole.record_pseudonyms)}
    records = []
    for k, row in enumerate(normalised.records.to_pylist()):
        alone, _ = encode_records(normalised.records.slice(k, 1), encoder)
        i = in_order[alone.record_pseudonyms[0].tobytes()]
        records.append(
            {
                "normalised": row,
                "record_pseudonym": whole.record_pseudonyms[i].tobytes().hex(),
                "tokens": [f"{int(value):016x}" for value in whole.evidence.tokens[i]],
                "filters": [f[i].astype("<u8").tobytes().hex() for f in whole.evidence.group_filters],
                "rarity": whole.evidence.rarity[i].tolist(),
                "sex": int(whole.evidence.sex[i]),
            }
        )
    vectors = {
        "protocol_fingerprint": protocol_fingerprint(PROTOCOL),
        "key_check_value": keys.key_check_value.hex(),
        "token_keys": {name: key.hex() for name, key in keys.tokens.items()},
        "diffusion_keys": {name: group.diffusion.hex() for name, group in keys.groups.items()},
        "aggregates": asdict(aggregates),
        "records": records,
    }
    return dict(json.loads(json.dumps(vectors)))


if __name__ == "__main__":
    VECTORS_FILE.write_text(json.dumps(encoder_vectors(), indent=2) + "\n", encoding="utf-8")
