"""The encoder and its slow twin agree to the bit, whatever the batch, its split or the threads around it."""

import hmac
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage_core.custodian.blocking_keys import house_number, soundex
from linkage_core.custodian.encode_records import RecordEncoder, encode_records
from linkage_core.custodian.key_derivation import derive_custodian_keys
from linkage_core.custodian.keyed_hashing import hmac_sha256_many
from linkage_core.custodian.q_grams import number_codes, value_q_grams
from linkage_core.protocol.encoded_records import EncodedRecords
from linkage_core.protocol.linkage_protocol import FieldSpec
from tests.golden.make_encoder_vectors import LINKAGE_KEY, PROTOCOL, SITE_KEY
from tests.reference.slow_encoder import (
    q_gram_tokens,
    slow_code,
    slow_filter,
    slow_pseudonym,
    slow_soundex,
    slow_tokens,
)

ENCODER = RecordEncoder(PROTOCOL, derive_custodian_keys(LINKAGE_KEY, PROTOCOL), SITE_KEY)

ALPHABETS = {
    "name": "abcdefghkwyz0",
    "sex": "fmx",
    "text": "abc 0129",
    "postcode": "0123ab",
    "phone": "+0123456789",
    "email": "abc.@-",
}
DATES = st.dates().map(lambda day: day.strftime("%Y%m%d").rjust(8, "0"))


def values(spec: FieldSpec) -> st.SearchStrategy[str | None]:
    """Normal forms of a field, few letters, so that q-grams and codes repeat."""
    if spec.kind == "date":
        return st.one_of(st.none(), DATES)
    return st.one_of(st.none(), st.text(alphabet=ALPHABETS[spec.kind], min_size=1, max_size=30))


RECORDS = st.lists(
    st.fixed_dictionaries(
        {"source_id": st.text(max_size=80)} | {spec.name: values(spec) for spec in PROTOCOL.fields}
    ),
    max_size=8,
)


def batch_of(records: list[dict[str, str | None]]) -> pa.RecordBatch:
    names = ["source_id", *PROTOCOL.field_names]
    return pa.RecordBatch.from_pydict(
        {n: pa.array([record[n] for record in records], pa.utf8()) for n in names}
    )


def encode_batch(batch: pa.RecordBatch) -> EncodedRecords:
    return encode_records(batch, ENCODER, random_pairs=500)[0]


def assert_same(left: EncodedRecords, right: EncodedRecords) -> None:
    assert left.record_pseudonyms.tobytes() == right.record_pseudonyms.tobytes()
    assert np.array_equal(left.evidence.tokens, right.evidence.tokens)
    for one, other in zip(left.evidence.group_filters, right.evidence.group_filters, strict=True):
        assert np.array_equal(one, other)


@given(RECORDS)
@settings(max_examples=25, deadline=None)
def test_the_encoder_agrees_with_its_twin(records: list[dict[str, str | None]]) -> None:
    encoded = encode_batch(batch_of(records))
    wanted = sorted(
        (
            slow_pseudonym(SITE_KEY, record["source_id"] or "", PROTOCOL.project, PROTOCOL.key_epoch),
            slow_tokens(record, PROTOCOL, LINKAGE_KEY),
            [slow_filter(record, group, PROTOCOL, LINKAGE_KEY) for group in PROTOCOL.evidence.filters],
        )
        for record in records
    )
    found = sorted(
        (
            encoded.record_pseudonyms[i].tobytes(),
            encoded.evidence.tokens[i].tolist(),
            [int.from_bytes(f[i].astype("<u8").tobytes(), "little") for f in encoded.evidence.group_filters],
        )
        for i in range(len(encoded))
    )
    assert found == wanted


@given(st.permutations(range(8)), RECORDS)
@settings(max_examples=25, deadline=None)
def test_the_order_of_rows_changes_nothing(order: list[int], records: list[dict[str, str | None]]) -> None:
    named = [record | {"source_id": str(i)} for i, record in enumerate(records)]
    turned = [named[i] for i in order if i < len(named)]
    first, second = (encode_records(batch_of(rows), ENCODER, random_pairs=500) for rows in (named, turned))
    assert_same(first[0], second[0])
    assert np.array_equal(first[0].evidence.rarity, second[0].evidence.rarity)
    assert first[1] == second[1]


def test_threads_change_nothing() -> None:
    rng = np.random.default_rng(7)
    names = [bytes(rng.integers(97, 123, rng.integers(1, 12)).astype(np.uint8)).decode() for _ in range(3000)]
    records = [
        dict.fromkeys(PROTOCOL.field_names) | {"source_id": str(i), "given_name": n, "family_name": n[::-1]}
        for i, n in enumerate(names)
    ]
    batch = batch_of(records)
    one, before = encode_batch(batch), numba.get_num_threads()
    try:
        for threads in {1, min(2, numba.config.NUMBA_NUM_THREADS)}:
            numba.set_num_threads(threads)
            assert_same(encode_batch(batch), one)
    finally:
        numba.set_num_threads(before)
    with ThreadPoolExecutor(2) as pool:  # the kernels let go of the interpreter's lock
        for again in pool.map(lambda _: encode_batch(batch), range(2)):
            assert_same(again, one)


@given(st.binary(max_size=100), st.lists(st.binary(max_size=300), max_size=10))
@settings(max_examples=80, deadline=None)
def test_the_hash_kernel_is_the_standard_library_s(key: bytes, messages: list[bytes]) -> None:
    offsets = np.cumsum([0, *map(len, messages)]).astype(np.int64)
    digests = hmac_sha256_many(key, np.frombuffer(b"".join(messages), np.uint8), offsets)
    assert [row.tobytes() for row in digests] == [hmac.digest(key, message, "sha256") for message in messages]


def test_the_hash_kernel_at_every_length_around_a_block() -> None:
    messages = [b"x" * length for length in range(200)]
    offsets = np.cumsum([0, *map(len, messages)]).astype(np.int64)
    digests = hmac_sha256_many(b"key", np.frombuffer(b"".join(messages), np.uint8), offsets)
    assert [row.tobytes() for row in digests] == [
        hmac.digest(b"key", message, "sha256") for message in messages
    ]


@given(
    st.lists(st.text(alphabet="abc 01", max_size=12), max_size=8),
    st.integers(1, 4),
    st.sampled_from(["name", "date"]),
)
@settings(max_examples=80, deadline=None)
def test_q_grams_agree_with_their_twin(texts: list[str], q: int, kind: str) -> None:
    spec = FieldSpec.model_validate({"name": "field", "kind": kind, "q": q})
    grams = value_q_grams(pa.array(texts, pa.utf8()), spec)
    for v, text in enumerate(texts):
        mine = grams.tokens[grams.gram_ids[grams.starts[v] : grams.starts[v + 1]]]
        assert mine.tolist() == (q_gram_tokens(text, spec) if text else [])


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 20), max_size=60))
@settings(max_examples=60, deadline=None)
def test_numbers_go_by_first_occurrence(codes: list[int]) -> None:
    numbers, distinct = number_codes(np.array(codes, np.uint64))
    assert distinct.tolist() == list(dict.fromkeys(codes))
    assert distinct[numbers].tolist() == codes


def test_numbering_grows_its_table() -> None:
    codes = np.random.default_rng(1).integers(0, 2**63, 20_000).astype(np.uint64)
    numbers, distinct = number_codes(np.concatenate([codes, codes[::-1]]))
    assert np.array_equal(distinct[numbers[:20_000]], codes) and len(distinct) == len(np.unique(codes))


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz09", max_size=15))
@settings(max_examples=300, deadline=None)
def test_soundex_agrees_with_its_twin(name: str) -> None:
    assert soundex(name) == slow_soundex(name)


@given(st.lists(st.text(alphabet="0127ab", min_size=1, max_size=5), max_size=4).map(" ".join))
@settings(max_examples=200, deadline=None)
def test_house_numbers_agree_with_their_twin(street: str) -> None:
    assert house_number(street) == slow_code(street, "house_number")
