"""HMAC-SHA256 of many short messages at once. Zone: custodian.

A night hashes dozens of short messages per record. Through a Python-level HMAC that alone costs more than
everything else of the encoder together, so HMAC-SHA256 (RFC 2104, https://doi.org/10.17487/RFC2104; FIPS
180-4, https://doi.org/10.6028/NIST.FIPS.180-4) is written out here as kernels, several messages side by side
(:mod:`linkage_core.custodian.sha256_lanes`). The property tests hold them against the standard library's.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numba
import numpy as np
import numpy.typing as npt

from linkage_core.custodian.byte_moves import COPIED_BYTES, clear_64, copy_32, move_bytes
from linkage_core.custodian.sha256_lanes import (
    BLOCK_BYTES,
    INITIAL_STATE,
    LANES,
    STATE_WORDS,
    compress_lanes,
)
from linkage_core.errors import NightlinkError

_PADDING_BYTES = 9
"""A byte 0x80 and the length in eight bytes, at least, end the last block."""


@dataclass(frozen=True)
class HmacState:
    """A key's two states of SHA-256, after the inner and the outer pad; ``repr`` shows neither.

    Attributes
    ----------
    inner, outer : ndarray of uint32, shape (8,)
    """

    inner: npt.NDArray[np.uint32] = field(repr=False)
    outer: npt.NDArray[np.uint32] = field(repr=False)


def hmac_state(key: bytes) -> HmacState:
    """The states from which every message under the key begins; a key of over 64 bytes is hashed first."""
    block = (hashlib.sha256(key).digest() if len(key) > BLOCK_BYTES else key).ljust(BLOCK_BYTES, b"\0")
    states = np.empty(STATE_WORDS * LANES, np.uint32)
    _absorb_kernel(np.frombuffer(block, np.uint8), INITIAL_STATE, states)
    return HmacState(states[:STATE_WORDS].copy(), states[STATE_WORDS : 2 * STATE_WORDS].copy())


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
    state = hmac_state(key)
    words = np.empty((len(offsets) - 1, 8), np.uint32)
    longest = int(np.diff(offsets).max(initial=0))
    _hmac_kernel(state.inner, state.outer, data, offsets, message_buffer(longest), words)
    return words.view(np.uint8)


def message_buffer(longest: int) -> npt.NDArray[np.uint8]:
    """Room for a message of ``longest`` bytes and its padding in each lane: (LANES + 1, a multiple of 64).

    The last row is nobody's: :func:`place_bytes` and :func:`pad_message` write beyond what they are asked to.
    """
    capacity = -(-(longest + _PADDING_BYTES) // BLOCK_BYTES) * BLOCK_BYTES
    return np.zeros((LANES + 1, capacity), np.uint8)


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


@numba.njit(cache=True, nogil=True)
def _absorb_kernel(key_block, initial, states):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """The states after the inner pad, in the first lane, and the outer one, in the second."""
    pads = np.zeros(BLOCK_BYTES * LANES, np.uint8)
    for i in range(BLOCK_BYTES):
        pads[i], pads[BLOCK_BYTES + i] = key_block[i] ^ 0x36, key_block[i] ^ 0x5C
    for i in range(STATE_WORDS * LANES):
        states[i] = initial[i % STATE_WORDS]
    compress_lanes(states, pads, 0, BLOCK_BYTES)


@numba.njit(cache=True, nogil=True)
def place_bytes(flat, at, source, start, count):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Copy ``source[start:start + count]`` into a message; up to 32 bytes behind it may be overwritten.

    Most parts of messages are shorter than 32 bytes, and copying just these costs more than the hash's own rounds.
    """
    if count <= COPIED_BYTES and start + COPIED_BYTES <= len(source):
        copy_32(flat, at, source, start)
    else:
        move_bytes(flat, at, source, start, count)


@numba.njit(cache=True, nogil=True)
def pad_message(flat, start, length):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Write SHA-256's padding behind a message that follows the key's block; what lies beyond may be overwritten.

    So lanes are filled in their order.
    """
    blocks = (length + 8) // BLOCK_BYTES + 1
    bits, end = np.uint64((BLOCK_BYTES + length) * 8), np.uint64(start + blocks * BLOCK_BYTES)
    clear_64(flat, start + length)
    flat[np.uint64(start + length)] = np.uint8(0x80)
    for byte in range(8):  # messages stay far below 2**29 bytes
        flat[end - np.uint64(8 - byte)] = np.uint8(bits >> np.uint64(8 * (7 - byte)))
    return blocks


@numba.njit(cache=True, nogil=True)
def digest_lanes(inner, outer, flat, capacity, blocks, states, second):  # type: ignore[no-untyped-def] # pragma: no cover
    """HMAC of one padded message a lane into ``states``, word ``i`` of lane ``l`` at ``8 * l + i``.

    Parameters
    ----------
    flat : array of uint8, shape ((LANES + 1) * capacity,)
        Lane ``l``'s message with its padding from ``l * capacity`` on.
    blocks : array of int64, shape (LANES,)
        Of each padded message, as :func:`pad_message` returns it.
    states : array of uint32, shape (8 * LANES,)
    second : array of uint32, shape (16 * LANES,)
        Of :func:`outer_blocks`.
    """
    most = 1
    for lane in range(LANES):
        most = max(most, blocks[lane])
        for i in range(STATE_WORDS):
            states[STATE_WORDS * lane + i] = inner[i]
    compress_lanes(states, flat, 0, capacity)
    for block in range(1, most):
        _compress_longer(states, flat, capacity, blocks, block)
    for lane in range(LANES):
        for i in range(STATE_WORDS):
            second[BLOCK_BYTES // 4 * lane + i] = swap_bytes(states[STATE_WORDS * lane + i])
            states[STATE_WORDS * lane + i] = outer[i]
    compress_lanes(states, second, 0, BLOCK_BYTES)


@numba.njit(cache=True, nogil=True)
def outer_blocks():  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """The second hash's block in every lane, with its padding and no digest yet; uint32, flat."""
    blocks = np.zeros(BLOCK_BYTES * (LANES + 1), np.uint8)  # one more: padding writes beyond its own
    for lane in range(LANES):
        pad_message(blocks, BLOCK_BYTES * lane, 4 * STATE_WORDS)
    return blocks.view(np.uint32)


@numba.njit(cache=True, nogil=True)
def _compress_longer(states, flat, capacity, blocks, block):  # type: ignore[no-untyped-def] # pragma: no cover
    """One more block of every lane whose message has one; the other lanes keep their states."""
    before = states.copy()
    compress_lanes(states, flat, block * BLOCK_BYTES, capacity)
    for lane in range(LANES):
        if block >= blocks[lane]:
            for i in range(STATE_WORDS):
                states[STATE_WORDS * lane + i] = before[STATE_WORDS * lane + i]


@numba.njit(cache=True, nogil=True)
def swap_bytes(word):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """A 32-bit word's bytes in the opposite order."""
    return np.uint32(
        (word >> np.uint32(24))
        | ((word >> np.uint32(8)) & np.uint32(0xFF00))
        | ((word << np.uint32(8)) & np.uint32(0xFF0000))
        | (word << np.uint32(24))
    )


@numba.njit(cache=True, nogil=True)
def _hmac_kernel(inner, outer, data, offsets, messages, out):  # type: ignore[no-untyped-def] # pragma: no cover
    blocks = np.zeros(LANES, np.int64)
    states, second = np.empty(STATE_WORDS * LANES, np.uint32), outer_blocks()
    count, capacity, flat = len(offsets) - 1, messages.shape[1], messages.reshape(-1)
    for first in range(0, count, LANES):
        used = min(LANES, count - first)
        for lane in range(used):
            start, length = offsets[first + lane], offsets[first + lane + 1] - offsets[first + lane]
            place_bytes(flat, lane * capacity, data, start, length)
            blocks[lane] = pad_message(flat, lane * capacity, length)
        digest_lanes(inner, outer, flat, capacity, blocks, states, second)
        for lane in range(used):
            for i in range(STATE_WORDS):
                out[first + lane, i] = swap_bytes(states[STATE_WORDS * lane + i])
