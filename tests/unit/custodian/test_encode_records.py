"""What the encoder promises besides its bits: nulls, refusals, statistics, and nothing readable."""

import numpy as np
import pyarrow as pa
import pytest

from linkage_core.custodian.bloom_filters import add_field, position_table
from linkage_core.custodian.encode_records import RecordEncoder, encode_batch, filter_statistics
from linkage_core.custodian.key_derivation import derive_custodian_keys
from linkage_core.custodian.keyed_hashing import hmac_sha256_many
from linkage_core.custodian.normalise import normalise_batch
from linkage_core.custodian.q_grams import value_q_grams
from linkage_core.custodian.record_pseudonyms import record_pseudonyms
from linkage_core.custodian.source_format import CANONICAL_FORMAT
from linkage_core.custodian.text_columns import raw_batch
from linkage_core.errors import NightlinkError
from tests.golden.make_encoder_vectors import LINKAGE_KEY, PROTOCOL, SITE_KEY

ENCODER = RecordEncoder(PROTOCOL, derive_custodian_keys(LINKAGE_KEY, PROTOCOL), SITE_KEY)


def encode(**columns: list[str | bytes | None]):  # noqa: ANN201
    return encode_batch(normalise_batch(raw_batch(columns), PROTOCOL, CANONICAL_FORMAT), ENCODER)


def dice(left: np.ndarray, right: np.ndarray) -> float:
    common, total = (
        np.bitwise_count(left & right).sum(),
        np.bitwise_count(left).sum() + np.bitwise_count(right).sum(),
    )
    return float(2 * common / total)


def test_a_typo_stays_near_and_another_person_is_far() -> None:
    encoded = encode(
        source_id=["1", "2", "3"],
        given_name=["Catherine", "Katherine", "Robert"],
        family_name=["O'Shea", "Oshea", "Lindqvist"],
        birth_date=["19580304", "19580304", "19910712"],
    )
    assert dice(encoded.filters[0], encoded.filters[1]) > 0.85
    assert dice(encoded.filters[0], encoded.filters[2]) < 0.5


def test_a_record_without_values_has_an_empty_filter_and_no_blocking_value() -> None:
    encoded = encode(source_id=["1"], given_name=[None])
    assert not encoded.filters.any() and not encoded.blocking_values.any()


def test_a_missing_part_makes_its_passes_null_and_no_others() -> None:
    encoded = encode(source_id=["1"], given_name=["Ann"], family_name=["Lee"], birth_date=[None])
    present = dict(zip(PROTOCOL.pass_names, encoded.blocking_values[0] != 0, strict=True))
    assert present == {name: name in ("soundexes", "either_order") for name in PROTOCOL.pass_names}


def test_a_swapped_date_shares_its_sorted_pass() -> None:
    encoded = encode(
        source_id=["1", "2"],
        birth_date=["19580304", "19580403"],
        postcode=["12345", "12345"],
        given_name=["a", "b"],
    )
    at = PROTOCOL.pass_names.index("sorted_date")
    assert encoded.blocking_values[0, at] == encoded.blocking_values[1, at] != 0


def test_the_same_value_in_two_fields_sets_different_bits() -> None:
    given = encode(source_id=["1"], given_name=["lee"]).filters
    middle = encode(source_id=["1"], middle_name=["lee"]).filters
    assert np.bitwise_count(given & middle).sum() < np.bitwise_count(middle).sum()


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


def test_statistics_of_the_fill() -> None:
    statistics = filter_statistics(encode(source_id=["1", "2"], given_name=["ann", None]))
    assert statistics.fill_min == 0.0 < statistics.fill_mean == statistics.fill_max / 2
    assert filter_statistics(encode(source_id=[])).rows == 0


def test_a_row_without_id_and_a_raw_column_are_refused_without_a_value() -> None:
    with pytest.raises(NightlinkError, match="E-INPUT.*1 rows without a source id"):
        encode(source_id=["1", None], given_name=["a", "b"])
    raw = pa.RecordBatch.from_pydict({"source_id": ["1"], "given_name": pa.array([b"zaphod"], pa.binary())})
    with pytest.raises(NightlinkError, match="E-INPUT.*given_name") as caught:
        encode_batch(raw, ENCODER)
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
    part = encode_batch(whole.select(["source_id", "given_name"]), ENCODER)
    assert np.array_equal(part.filters, encode_batch(whole, ENCODER).filters)
    assert not part.blocking_values.any()
