"""One-to-one linkage of the highest total score. Zone: linkage_unit.

Greedy takes the best pair first and may so spoil two good ones. The assignment with the highest sum of scores is
found for each connected component of the pairs by itself (Crouse 2016, doi:10.1109/TAES.2016.140952, as in
``scipy.optimize.linear_sum_assignment``). Where scores are probabilities, it has the most expected true links.

Greedy's choice stands wherever it is optimal already, so ties go by its stated rule. Its choice also stands, and
is reported, in components of more than :data:`MOST_CELLS` possible pairs, which would take too long.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from linkage_core.linkage_unit.dice_kernels import kernel_input
from linkage_core.linkage_unit.one_to_one import greedy_one_to_one

MOST_CELLS = 1_000_000
"""Records of A times records of B in one component: 1,000 by 1,000 take 16 MB and 1.3 CPU seconds."""
LEAST_GAIN = 1e-12
"""Of the total: a smaller gain is rounding, and greedy's choice stands."""

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class OptimalSelection:
    """The selected pairs, and how they came about.

    Attributes
    ----------
    selected : ndarray of intp, shape (s,)
        Positions in the inputs, ascending.
    components : int
        Connected components of the pairs that took part.
    improved : int
        Components in which the optimum differs from greedy's choice.
    left_to_greedy, pairs_left_to_greedy : int
        Components that were too large, and their pairs.
    """

    selected: Indices = field(repr=False)
    components: int
    improved: int
    left_to_greedy: int
    pairs_left_to_greedy: int


def optimal_one_to_one(
    index_a: Indices,
    index_b: Indices,
    scores: Floats,
    tie_keys: npt.NDArray[np.uint64],
    *,
    possible: float,
    most_cells: int = MOST_CELLS,
) -> OptimalSelection:
    """Select pairs of the highest total score so that no record is in two of them.

    Parameters
    ----------
    index_a, index_b : ndarray of intp, shape (m,)
        Rows of the two sides, not negative; each pair once.
    scores : ndarray of float64, shape (m,)
        Not negative.
    tie_keys : ndarray of uint64, shape (m,)
        As for :func:`~linkage_core.linkage_unit.one_to_one.greedy_one_to_one`. They also fix the order in which
        the assignment sees a component, so that the order of the rows enters nowhere.
    possible : float
        Pairs that score below this take no part.
    most_cells : int
        Larger components are left to greedy.

    Raises
    ------
    NightlinkError
        E-KERNEL-INPUT for a wrong dtype, different lengths, or a negative score.
    """
    greedy = greedy_one_to_one(index_a, index_b, scores, tie_keys, possible=possible)
    if len(scores) and not bool(np.all((scores >= 0) & np.isfinite(scores))):
        raise kernel_input("a negative or infinite score", "scores from 0")
    entered = np.flatnonzero(scores >= possible)
    entered = entered[np.lexsort((index_b[entered], index_a[entered], tie_keys[entered]))]
    is_selected = np.zeros(len(scores), np.bool_)
    is_selected[greedy] = True
    if not len(entered):
        return OptimalSelection(greedy, 0, 0, 0, 0)
    rows_a, rows_b = (np.unique(side[entered], return_inverse=True)[1] for side in (index_a, index_b))
    label = _component_labels(rows_a, rows_b)
    unsettled = _unsettled(rows_a, rows_b, label, scores[entered], is_selected[entered])
    improved = left = left_pairs = 0
    for pairs in _by_component(label, unsettled):
        rows, columns = _places(rows_a[pairs]), _places(rows_b[pairs])
        if (int(rows.max()) + 1) * (int(columns.max()) + 1) > most_cells:
            left, left_pairs = left + 1, left_pairs + len(pairs)
            continue
        positions = entered[pairs]
        chosen = _assign(rows, columns, scores[positions])
        before = float(scores[positions[is_selected[positions]]].sum())
        if float(scores[positions[chosen]].sum()) > before * (1 + LEAST_GAIN):
            improved += 1
            is_selected[positions] = False
            is_selected[positions[chosen]] = True
    return OptimalSelection(np.flatnonzero(is_selected), int(label.max()) + 1, improved, left, left_pairs)


def _component_labels(rows_a: Indices, rows_b: Indices) -> Indices:
    """The component of each pair, numbered from 0."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count_a = int(rows_a.max()) + 1
    nodes = count_a + int(rows_b.max()) + 1
    graph = coo_array((np.ones(len(rows_a), np.int8), (rows_a, count_a + rows_b)), shape=(nodes, nodes))
    labels: Indices = connected_components(graph, directed=False)[1].astype(np.intp)[rows_a]
    return labels


def _unsettled(
    rows_a: Indices, rows_b: Indices, label: Indices, scores: Floats, is_greedy: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Components in which greedy may be beaten: no assignment exceeds the sum of the best scores of a side."""
    total = np.bincount(label[is_greedy], scores[is_greedy], int(label.max()) + 1)
    bounds = []
    for rows in (rows_a, rows_b):
        best, component = np.zeros(int(rows.max()) + 1), np.zeros(int(rows.max()) + 1, np.intp)
        np.maximum.at(best, rows, scores)
        component[rows] = label
        bounds.append(np.bincount(component, best, len(total)))
    unsettled: npt.NDArray[np.bool_] = np.minimum(*bounds) > total * (1 + LEAST_GAIN)
    return unsettled


def _by_component(label: Indices, wanted: npt.NDArray[np.bool_]) -> list[Indices]:
    """Pairs of each wanted component, in their order."""
    pairs = np.flatnonzero(wanted[label])
    order = np.argsort(label[pairs], kind="stable")
    cuts = np.flatnonzero(np.diff(label[pairs][order])) + 1
    return [part for part in np.split(pairs[order], cuts) if len(part)]


def _places(rows: Indices) -> Indices:
    """Numbers of rows by their first appearance, which the tie keys decide."""
    _, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    place = np.empty(len(first), np.intp)
    place[np.argsort(first)] = np.arange(len(first))
    return place[inverse]


def _assign(rows: Indices, columns: Indices, scores: Floats) -> Indices:
    """Positions of the component's pairs in its best assignment."""
    from scipy.optimize import linear_sum_assignment

    shape = (int(rows.max()) + 1, int(columns.max()) + 1)
    weight, position = np.zeros(shape), np.full(shape, -1, np.intp)
    weight[rows, columns], position[rows, columns] = scores, np.arange(len(scores))
    found: Indices = position[linear_sum_assignment(weight, maximize=True)]
    return found[found >= 0]
