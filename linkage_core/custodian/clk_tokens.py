"""Tokens of a column's distinct values, as a linkage schema's comparison says. Zone: custodian.

Characters are Unicode code points. A token is the text that is hashed: neighbouring characters of the padded
value, with the number of their place before them when positional; the whole value; or a number near it. A
token that occurs twice in a value counts twice. The order of a value's tokens is that of their places, and
matters: the first ones get the odd bits of ``bitsPerFeature``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numba
import numpy as np
import numpy.typing as npt

from linkage_core.custodian.clk_values import quantise_number
from linkage_core.protocol.linkage_schema import Comparison, NgramComparison, NumericComparison

PAD = " "
_FIRST_TABLE_SLOTS = 1 << 12
_MOST_DIRECT_SLOTS = 1 << 18
"""A megabyte, which a core's own cache holds: 64 letters as triples, 512 as pairs."""
# clkhash's UTF-16 and UTF-32 have a byte-order mark and the byte order of the machine; fixed to little-endian.
_BYTE_ORDER_MARKS = {"utf-16": (b"\xff\xfe", "utf-16-le"), "utf-32": (b"\xff\xfe\0\0", "utf-32-le")}


@dataclass(frozen=True)
class ValueTokens:
    """The tokens of each of a column's distinct values.

    Attributes
    ----------
    starts : ndarray of int64, shape (values + 1,)
        Value ``v`` owns ``token_ids[starts[v]:starts[v + 1]]``.
    token_ids : ndarray of int64, shape (total,)
        Indices into ``tokens``, in the order of their places in the value.
    tokens : tuple of str
        Distinct tokens, in order of first occurrence.
    """

    starts: npt.NDArray[np.int64] = field(repr=False)
    token_ids: npt.NDArray[np.int64] = field(repr=False)
    tokens: tuple[str, ...] = field(repr=False)


def value_tokens(texts: Sequence[str], comparison: Comparison) -> ValueTokens:
    """Tokens of formatted values; an empty value has none."""
    if isinstance(comparison, NgramComparison):
        return _ngrams(texts, comparison)
    if isinstance(comparison, NumericComparison):
        return _number_tokens([_numbers_near(text, comparison) for text in texts])
    return _number_tokens([[text] if text else [] for text in texts])


def encode_token(token: str, encoding: str) -> bytes:
    """The bytes that are hashed."""
    mark, name = _BYTE_ORDER_MARKS.get(encoding, (b"", encoding))
    return mark + token.encode(name)


def _numbers_near(text: str, comparison: NumericComparison) -> list[str]:
    """``2 x resolution + 1`` neighbours on the grid (Vatsalan and Christen 2016,
    https://doi.org/10.1016/j.jbi.2015.12.004).
    """
    middle = quantise_number(text, comparison) if text else None
    if middle is None:
        return []
    reach = comparison.resolution
    return [str(middle + i * comparison.interval) for i in range(-reach, reach + 1)]


def _number_tokens(tokens_of_value: list[list[str]]) -> ValueTokens:
    starts = np.zeros(len(tokens_of_value) + 1, np.int64)
    np.cumsum([len(tokens) for tokens in tokens_of_value], out=starts[1:])
    numbers: dict[str, int] = {}
    ids = [numbers.setdefault(token, len(numbers)) for tokens in tokens_of_value for token in tokens]
    return ValueTokens(starts, np.array(ids, np.int64), tuple(numbers))


def _ngrams(texts: Sequence[str], comparison: NgramComparison) -> ValueTokens:
    n = comparison.n
    characters = np.frombuffer("".join(texts).encode("utf-32-le"), "<u4").astype(np.uint32, copy=False)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    starts = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(np.where(lengths > 0, lengths + n - 1, 0), out=starts[1:])
    found = tuple(np.empty(int(starts[-1]), np.int64) for _ in range(3))
    letters, letter_bits = _number_letters(characters)
    most_places = int(lengths.max(initial=0)) + n - 1 if comparison.positional else 1
    slots = most_places << (letter_bits * n)
    if slots <= _MOST_DIRECT_SLOTS:
        table = np.zeros(slots, np.int32)
        count = _direct_kernel(letters, letter_bits, ends, starts, n, comparison.positional, table, found)
    else:
        count = _hashing_kernel(characters, ends, starts, n, comparison.positional, found, _FIRST_TABLE_SLOTS)
    token_ids, value_of_token, place_of_token = found
    pads = PAD * (n - 1)
    tokens = [
        _ngram_text(pads + texts[value] + pads, place, comparison)
        for value, place in zip(value_of_token[:count].tolist(), place_of_token[:count].tolist(), strict=True)
    ]
    return ValueTokens(starts, token_ids, tuple(tokens))


def _number_letters(characters: npt.NDArray[np.uint32]) -> tuple[npt.NDArray[np.int64], int]:
    """Characters renumbered without gaps, the pad 0, and the bits that hold such a number."""
    letters = np.empty(len(characters), np.int64)
    numbers = np.zeros(int(characters.max(initial=ord(PAD))) + 1, np.int64)
    count = _letter_kernel(characters, np.uint32(ord(PAD)), numbers, letters)
    return letters, count.bit_length()


def _ngram_text(padded: str, place: int, comparison: NgramComparison) -> str:
    ngram = padded[place : place + comparison.n]
    return f"{place + 1} {ngram}" if comparison.positional else ngram


@numba.njit(cache=True, nogil=True)
def _letter_kernel(characters, pad, numbers, letters):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Number characters other than the pad in order of first occurrence, from 1; how many there are."""
    count = 0
    for i in range(len(characters)):
        character = characters[i]
        if numbers[character] == 0 and character != pad:
            count += 1
            numbers[character] = count
        letters[i] = numbers[character]
    return count


@numba.njit(cache=True, nogil=True)
def _direct_kernel(letters, letter_bits, ends, starts, n, positional, table, found):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Number equal n-grams alike; each distinct one is kept as the value and place where it first occurred.

    The n-gram's letters, and its place where that counts, are the index of its slot in ``table``, which holds
    its number and 1.
    """
    token_ids, value_of_token, place_of_token = found
    last_letters = (1 << (letter_bits * n)) - 1
    count, out = 0, 0
    for v in range(len(starts) - 1):
        first, length = ends[v], ends[v + 1] - ends[v]
        ngram = 0
        for g in range(starts[v + 1] - starts[v]):
            letter = letters[first + g] if g < length else 0
            ngram = ((ngram << letter_bits) | letter) & last_letters
            slot = (g << (letter_bits * n)) | ngram if positional else ngram
            if table[slot] == 0:
                value_of_token[count], place_of_token[count] = v, g
                count += 1
                table[slot] = count
            token_ids[out] = table[slot] - 1
            out += 1
    return count


@numba.njit(cache=True, nogil=True)
def _hashing_kernel(characters, ends, starts, n, positional, found, slots):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """What :func:`_direct_kernel` finds, where its table would be too large.

    Open addressing; the table doubles at half load. Equality is decided on the characters.
    """
    token_ids, value_of_token, place_of_token = found
    table = np.full(slots, -1, np.int64)
    hashes = np.empty(len(token_ids), np.uint64)
    count = 0
    for v in range(len(starts) - 1):
        first, stop = ends[v], ends[v + 1]
        for g in range(starts[v + 1] - starts[v]):
            code = np.uint64(g + 1) if positional else np.uint64(0)
            for at in range(first + g - n + 1, first + g + 1):
                character = np.uint64(characters[at] if first <= at < stop else np.uint32(32))
                code = (code ^ character) * np.uint64(0x9E3779B97F4A7C15)
                code ^= code >> np.uint64(29)
            if 2 * count >= len(table):
                table = np.full(2 * len(table), -1, np.int64)
                for k in range(count):
                    table[_empty_slot(table, hashes[k])] = k
            mask = np.uint64(len(table) - 1)
            slot = _home_slot(code, mask)
            while table[slot] >= 0:
                k = table[slot]
                if hashes[k] == code and _same_ngram(
                    characters, ends, n, positional, v, g, value_of_token[k], place_of_token[k]
                ):
                    break
                slot = (slot + np.uint64(1)) & mask
            if table[slot] < 0:
                table[slot] = count
                hashes[count] = code
                value_of_token[count] = v
                place_of_token[count] = g
                count += 1
            token_ids[starts[v] + g] = table[slot]
    return count


@numba.njit(cache=True, nogil=True, inline="always")
def _home_slot(code, mask):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Where a code belongs (Fibonacci hashing)."""
    mixed = code * np.uint64(0x9E3779B97F4A7C15)
    return (mixed ^ (mixed >> np.uint64(32))) & mask


@numba.njit(cache=True, nogil=True)
def _empty_slot(table, code):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    mask = np.uint64(len(table) - 1)
    slot = _home_slot(code, mask)
    while table[slot] >= 0:
        slot = (slot + np.uint64(1)) & mask
    return slot


@numba.njit(cache=True, nogil=True)
def _same_ngram(characters, ends, n, positional, v, g, w, h):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Whether the n-grams at place g of value v and at place h of value w are one token."""
    if positional and g != h:
        return False
    for j in range(n):
        a, b = ends[v] + g - n + 1 + j, ends[w] + h - n + 1 + j
        left = characters[a] if ends[v] <= a < ends[v + 1] else np.uint32(32)
        right = characters[b] if ends[w] <= b < ends[w + 1] else np.uint32(32)
        if left != right:
            return False
    return True
