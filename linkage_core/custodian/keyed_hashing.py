"""HMAC-SHA256 of many short messages at once. Zone: custodian.

A night hashes dozens of short messages per record. Through a Python-level HMAC that alone costs more than
everything else of the encoder together, so HMAC-SHA256 (RFC 2104, https://doi.org/10.17487/RFC2104; FIPS
180-4, https://doi.org/10.6028/NIST.FIPS.180-4) is written out here as kernels, several messages to the lanes of a
vector (:mod:`linkage_core.custodian.sha256_lanes`). The property tests hold them against the standard library's.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numba
import numpy as np
import numpy.typing as npt

from linkage_core.custodian.sha256_lanes import INITIAL_STATE, LANES, clear_bytes, compress_lanes, move_bytes
from linkage_core.errors import NightlinkError

BLOCK_BYTES = 64
_PADDING_BYTES = 9
"""A byte 0x80 and the length in eight bytes, at least, end the last block."""


@dataclass(frozen=True)
class HmacState:
    """A key's two states of SHA-256, after the inner and the outer pad; ``repr`` shows neither.

    Attributes
    ----------
    inner, outer : ndarray of uint32, shape (8 * LANES,)
        The same state in every lane, as :func:`linkage_core.custodian.sha256_lanes.compress_lanes` wants it.
    """

    inner: npt.NDArray[np.uint32] = field(repr=False)
    outer: npt.NDArray[np.uint32] = field(repr=False)


def hmac_state(key: bytes) -> HmacState:
    """The states from which every message under the key begins; a key of over 64 bytes is hashed first."""
    block = (hashlib.sha256(key).digest() if len(key) > BLOCK_BYTES else key).ljust(BLOCK_BYTES, b"\0")
    pads = np.frombuffer(block, np.uint8)
    return HmacState(_absorb_pad(pads ^ np.uint8(0x36)), _absorb_pad(pads ^ np.uint8(0x5C)))


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
    return words.byteswap().view(np.uint8)


def message_buffer(longest: int) -> npt.NDArray[np.uint8]:
    """Room for a message of ``longest`` bytes and its padding in each lane: (LANES, a multiple of 64)."""
    return np.zeros((LANES, -(-(longest + _PADDING_BYTES) // BLOCK_BYTES) * BLOCK_BYTES), np.uint8)


def _absorb_pad(pad: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    state = np.repeat(INITIAL_STATE, LANES)
    _compress_kernel(state, np.repeat(pad.view(">u4").astype(np.uint32), LANES))
    return state


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
def _compress_kernel(state, words):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    compress_lanes(state, words)


@numba.njit(cache=True, nogil=True)
def digest_lanes(inner, outer, messages, lengths, state, words):  # type: ignore[no-untyped-def] # pragma: no cover
    """HMAC of one message a lane into ``state``, word ``i`` of lane ``l`` at ``i * LANES + l``.

    ``messages[l, :lengths[l]]`` is lane ``l``'s message; the bytes behind it are overwritten by the padding.
    """
    capacity, flat = messages.shape[1], messages.reshape(-1)
    blocks = 0
    for lane in range(LANES):
        blocks = max(blocks, _pad_message(flat, lane * capacity, lengths[lane]))
    state[:] = inner
    # one place of call for the inner blocks and the outer one: the compression is long, and compiled in once
    for block in range(blocks + 1):
        if block < blocks:
            _load_block(flat, capacity, block, words)
        else:
            words[: 8 * LANES] = state
            words[8 * LANES : 9 * LANES] = np.uint32(0x80000000)
            words[9 * LANES : 15 * LANES] = np.uint32(0)
            words[15 * LANES :] = np.uint32((BLOCK_BYTES + 32) * 8)
            state[:] = outer
        later = 0 < block < blocks
        before = state.copy() if later else state
        compress_lanes(state, words)
        if later:
            _keep_ended(state, before, lengths, block)


@numba.njit(cache=True, nogil=True)
def _keep_ended(state, before, lengths, block):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Give a lane whose message ended before this block its state back."""
    for lane in range(LANES):
        if block > (lengths[lane] + 8) // BLOCK_BYTES:
            for i in range(8):
                state[i * LANES + lane] = before[i * LANES + lane]


@numba.njit(cache=True, nogil=True)
def _pad_message(flat, start, length):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Write SHA-256's padding behind a message that follows the key's block; the number of its blocks."""
    blocks = (length + 8) // BLOCK_BYTES + 1
    stop = start + blocks * BLOCK_BYTES
    clear_bytes(flat, start + length, stop - start - length)
    flat[start + length] = 0x80
    bits = (BLOCK_BYTES + length) * 8
    for byte in range(4):  # messages stay far below 2**29 bytes
        flat[stop - 1 - byte] = (bits >> (8 * byte)) & 0xFF
    return blocks


@numba.njit(cache=True, nogil=True)
def _load_block(flat, capacity, block, words):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    for lane in range(LANES):
        at = np.uint64(lane * capacity + block * BLOCK_BYTES)
        for i in range(np.uint64(16)):
            words[i * np.uint64(LANES) + np.uint64(lane)] = (
                np.uint32(flat[at]) << np.uint32(24)
                | np.uint32(flat[at + np.uint64(1)]) << np.uint32(16)
                | np.uint32(flat[at + np.uint64(2)]) << np.uint32(8)
                | np.uint32(flat[at + np.uint64(3)])
            )
            at += np.uint64(4)


@numba.njit(cache=True, nogil=True)
def _hmac_kernel(inner, outer, data, offsets, messages, out):  # type: ignore[no-untyped-def] # pragma: no cover
    lengths = np.zeros(LANES, np.int64)
    state, words = np.empty(8 * LANES, np.uint32), np.empty(16 * LANES, np.uint32)
    count, capacity, flat = len(offsets) - 1, messages.shape[1], messages.reshape(-1)
    for first in range(0, count, LANES):
        used = min(LANES, count - first)
        for lane in range(used):
            start, stop = offsets[first + lane], offsets[first + lane + 1]
            lengths[lane] = stop - start
            move_bytes(flat, lane * capacity, data, start, stop - start)
        digest_lanes(inner, outer, messages, lengths, state, words)
        for lane in range(used):
            for i in range(8):
                out[first + lane, i] = state[i * LANES + lane]
