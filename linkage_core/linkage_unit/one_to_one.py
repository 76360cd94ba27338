"""Greedy one-to-one linkage with a stated tie rule. Zone: linkage_unit.

Pairs are taken by descending score; a pair is selected when neither record has been taken yet. Without ties
this is anonlink's greedy solver. Equal scores are ordered by a keyed hash of the two pseudonyms: no row order
enters a decision, and only who knows the seed could choose pseudonyms that win ties.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from linkage_core.linkage_unit.dice_kernels import kernel_input
from linkage_core.linkage_unit.kernel_compilation import CompiledKernel
from linkage_core.protocol.encoded_records import PSEUDONYM_BYTES, PSEUDONYM_DTYPE

Words = npt.NDArray[np.uint64]


def greedy_one_to_one(
    index_a: npt.NDArray[np.intp],
    index_b: npt.NDArray[np.intp],
    scores: npt.NDArray[np.float64],
    tie_keys: npt.NDArray[np.uint64],
    *,
    possible: float,
) -> npt.NDArray[np.intp]:
    """Select pairs so that no record is in two of them.

    Parameters
    ----------
    index_a, index_b : ndarray of intp, shape (m,)
        Rows of the two sides, not negative.
    scores : ndarray of float64, shape (m,)
        Higher is taken first.
    tie_keys : ndarray of uint64, shape (m,)
        Among equal scores, lower is taken first: :func:`pair_tie_keys`.
    possible : float
        Pairs that score below this take no part.

    Returns
    -------
    ndarray of intp, shape (selected,)
        Positions in the inputs, ascending. The set of pairs does not depend on the order of the inputs.
        (Should two 64-bit keys ever collide at equal score, the lower (index_a, index_b) goes first; rows in
        pseudonym order make that, too, independent of the order at the source.)

    Raises
    ------
    NightlinkError
        E-KERNEL-INPUT for a wrong dtype or different lengths.
    """
    _check_pairs(index_a, index_b, scores, tie_keys)
    entered = np.flatnonzero(scores >= possible)
    rows_a, rows_b = index_a[entered], index_b[entered]
    order = np.lexsort((rows_b, rows_a, tie_keys[entered], -scores[entered]))
    taken_a = np.zeros(rows_a.max(initial=-1) + 1, np.bool_)
    taken_b = np.zeros(rows_b.max(initial=-1) + 1, np.bool_)
    selected = np.zeros(len(entered), np.bool_)
    _take_in_order(order, rows_a, rows_b, taken_a, taken_b, selected)
    return entered[selected]


@CompiledKernel
def _take_in_order(  # pragma: no cover - compiled; held to its twin in tests/reference
    order: npt.NDArray[np.intp],
    index_a: npt.NDArray[np.intp],
    index_b: npt.NDArray[np.intp],
    taken_a: npt.NDArray[np.bool_],
    taken_b: npt.NDArray[np.bool_],
    selected: npt.NDArray[np.bool_],
) -> None:
    for k in order:
        i = index_a[k]
        j = index_b[k]
        if not taken_a[i] and not taken_b[j]:
            taken_a[i] = True
            taken_b[j] = True
            selected[k] = True


def pair_tie_keys(
    pseudonyms_a: npt.NDArray[np.void], pseudonyms_b: npt.NDArray[np.void], seed: bytes
) -> npt.NDArray[np.uint64]:
    """Keyed hash of each pair of pseudonyms, to order pairs of equal score.

    SipHash-2-4 (Aumasson and Bernstein 2012, doi:10.1007/978-3-642-34931-7_28) of the 32 bytes ``a || b``
    under BLAKE2b-128 of ``seed``.

    Parameters
    ----------
    pseudonyms_a, pseudonyms_b : ndarray of V16, shape (m,)
        Aligned: the records of pair ``k``.
    seed : bytes
        The same seed gives the same keys; take one that belongs to the project, not to the run, so that a
        night that is run again decides alike.

    Returns
    -------
    ndarray of uint64, shape (m,)

    Raises
    ------
    NightlinkError
        E-KERNEL-INPUT for a wrong dtype or different lengths.
    """
    for pseudonyms in (pseudonyms_a, pseudonyms_b):
        if pseudonyms.dtype != PSEUDONYM_DTYPE or pseudonyms.shape != (len(pseudonyms_a),):
            raise kernel_input(
                f"pseudonyms as {pseudonyms.dtype} of shape {pseudonyms.shape}",
                f"V{PSEUDONYM_BYTES} of the same length on both sides",
            )
    message = [*_little_endian_words(pseudonyms_a), *_little_endian_words(pseudonyms_b)]
    key = np.frombuffer(hashlib.blake2b(seed, digest_size=16).digest(), "<u8").astype(np.uint64)
    return siphash_2_4(message, key)


def siphash_2_4(message: list[Words], key: Words) -> Words:
    """SipHash-2-4 of many messages of equal length, given as their 64-bit words.

    Parameters
    ----------
    message : list of ndarray of uint64, shape (m,)
        Word ``w`` of every message; a message is ``8 * len(message)`` bytes, little-endian.
    key : ndarray of uint64, shape (2,)

    Returns
    -------
    ndarray of uint64, shape (m,)
    """
    length_word = np.full_like(message[0], np.uint64((8 * len(message) % 256) << 56))
    start = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
    v = [np.full_like(message[0], np.uint64(c) ^ key[n % 2]) for n, c in enumerate(start)]
    for word in [*message, length_word]:
        v[3] ^= word
        _sip_rounds(v, 2)
        v[0] ^= word
    v[2] ^= np.uint64(0xFF)
    _sip_rounds(v, 4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def _sip_rounds(v: list[Words], rounds: int) -> None:
    for _ in range(rounds):
        _half_round(v, 0, 1, 2, 3, 13, 16)
        _half_round(v, 2, 1, 0, 3, 17, 21)


def _half_round(v: list[Words], a: int, b: int, c: int, d: int, turn_b: int, turn_d: int) -> None:
    """Add, rotate and mix: the two halves of figure 2.1 differ in their words and rotations only."""
    v[a] += v[b]
    v[c] += v[d]
    v[b] = _rotate_left(v[b], turn_b) ^ v[a]
    v[d] = _rotate_left(v[d], turn_d) ^ v[c]
    v[a] = _rotate_left(v[a], 32)


def _rotate_left(words: Words, bits: int) -> Words:
    return (words << np.uint64(bits)) | (words >> np.uint64(64 - bits))


def _little_endian_words(pseudonyms: npt.NDArray[np.void]) -> list[Words]:
    words = np.ascontiguousarray(pseudonyms).view("<u8").reshape(-1, PSEUDONYM_BYTES // 8).astype(np.uint64)
    return [words[:, w] for w in range(words.shape[1])]


def _check_pairs(
    index_a: npt.NDArray[np.intp],
    index_b: npt.NDArray[np.intp],
    scores: npt.NDArray[np.float64],
    tie_keys: npt.NDArray[np.uint64],
) -> None:
    wanted = (
        ("index_a", index_a, np.intp),
        ("index_b", index_b, np.intp),
        ("scores", scores, np.float64),
        ("tie_keys", tie_keys, np.uint64),
    )
    for name, array, dtype in wanted:
        if array.dtype != dtype or array.shape != (len(index_a),):
            raise kernel_input(
                f"{name} as {array.dtype} of shape {array.shape}",
                f"{dtype.__name__} of shape ({len(index_a)},)",
            )
    if len(index_a) and min(index_a.min(), index_b.min()) < 0:
        raise kernel_input("a negative index", "indices from 0")
