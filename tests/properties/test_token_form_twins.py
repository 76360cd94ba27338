"""AES-SIV of many tokens at once against the library's, one by one; and tables of tokens against obvious twins."""

from __future__ import annotations

import numpy as np
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.project_tokens import agreement, pairs_that_agree
from linkage_core.protocol.siv_tokens import open_tokens, seal_tokens
from linkage_core.protocol.token_table import TokenColumn, TokenTable, distinct_rows, map_tokens

KEYS = st.binary(min_size=64, max_size=64)
ASSOCIATED = st.binary(min_size=0, max_size=70)


def rows(width: int) -> st.SearchStrategy[np.ndarray]:
    return hnp.arrays(np.uint8, st.tuples(st.integers(0, 20), st.just(width)))


@given(KEYS, ASSOCIATED, rows(16))
@settings(max_examples=60, deadline=None)
def test_many_at_once_are_what_the_library_gives_one_by_one(
    key: bytes, associated: bytes, tokens: np.ndarray
) -> None:
    sealed = seal_tokens(key, associated, tokens)
    slow = AESSIV(key)
    assert [row.tobytes() for row in sealed] == [slow.encrypt(t.tobytes(), [associated]) for t in tokens]
    opened, sound = open_tokens(key, associated, sealed)
    assert sound.all() and np.array_equal(opened, tokens)


@given(KEYS, ASSOCIATED, rows(32))
@settings(max_examples=60, deadline=None)
def test_what_the_library_refuses_is_not_sound(key: bytes, associated: bytes, sealed: np.ndarray) -> None:
    opened, sound = open_tokens(key, associated, sealed)
    slow = AESSIV(key)
    for row, token, good in zip(sealed, opened, sound, strict=True):
        try:
            assert slow.decrypt(row.tobytes(), [associated]) == token.tobytes() and good
        except InvalidTag:
            assert not good and not token.any()


@given(KEYS, rows(16), st.data())
@settings(max_examples=60, deadline=None)
def test_one_altered_bit_spoils_its_own_row_only(key: bytes, tokens: np.ndarray, data: st.DataObject) -> None:
    sealed = seal_tokens(key, b"place", tokens)
    if not len(tokens):
        return
    row, bit = data.draw(st.integers(0, len(tokens) - 1)), data.draw(st.integers(0, 255))
    sealed[row, bit // 8] ^= 1 << bit % 8
    opened, sound = open_tokens(key, b"place", sealed)
    assert [r for r in range(len(tokens)) if not sound[r]] == [row]
    assert np.array_equal(np.delete(opened, row, 0), np.delete(tokens, row, 0))
    assert not open_tokens(key, b"another place", seal_tokens(key, b"place", tokens))[1].any()


@pytest.mark.parametrize(
    ("key", "tokens"),
    [
        (bytes(63), np.zeros((1, 16), np.uint8)),
        (bytes(64), np.zeros((1, 15), np.uint8)),
        (bytes(64), np.zeros(16, np.uint8)),
        (bytes(64), np.zeros((1, 16), np.int8)),
    ],
)
def test_other_shapes_are_refused(key: bytes, tokens: np.ndarray) -> None:
    with pytest.raises(NightlinkError, match="E-KERNEL-INPUT"):
        seal_tokens(key, b"", tokens)


@given(hnp.arrays(np.uint8, st.tuples(st.integers(0, 30), st.just(3)), elements=st.integers(0, 2)))
@settings(max_examples=60, deadline=None)
def test_distinct_rows_are_ascending_and_each_row_finds_its_own(values: np.ndarray) -> None:
    distinct, numbers = distinct_rows(values)
    assert [d.tobytes() for d in distinct] == sorted({v.tobytes() for v in values})
    assert np.array_equal(distinct[numbers], values)


@given(hnp.arrays(np.uint8, (12, 16), elements=st.integers(0, 1)), hnp.arrays(np.bool_, 12))
@settings(max_examples=30, deadline=None)
def test_each_distinct_token_is_changed_once_and_nulls_stay(values: np.ndarray, present: np.ndarray) -> None:
    asked: list[bytes] = []

    def change(definition: str, tokens: np.ndarray) -> np.ndarray:
        asked.extend(token.tobytes() for token in tokens)
        return np.concatenate([tokens, 255 - tokens], axis=1)

    table = TokenTable(np.zeros((12, 16), np.uint8), (TokenColumn("d", values, present),))
    [changed] = map_tokens(table, change).columns
    assert len(asked) == len(set(asked)) == len({v.tobytes() for v in values[present]})
    assert np.array_equal(changed.present, present) and not changed.values[~present].any()
    assert np.array_equal(changed.values[present, :16], values[present])


def _table(values: np.ndarray) -> TokenTable:
    """A small number a cell, 0 for null."""
    columns = [
        TokenColumn(f"d{d}", np.repeat(values[:, d : d + 1], 16, axis=1).astype(np.uint8), values[:, d] > 0)
        for d in range(values.shape[1])
    ]
    return TokenTable(np.zeros((len(values), 16), np.uint8), tuple(columns))


def _cells() -> st.SearchStrategy[np.ndarray]:
    return hnp.arrays(np.int64, st.tuples(st.integers(0, 8), st.just(3)), elements=st.integers(0, 3))


@given(_cells(), _cells())
@settings(max_examples=100, deadline=None)
def test_agreement_is_null_aware_and_pairs_are_all_that_agree(first: np.ndarray, second: np.ndarray) -> None:
    a, b = _table(first), _table(second)
    expected = {}
    for i, row_a in enumerate(first):
        for j, row_b in enumerate(second):
            told = [None if 0 in (x, y) else bool(x == y) for x, y in zip(row_a, row_b, strict=True)]
            if True in told:
                expected[(i, j)] = told
    pairs = pairs_that_agree(a, b, 1000)
    found = agreement(a, b, pairs)
    assert list(zip(*(p.tolist() for p in pairs), strict=True)) == sorted(expected)
    words = {1: True, 0: False, -1: None}
    for i, j, row in zip(*(p.tolist() for p in pairs), found.tolist(), strict=True):
        assert [words[cell] for cell in row] == expected[(i, j)]
