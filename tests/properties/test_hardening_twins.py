"""The hardening menu and its slow twins agree to the bit, and hardened rates are what filters show."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage_core.custodian import filter_hardening
from linkage_core.custodian.code_book import CodedColumn
from linkage_core.custodian.field_columns import field_columns
from linkage_core.custodian.field_group_filters import encode_group
from linkage_core.custodian.filter_hardening import harden
from linkage_core.custodian.fourier_signs import fourier_signs
from linkage_core.custodian.key_derivation import GroupFilterKeys
from linkage_core.custodian.q_grams import value_q_grams
from linkage_core.custodian.salted_q_grams import salt_q_grams
from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.hardened_rates import hardened_rate
from linkage_core.protocol.linkage_protocol import HARDENINGS, BlockingPart, FieldSpec, FilterGroup
from tests.reference.slow_encoder import q_gram_tokens
from tests.reference.slow_hardening import (
    slow_balance,
    slow_flips,
    slow_fold,
    slow_fourier_signs,
    slow_rule_90,
    slow_salted_token,
)

BITS = 256
TWINS = {
    "fourier_signs": lambda plain, key: slow_fourier_signs(plain, BITS, key, 256, 8),
    "blip": lambda plain, key: slow_flips(plain, BITS, key, 40),
    "balancing": lambda plain, key: slow_balance(plain, BITS, key),
    "xor_fold": lambda plain, key: slow_fold(plain, BITS),
    "rule_90": lambda plain, key: slow_rule_90(plain, BITS),
    "none": lambda plain, key: plain,
}


def group(hardening: str, bits: int = BITS, diffused_bits: int = 256) -> FilterGroup:
    return FilterGroup(
        name="pair", fields=("given_name", "family_name"), bits=bits, field_bits=bits // 2,
        hardening=hardening, diffused_bits=diffused_bits, flips=40,
    )  # fmt: skip


def as_words(filters: list[int], bits: int = BITS) -> np.ndarray:
    octets = b"".join(plain.to_bytes(bits // 8, "little") for plain in filters)
    return np.frombuffer(octets, "<u8").astype(np.uint64).reshape(len(filters), bits // 64)


@pytest.mark.parametrize("hardening", TWINS)
@given(plain=st.integers(1, 2**BITS - 1), key=st.binary(min_size=32, max_size=32))
@settings(max_examples=6, deadline=None)
def test_a_hardening_agrees_with_its_twin(hardening: str, plain: int, key: bytes) -> None:
    spec = group(hardening)
    hardened = harden(as_words([plain, 0]), spec, key)
    assert hardened.shape == (2, spec.sent_bits // 64) and hardened.flags.c_contiguous
    assert not hardened[1].any(), "a record without a filter stays without one"
    assert (hardened[:1] == as_words([TWINS[hardening](plain, key)], spec.sent_bits)).all()


@pytest.mark.parametrize("hardening", HARDENINGS)
def test_a_row_does_not_depend_on_the_others(hardening: str, monkeypatch: pytest.MonkeyPatch) -> None:
    filters = np.random.default_rng(1).integers(0, 2**64, (9, 4), dtype=np.uint64)
    whole = harden(filters, group(hardening), b"k" * 32)
    monkeypatch.setattr(filter_hardening, "ROWS_PER_CHUNK", 4)
    assert (harden(filters, group(hardening), b"k" * 32) == whole).all()
    assert (harden(filters[3:5], group(hardening), b"k" * 32) == whole[3:5]).all()
    other = harden(filters, group(hardening), b"z" * 32)
    assert (other == whole).all() == (hardening in ("xor_fold", "rule_90", "none"))


@pytest.mark.parametrize("hardening", HARDENINGS)
@pytest.mark.parametrize("plain", [0.0, 0.02, 0.1, 0.4])
def test_the_linkage_unit_expects_the_distance_that_there_is(hardening: str, plain: float) -> None:
    spec = group(hardening, bits=1024, diffused_bits=2048)
    rng = np.random.default_rng(5)
    filters = rng.integers(0, 2**64, (150, 16), dtype=np.uint64)
    differ = rng.random((150, 1024)) < plain
    changed = filters ^ np.packbits(differ, axis=1, bitorder="little").view("<u8")
    apart = harden(filters, spec, b"k" * 32) ^ harden(changed, spec, b"k" * 32)
    rate = np.bitwise_count(apart).sum() / (150 * spec.sent_bits)
    if hardening == "blip" and plain == 0.0:
        assert rate == 0.0, "equal filters stay equal"
    else:
        assert rate == pytest.approx(hardened_rate(spec, plain), abs=0.012)
    rates = [hardened_rate(spec, step / 100) for step in range(51)]
    assert all(one <= other for one, other in pairwise(rates))


NAMES = st.one_of(st.none(), st.text("abn", min_size=1, max_size=6))


@given(st.lists(st.tuples(NAMES, st.sampled_from([None, "1970", "1985", "1999"])), min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_a_salted_q_gram_is_another_one(records: list[tuple[str | None, str | None]]) -> None:
    spec = FieldSpec(name="given_name", kind="name")
    names, salts = (pa.array(column, pa.utf8()).dictionary_encode() for column in zip(*records, strict=True))
    name_of_row, salt_of_row = (
        column.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        for column in (names, salts)
    )
    index, q_grams = salt_q_grams(
        name_of_row.astype(np.intp),
        value_q_grams(names.dictionary, spec),
        CodedColumn(salt_of_row, salts.dictionary),
    )
    for row, (name, salt) in enumerate(records):
        if name is None or salt is None:
            assert index[row] == -1
            continue
        ids = q_grams.gram_ids[q_grams.starts[index[row]] : q_grams.starts[index[row] + 1]]
        assert q_grams.tokens[ids].tolist() == [
            slow_salted_token(token, salt) for token in q_gram_tokens(name, spec)
        ]


def test_a_salted_filter_looks_alike_only_where_the_salt_agrees() -> None:
    batch = pa.RecordBatch.from_pydict(
        {
            "given_name": ["ann", "ann", "ann", "ann"],
            "family_name": ["smith", "smith", "smith", "smith"],
            "birth_date": ["19700101", "19701231", "19850101", None],
        }
    )
    salted = group("diffusion").model_copy(update={"salt": BlockingPart(field="birth_date", code="year")})
    names = ("given_name", "family_name")
    specs = {name: FieldSpec(name=name, kind="name") for name in names}
    keys = GroupFilterKeys({name: name.encode().ljust(32, b"-") for name in names}, b"d" * 32)
    columns = field_columns(batch, (*names, "birth_date"))
    first, same, other, missing = encode_group(columns, salted, specs, keys, 4).filters
    assert (first == same).all() and not missing.any()
    assert np.bitwise_count(first ^ other).sum() > 256 / 3
    assert np.unique(encode_group(columns, group("diffusion"), specs, keys, 4).filters, axis=0).shape[0] == 1


@pytest.mark.parametrize(
    ("filters", "features", "bandwidth"),
    [(np.zeros((1, 4), np.int64), 64, 6), (np.zeros(4, np.uint64), 64, 6), (np.zeros((1, 4), np.uint64), 60, 6),
     (np.zeros((1, 4), np.uint64), 64, 0)],
)  # fmt: skip
def test_wrong_arrays_do_not_reach_the_kernel(filters: np.ndarray, features: int, bandwidth: int) -> None:
    with pytest.raises(NightlinkError, match="E-KERNEL-INPUT"):
        fourier_signs(filters, b"k" * 32, features, bandwidth)
