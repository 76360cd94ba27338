"""Frequency alignment: the commonest encoding is the commonest value.

Anything deterministic keeps the counts of what it encodes. The attacker sorts encodings by how often they
occur, and the values of a similar population likewise, and aligns the ranks: Niedermeyer, Steinmetzer, Kroll,
Schnell 2014 (doi:10.29012/jpc.v6i2.640); Christen, Ranbaduge, Vatsalan, Schnell 2019, "Precise and fast
cryptanalysis for Bloom filter based privacy-preserving record linkage" (doi:10.1109/TKDE.2018.2874004).

With the same file as auxiliary this is the worst case; another sample of the same population is a realistic
one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from linkage_core.evaluation.attacks.attack_outcome import AttackOutcome

Words = npt.NDArray[np.uint64]
NULL = np.uint64(0)


def frequency_alignment(victim: Words, auxiliary: Words, truth: Words) -> AttackOutcome:
    """Name the value behind each encoding by its rank.

    Parameters
    ----------
    victim : ndarray of uint64, shape (n,)
        One token, blocking value or filter (:func:`filter_words`) a record; 0 is null.
    auxiliary : ndarray of uint64, shape (m,)
        The same of the attacker's own people, under any key: it needs to know which are equal, no more.
    truth : ndarray of uint64, shape (n,)
        The victim's own records as the attacker would have encoded them; used for counting only.

    Returns
    -------
    AttackOutcome
        Records, not values: a value of 100 records counts 100 times. A rank is aligned when its count is
        unique in both files, whether or not ranks above it tie.
    """
    encodings, meanings = align_ranks(victim, auxiliary)
    named, guess = _look_up(victim, encodings, meanings)
    right = named & (guess == truth)
    return AttackOutcome(
        int(np.count_nonzero(right)), int(np.count_nonzero(victim != NULL)), int(np.count_nonzero(named))
    )


def align_ranks(victim: Words, auxiliary: Words) -> tuple[Words, Words]:
    """Encodings and the values that stand at the same rank, where neither rank ties; the commonest first."""
    values, counts = _ranked(victim)
    names, name_counts = _ranked(auxiliary)
    ranks = min(len(values), len(names))
    unique = _is_unique(counts)[:ranks] & _is_unique(name_counts)[:ranks]
    return values[:ranks][unique], names[:ranks][unique]


def filter_words(filters: Sequence[Words]) -> Words:
    """A number for each record, equal for records with equal filters; 0 where all are empty.

    Of several filters, all have to be equal. Numbers of two calls cannot be compared.
    """
    joined = np.concatenate(filters, axis=1)
    numbers = np.unique(joined, axis=0, return_inverse=True)[1].reshape(-1).astype(np.uint64) + np.uint64(1)
    return np.where(joined.any(axis=1), numbers, NULL)


def _ranked(column: Words) -> tuple[Words, npt.NDArray[np.intp]]:
    """Distinct values and their counts, the commonest first; null is none of them."""
    values, counts = np.unique(column[column != NULL], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return values[order], counts[order]


def _is_unique(counts: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Which of descending counts differ from both neighbours."""
    differs = np.concatenate([[True], counts[1:] != counts[:-1], [True]])
    return np.asarray(differs[1:] & differs[:-1])


def _look_up(column: Words, encodings: Words, meanings: Words) -> tuple[npt.NDArray[np.bool_], Words]:
    if not len(encodings):
        return np.zeros(len(column), np.bool_), np.zeros(len(column), np.uint64)
    order = np.argsort(encodings)
    place = np.minimum(np.searchsorted(encodings[order], column), len(order) - 1)
    named = encodings[order][place] == column
    return named, np.where(named, meanings[order][place], NULL)
