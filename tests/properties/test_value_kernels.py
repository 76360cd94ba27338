"""Kernels over a column's values agree with their slow twins; SHA-256's compression with hashlib, both ways."""

from __future__ import annotations

import hashlib
import struct

import numba
import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage_core.custodian.code_book import CodedColumn, join_unordered
from linkage_core.custodian.distinct_values import number_values, value_hashes
from linkage_core.custodian.sha256_lanes import (
    BLOCK_BYTES,
    INITIAL_STATE,
    LANES,
    compress_lanes,
    compress_lanes_by_vectors,
)
from tests.reference.slow_values import slow_joined, slow_numbers, slow_value_hash

PATIENT = settings(deadline=None, max_examples=60)  # the first example compiles
TEXTS = st.lists(st.one_of(st.none(), st.text("abé\n0", max_size=20), st.text(max_size=9)), max_size=30)


@PATIENT
@given(TEXTS, st.integers(0, 3))
def test_values_are_numbered_in_order_of_first_occurrence(texts: list[str | None], skipped: int) -> None:
    column = pa.array([*["x"] * skipped, *texts], pa.utf8()).slice(skipped)
    numbers, distinct = number_values(column)
    assert (numbers.tolist(), distinct.to_pylist()) == slow_numbers(texts)


@PATIENT
@given(TEXTS)
def test_hashes_are_murmur_s(texts: list[str | None]) -> None:
    expected = [slow_value_hash((text or "").encode()) for text in texts]
    assert value_hashes(pa.array(texts, pa.utf8())).tolist() == expected


@PATIENT
@given(TEXTS.filter(bool), st.integers(0, 2**32 - 1))
def test_joined_codes_do_not_tell_which_is_which(texts: list[str | None], seed: int) -> None:
    generator = np.random.default_rng(seed)
    columns = [
        CodedColumn(
            generator.integers(-1, len(texts), 12), pa.array([text or "" for text in texts], pa.utf8())
        )
        for _ in range(2)
    ]
    joined, back = join_unordered(*columns), join_unordered(*reversed(columns))
    for row in range(12):
        sides = [
            column.codes[at].as_py() if (at := column.code_of_row[row]) >= 0 else None for column in columns
        ]
        for found in (joined, back):
            at = found.code_of_row[row]
            assert (found.codes[at].as_py() if at >= 0 else None) == slow_joined(*sides)


@numba.njit
def _compress(states, blocks, first, stride, by_vectors):  # type: ignore[no-untyped-def]
    if by_vectors:
        compress_lanes_by_vectors(states, blocks, first, stride)
    else:
        compress_lanes(states, blocks, first, stride)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from([64, 65, 128]), st.booleans())
def test_a_lane_s_compression_is_sha_256_s(seed: int, stride: int, by_vectors: bool) -> None:
    """A message of 55 bytes is one block: its digest is the state after it."""
    generator = np.random.default_rng(seed)
    blocks, messages = np.zeros(3 + LANES * stride + BLOCK_BYTES, np.uint8), []
    for lane in range(LANES):
        message = generator.integers(0, 256, 55, dtype=np.uint8).tobytes()
        padded = message + b"\x80" + struct.pack(">Q", 55 * 8)
        blocks[3 + lane * stride :][:BLOCK_BYTES] = np.frombuffer(padded, np.uint8)
        messages.append(message)
    states = np.tile(INITIAL_STATE, LANES)
    _compress(states, blocks, 3, stride, by_vectors)
    expected = [hashlib.sha256(message).digest() for message in messages]
    assert [state.astype(">u4").tobytes() for state in states.reshape(LANES, 8)] == expected
