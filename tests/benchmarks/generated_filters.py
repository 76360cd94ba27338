"""Filters of generated people, for the benchmarks: no random bits, since real filters are far from random."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa

from linkage_core.custodian.encode_records import RecordEncoder, encode_records
from linkage_core.custodian.key_derivation import derive_custodian_keys
from linkage_core.custodian.normalise import normalise_batch
from linkage_core.custodian.source_format import SourceFormat
from linkage_core.evaluation.synthetic_people import PeopleParameters, generate_people
from linkage_core.protocol.linkage_protocol import parse_protocol

PROTOCOL = parse_protocol((Path(__file__).parents[2] / "deployments" / "linkage_protocol.toml").read_text())
STANDARD_NAMES = {
    "rid": "source_id",
    "first": "given_name",
    "middle": "middle_name",
    "last": "family_name",
    "dob": "birth_date",
    "zip": "postcode",
}


def filters_of_people(people_per_side: int, seed: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Both sides' first filters under the deployed protocol: uint64 of shape (n, words), rows in random order."""
    people = generate_people(PeopleParameters(people_per_side=people_per_side), seed)
    key = hashlib.sha256(b"benchmark").digest()
    encoder = RecordEncoder(PROTOCOL, derive_custodian_keys(key, PROTOCOL), key)
    return _encode(people.side_a, encoder), _encode(people.side_b, encoder)


def _encode(side: pa.Table, encoder: RecordEncoder) -> np.ndarray:
    raw = side.rename_columns([STANDARD_NAMES.get(name, name) for name in side.column_names])
    records = normalise_batch(raw.combine_chunks().to_batches()[0], PROTOCOL, SourceFormat()).records
    return encode_records(records, encoder)[0].evidence.group_filters[0]
