"""Percolation: from a few known people along shared tokens to everybody.

Colour refinement needs two files that are equal; this does not. A known record tells what its tokens mean; a
record of which some tokens are now understood has few namesakes left and is recognised; its other
tokens are then understood, and so on: Narayanan and Shmatikov 2009, "De-anonymizing social networks"
(doi:10.1109/SP.2009.22); Yartseva and Grossglauser 2013, "On the performance of percolation graph matching"
(doi:10.1145/2512938.2512952).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from linkage_core.evaluation.attacks.attack_outcome import AttackOutcome
from linkage_core.evaluation.attacks.frequency_alignment import align_ranks

Words = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.intp]
ITERATIONS = 20
LARGEST_BLOCK = 300
"""Values that more of the attacker's people share say little and cost time."""


def token_percolation(
    victim: Words, attacker: Words, true_entry: Rows, known: tuple[Rows, Rows] | None = None
) -> AttackOutcome:
    """Name the victim's records, given some that are known, or else the commonest values of each column.

    Parameters
    ----------
    victim, attacker : ndarray of uint64, shape (n, columns), (m, columns)
        Tokens, blocking values, or both, under unrelated keys; 0 is null.
    true_entry : ndarray of intp, shape (n,)
        Each victim's row in the attacker's list, -1 when not in it; used for counting only.
    known : tuple of ndarray of intp, optional
        Rows of the victim and of the list whose connection the attacker knows; they are no targets. Without
        any, the first meanings are those of frequency alignment.

    Returns
    -------
    AttackOutcome
        Of the iteration after which nothing changed, or the last.
    """
    nodes_v, nodes_a = _number_nodes(victim), _number_nodes(attacker)
    known_v, known_a = known if known is not None else (np.empty(0, np.intp), np.empty(0, np.intp))
    width = int(nodes_a.max(initial=0)) + 1
    weight = _node_weights(_incidence(nodes_a, width))
    # Who is known can be nobody else, so that one unknown person in a block of two stands out.
    unknown_v, of_attacker = _without(nodes_v, known_v), _incidence(_without(nodes_a, known_a), width)
    meaning = _align_meanings(nodes_v, nodes_a) if known is None else np.zeros(0, np.intp)
    matched_v, matched_a = known_v, known_a
    for _ in range(ITERATIONS):
        if len(matched_v):
            meaning = _vote_meanings(nodes_v, nodes_a, matched_v, matched_a)
        found_v, found_a = _mutual_best(_incidence(meaning[unknown_v], width), of_attacker, weight)
        before = len(matched_v)
        matched_v, matched_a = np.append(known_v, found_v), np.append(known_a, found_a)
        if len(matched_v) == before:
            break
    guessed_v, guessed_a = matched_v[len(known_v) :], matched_a[len(known_v) :]
    right = int(np.count_nonzero(true_entry[guessed_v] == guessed_a))
    targets = int(np.count_nonzero(true_entry >= 0)) - len(known_v)
    return AttackOutcome(right, targets, len(guessed_v))


def _align_meanings(nodes_v: Rows, nodes_a: Rows) -> Rows:
    """For each of the victim's nodes the attacker's of the same rank in its column, 0 where ranks tie."""
    meaning = np.zeros(int(nodes_v.max(initial=0)) + 1, np.intp)
    for column in range(nodes_v.shape[1]):
        of_v, of_a = nodes_v[:, column].astype(np.uint64), nodes_a[:, column].astype(np.uint64)
        encodings, names = align_ranks(of_v, of_a)
        meaning[encodings.astype(np.intp)] = names.astype(np.intp)
    return meaning


def _number_nodes(values: Words) -> Rows:
    """A number from 1 for each (column, value); 0 for null."""
    nodes = np.zeros(values.shape, np.intp)
    first = 1
    for column in range(values.shape[1]):
        present = values[:, column] != 0
        distinct, inverse = np.unique(values[present, column], return_inverse=True)
        nodes[present, column] = first + inverse.reshape(-1)
        first += len(distinct)
    return nodes


def _without(nodes: Rows, rows: Rows) -> Rows:
    kept = nodes.copy()
    kept[rows] = 0
    return kept


def _incidence(nodes: Rows, width: int) -> sparse.csr_array:
    """Records by nodes, 1.0 where they are tied; node 0 (null, not understood) is left out."""
    rows, columns = np.nonzero(nodes)
    ones = np.ones(len(rows), np.float32)
    return sparse.csr_array((ones, (rows, nodes[rows, columns])), shape=(len(nodes), width))


def _node_weights(of_attacker: sparse.csr_array) -> npt.NDArray[np.float32]:
    """What agreement on a node says: the logarithm of how many people it excludes."""
    sizes = np.asarray(of_attacker.sum(axis=0)).reshape(-1)
    weight = np.log(of_attacker.shape[0] / np.maximum(sizes, 1)).astype(np.float32)
    return np.where(sizes > LARGEST_BLOCK, np.float32(0), weight)


def _vote_meanings(nodes_v: Rows, nodes_a: Rows, matched_v: Rows, matched_a: Rows) -> Rows:
    """For each of the victim's nodes the attacker's node that most matched records say it is, else 0."""
    left, right = nodes_v[matched_v].reshape(-1), nodes_a[matched_a].reshape(-1)
    valid = (left > 0) & (right > 0)
    pairs, votes = np.unique(np.stack([left[valid], right[valid]], axis=1), axis=0, return_counts=True)
    meaning = np.zeros(int(nodes_v.max(initial=0)) + 1, np.intp)
    for_best = np.argsort(votes, kind="stable")  # the most votes are written last
    meaning[pairs[for_best, 0]] = pairs[for_best, 1]
    return meaning


def _mutual_best(
    understood: sparse.csr_array, of_attacker: sparse.csr_array, weight: npt.NDArray[np.float32]
) -> tuple[Rows, Rows]:
    """Records that share understood nodes and are each other's single best by weight.

    One node may do: to ask for two found half as many and was hardly more often right.
    """
    shared = (understood @ sparse.diags_array(weight) @ of_attacker.T).tocoo()
    valid = shared.data > 0
    rows, columns, scores = shared.row[valid], shared.col[valid], shared.data[valid]
    is_best = _single_best(rows, scores, shared.shape[0]) & _single_best(columns, scores, shared.shape[1])
    return rows[is_best].astype(np.intp), columns[is_best].astype(np.intp)


def _single_best(
    group: npt.NDArray[np.int32], scores: npt.NDArray[np.float32], groups: int
) -> npt.NDArray[np.bool_]:
    """Which entries exceed all others of their group."""
    best = np.full(groups, -np.inf, np.float32)
    np.maximum.at(best, group, scores)
    at_best = scores == best[group]
    ties = np.bincount(group[at_best], minlength=groups)
    return np.asarray(at_best & (ties[group] == 1))
