"""Filters of generated people, for the benchmarks: no random bits, since real filters are far from random.

CLKs of 1,024 bits, about .36 of them set, over both names, birth date and postcode: the form that anonlink and faiss
are raced on. The deployed protocol's filters are diffused, which leaves any pruning little to prune.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa

from linkage_core.custodian.clk_encoder import ClkEncoder, clk_encoder, encode_clks
from linkage_core.evaluation.synthetic_people import PeopleParameters, generate_people
from linkage_core.protocol.linkage_schema import parse_linkage_schema

BITS = 1024
BITS_OF_FIELD = {"first": 120, "last": 120, "dob": 120, "zip": 100}
KDF = {"type": "HKDF", "hash": "SHA256", "salt": "SCbL2zHNnmsckfzchsNkZY9XoHk96P8=", "keySize": 64}


def filters_of_people(people_per_side: int, seed: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Both sides' CLKs: uint64 of shape (n, 16), rows in random order."""
    people = generate_people(PeopleParameters(people_per_side=people_per_side), seed)
    features = [_feature(name, bits) for name, bits in BITS_OF_FIELD.items()]
    document = {"version": 3, "clkConfig": {"l": BITS, "kdf": KDF}, "features": features}
    encoder = clk_encoder(parse_linkage_schema(json.dumps(document)), "benchmark", check=False)
    return _encode(people.side_a, encoder), _encode(people.side_b, encoder)


def _feature(name: str, bits: int) -> dict[str, Any]:
    hashing = {
        "comparison": {"type": "ngram", "n": 2, "positional": name == "dob"},
        "strategy": {"bitsPerFeature": bits},
        "hash": {"type": "doubleHash"},
    }
    return {"identifier": name, "format": {"type": "string", "encoding": "utf-8"}, "hashing": hashing}


def _encode(side: pa.Table, encoder: ClkEncoder) -> np.ndarray:
    batches = side.select(list(BITS_OF_FIELD)).combine_chunks().to_batches(max_chunksize=encoder.rows_a_batch)
    clks = np.concatenate([encode_clks(batch.columns, encoder).clks for batch in batches])
    return np.ascontiguousarray(clks).view(np.uint64).reshape(len(clks), BITS // 64)
