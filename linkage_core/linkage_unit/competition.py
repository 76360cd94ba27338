"""Posteriors of pairs when everybody has at most one match. Zone: linkage_unit.

Which pairs are matches is a matching in the graph of candidates, each with weight: its odds. The chance of a pair
in such a matching comes from passing messages between the records until they stand (Williams and Lau 2014,
doi:10.1109/TAES.2014.120568, who show that they do): exactly where the candidates form a tree, closely elsewhere.
A record that is surely taken competes for nobody, so that rivals that are somebody else's do not count.

Given N matches among n_A and n_B records, the odds of one pair more are N / ((n_A - N)(n_B - N)), not
N / (n_A n_B): a pair stands against *both being nobody's*, and few records are left for that where most have a
match.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from linkage_core.linkage_unit.kernel_compilation import CompiledKernel

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp] | npt.NDArray[np.uint32]
Numbers = npt.NDArray[np.uint32]

MOST_MATCHED = 0.95
"""Share of the expected matches that counts as taken in the prior odds: some record is always left."""
MOST_SWEEPS = 60
SWEEP_TOLERANCE = 1e-6


def prior_odds(matches: float, records_a: int, records_b: int) -> float:
    """Odds of a pair before any evidence, when ``matches`` pairs of the two sides are expected to be matches."""
    taken = MOST_MATCHED * matches
    return matches / max((records_a - taken) * (records_b - taken), 1.0)


def compete(odds: Floats, index_a: Indices, index_b: Indices, records_a: int, records_b: int) -> Floats:
    """Posteriors of pairs.

    Parameters
    ----------
    odds : ndarray of float64, shape (m,)
        Not negative, finite.
    index_a, index_b : ndarray of intp or uint32, shape (m,)
        Each pair once.
    records_a, records_b : int
        Records of the two sides; the indices lie below.

    Returns
    -------
    ndarray of float64, shape (m,)
        Those of a record add up to 1 at most.
    """
    each = np.arange(len(odds), dtype=np.uint32)
    freedom = np.ones(len(odds))
    pass_messages(odds, each, index_a, index_b, (records_a, records_b), freedom)
    take_posteriors(odds, each, index_a, index_b, (records_a, records_b), freedom)
    return freedom


def pass_messages(
    odds: Floats,
    of_pair: Numbers,
    index_a: Indices,
    index_b: Indices,
    records: tuple[int, int],
    freedom: Floats,
    sweeps: int = MOST_SWEEPS,
) -> None:
    """Improve ``freedom`` until it stands, or ``sweeps`` times.

    Parameters
    ----------
    odds : ndarray of float64, shape (patterns,)
    of_pair : ndarray of uint32, shape (m,)
        Each pair's pattern.
    freedom : ndarray of float64, shape (m,)
        Of each pair, the chance that no other record of side A takes its record of side B; start with ones, or
        where the last call for similar odds ended. Overwritten.
    """
    row, column, change = np.empty(records[0]), np.empty(records[1]), np.empty(1)
    for _ in range(sweeps):
        _sweep(odds, of_pair, index_a, index_b, row, column, freedom, change)
        if change[0] < SWEEP_TOLERANCE:
            break


def expect_patterns(
    odds: Floats,
    of_pair: Numbers,
    index_a: Indices,
    index_b: Indices,
    records: tuple[int, int],
    freedom: Floats,
) -> Floats:
    """Each pattern's sum of the posteriors."""
    row, expected = np.zeros(records[0]), np.zeros(len(odds))
    _sum_rows(odds, of_pair, index_a, row, freedom)
    _sum_posteriors(odds, of_pair, index_a, row, freedom, expected)
    return expected


def take_posteriors(
    odds: Floats,
    of_pair: Numbers,
    index_a: Indices,
    index_b: Indices,
    records: tuple[int, int],
    freedom: Floats,
) -> None:
    """Turn ``freedom`` into the pairs' posteriors, in place."""
    row = np.zeros(records[0])
    _sum_rows(odds, of_pair, index_a, row, freedom)
    _write_posteriors(odds, of_pair, index_a, row, freedom)


@CompiledKernel
def _sweep(  # pragma: no cover - compiled; held to its twin in tests/reference
    odds: Floats,
    of_pair: Numbers,
    index_a: Indices,
    index_b: Indices,
    row: Floats,
    column: Floats,
    freedom: Floats,
    change: Floats,
) -> None:
    """One message from every A record to its candidates, and one back; a pair's own part is left out.

    Rounding must not let a sum without the pair's own part fall below zero.
    """
    row[:] = 0.0
    column[:] = 0.0
    change[0] = 0.0
    for k in range(of_pair.shape[0]):
        row[index_a[k]] += odds[of_pair[k]] * freedom[k]
    for k in range(of_pair.shape[0]):
        own = odds[of_pair[k]]
        column[index_b[k]] += own / (1.0 + max(row[index_a[k]] - own * freedom[k], 0.0))
    for k in range(of_pair.shape[0]):
        own = odds[of_pair[k]]
        wish = own / (1.0 + max(row[index_a[k]] - own * freedom[k], 0.0))
        free = 1.0 / (1.0 + max(column[index_b[k]] - wish, 0.0))
        change[0] = max(change[0], abs(free - freedom[k]))
        freedom[k] = free


@CompiledKernel
def _sum_rows(  # pragma: no cover - compiled; held to its twin in tests/reference
    odds: Floats, of_pair: Numbers, index_a: Indices, row: Floats, freedom: Floats
) -> None:
    for k in range(of_pair.shape[0]):
        row[index_a[k]] += odds[of_pair[k]] * freedom[k]


@CompiledKernel
def _sum_posteriors(  # pragma: no cover - compiled; held to its twin in tests/reference
    odds: Floats, of_pair: Numbers, index_a: Indices, row: Floats, freedom: Floats, expected: Floats
) -> None:
    for k in range(of_pair.shape[0]):
        expected[of_pair[k]] += odds[of_pair[k]] * freedom[k] / (1.0 + row[index_a[k]])


@CompiledKernel
def _write_posteriors(  # pragma: no cover - compiled; held to its twin in tests/reference
    odds: Floats, of_pair: Numbers, index_a: Indices, row: Floats, freedom: Floats
) -> None:
    for k in range(of_pair.shape[0]):
        freedom[k] = odds[of_pair[k]] * freedom[k] / (1.0 + row[index_a[k]])
