"""Record-level Bloom filters: the fields' q-grams, hashed under the fields' keys into one filter. Zone:
custodian.

A cryptographic long-term key (Schnell, Bachteler, Reiher 2011, https://doi.org/10.2139/ssrn.3549247; Bloom
filters of q-grams: Schnell, Bachteler, Reiher 2009, https://doi.org/10.1186/1472-6947-9-41) with hash
positions drawn from HMAC-SHA256 rather than by double hashing, whose regular patterns attacks exploit
(Niedermeyer, Steinmetzer, Kroll, Schnell 2014, https://doi.org/10.29012/jpc.v6i2.640).

Positions of a q-gram
    Digest ``i`` is HMAC-SHA256(field key, byte ``i`` then the token as 8 bytes little-endian); it gives 16
    positions, its little-endian 16-bit words modulo the filter's bits (a power of two, so none is favoured).

How many of them a value uses
    A field has ``bits`` positions to spend on a record. A value of ``g`` distinct q-grams gives each
    ``bits // g`` and the first ``bits % g`` in order of their tokens one more, at most
    ``max_bits_per_q_gram`` each. So a long name fills no more of the filter than a short one.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from linkage_core.custodian.keyed_hashing import hmac_sha256_many
from linkage_core.custodian.q_grams import ValueQGrams
from linkage_core.errors import NightlinkError

POSITIONS_A_DIGEST = 16
MESSAGE_BYTES = 9


def position_table(
    key: bytes, tokens: npt.NDArray[np.uint64], per_q_gram: int, filter_bits: int
) -> npt.NDArray[np.uint16]:
    """Filter positions of each token, in the order in which they are spent.

    Parameters
    ----------
    key : bytes
        The field's filter key.
    tokens : ndarray of uint64, shape (g,)
    per_q_gram : int
        How many positions a q-gram can need.
    filter_bits : int
        A power of two, at most 65,536.

    Returns
    -------
    ndarray of uint16, shape (g, per_q_gram rounded up to a multiple of 16)
    """
    digests = -(-per_q_gram // POSITIONS_A_DIGEST)
    messages = np.empty((len(tokens), digests, MESSAGE_BYTES), np.uint8)
    messages[:, :, 0] = np.arange(digests)
    messages[:, :, 1:] = tokens.astype("<u8").view(np.uint8).reshape(-1, 1, 8)
    offsets = np.arange(len(tokens) * digests + 1, dtype=np.int64) * MESSAGE_BYTES
    hashed = hmac_sha256_many(key, messages.reshape(-1), offsets)
    positions = hashed.view("<u2").astype(np.uint16) & np.uint16(filter_bits - 1)
    return positions.reshape(len(tokens), digests * POSITIONS_A_DIGEST)


def add_field(
    filters: npt.NDArray[np.uint64],
    value_of_row: npt.NDArray[np.intp],
    q_grams: ValueQGrams,
    positions: npt.NDArray[np.uint16],
    field_bits: int,
    max_bits_per_q_gram: int,
) -> None:
    """Set one field's bits in every row's filter, in place.

    Parameters
    ----------
    filters : ndarray of uint64, shape (n, words), C-contiguous
        Bit ``i`` is bit ``i % 64`` of word ``i // 64``.
    value_of_row : ndarray of intp, shape (n,)
        Index of the row's value, -1 when missing: such a row is left as it is.
    q_grams : ValueQGrams
        Of the column's distinct values.
    positions : ndarray of uint16, shape (distinct tokens, at least min(field_bits, max_bits_per_q_gram))
        Of :func:`position_table`.

    Raises
    ------
    NightlinkError
        E-KERNEL-INPUT when shapes or dtypes do not fit.
    """
    if filters.dtype != np.uint64 or filters.ndim != 2 or value_of_row.shape != filters.shape[:1]:
        raise _wrong_input(
            f"filters as {filters.dtype} {filters.shape}, values {value_of_row.shape}",
            "uint64 (n, words), (n,)",
        )
    if len(value_of_row) and value_of_row.max() >= len(q_grams.starts) - 1:
        raise _wrong_input("a row whose value has no q-grams", "a value index for every row")
    most = min(field_bits, max_bits_per_q_gram)
    if positions.dtype != np.uint16 or positions.shape[0] != len(q_grams.tokens) or positions.shape[1] < most:
        raise _wrong_input(
            f"positions as {positions.dtype} {positions.shape}", f"uint16 (tokens, {most} or more)"
        )
    values = len(q_grams.starts) - 1
    if 2 * values > len(filters):
        _set_bits_kernel(filters, value_of_row, q_grams.starts, q_grams.gram_ids, positions, field_bits, most)
        return
    of_value = np.zeros((values, filters.shape[1]), np.uint64)
    every = np.arange(values, dtype=np.intp)
    _set_bits_kernel(of_value, every, q_grams.starts, q_grams.gram_ids, positions, field_bits, most)
    _add_rows_kernel(filters, value_of_row, of_value)


def _wrong_input(found: str, expected: str) -> NightlinkError:
    return NightlinkError(
        "E-KERNEL-INPUT", found=found, expected=expected, remedy="Build them with this package."
    )


@numba.njit(cache=True, nogil=True)
def _set_bits_kernel(filters, value_of_row, starts, gram_ids, positions, bits, most):  # type: ignore[no-untyped-def] # pragma: no cover
    words = filters.shape[1]
    masks = np.zeros((len(positions), words), np.uint64)  # each q-gram's bits where it gets the most it can
    for gram in range(len(positions)):
        for j in range(most):
            _set_bit(masks, gram, positions[gram, j])
    for row in range(len(value_of_row)):
        value = value_of_row[row]
        if value < 0:
            continue
        first, grams = starts[value], starts[value + 1] - starts[value]
        for k in range(grams):
            share = min(most, bits // grams + (1 if k < bits % grams else 0))
            gram = gram_ids[first + k]
            if share == most:
                for word in range(words):
                    filters[row, word] |= masks[gram, word]
            else:
                for j in range(share):
                    _set_bit(filters, row, positions[gram, j])


@numba.njit(cache=True, nogil=True)
def _add_rows_kernel(filters, value_of_row, of_value):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    for row in range(len(value_of_row)):
        if value_of_row[row] >= 0:
            for word in range(filters.shape[1]):
                filters[row, word] |= of_value[value_of_row[row], word]


@numba.njit(cache=True, nogil=True)
def _set_bit(filters, row, position):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    filters[row, position >> 6] |= np.uint64(1) << np.uint64(position & 63)
