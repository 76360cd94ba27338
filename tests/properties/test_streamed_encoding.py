"""What is encoded in buckets, by any number of threads, is what is encoded at once, to the bit."""

from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage_core.custodian import encode_records as module
from linkage_core.custodian.encode_evidence import published_aggregates
from linkage_core.custodian.encode_records import (
    RecordEncoder,
    add_fills,
    encode_bucket,
    encode_records,
    split_by_pseudonym,
    survey_buckets,
)
from linkage_core.custodian.field_columns import FieldColumn
from linkage_core.custodian.key_derivation import derive_custodian_keys
from linkage_core.custodian.rarity_bands import rarity_bands
from linkage_core.custodian.value_survey import survey_values
from linkage_core.protocol.encoded_records import concat_records
from linkage_core.protocol.evidence_spec import evidence_of
from linkage_core.protocol.wire_format import write_part
from tasks.custodian.part_threads import in_order
from tests.golden.make_encoder_vectors import LINKAGE_KEY, PROTOCOL, SITE_KEY

PAIRS = 500
ENCODER = RecordEncoder(PROTOCOL, derive_custodian_keys(LINKAGE_KEY, PROTOCOL), SITE_KEY)


def people(rows: int, seed: int) -> pa.RecordBatch:
    """Few values, so that bands differ, and every field sometimes missing."""
    rng = np.random.default_rng(seed)
    columns = {"source_id": pa.array([f"id {i}" for i in range(rows)])}
    for spec in PROTOCOL.fields:
        pool = {
            "date": ["19800101", "19800102", "19991231"],
            "sex": ["f", "m", "x"],
        }.get(spec.kind, [f"{spec.name[:3]}{i}" for i in range(60)])
        drawn = np.minimum(rng.zipf(1.6, rows) - 1, len(pool) - 1)
        columns[spec.name] = pa.array(np.array(pool)[drawn], pa.utf8(), mask=rng.random(rows) < 0.1)
    return pa.RecordBatch.from_pydict(columns)


@given(
    rows=st.integers(0, 300),
    seed=st.integers(0, 3),
    batch_rows=st.integers(1, 120),
    buckets=st.integers(1, 7),
    threads=st.integers(1, 3),
)
@settings(max_examples=25, deadline=None)
def test_buckets_batches_and_threads_change_nothing(
    rows: int, seed: int, batch_rows: int, buckets: int, threads: int
) -> None:
    batch = people(rows, seed)
    whole, aggregates = encode_records(batch, ENCODER, random_pairs=PAIRS)
    divided: list[list[pa.RecordBatch]] = [[] for _ in range(buckets)]
    for first in range(0, rows, batch_rows):
        for number, part in split_by_pseudonym(batch.slice(first, batch_rows), buckets, ENCODER):
            divided[number].append(part)
    survey = survey_buckets(divided, rows, ENCODER, random_pairs=PAIRS)
    encode = partial(encode_bucket, encoder=ENCODER, survey=survey)
    parts = list(in_order(encode, divided, threads))
    together = concat_records([part.records for part in parts])
    assert write_part(together, PROTOCOL) == write_part(whole, PROTOCOL)
    fills = add_fills([part.fills for part in parts], len(PROTOCOL.evidence.filters))
    assert published_aggregates(survey, fills, evidence_of(PROTOCOL)) == aggregates


@pytest.mark.parametrize("sampled", [0, 1, 40])
def test_a_sample_is_the_smallest_pseudonyms_however_they_are_divided(
    sampled: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SAMPLE_RECORDS", sampled)
    batch = people(200, 5)
    one = survey_buckets([[batch]], 200, ENCODER, random_pairs=PAIRS)
    divided: list[list[pa.RecordBatch]] = [[] for _ in range(4)]
    for number, part in split_by_pseudonym(batch, 4, ENCODER):
        divided[number].append(part)
    assert survey_buckets(divided, 200, ENCODER, random_pairs=PAIRS).level_rates == one.level_rates


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 12)), max_size=200), st.integers(1, 5), st.integers(1, 2000)
)
@settings(max_examples=80, deadline=None)
def test_counting_in_little_memory_gives_the_bands_of_counting_at_once(
    held: list[int | None], batches: int, memory_bytes: int
) -> None:
    """The twin counts whole columns; MIN_BAND_RECORDS and both edges come into play."""
    values = pa.array([None if v is None else f"v{v}" for v in held], pa.utf8())
    encoded = values.dictionary_encode()
    column = FieldColumn(
        encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.intp), encoded.dictionary
    )
    expected = rarity_bands(column, (-1.5, 1.5))
    size = -(-len(held) // batches) or 1
    pieces = [
        pa.RecordBatch.from_pydict({"f": values.slice(first, size)}) for first in range(0, len(held), size)
    ]
    survey = survey_values(pieces, len(held), ["f"], (-1.5, 1.5), memory_bytes)["f"]
    assert survey.bands_of_rows(column).tolist() == expected.band_of_row.tolist()
    assert survey.band_agreement == expected.agreement
    counts = np.bincount(column.value_of_row[column.value_of_row >= 0])
    records = counts.sum()
    pairs = int((counts * (counts - 1)).sum())
    assert survey.agreement == (pairs / (records * (records - 1)) if records > 1 else 0.0)
