"""HMAC-SHA256 of many short messages at once, and numbering of equal codes. Zone: custodian.

A night hashes about a dozen short messages per record. Through a Python-level HMAC that alone costs more than
everything else of the encoder together, so HMAC-SHA256 (RFC 2104, https://doi.org/10.17487/RFC2104; FIPS
180-4, https://doi.org/10.6028/NIST.FIPS.180-4) is written out here as a kernel over a flat buffer of
messages. The property tests hold it against the standard library's.
"""

from __future__ import annotations

import hashlib
import math

import numba
import numpy as np
import numpy.typing as npt

from linkage_core.errors import NightlinkError

BLOCK_BYTES = 64


def _fractional_bits(root: float) -> int:
    return int((root - math.floor(root)) * 2**32)


def _first_primes(count: int) -> list[int]:
    primes: list[int] = []
    candidate = 2
    while len(primes) < count:
        if all(candidate % prime for prime in primes):
            primes.append(candidate)
        candidate += 1
    return primes


# FIPS 180-4, 4.2.2 and 5.3.3: the first 32 fractional bits of the cube and square roots of the first primes.
_ROUND_CONSTANTS = np.array([_fractional_bits(p ** (1 / 3)) for p in _first_primes(64)], np.uint32)
_INITIAL_STATE = np.array([_fractional_bits(p**0.5) for p in _first_primes(8)], np.uint32)


def hmac_sha256_many(
    key: bytes, data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint8]:
    """HMAC-SHA256 under one key of each message of a flat buffer.

    Parameters
    ----------
    key : bytes
        At most 64 bytes (longer keys are hashed first, as RFC 2104 says).
    data : ndarray of uint8, shape (total,)
        The messages, one after the other.
    offsets : ndarray of int64, shape (m + 1,)
        Message ``i`` is ``data[offsets[i]:offsets[i + 1]]``.

    Returns
    -------
    ndarray of uint8, shape (m, 32)
        Row ``i`` is the digest of message ``i``.

    Raises
    ------
    NightlinkError
        E-KERNEL-INPUT when the arrays' dtypes, shapes or offsets do not fit.
    """
    _check_messages(data, offsets)
    block = (hashlib.sha256(key).digest() if len(key) > BLOCK_BYTES else key).ljust(BLOCK_BYTES, b"\0")
    pads = np.frombuffer(block, np.uint8)
    words = np.empty((len(offsets) - 1, 8), np.uint32)
    _hmac_kernel(
        pads ^ np.uint8(0x36), pads ^ np.uint8(0x5C), data, offsets, _ROUND_CONSTANTS, _INITIAL_STATE, words
    )
    return words.astype(">u4").view(np.uint8)


def _check_messages(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> None:
    sound = (
        data.dtype == np.uint8
        and data.ndim == 1
        and offsets.dtype == np.int64
        and offsets.ndim == 1
        and len(offsets) > 0
        and offsets[0] >= 0
        and offsets[-1] <= len(data)
        and bool(np.all(offsets[:-1] <= offsets[1:]))
    )
    if not sound:
        raise NightlinkError(
            "E-KERNEL-INPUT",
            found=f"data as {data.dtype} {data.shape}, offsets as {offsets.dtype} {offsets.shape}",
            expected="uint8 data and ascending int64 offsets within it",
            remedy="Build the message buffer with the functions of this package.",
        )


@numba.njit(cache=True, nogil=True, inline="always")
def _rotate(x, n):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    return np.uint32((x >> np.uint32(n)) | (x << np.uint32(32 - n)))


@numba.njit(cache=True, nogil=True)
def _compress(state, w, constants):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """One SHA-256 compression; ``w[:16]`` holds the block. FIPS 180-4, 6.2.2."""
    for t in range(16, 64):
        low, high = w[t - 15], w[t - 2]
        s0 = _rotate(low, 7) ^ _rotate(low, 18) ^ (low >> np.uint32(3))
        s1 = _rotate(high, 17) ^ _rotate(high, 19) ^ (high >> np.uint32(10))
        w[t] = np.uint32(w[t - 16] + s0 + w[t - 7] + s1)
    a, b, c, d = state[0], state[1], state[2], state[3]
    e, f, g, h = state[4], state[5], state[6], state[7]
    for t in range(64):
        s1 = _rotate(e, 6) ^ _rotate(e, 11) ^ _rotate(e, 25)
        t1 = np.uint32(h + s1 + ((e & f) ^ (~e & g)) + constants[t] + w[t])
        s0 = _rotate(a, 2) ^ _rotate(a, 13) ^ _rotate(a, 22)
        t2 = np.uint32(s0 + ((a & b) ^ (a & c) ^ (b & c)))
        h, g, f, e, d, c, b, a = g, f, e, np.uint32(d + t1), c, b, a, np.uint32(t1 + t2)
    state[0] = np.uint32(state[0] + a)
    state[1] = np.uint32(state[1] + b)
    state[2] = np.uint32(state[2] + c)
    state[3] = np.uint32(state[3] + d)
    state[4] = np.uint32(state[4] + e)
    state[5] = np.uint32(state[5] + f)
    state[6] = np.uint32(state[6] + g)
    state[7] = np.uint32(state[7] + h)


@numba.njit(cache=True, nogil=True)
def _absorb(state, w, constants, data, start, stop, bytes_before):  # type: ignore[no-untyped-def] # pragma: no cover
    """Hash ``data[start:stop]`` and the padding into ``state``, which has absorbed ``bytes_before`` bytes."""
    length = stop - start
    blocks = (length + 8) // 64 + 1
    for block in range(blocks):
        for i in range(16):
            word = np.uint32(0)
            for j in range(4):
                at = block * 64 + i * 4 + j
                byte = np.uint32(0)
                if at < length:
                    byte = np.uint32(data[start + at])
                elif at == length:
                    byte = np.uint32(0x80)
                word = np.uint32((word << np.uint32(8)) | byte)
            w[i] = word
        if block == blocks - 1:
            w[15] = np.uint32((bytes_before + length) * 8)  # messages stay far below 2**29 bytes
        _compress(state, w, constants)


@numba.njit(cache=True, nogil=True)
def _hmac_kernel(inner_pad, outer_pad, data, offsets, constants, initial, out):  # type: ignore[no-untyped-def] # pragma: no cover
    w = np.empty(64, np.uint32)
    inner, outer, state = initial.copy(), initial.copy(), initial.copy()
    for i in range(16):
        w[i] = _word_at(inner_pad, i)
    _compress(inner, w, constants)
    for i in range(16):
        w[i] = _word_at(outer_pad, i)
    _compress(outer, w, constants)
    for k in range(len(offsets) - 1):
        state[:] = inner
        _absorb(state, w, constants, data, offsets[k], offsets[k + 1], 64)
        w[:8] = state
        w[8] = np.uint32(0x80000000)
        w[9:15] = np.uint32(0)
        w[15] = np.uint32((64 + 32) * 8)
        state[:] = outer
        _compress(state, w, constants)
        out[k] = state


@numba.njit(cache=True, nogil=True)
def _word_at(data, i):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    word = np.uint32(0)
    for j in range(4):
        word = np.uint32((word << np.uint32(8)) | np.uint32(data[4 * i + j]))
    return word
