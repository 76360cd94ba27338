"""What a pair looks like beside its records' other candidates: near neighbours and margins. Zone: linkage_unit.

A comparison vector says how two records agree; only the night's other pairs say how many near neighbours each record
has on the other side, and how far the pair is ahead of each record's best other candidate, or behind it. A reviewer is
told; no model is given it: competition has it already, and a model that was trained on it ranked no better and let the
links' precision fall to .87-.93 at a target of .99 (decision 0032).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from linkage_core.linkage_unit.match_model import Indices

Floats = npt.NDArray[np.float64]

NEAR_ODDS = 1e-3
"""The model's odds, before competition, from which a candidate is a near neighbour."""


@dataclass(frozen=True)
class PairContext:
    """Of some pairs, for the record of side A (column 0) and of side B (column 1).

    Attributes
    ----------
    neighbours : ndarray of intp, shape (k, 2)
        Other near candidates of the record.
    margins : ndarray of float64, shape (k, 2)
        Nats by which the pair's odds are above the record's best other candidate's; above :data:`NEAR_ODDS` where it
        has no other near one.
    passes : ndarray of intp, shape (k,)
        How many passes proposed the pair.
    """

    neighbours: npt.NDArray[np.intp] = field(repr=False)
    margins: Floats = field(repr=False)
    passes: npt.NDArray[np.intp] = field(repr=False)


def pair_context(
    odds: Floats,
    passes: npt.NDArray[np.uint32],
    index_a: Indices,
    index_b: Indices,
    chosen: npt.NDArray[np.intp],
) -> PairContext:
    """The context of ``chosen`` pairs among all.

    Parameters
    ----------
    odds : ndarray of float64, shape (m,)
        Of all candidates, before competition.
    passes : ndarray of uint32, shape (m,)
        Bit p is set where pass p proposed the pair.
    index_a, index_b : ndarray of intp or uint32, shape (m,)
        Each pair once.
    chosen : ndarray of intp, shape (k,)
        Positions of the pairs that are asked for.
    """
    near = np.flatnonzero((odds >= NEAR_ODDS) | np.isin(np.arange(len(odds)), chosen))
    at = np.searchsorted(near, chosen)
    is_near = odds[near] >= NEAR_ODDS
    neighbours, margins = [], []
    for index in (index_a[near].astype(np.intp), index_b[near].astype(np.intp)):
        neighbours.append((np.bincount(index, is_near, len(index) and index.max() + 1)[index] - is_near)[at])
        margins.append(_margins(np.maximum(odds[near], 1e-300), index)[at])
    count = np.bitwise_count(passes[chosen]).astype(np.intp)
    return PairContext(np.column_stack(neighbours).astype(np.intp), np.column_stack(margins), count)


def _margins(odds: Floats, index: npt.NDArray[np.intp]) -> Floats:
    """Of each pair against its record's best other one, or against :data:`NEAR_ODDS`."""
    order = np.lexsort((-odds, index))
    begins = np.flatnonzero(np.diff(index[order], prepend=-1))
    sizes = np.diff(np.append(begins, len(order)))
    other = np.repeat(odds[order[begins]], sizes)
    following = order[np.minimum(begins + 1, len(order) - 1)]
    other[begins] = np.where(sizes > 1, odds[following], NEAR_ODDS)
    margins = np.empty(len(odds))
    margins[order] = np.log(odds[order]) - np.log(np.maximum(other, NEAR_ODDS))
    return margins
