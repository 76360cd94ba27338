"""Patterns: all that the match model needs to know of a pair, shared by the many pairs that look alike.

Zone: linkage_unit. What a pair's odds depend on is each field's level and, where the field agrees exactly, the two
records' rarity bands. Millions of pairs share some ten thousand such patterns, so that the model reckons with
patterns and touches a pair only to let it compete with its row and column. Patterns are found chunk by chunk and
merged: their order and numbers depend on the set of pairs alone, not on how it was cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linkage_core.linkage_unit.comparison_vectors import NULL_LEVEL
from linkage_core.linkage_unit.dice_kernels import kernel_input

States = npt.NDArray[np.uint8]
MOST_STATES = 256
"""States of one field fit into a byte: a protocol has at most 8 bands of rarity and some ten levels."""
_LARGEST_CODE = 1 << 62


@dataclass(frozen=True)
class PairPatterns:
    """Distinct patterns, and each pair's.

    Attributes
    ----------
    states : ndarray of uint8, shape (patterns, fields)
        Distinct rows in ascending lexicographic order: 0 for null, the level where it is not exact, and from the
        field's number of levels on, exact agreement in a pair of bands (:func:`exact_state`).
    of_pair : ndarray of uint32, shape (m,)
        Each pair's row of ``states``.
    """

    states: States
    of_pair: npt.NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.of_pair)


def exact_state(levels: int, bands: int, band_a: int, band_b: int) -> int:
    """The state of exact agreement of values in two bands, each from 0 (missing) to ``bands``."""
    return levels + band_a * (bands + 1) + band_b


def states_of_field(levels: int, bands: int) -> int:
    """How many states a field has; E-KERNEL-INPUT beyond :data:`MOST_STATES`."""
    states = exact_state(levels, bands, bands, bands) + 1
    if states > MOST_STATES:
        raise kernel_input(f"a field of {levels} levels and {bands} bands", f"at most {MOST_STATES} states")
    return states


def find_patterns(
    levels: npt.NDArray[np.int8],
    bands_a: npt.NDArray[np.uint8],
    bands_b: npt.NDArray[np.uint8],
    level_counts: Sequence[int],
    bands: int,
) -> PairPatterns:
    """Patterns of some pairs.

    Parameters
    ----------
    levels : ndarray of int8, shape (m, fields)
        Of :func:`~linkage_core.linkage_unit.comparison_vectors.compare_pairs`.
    bands_a, bands_b : ndarray of uint8, shape (m, fields)
        Each pair's two rows of rarity.
    level_counts : sequence of int
        Levels of each field.
    bands : int
        Bands of rarity, not counting *missing*.
    """
    states = np.empty(levels.shape, np.uint8)
    code, codes = np.zeros(len(levels), np.uint64), 1
    for f, count in enumerate(level_counts):
        size = states_of_field(count, bands)
        state = (levels[:, f] - NULL_LEVEL * (levels[:, f] == NULL_LEVEL)).astype(np.uint8)
        exact = levels[:, f] == 0
        state[exact] = count + bands_a[exact, f] * (bands + 1) + bands_b[exact, f]
        states[:, f] = state
        if codes * size > _LARGEST_CODE:
            distinct, number = np.unique(code, return_inverse=True)
            code, codes = number.astype(np.uint64), len(distinct)
        code, codes = code * np.uint64(size) + state, codes * size
    _, first, of_pair = np.unique(code, return_index=True, return_inverse=True)
    return _in_order(states[first], of_pair)


def merge_patterns(parts: Sequence[PairPatterns], fields: int) -> PairPatterns:
    """The patterns of all pairs, from those of consecutive chunks of them."""
    everything = np.concatenate([np.empty((0, fields), np.uint8), *(part.states for part in parts)])
    states, number = np.unique(everything, axis=0, return_inverse=True)
    numbers = np.split(number.reshape(-1).astype(np.uint32), np.cumsum([len(part.states) for part in parts]))
    of_pair = np.empty(sum(len(part) for part in parts), np.uint32)
    begin = 0
    for part, its_numbers in zip(parts, numbers, strict=False):
        end = begin + len(part)
        of_pair[begin:end] = its_numbers[part.of_pair]
        begin = end
    return PairPatterns(states, of_pair)


def _in_order(states: States, of_pair: npt.NDArray[np.intp]) -> PairPatterns:
    """Rows sorted and numbered anew, whatever codes told them apart."""
    order = np.lexsort(states.T[::-1]) if states.shape[1] else np.arange(len(states))
    number = np.empty(len(states), np.uint32)
    number[order] = np.arange(len(states), dtype=np.uint32)
    return PairPatterns(states[order], number[of_pair])
