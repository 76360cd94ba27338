"""Diffusion: each output bit is the XOR of several keyed bits of a filter. Zone: custodian.

Armknecht, Heng and Schnell 2023, "Strengthening privacy-preserving record linkage using diffusion"
(doi:10.56553/popets-2023-0054). A Hamming rate ``p`` between two filters becomes ``q = (1 - (1 - 2p)^t) / 2``:
near filters keep their order, all others saturate at one half, and graph matching finds nothing to hold on to
(PRIVACY, table of t).

Records go through in groups of 512: a group's filters are transposed, so that a row of eight words holds one bit of all
of them, and an output bit of all is the XOR of ``t`` rows.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from linkage_core.custodian.keyed_hashing import hmac_sha256_many
from linkage_core.custodian.wide_words import WIDE, swap_bits, xor_rows
from linkage_core.errors import NightlinkError

WORD_BITS = 64
DRAWS_A_DIGEST = 16
MESSAGE_BYTES = 8


def diffusion_table(key: bytes, filter_bits: int, diffused_bits: int, terms: int) -> npt.NDArray[np.uint16]:
    """Positions that each output bit is the XOR of.

    Output bit ``m`` takes the first ``terms`` distinct 16-bit words, modulo ``filter_bits``, of the digests
    HMAC-SHA256(key, ``m`` then ``c``, each 4 bytes little-endian) for c = 0, 1, ...

    Parameters
    ----------
    key : bytes
        The filter's own diffusion key: two filters of a record never share a table.
    filter_bits : int
        A power of two, from 64 to 65,536, and at least four times ``terms``.

    Returns
    -------
    ndarray of uint16, shape (diffused_bits, terms)
        Distinct within a row.

    Raises
    ------
    NightlinkError
        E-KERNEL-INPUT when the sizes do not fit.
    """
    power_of_two = WORD_BITS <= filter_bits <= 1 << 16 and filter_bits & (filter_bits - 1) == 0
    if not power_of_two or diffused_bits % WORD_BITS or not 1 <= terms <= filter_bits // 4:
        raise _wrong_input(
            f"{filter_bits} bits to {diffused_bits}, {terms} terms",
            "a power of two, a multiple of 64, and at most a quarter of the bits as terms",
        )
    draws = _draw_positions(key, filter_bits, diffused_bits, rounds=1 + terms // 4)
    table = np.zeros((diffused_bits, terms), np.uint16)
    if not _take_distinct(draws, table):
        raise _wrong_input("too few distinct draws", "another key")
    return table


def diffuse(filters: npt.NDArray[np.uint64], table: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint64]:
    """Diffuse every row.

    Parameters
    ----------
    filters : ndarray of uint64, shape (n, words), C-contiguous
        Bit ``i`` is bit ``i % 64`` of word ``i // 64``.
    table : ndarray of uint16, shape (diffused_bits, terms)
        Of :func:`diffusion_table`.

    Returns
    -------
    ndarray of uint64, shape (n, diffused_bits / 64)
        An empty filter stays empty.

    Raises
    ------
    NightlinkError
        E-KERNEL-INPUT when dtypes or shapes do not fit, or the table points beyond the filter.
    """
    if filters.dtype != np.uint64 or filters.ndim != 2:
        raise _wrong_input(f"filters as {filters.dtype} of shape {filters.shape}", "uint64, (n, words)")
    if table.dtype != np.uint16 or table.ndim != 2 or len(table) % WORD_BITS:
        raise _wrong_input(f"table as {table.dtype} of shape {table.shape}", "uint16, (64 k, terms)")
    if table.size and int(table.max()) >= WORD_BITS * filters.shape[1]:
        raise _wrong_input(f"a table beyond {filters.shape[1]} words", "a table of the filters' length")
    out = np.zeros((len(filters), len(table) // WORD_BITS), np.uint64)
    _diffuse_kernel(np.ascontiguousarray(filters), np.ascontiguousarray(table), out)
    return out


def _draw_positions(key: bytes, filter_bits: int, outputs: int, rounds: int) -> npt.NDArray[np.uint16]:
    messages = np.empty((outputs, rounds, 2), "<u4")
    messages[:, :, 0] = np.arange(outputs)[:, None]
    messages[:, :, 1] = np.arange(rounds)
    offsets = np.arange(outputs * rounds + 1, dtype=np.int64) * MESSAGE_BYTES
    digests = hmac_sha256_many(key, messages.view(np.uint8).reshape(-1), offsets)
    words = digests.view("<u2").astype(np.uint16) & np.uint16(filter_bits - 1)
    return words.reshape(outputs, rounds * DRAWS_A_DIGEST)


def _take_distinct(draws: npt.NDArray[np.uint16], table: npt.NDArray[np.uint16]) -> bool:
    """Fill each row with the first distinct draws; False if a row runs out of them."""
    for row, drawn in zip(table, draws.tolist(), strict=True):
        distinct = list(dict.fromkeys(drawn))[: table.shape[1]]
        if len(distinct) < table.shape[1]:
            return False
        row[:] = distinct
    return True


def _wrong_input(found: str, expected: str) -> NightlinkError:
    return NightlinkError(
        "E-KERNEL-INPUT", found=found, expected=expected, remedy="Build them with this package."
    )


@numba.njit(cache=True, nogil=True)
def _diffuse_kernel(filters, table, out):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    terms, positions = table.shape[1], table.reshape(-1)
    sliced, mixed = np.zeros((filters.shape[1] * 64, WIDE), np.uint64), np.empty((64, WIDE), np.uint64)
    for first in range(0, len(filters), 64 * WIDE):
        for word in range(filters.shape[1]):
            bits = sliced[64 * word : 64 * word + 64]
            _take_word(filters, first, word, bits)
            _transpose_64(bits)
        for word in range(out.shape[1]):
            for k in range(64):
                xor_rows(sliced, positions, (64 * word + k) * terms, terms, mixed, k)
            _transpose_64(mixed)
            _put_word(mixed, out, first, word)


@numba.njit(cache=True, nogil=True)
def _take_word(filters, first, word, bits):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """One word of each record from ``first`` on: record ``first + 64 * w + k`` to ``bits[k, w]``."""
    for w in range(WIDE):
        for k in range(64):
            record = first + 64 * w + k
            bits[k, w] = filters[record, word] if record < len(filters) else np.uint64(0)


@numba.njit(cache=True, nogil=True)
def _put_word(bits, out, first, word):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    for w in range(WIDE):
        for k in range(min(64, len(out) - first - 64 * w)):
            out[first + 64 * w + k, word] = bits[k, w]


@numba.njit(cache=True, nogil=True)
def _transpose_64(rows):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Transpose 64 x 64 bit matrices in place, one a column: bit ``i`` of row ``j`` and bit ``j`` of row ``i`` swap.

    Recursive block swaps: Warren 2012, "Hacker's Delight", 2nd edition, section 7-3.
    """
    width = 32
    mask = np.uint64(0x00000000FFFFFFFF)
    while width:
        k = 0
        while k < 64:
            swap_bits(rows, k, k + width, np.uint64(width), mask)
            k = (k + width + 1) & ~width
        width >>= 1
        mask ^= mask << np.uint64(width)
