"""Pattern mining: the commonest q-gram sets the largest set of bits that are often set together.

Christen, Vidanage, Ranbaduge, Schnell 2018, "Pattern-mining based cryptanalysis of Bloom filters for
privacy-preserving record linkage" (doi:10.1007/978-3-319-93040-4_51); Vidanage, Ranbaduge, Christen, Schnell 2019,
"Efficient pattern mining based cryptanalysis for privacy-preserving record linkage" (doi:10.1109/ICDE.2019.00176).

The attacker knows how often each q-gram occurs in a similar population and how many bits a q-gram has, and no
key. In a partition of the records the commonest q-gram occurs f1 times and the next f2 times: the largest set of
columns that are set together in at least (f1 + f2) / 2 records is the commonest q-gram's. Records with and
without it become two partitions, and so on. Where the two commonest are too close, the next that stands alone is
sought by its own count. A record whose columns of a q-gram are all set must have it, any other cannot; the
entry of the list that contradicts least is named, if it is the only one.

It wants many records (100,000 and more): with few, the counts of q-grams are too close to tell apart.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from linkage_core.evaluation.attacks.attack_outcome import AttackOutcome
from linkage_core.evaluation.attacks.encoded_people import unpack_bits

Rows = npt.NDArray[np.intp]
Bits = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]

LEAST_PARTITION = 1_000
"""Smaller partitions are left: chance patterns are as frequent there as q-grams."""

LEAST_GAP = 0.02
"""Two q-grams whose counts differ by a smaller share cannot be told apart."""

LEAST_SHARE, MOST_SHARE = 0.5, 1.15
"""Of a q-gram's number of bits, what a pattern must have: fewer are often set together by chance, more belong to
two q-grams."""

MOST_RANKS = 8
"""Q-grams tried in a partition, by their counts."""

ALWAYS_SET = 0.995
"""Columns set in more of a partition's records belong to q-grams that it was split on already."""

MOST_SEEDS = 24
MOST_PARTITIONS = 2_000
ROWS_PER_CHUNK = 16_384
TARGETS_PER_CHUNK = 500


@dataclass(frozen=True)
class RecordQGrams:
    """Which q-grams each record of the attacker's list has: record ``i`` owns ``grams[starts[i]:starts[i + 1]]``.

    ``count`` is how many different q-grams there are.
    """

    starts: npt.NDArray[np.int64]
    grams: npt.NDArray[np.int64]
    count: int

    def counts(self, rows: Rows) -> npt.NDArray[np.int64]:
        """How many of these records have each q-gram."""
        lengths = np.diff(self.starts)[rows]
        first = np.repeat(self.starts[rows] - np.cumsum(lengths) + lengths, lengths)
        return np.bincount(self.grams[first + np.arange(len(first))], minlength=self.count)

    def members(self, gram: int) -> npt.NDArray[np.bool_]:
        """Which records have a q-gram."""
        member = np.zeros(len(self.starts) - 1, np.bool_)
        member[np.searchsorted(self.starts, np.flatnonzero(self.grams == gram), side="right") - 1] = True
        return member


def pattern_mining(
    victim: Words,
    bits_per_q_gram: int,
    population: RecordQGrams,
    value_class: npt.NDArray[np.int64],
    targets: Rows,
    true_entry: Rows,
) -> AttackOutcome:
    """Name records of one filter a record by the q-grams that mining assigns to its columns.

    Parameters
    ----------
    victim : ndarray of uint64, shape (n, words)
    population : RecordQGrams
        Of the attacker's list: the same file, or one of a similar population.
    value_class : ndarray of int64, shape (entries,)
        Equal for entries of equal values.
    targets, true_entry : ndarray of intp, shape (targets,)
        The victim's rows to name, and their rows in the list; the latter are used for counting only.
    """
    patterns = mine_patterns(victim, bits_per_q_gram, population)
    guessed = _name_records(unpack_bits(victim[targets]) > 0, patterns, population, value_class)
    named = guessed >= 0
    right = named & (guessed == value_class[true_entry])
    return AttackOutcome(int(np.count_nonzero(right)), len(targets), int(np.count_nonzero(named)))


def mine_patterns(victim: Words, bits_per_q_gram: int, population: RecordQGrams) -> dict[int, Rows]:
    """Columns of each q-gram that could be told; larger partitions first, the first of equals."""
    bits = np.concatenate([_unpack(victim[rows]) for rows in _chunks(len(victim))])
    members = len(population.starts) - 1
    waiting = [(-len(bits), 0, np.arange(len(bits)), np.arange(members))]
    patterns: dict[int, Rows] = {}
    for number in range(1, MOST_PARTITIONS):
        if not waiting or -waiting[0][0] < LEAST_PARTITION:
            break
        _, _, rows, entries = heapq.heappop(waiting)
        found = _find_pattern(
            bits[rows], bits_per_q_gram, population.counts(entries) / len(entries), patterns
        )
        if found is None:
            continue
        gram, columns = found
        patterns[gram] = columns
        has, listed = bits[np.ix_(rows, columns)].all(axis=1), population.members(gram)[entries]
        for side, (of_rows, of_entries) in enumerate(((has, listed), (~has, ~listed))):
            if of_rows.any() and of_entries.any():
                part = rows[of_rows], entries[of_entries]
                heapq.heappush(waiting, (-len(part[0]), 2 * number + side, *part))
    return patterns


def _find_pattern(
    bits: Bits, bits_per_q_gram: int, shares: npt.NDArray[np.float64], known: dict[int, Rows]
) -> tuple[int, Rows] | None:
    """The commonest q-gram that stands alone by its share and is not known yet, with its columns, if any is found.

    Those that are known from other partitions are not sought, yet stand beside others all the same.
    """
    ranked = np.argsort(-np.where(shares > ALWAYS_SET, 0.0, shares), kind="stable")
    columns = CorrelatedColumns.of(bits)
    above, tried = 1.0, 0
    for gram, following in pairwise(ranked.tolist()):
        share = shares[gram]
        gap, above = min(share - shares[following], above - share), share
        if gram in known or gap < LEAST_GAP * share or share == 0:
            continue
        window = ((share - gap / 2) * len(bits), (share + gap / 2) * len(bits))
        pattern = largest_pattern(columns, window, 2 * bits_per_q_gram)
        taken = max((len(np.intersect1d(pattern, other)) for other in known.values()), default=0)
        fits = LEAST_SHARE <= len(pattern) / bits_per_q_gram <= MOST_SHARE
        if fits and taken < len(pattern) / 2:
            return gram, pattern
        tried += 1
        if tried == MOST_RANKS:
            break
    return None


@dataclass(frozen=True)
class CorrelatedColumns:
    """Columns that are neither always nor never set, how often each two are set together, and how correlated."""

    bits: Bits
    able: Rows
    together: npt.NDArray[np.float32]
    correlation: npt.NDArray[np.float32]

    @classmethod
    def of(cls, bits: Bits) -> CorrelatedColumns:
        """Of some records' bits, shape (n, columns)."""
        rate = bits.mean(axis=0, dtype=np.float64)
        able = np.flatnonzero((rate > 0) & (rate <= ALWAYS_SET))
        together = np.zeros((len(able), len(able)), np.float32)
        for rows in _chunks(len(bits)):
            chunk = bits[rows][:, able].astype(np.float32)
            together += chunk.T @ chunk
        spread = np.sqrt(rate[able] * (1 - rate[able]))
        correlation = (together / len(bits) - np.outer(rate[able], rate[able])) / np.outer(spread, spread)
        np.fill_diagonal(correlation, 0.0)
        return cls(bits, able, together, correlation.astype(np.float32))


def largest_pattern(columns: CorrelatedColumns, window: tuple[float, float], most: int) -> Rows:
    """The largest set of columns found that are set together in a number of rows within the window; ascending.

    Grown greedily, to ``most`` columns, from those that correlate most with others, among the columns that are
    set together with it often enough and correlate with it most. Equal sizes: the first.
    """
    related = np.where(columns.together >= window[0], columns.correlation, -1.0)
    nearest = np.sort(related, axis=1)[:, -most:] if related.size else np.empty((0, 1), np.float32)
    best = np.empty(0, np.intp)
    for seed in np.argsort(-nearest.sum(axis=1), kind="stable")[:MOST_SEEDS]:
        near = np.argsort(-related[seed], kind="stable")[: 2 * most]
        near = columns.able[np.append(near[related[seed, near] > 0], seed)]
        pattern, left = _grow(
            columns.bits[np.ix_(columns.bits[:, columns.able[seed]] > 0, near)], window[0], most
        )
        if left <= window[1] and len(pattern) > len(best):
            best = np.sort(near[pattern])
    return best


def _grow(bits: Bits, support: float, most: int) -> tuple[Rows, int]:
    """Columns added one by one, those first that leave most rows, while ``support`` rows are left; rows left."""
    pattern: list[int] = []
    left = bits
    while len(pattern) < min(most, left.shape[1]):
        counts = left.sum(axis=0, dtype=np.int64)
        counts[pattern] = -1
        column = int(np.argmax(counts))
        if counts[column] < support:
            break
        pattern.append(column)
        left = left[left[:, column] > 0]
    return np.array(pattern, np.intp), len(left)


def _name_records(
    bits: npt.NDArray[np.bool_],
    patterns: dict[int, Rows],
    population: RecordQGrams,
    value_class: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """The value class of the entries that contradict a record's must-haves and cannot-haves least; -1 if they are
    of several classes.
    """
    guessed = np.full(len(bits), -1, np.int64)
    if not patterns:
        return guessed
    must = np.stack([bits[:, columns].all(axis=1) for columns in patterns.values()], axis=1)
    listed = np.stack([population.members(gram) for gram in patterns], axis=1).astype(np.float32)
    of_entry = listed.sum(axis=1)
    for start in range(0, len(bits), TARGETS_PER_CHUNK):
        some = must[start : start + TARGETS_PER_CHUNK].astype(np.float32)
        contradictions = some.sum(axis=1)[:, None] + of_entry[None, :] - 2 * (some @ listed.T)
        for row, each in enumerate(contradictions, start):
            classes = value_class[each == each.min()]
            if (classes == classes[0]).all():
                guessed[row] = classes[0]
    return guessed


def _unpack(filters: Words) -> Bits:
    octets = np.ascontiguousarray(filters).astype("<u8").view(np.uint8)
    return np.unpackbits(octets, axis=1, bitorder="little")


def _chunks(rows: int) -> Iterator[slice]:
    return (slice(start, start + ROWS_PER_CHUNK) for start in range(0, rows, ROWS_PER_CHUNK))
