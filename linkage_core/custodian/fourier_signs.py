"""Signs of keyed random Fourier features: a real-valued map that truncates distance. Zone: custodian.

Raginsky and Lazebnik 2009, "Locality-sensitive binary codes from shift-invariant kernels", after Rahimi and Recht
2007, "Random features for large-scale kernel machines". Bit ``m`` is the sign of cos(b_m + sum_i x_i w_im),
with x the filter's bits as -1 and 1, b uniform and w normal with variance ``bandwidth / filter_bits``. Filters
that differ in a share p of their bits have the kernel exp(-2 bandwidth p): near pairs keep their order, all
others saturate. A bandwidth of t truncates about as a diffusion of t terms does, since (1 - 2p)^t is about
exp(-2tp).

All is counted in integers, so that every machine gives the same bits: an angle is a 32-bit share of a turn, a
normal weight the number of ones among 64 keyed bits less 32 (variance 16) times one scale, and the sign of the
cosine is the angle's quadrant.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

from linkage_core.custodian.keyed_hashing import hmac_sha256_many
from linkage_core.errors import NightlinkError

Words = npt.NDArray[np.uint64]
TURN = 1 << 32
QUARTER = np.uint32(1 << 30)
SHIFT_ROW = 0xFFFFFFFF
"""Where a weight's message has its bit's number, a shift's has this."""

MESSAGE_BYTES = 8


def fourier_signs(filters: Words, key: bytes, features: int, bandwidth: int) -> Words:
    """Map every row.

    Parameters
    ----------
    filters : ndarray of uint64, shape (n, words)
        Bit ``i`` is bit ``i % 64`` of word ``i // 64``.
    features : int
        A multiple of 64.
    bandwidth : int
        At least 1.

    Returns
    -------
    ndarray of uint64, shape (n, features / 64)
        An empty filter stays empty.

    Raises
    ------
    NightlinkError
        E-KERNEL-INPUT when dtypes, shapes or numbers do not fit.
    """
    sound = filters.dtype == np.uint64 and filters.ndim == 2 and features > 0 and features % 64 == 0
    if not sound or bandwidth < 1:
        raise NightlinkError(
            "E-KERNEL-INPUT",
            found=f"filters as {filters.dtype} {filters.shape}, {features} features, bandwidth {bandwidth}",
            expected="uint64 (n, words), a multiple of 64, at least 1",
            remedy="Build them with this package.",
        )
    weights, shifts = fourier_table(key, 64 * filters.shape[1], features, bandwidth)
    out = np.zeros((len(filters), features // 64), np.uint64)
    # x = -1 everywhere is the start, and each bit that is set adds its weight twice
    start = shifts - weights.sum(axis=0, dtype=np.uint32) + QUARTER
    _signs_kernel(np.ascontiguousarray(filters), weights * np.uint32(2), start, out)
    return out


def fourier_table(
    key: bytes, filter_bits: int, features: int, bandwidth: int
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Weights, shape (filter_bits, features), and shifts, shape (features,), as 32-bit shares of a turn.

    The four 64-bit little-endian words of HMAC-SHA256(key, bit then c, each 4 bytes little-endian) give bit's
    weights of features 4 c to 4 c + 3; the eight 32-bit words of the same of :data:`SHIFT_ROW` are shifts.
    """
    scale = round(TURN * math.sqrt(bandwidth / filter_bits) / (4 * 2 * math.pi))
    draws = _digests(key, np.arange(filter_bits), features // 4).view("<u8").reshape(filter_bits, features)
    ones = np.bitwise_count(draws).astype(np.int64) - 32
    weights = ((ones * scale) & (TURN - 1)).astype(np.uint32)
    shifts = _digests(key, np.array([SHIFT_ROW]), features // 8).view("<u4").reshape(features)
    return weights, shifts.astype(np.uint32)


def _digests(key: bytes, rows: npt.NDArray[np.int64], counters: int) -> npt.NDArray[np.uint8]:
    messages = np.empty((len(rows), counters, 2), "<u4")
    messages[:, :, 0] = rows[:, None]
    messages[:, :, 1] = np.arange(counters)
    offsets = np.arange(len(rows) * counters + 1, dtype=np.int64) * MESSAGE_BYTES
    return np.ascontiguousarray(hmac_sha256_many(key, messages.view(np.uint8).reshape(-1), offsets))


@numba.njit(cache=True, nogil=True)
def _signs_kernel(filters, doubled, start, out):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    records, words = filters.shape
    angle = np.empty(len(start), np.uint32)
    for row in range(records):
        angle[:] = start
        empty = True
        for bit in range(64 * words):
            if (filters[row, bit >> 6] >> np.uint64(bit & 63)) & np.uint64(1):
                empty = False
                for m in range(len(angle)):
                    angle[m] += doubled[bit, m]
        if not empty:
            for m in range(len(angle)):
                # a quarter turn on, a positive cosine is the first half of the circle
                sign = np.uint64(1) - np.uint64(angle[m] >> np.uint32(31))
                out[row, m >> 6] |= sign << np.uint64(m & 63)
