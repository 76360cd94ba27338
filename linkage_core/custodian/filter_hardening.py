"""The hardening menu: what is done to a plain filter before it leaves. Zone: custodian.

A protocol names one of :data:`linkage_core.protocol.linkage_protocol.HARDENINGS` for each filter. Diffusion is the
default and the only one that held when attacked; the others are kept so that their figures can be measured by the
code that a custodian would run, and a protocol may name them only when it calls itself unsafe, which no
party's settings accept. ``make attack-table`` has the figures of each,
``linkage_core/README.md`` shows them.

A record without a filter (all zero, since a field is missing) stays without one under every hardening.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from linkage_core.custodian.diffusion import diffuse, diffusion_table
from linkage_core.custodian.fourier_signs import fourier_signs
from linkage_core.custodian.keyed_hashing import hmac_sha256_many
from linkage_core.protocol.linkage_protocol import FilterGroup

Words = npt.NDArray[np.uint64]
DIGEST_BYTES = 32
COUNTER_BYTES = 4
ROWS_PER_CHUNK = 4096


def hardening_table(group: FilterGroup, key: bytes) -> npt.NDArray[np.uint16] | None:
    """What the default hardening derives from its key once for all records; None under the others."""
    if group.hardening != "diffusion":
        return None
    return diffusion_table(key, group.bits, group.diffused_bits, group.terms)


def harden(
    filters: Words, group: FilterGroup, key: bytes, table: npt.NDArray[np.uint16] | None = None
) -> Words:
    """A group's plain filters as the protocol sends them.

    Parameters
    ----------
    filters : ndarray of uint64, shape (n, group.bits / 64)
    key : bytes
        The filter's own hardening key; *none*, *xor_fold* and *rule_90* use none.
    table : ndarray of uint16, optional
        Of :func:`hardening_table`; derived here when it is not given.

    Returns
    -------
    ndarray of uint64, shape (n, group.sent_bits / 64)
    """
    known = hardening_table(group, key) if table is None else table
    if known is not None:
        return diffuse(filters, known)
    if group.hardening == "fourier_signs":
        return fourier_signs(filters, key, group.diffused_bits, group.terms)
    if group.hardening == "blip":
        return flip_bits(filters, key, group.flips)
    if group.hardening == "balancing":
        return balance(filters, key)
    if group.hardening == "xor_fold":
        return fold_halves(filters)
    return apply_rule_90(filters) if group.hardening == "rule_90" else filters


def fold_halves(filters: Words) -> Words:
    """XOR of the filter's two halves: half as many bits.

    Schnell and Borgs 2016, "XOR-folding for Bloom filter-based encryptions for privacy-preserving record
    linkage", German Record Linkage Center working paper WP-GRLC-2016-03.
    """
    half = filters.shape[1] // 2
    return np.ascontiguousarray(filters[:, :half] ^ filters[:, half:])


def apply_rule_90(filters: Words) -> Words:
    """Every bit becomes the XOR of its two neighbours, on a ring.

    Schnell and Borgs 2018, "Hardening encrypted patient names against cryptographic attacks using cellular
    automata" (doi:10.1109/ICDMW.2018.00082).
    """
    one, last = np.uint64(1), np.uint64(63)
    up: Words = (filters << one) | (np.roll(filters, 1, axis=1) >> last)
    down: Words = (filters >> one) | (np.roll(filters, -1, axis=1) << last)
    return up ^ down


def balance(filters: Words, key: bytes) -> Words:
    """The filter and its complement, their bits permuted under the key: every record has as many ones.

    Schnell and Borgs 2016, "Randomized response and balanced Bloom filters for privacy preserving record
    linkage" (doi:10.1109/ICDMW.2016.0038). Output bit ``i`` is the bit whose number's HMAC is the ``i``-th
    smallest.
    """
    bits = 128 * filters.shape[1]
    order = np.argsort(_keyed_words(key, bits), kind="stable")
    out = np.empty((len(filters), 2 * filters.shape[1]), np.uint64)
    for rows in _chunks(len(filters)):
        plain = _unpack(filters[rows])
        out[rows] = _pack(np.concatenate([plain, 1 - plain], axis=1)[:, order])
    return _where_present(filters, out)


def flip_bits(filters: Words, key: bytes, flips: int) -> Words:
    """BLIP: every bit flips with a chance of ``flips`` in 256, always the same bits for the same filter.

    Alaggan, Gambs, Kermarrec 2012, "BLIP: Non-interactive differentially-private similarity computation on
    Bloom filters" (doi:10.1007/978-3-642-33536-5_20). Fresh noise each night would average out over the
    nights, so byte ``i`` of the stream HMAC-SHA256(key, filter then counter, 4 bytes little-endian) decides on
    bit ``i``. So equal filters stay equal, and can be counted.
    """
    out = np.empty_like(filters)
    for rows in _chunks(len(filters)):
        stream = _row_streams(filters[rows], key)
        out[rows] = filters[rows] ^ _pack((stream < flips).astype(np.uint8))
    return _where_present(filters, out)


def _row_streams(filters: Words, key: bytes) -> npt.NDArray[np.uint8]:
    """A keyed byte for every bit of every filter, which the filter determines: shape (n, bits)."""
    content = np.ascontiguousarray(filters).astype("<u8").view(np.uint8)
    digests = 64 * filters.shape[1] // DIGEST_BYTES
    messages = np.empty((len(filters), digests, content.shape[1] + COUNTER_BYTES), np.uint8)
    messages[:, :, : content.shape[1]] = content[:, None, :]
    messages[:, :, content.shape[1] :] = np.arange(digests, dtype="<u4").view(np.uint8).reshape(-1, 4)
    offsets = np.arange(len(filters) * digests + 1, dtype=np.int64) * messages.shape[2]
    return hmac_sha256_many(key, messages.reshape(-1), offsets).reshape(len(filters), -1)


def _keyed_words(key: bytes, count: int) -> Words:
    messages = np.arange(count, dtype="<u4").view(np.uint8)
    hashed = hmac_sha256_many(key, messages, np.arange(count + 1, dtype=np.int64) * COUNTER_BYTES)
    return np.ascontiguousarray(hashed[:, :8]).view("<u8").reshape(-1).astype(np.uint64)


def _where_present(filters: Words, hardened: Words) -> Words:
    hardened[~filters.any(axis=1)] = np.uint64(0)
    return hardened


def _chunks(rows: int) -> list[slice]:
    return [slice(start, start + ROWS_PER_CHUNK) for start in range(0, rows, ROWS_PER_CHUNK)]


def _unpack(filters: Words) -> npt.NDArray[np.uint8]:
    octets = np.ascontiguousarray(filters).astype("<u8").view(np.uint8)
    return np.unpackbits(octets, axis=1, bitorder="little")


def _pack(bits: npt.NDArray[np.uint8]) -> Words:
    octets = np.ascontiguousarray(np.packbits(bits, axis=1, bitorder="little"))
    return octets.view("<u8").astype(np.uint64)
