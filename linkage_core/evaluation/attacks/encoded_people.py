"""Encoded people, as bits or as real numbers, with the similarity that the linkage unit would use."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from linkage_core.linkage_unit.dice_kernels import dice_pairs

Floats = npt.NDArray[np.float32]
Measure = Literal["dice", "hamming", "euclidean"]
PAIRS_PER_CHUNK = 1 << 14


@dataclass(frozen=True, repr=False, eq=False)
class EncodedPeople:
    """One vector a record.

    Attributes
    ----------
    measure : str
        *dice* and *hamming* compare ``packed``, *euclidean* compares ``reals``.
    packed : ndarray of uint64, shape (n, words)
        Without columns for real vectors.
    reals : ndarray of float32, shape (n, dimensions)
        Without columns for bits.
    filters : int
        How many filters of one length ``packed`` holds side by side.
    """

    measure: Measure
    packed: npt.NDArray[np.uint64]
    reals: Floats
    filters: int = 1

    def __repr__(self) -> str:
        return f"EncodedPeople({len(self)} records, {self.measure})"

    def __len__(self) -> int:
        return len(self.packed)

    def take(self, rows: npt.NDArray[np.intp]) -> EncodedPeople:
        """Some rows, in the given order."""
        return EncodedPeople(self.measure, self.packed[rows], self.reals[rows], self.filters)


def as_bits(packed: npt.NDArray[np.uint64], measure: Measure, filters: int = 1) -> EncodedPeople:
    """Filters as encoded people."""
    return EncodedPeople(measure, packed, np.empty((len(packed), 0), np.float32), filters)


def as_reals(reals: Floats) -> EncodedPeople:
    """Real vectors as encoded people."""
    return EncodedPeople("euclidean", np.empty((len(reals), 0), np.uint64), reals)


def unpack_bits(packed: npt.NDArray[np.uint64]) -> Floats:
    """Bits as 0.0 and 1.0: shape (n, 64 words); column ``i`` is bit ``i % 64`` of word ``i // 64``."""
    octets = np.ascontiguousarray(packed).astype("<u8").view(np.uint8)
    return np.unpackbits(octets, axis=1, bitorder="little").astype(np.float32)


def pack_bits(bits: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    """The inverse of :func:`unpack_bits`; the number of columns is a multiple of 64."""
    octets = np.ascontiguousarray(np.packbits(bits, axis=1, bitorder="little"))
    return octets.view("<u8").astype(np.uint64)


def centred_features(encoded: EncodedPeople) -> Floats:
    """What a linear attack sees: bits as -1.0 and 1.0, or the real vectors."""
    return encoded.reals if encoded.measure == "euclidean" else 2 * unpack_bits(encoded.packed) - 1


def similarity_matrix(left: EncodedPeople, right: EncodedPeople) -> Floats:
    """Similarity of every pair, higher for nearer: shape (len(left), len(right)).

    Dice in [0, 1] (two empty filters: 0); 1 - 2 x the Hamming rate; or minus half the squared distance.
    """
    if left.measure == "dice":
        x, y = unpack_bits(left.packed), unpack_bits(right.packed)
        total = x.sum(axis=1)[:, None] + y.sum(axis=1)[None, :]
        dice: Floats = 2 * (x @ y.T) / np.maximum(total, 1)
        return dice
    x, y = centred_features(left), centred_features(right)
    if left.measure == "hamming":
        return (x @ y.T) / np.float32(x.shape[1])
    half_norms = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1)[None, :]
    distance: Floats = x @ y.T - half_norms / 2
    return distance


def pair_scores(
    left: EncodedPeople,
    right: EncodedPeople,
    index_left: npt.NDArray[np.intp],
    index_right: npt.NDArray[np.intp],
) -> npt.NDArray[np.float64]:
    """Similarity of given pairs, higher for nearer: shape (m,); minus the number of differing bits for
    *hamming*, the same as in :func:`similarity_matrix` otherwise.

    Of several filters, one that is empty on either side counts as far apart as strangers' are: a null says
    nothing for a pair.
    """
    if left.measure == "euclidean":
        return _real_scores(left.reals, right.reals, index_left, index_right)
    if left.measure == "dice":
        return dice_pairs(left.packed, right.packed, index_left, index_right)
    scores = np.zeros(len(index_left), np.float64)
    width = left.packed.shape[1] // left.filters
    for first in range(0, left.packed.shape[1], width):
        part_left, part_right = (
            np.ascontiguousarray(side.packed[:, first : first + width]) for side in (left, right)
        )
        scores += _hamming_scores(part_left, part_right, index_left, index_right, several=left.filters > 1)
    return scores


def _hamming_scores(
    left: npt.NDArray[np.uint64],
    right: npt.NDArray[np.uint64],
    index_left: npt.NDArray[np.intp],
    index_right: npt.NDArray[np.intp],
    *,
    several: bool,
) -> npt.NDArray[np.float64]:
    totals = [np.bitwise_count(side).sum(axis=1, dtype=np.int64) for side in (left, right)]
    bits_left, bits_right = totals[0][index_left], totals[1][index_right]
    dice = dice_pairs(left, right, index_left, index_right)
    scores: npt.NDArray[np.float64] = np.round((bits_left + bits_right) * (dice - 1.0))
    if several:
        fills = [float(total[total > 0].mean()) / (64 * left.shape[1]) for total in totals if total.any()]
        among_strangers = sum(fills) - 2 * math.prod(fills) if len(fills) == 2 else 0.0
        scores[(bits_left == 0) | (bits_right == 0)] = -64 * left.shape[1] * among_strangers
    return scores


def _real_scores(
    left: Floats, right: Floats, index_left: npt.NDArray[np.intp], index_right: npt.NDArray[np.intp]
) -> npt.NDArray[np.float64]:
    scores = np.empty(len(index_left), np.float64)
    for start in range(0, len(scores), PAIRS_PER_CHUNK):
        chunk = slice(start, start + PAIRS_PER_CHUNK)
        apart = left[index_left[chunk]] - right[index_right[chunk]]
        scores[chunk] = -np.einsum("ij,ij->i", apart, apart) / 2
    return scores
