"""The Bloom filters of a linkage schema: bits set from tables of positions. Zone: custodian.

A filter is a row of bytes; bit ``i`` is bit ``7 - i % 8`` of byte ``i // 8``, the order in which CLKs are
serialised. Rows are padded to whole 64-bit words, so that a value's filter is merged word by word into the
rows that hold the value.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from linkage_core.custodian.clk_hashing import POSITIONS_A_DIGEST, blake_positions, double_hashes
from linkage_core.custodian.clk_tokens import ValueTokens, encode_token
from linkage_core.errors import NightlinkError
from linkage_core.protocol.linkage_schema import Hashing, LinkageSchema

Filters = npt.NDArray[np.uint8]

_MOST_MASK_WORDS = 1 << 17
"""A megabyte, which a core's own cache holds."""


def filter_words(bits: int) -> int:
    """64-bit words of a filter of ``bits`` bits."""
    return -(-bits // 64)


def value_filters(
    tokens: ValueTokens, hashing: Hashing, encoding: str, keys: tuple[bytes, bytes], bits: int
) -> npt.NDArray[np.uint64]:
    """The filter of each distinct value of one feature.

    Parameters
    ----------
    keys : tuple of bytes
        The feature's two keys.
    bits : int
        Length before folding.

    Returns
    -------
    ndarray of uint64, shape (values, words)
        Bytes in the order of serialisation.
    """
    filters = np.zeros((len(tokens.starts) - 1, filter_words(bits)), np.uint64)
    if len(tokens.tokens) == 0:
        return filters
    encoded = [encode_token(token, encoding) for token in tokens.tokens]
    shares = (hashing.bits_per_token or 0, hashing.bits_per_feature or 0)
    needed = np.zeros(len(encoded), np.int64)
    _need_kernel(tokens.starts, tokens.token_ids, *shares, needed)
    offsets, positions = _token_positions(encoded, hashing, keys, bits, needed)
    mask_words = (int(needed.sum()) + len(needed)) * filters.shape[1]
    if mask_words > min(_MOST_MASK_WORDS, len(tokens.token_ids) * filters.shape[1]):
        _set_kernel(filters.view(np.uint8), tokens.starts, tokens.token_ids, offsets, positions, *shares)
        return filters
    mask_of_token = np.concatenate([np.zeros(1, np.int64), np.cumsum(needed + 1)])
    masks = np.zeros((int(mask_of_token[-1]), filters.shape[1]), np.uint64)
    _mask_kernel(masks.view(np.uint8), mask_of_token, offsets, positions)
    _join_kernel(filters, tokens.starts, tokens.token_ids, mask_of_token, masks, *shares)
    return filters


def _token_positions(
    tokens: list[bytes], hashing: Hashing, keys: tuple[bytes, bytes], bits: int, needed: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint16] | npt.NDArray[np.uint32]]:
    """Where each token's positions start, shape (tokens + 1,), and at least ``needed[t]`` positions of each."""
    if hashing.hash == "blakeHash":
        digests = -(-needed // POSITIONS_A_DIGEST)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(digests * POSITIONS_A_DIGEST)])
        return offsets, blake_positions(keys[0], tokens, digests) & np.uint16(min(bits, 1 << 16) - 1)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(needed)])
    positions = np.empty(int(offsets[-1]), np.uint32)
    first, step = double_hashes(keys, tokens, bits, prevent_singularity=hashing.prevent_singularity)
    _step_kernel(first, step, bits, offsets, positions)
    return offsets, positions


def merge_values(
    filters: npt.NDArray[np.uint64], of_values: npt.NDArray[np.uint64], value_of_row: npt.NDArray[np.intp]
) -> None:
    """Or each row's value's filter into the row, in place; -1 stands for no value.

    Raises
    ------
    NightlinkError
        E-KERNEL-INPUT when shapes, dtypes or indices do not fit.
    """
    fits = (
        filters.dtype == of_values.dtype == np.uint64
        and filters.ndim == of_values.ndim == 2
        and filters.shape[1] == of_values.shape[1]
        and value_of_row.shape == filters.shape[:1]
        and (len(value_of_row) == 0 or int(value_of_row.max()) < len(of_values))
    )
    if not fits:
        raise NightlinkError(
            "E-KERNEL-INPUT",
            found=f"filters {filters.shape}, values {of_values.shape}, rows {value_of_row.shape}",
            expected="uint64 rows of one width, and an index of a value for every row",
            remedy="Build them with this package.",
        )
    _merge_kernel(filters, of_values, value_of_row)


def fold_filters(filters: npt.NDArray[np.uint64], schema: LinkageSchema) -> Filters:
    """XOR-fold filters and cut them to the bytes of a CLK: uint8, shape (n, clk_bytes).

    Each fold puts the second half over the first (Schnell and Borgs 2016,
    https://doi.org/10.1109/ICDMW.2016.0038). It does not protect against a known-plaintext regression.
    """
    rows = filters.view(np.uint8)
    if schema.folds == 0:
        return np.ascontiguousarray(rows[:, : schema.clk_bytes])
    if schema.bits % 8 == 0:
        pieces = rows[:, : schema.hashed_bits // 8].reshape(len(rows), 1 << schema.folds, schema.bits // 8)
        return np.ascontiguousarray(np.bitwise_xor.reduce(pieces, axis=1))
    loose = np.unpackbits(rows, axis=1, count=schema.hashed_bits)
    folded = np.bitwise_xor.reduce(loose.reshape(len(rows), 1 << schema.folds, schema.bits), axis=1)
    return np.packbits(folded, axis=1)


@numba.njit(cache=True, nogil=True, inline="always")
def _shares(tokens, per_token, per_feature):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Positions that each of a value's tokens may set, and how many tokens, the first ones, may set one more."""
    if per_token > 0 or tokens == 0:
        return per_token, 0
    return per_feature // tokens, per_feature % tokens


@numba.njit(cache=True, nogil=True)
def _need_kernel(starts, token_ids, per_token, per_feature, needed):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """The most positions that any value asks of each token."""
    for v in range(len(starts) - 1):
        first, stop = starts[v], starts[v + 1]
        share, odd = _shares(stop - first, per_token, per_feature)
        for j in range(first, stop):
            token = token_ids[j]
            needed[token] = max(needed[token], share + (1 if j < first + odd else 0))


@numba.njit(cache=True, nogil=True)
def _step_kernel(first, step, bits, offsets, positions):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    for t in range(len(first)):
        position = first[t]
        for i in range(offsets[t], offsets[t + 1]):
            positions[i] = position
            position = (position + step[t]) % bits


@numba.njit(cache=True, nogil=True)
def _set_kernel(rows, starts, token_ids, offsets, positions, per_token, per_feature):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Set each value's bits one by one."""
    for v in range(len(starts) - 1):
        first, stop = starts[v], starts[v + 1]
        share, odd = _shares(stop - first, per_token, per_feature)
        row = rows[v]
        for j in range(first, stop):
            at = offsets[token_ids[j]]
            for i in range(at, at + share + (1 if j < first + odd else 0)):
                position = np.intp(positions[i])
                row[position >> 3] |= np.uint8(0x80 >> (position & 7))


@numba.njit(cache=True, nogil=True)
def _mask_kernel(rows, mask_of_token, offsets, positions):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Row ``mask_of_token[t] + k`` has the first k positions of token t."""
    for t in range(len(mask_of_token) - 1):
        for k in range(mask_of_token[t] + 1, mask_of_token[t + 1]):
            rows[k] = rows[k - 1]
            position = np.intp(positions[offsets[t] + k - mask_of_token[t] - 1])
            rows[k, position >> 3] |= np.uint8(0x80 >> (position & 7))


@numba.njit(cache=True, nogil=True)
def _join_kernel(filters, starts, token_ids, mask_of_token, masks, per_token, per_feature):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Or the masks of each value's tokens together."""
    for v in range(len(starts) - 1):
        first, stop = starts[v], starts[v + 1]
        share, odd = _shares(stop - first, per_token, per_feature)
        for j in range(first, stop):
            mask = mask_of_token[token_ids[j]] + share + (1 if j < first + odd else 0)
            for w in range(filters.shape[1]):
                filters[v, w] |= masks[mask, w]


@numba.njit(cache=True, nogil=True)
def _merge_kernel(filters, of_values, value_of_row):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    for row in range(len(value_of_row)):
        value = value_of_row[row]
        if value >= 0:
            for w in range(filters.shape[1]):
                filters[row, w] |= of_values[value, w]
