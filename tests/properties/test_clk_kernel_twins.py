"""Two ways to number n-grams, and two to set bits: each agrees with the slow twin, whichever the sizes choose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage_core.custodian import clk_filters, clk_tokens
from linkage_core.custodian.clk_filters import value_filters
from linkage_core.custodian.clk_tokens import value_tokens
from linkage_core.protocol.linkage_schema import Hashing, NgramComparison
from tests.reference.slow_clk import slow_positions, slow_tokens

KEYS = (b"one key", b"another key")
TEXTS = st.lists(st.text(st.sampled_from("abc é中🙂\u0301"), max_size=9), min_size=1, max_size=40)


def _slow_filter(text: str, hashing: Hashing, bits: int) -> list[int]:
    comparison = hashing.comparison
    assert isinstance(comparison, NgramComparison)
    tokens = slow_tokens(text, {"type": "ngram", "n": comparison.n, "positional": comparison.positional})
    hash_ = {"type": hashing.hash, "prevent_singularity": hashing.prevent_singularity}
    lit = set()
    for place, token in enumerate(tokens):
        share = hashing.bits_per_token
        if share is None:
            assert hashing.bits_per_feature is not None
            share = hashing.bits_per_feature // len(tokens)
            share += place < hashing.bits_per_feature % len(tokens)
        lit |= set(slow_positions(token.encode(), share, KEYS, bits, hash_))
    return sorted(lit)


@pytest.mark.parametrize("slots", [0, 1 << 18], ids=["by hashing", "by a table"])
@settings(deadline=None)
@given(texts=TEXTS, n=st.integers(1, 4), positional=st.booleans())
def test_tokens_are_the_twin_s(slots: int, texts: list[str], n: int, positional: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clk_tokens, "_MOST_DIRECT_SLOTS", slots)
        found = value_tokens(texts, NgramComparison(n, positional))
    ids = np.split(found.token_ids, found.starts[1:-1])
    assert [[found.tokens[i] for i in of_value] for of_value in ids] == [
        slow_tokens(text, {"type": "ngram", "n": n, "positional": positional}) for text in texts
    ]
    assert len(set(found.tokens)) == len(found.tokens)
    assert list(dict.fromkeys(found.token_ids.tolist())) == list(range(len(found.tokens)))


@pytest.mark.parametrize("words", [0, 1 << 17], ids=["bit by bit", "by masks"])
@settings(deadline=None)
@given(
    texts=TEXTS,
    positional=st.booleans(),
    shares=st.sampled_from([(1, None), (20, None), (None, 3), (None, 100)]),
    hash_=st.sampled_from(["blakeHash", "doubleHash"]),
    bits=st.sampled_from([64, 1024, 1 << 17]),
)
def test_bits_are_the_twin_s(
    words: int,
    texts: list[str],
    positional: bool,
    shares: tuple[int | None, int | None],
    hash_: str,
    bits: int,
) -> None:
    hashing = Hashing(NgramComparison(2, positional), hash_, True, *shares, None)  # type: ignore[arg-type]
    many = 20 * texts  # so that masks are fewer than tokens
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clk_filters, "_MOST_MASK_WORDS", words)
        filters = value_filters(value_tokens(many, hashing.comparison), hashing, "utf-8", KEYS, bits)
    lit = np.unpackbits(filters.view(np.uint8), axis=1)
    assert [np.flatnonzero(row).tolist() for row in lit[: len(texts)]] == [
        _slow_filter(text, hashing, bits) for text in texts
    ]
