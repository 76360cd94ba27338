"""What the encoder promises besides its bits: nulls, refusals, and nothing readable."""

import numpy as np
import pyarrow as pa
import pytest

from linkage_core.custodian.bloom_filters import add_field, position_table
from linkage_core.custodian.encode_records import RecordEncoder, encode_records
from linkage_core.custodian.key_derivation import derive_custodian_keys
from linkage_core.custodian.keyed_hashing import hmac_sha256_many
from linkage_core.custodian.normalise import normalise_batch
from linkage_core.custodian.q_grams import value_q_grams
from linkage_core.custodian.record_pseudonyms import record_pseudonyms
from linkage_core.custodian.source_format import CANONICAL_FORMAT
from linkage_core.custodian.text_columns import raw_batch
from linkage_core.errors import NightlinkError
from linkage_core.protocol.encoded_records import EncodedRecords, blocking_values
from linkage_core.protocol.evidence_spec import evidence_of
from tests.golden.make_encoder_vectors import LINKAGE_KEY, PROTOCOL, SITE_KEY

ENCODER = RecordEncoder(PROTOCOL, derive_custodian_keys(LINKAGE_KEY, PROTOCOL), SITE_KEY)


def encode(**columns: list[str | bytes | None]) -> EncodedRecords:
    normalised = normalise_batch(raw_batch(columns), PROTOCOL, CANONICAL_FORMAT)
    return encode_records(normalised.records, ENCODER)[0]


def test_a_record_without_values_has_empty_filters_and_no_token() -> None:
    evidence = encode(source_id=["1"], given_name=[None]).evidence
    assert not any(filters.any() for filters in evidence.group_filters) and not evidence.tokens.any()
    assert not evidence.rarity.any() and not evidence.sex.any()


def test_a_missing_part_makes_its_passes_null_and_no_others() -> None:
    encoded = encode(source_id=["1"], given_name=["Ann"], family_name=["Lee"], birth_date=[None])
    values = blocking_values(encoded, evidence_of(PROTOCOL))[0]
    present = dict(zip(PROTOCOL.pass_names, values != 0, strict=True))
    assert present == {name: name in ("soundexes", "either_order") for name in PROTOCOL.pass_names}


def test_a_swapped_date_shares_its_sorted_pass() -> None:
    encoded = encode(
        source_id=["1", "2"],
        birth_date=["19580304", "19580403"],
        postcode=["12345", "12345"],
        given_name=["a", "b"],
    )
    values = blocking_values(encoded, evidence_of(PROTOCOL))[:, PROTOCOL.pass_names.index("sorted_date")]
    assert values[0] == values[1] != 0


def test_pseudonyms_depend_on_the_site_s_key_project_and_epoch_and_not_on_the_linkage_key() -> None:
    ids = ["7", "8", "7"]
    names = record_pseudonyms(SITE_KEY, ids, project="p", epoch="1")
    assert names[0] == names[2] != names[1]
    for key, project, epoch in ((LINKAGE_KEY, "p", "1"), (SITE_KEY, "q", "1"), (SITE_KEY, "p", "2")):
        assert not set(record_pseudonyms(key, ids, project=project, epoch=epoch).tolist()) & set(
            names.tolist()
        )
    by_column = record_pseudonyms(SITE_KEY, pa.array(ids), project="p", epoch="1")
    assert by_column.tobytes() == names.tobytes()
    encoded = encode(source_id=["7"], given_name=["a"])
    assert encoded.record_pseudonyms.tobytes() == (
        record_pseudonyms(SITE_KEY, ["7"], project=PROTOCOL.project, epoch=PROTOCOL.key_epoch).tobytes()
    )


def test_a_row_without_id_and_a_raw_column_are_refused_without_a_value() -> None:
    with pytest.raises(NightlinkError, match="E-INPUT.*1 rows without a source id"):
        encode(source_id=["1", None], given_name=["a", "b"])
    raw = pa.RecordBatch.from_pydict({"source_id": ["1"], "given_name": pa.array([b"zaphod"], pa.binary())})
    with pytest.raises(NightlinkError, match="E-INPUT.*given_name") as caught:
        encode_records(raw, ENCODER)
    assert "zaphod" not in str(caught.value)


def test_wrong_arrays_are_refused_before_a_kernel_sees_them() -> None:
    spec = PROTOCOL.fields[0]
    grams = value_q_grams(pa.array(["ann", "lee"]), spec)
    positions = position_table(LINKAGE_KEY, grams.tokens, 40, 1024)
    filters, rows = np.zeros((2, 16), np.uint64), np.array([0, 1], np.intp)
    wrong = [
        (filters.astype(np.int64), rows, positions),
        (filters[0], rows, positions),
        (filters, rows[:1], positions),
        (filters, rows + 1, positions),
        (filters, rows, positions[:1]),
        (filters, rows, positions[:, :16]),
        (filters, rows, positions.astype(np.uint32)),
    ]
    for bad_filters, bad_rows, bad_positions in wrong:
        with pytest.raises(NightlinkError, match="E-KERNEL-INPUT"):
            add_field(bad_filters, bad_rows, grams, bad_positions, 110, 40)
    for data, offsets in (
        (np.zeros(4, np.int8), np.array([0, 4])),
        (np.zeros(4, np.uint8), np.array([0, 5])),
        (np.zeros(4, np.uint8), np.array([3, 2])),
        (np.zeros(4, np.uint8), np.array([], np.int64)),
    ):
        with pytest.raises(NightlinkError, match="E-KERNEL-INPUT"):
            hmac_sha256_many(b"key", data, offsets)


def test_a_field_without_a_column_encodes_as_a_field_without_values() -> None:
    whole = normalise_batch(
        raw_batch({"source_id": ["1"], "given_name": ["ann"]}), PROTOCOL, CANONICAL_FORMAT
    ).records
    part, _ = encode_records(whole.select(["source_id", "given_name"]), ENCODER)
    assert np.array_equal(part.evidence.tokens, encode_records(whole, ENCODER)[0].evidence.tokens)
    assert not part.evidence.tokens.any()
