"""Run by a Python that has clkhash 0.18.3: cases as JSON on standard input, CLKs as JSON on standard output.

A case is a schema, a secret and records; each record is encoded on its own, so that one error does not take the
others with it. An error is told by its type only.
"""

import json
import sys

from clkhash import clk
from clkhash import schema as schemas
from clkhash.key_derivation import generate_key_lists
from clkhash.serialization import serialize_bitarray


def encode(case):
    try:
        schema = schemas.from_json_dict(case["schema"])
        keys = generate_key_lists(
            case["secret"],
            len(schema.fields),
            key_size=schema.kdf_key_size,
            salt=schema.kdf_salt,
            info=schema.kdf_info,
            kdf=schema.kdf_type,
            hash_algo=schema.kdf_hash,
        )
    except Exception as error:
        return {"schema_error": type(error).__name__}
    clks = []
    for record in case["records"]:
        try:
            (filter_,), _ = clk.hash_chunk([record], keys, schema, validate_data=case.get("check", True))
            clks.append(serialize_bitarray(filter_))
        except Exception:
            clks.append(None)
    return {"clks": clks}


if __name__ == "__main__":
    json.dump([encode(case) for case in json.load(sys.stdin)], sys.stdout)
