"""Colour refinement: what tokens and blocking values tell together, as a graph.

Records and values are the two kinds of nodes; a record is tied to its value in each column. Nodes are coloured
by what they are tied to, over and over (Weisfeiler and Leman 1968; bound to hit on nearly all of a random
graph: Babai, Erdos, Selkow 1980, doi:10.1137/0209047; as an attack on published graphs: Hay, Miklau, Jensen,
Towsley, Weis 2008, doi:10.14778/1453856.1453873). A record whose colour nobody shares is recognised by an
attacker who owns the same file, whatever the key.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from linkage_core.evaluation.attacks.attack_outcome import AttackOutcome

Words = npt.NDArray[np.uint64]
ROUNDS = 8
NULL = np.uint64(0)


def unique_colours(
    values: Words, profile: Words | None = None, rounds: int = ROUNDS
) -> npt.NDArray[np.bool_]:
    """Which records end with a colour of their own: bool, shape (n,).

    Parameters
    ----------
    values : ndarray of uint64, shape (n, columns)
        Tokens, blocking values, or both; 0 is null.
    profile : ndarray of uint64, shape (n,), optional
        Whatever else is sent in clear of a record (sex, rarity bands), as one number.
    """
    return _occurs_once(record_colours(values, profile, rounds))


def recognise_by_colour(
    victim: Words,
    attacker: Words,
    true_entry: npt.NDArray[np.intp],
    profiles: tuple[Words, Words] | None = None,
    rounds: int = ROUNDS,
) -> AttackOutcome:
    """Match records whose colour is unique in both files, after the number of rounds that succeeds most.

    Parameters
    ----------
    victim, attacker : ndarray of uint64, shape (n, columns), (m, columns)
        The same columns under unrelated keys.
    true_entry : ndarray of intp, shape (n,)
        Each victim's row in the attacker's list, -1 when not in it; used for counting only.
    profiles : tuple of ndarray of uint64, optional
        As of :func:`unique_colours`, of either side.
    """
    of_victim, of_attacker = profiles if profiles is not None else (None, None)
    outcomes = [
        _match_once(
            record_colours(victim, of_victim, number),
            record_colours(attacker, of_attacker, number),
            true_entry,
        )
        for number in range(1, rounds + 1)
    ]
    return max(outcomes, key=lambda outcome: outcome.right)


def record_colours(values: Words, profile: Words | None = None, rounds: int = ROUNDS) -> Words:
    """Colours of the records after some rounds: equal neighbourhoods have equal colours, in any two files.

    64-bit hashes stand for colours; that two differing neighbourhoods collide is possible and negligible.
    """
    present = values != NULL
    nodes = [np.unique(values[:, c], return_inverse=True)[1].reshape(-1) for c in range(values.shape[1])]
    colours = _mix(profile if profile is not None else np.zeros(len(values), np.uint64))
    salts = np.arange(1, len(nodes) + 1, dtype=np.uint64) * _ODD
    for _ in range(rounds):
        refined = _mix(colours)
        for c, node in enumerate(nodes):
            # A value's colour is the multiset of its records' colours, which wrapping sums of hashes identify.
            total = np.zeros(int(node.max(initial=-1)) + 1, np.uint64)
            np.add.at(total, node, _mix(colours))
            refined += _mix(np.where(present[:, c], total[node], NULL) + salts[c])
        colours = refined
    return colours


_ODD = np.uint64(0x9E3779B97F4A7C15)


def _mix(words: Words) -> Words:
    """SplitMix64's finaliser (Steele, Lea, Flood 2014, doi:10.1145/2660193.2660195), wrapping as meant."""
    mixed = words + _ODD
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _occurs_once(colours: Words) -> npt.NDArray[np.bool_]:
    _, inverse, counts = np.unique(colours, return_inverse=True, return_counts=True)
    return np.asarray(counts[inverse.reshape(-1)] == 1)


def _match_once(of_victim: Words, of_attacker: Words, true_entry: npt.NDArray[np.intp]) -> AttackOutcome:
    rows_v, rows_a = np.flatnonzero(_occurs_once(of_victim)), np.flatnonzero(_occurs_once(of_attacker))
    _, at_v, at_a = np.intersect1d(
        of_victim[rows_v], of_attacker[rows_a], assume_unique=True, return_indices=True
    )
    right = true_entry[rows_v[at_v]] == rows_a[at_a]
    return AttackOutcome(int(np.count_nonzero(right)), int(np.count_nonzero(true_entry >= 0)), len(right))
