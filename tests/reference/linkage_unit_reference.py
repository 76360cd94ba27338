"""Slow, obvious twins of the linkage unit's kernels: plain Python over sets and integers."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations, product

MASK = (1 << 64) - 1


def slow_dice(filter_a, filter_b) -> float:
    """Dice of two filters as an exact fraction, rounded once."""
    bits_a = {(w, bit) for w, word in enumerate(filter_a) for bit in range(64) if int(word) >> bit & 1}
    bits_b = {(w, bit) for w, word in enumerate(filter_b) for bit in range(64) if int(word) >> bit & 1}
    if not bits_a and not bits_b:
        return 0.0
    return float(Fraction(2 * len(bits_a & bits_b), len(bits_a) + len(bits_b)))


def slow_candidates(blocking_a, blocking_b, max_block_pairs, partners_per_record=None):
    """``{(i, j): set of passes}`` by comparing every record with every other."""
    passes = range(len(blocking_a[0]) if len(blocking_a) else 0)
    columns_a = [[int(row[p]) for row in blocking_a] for p in passes]
    columns_b = [[int(row[p]) for row in blocking_b] for p in passes]

    def in_kept_block(p, value):
        pairs = columns_a[p].count(value) * columns_b[p].count(value)
        return value != 0 and 0 < pairs <= max_block_pairs

    in_use = [p for p in passes if any(in_kept_block(p, value) for value in columns_a[p])]

    def taken(record, others):
        """Passes whose block the record takes, its smallest blocks first."""
        present = sum(1 for p in in_use if record[p])
        room = partners_per_record * len(in_use) ** 3 // max(present, 1) ** 3
        blocks = sorted(
            (others[p].count(int(record[p])), p) for p in passes if in_kept_block(p, int(record[p]))
        )
        chosen, asked = set(), 0
        for partners, p in blocks:
            asked += partners
            if asked <= room:
                chosen.add(p)
        return chosen

    everything = set(passes)
    takes_a = [everything if partners_per_record is None else taken(row, columns_b) for row in blocking_a]
    takes_b = [everything if partners_per_record is None else taken(row, columns_a) for row in blocking_b]
    found: dict[tuple[int, int], set[int]] = {}
    for p in passes:
        for (i, a), (j, b) in product(enumerate(columns_a[p]), enumerate(columns_b[p])):
            if a == b and in_kept_block(p, a) and (p in takes_a[i] or p in takes_b[j]):
                found.setdefault((i, j), set()).add(p)
    return found


def slow_greedy(index_a, index_b, scores, tie_keys, possible):
    """Positions that greedy selects, by sorting tuples and keeping two sets."""
    taken_a, taken_b, selected = set(), set(), []
    ranked = sorted(
        (-s, int(t), int(i), int(j), k)
        for k, (i, j, s, t) in enumerate(zip(index_a, index_b, scores, tie_keys, strict=True))
        if s >= possible
    )
    for _, _, i, j, k in ranked:
        if i not in taken_a and j not in taken_b:
            taken_a.add(i)
            taken_b.add(j)
            selected.append(k)
    return sorted(selected)


def slow_siphash_2_4(message: bytes, key: bytes) -> int:
    """SipHash-2-4 of one message, in Python integers, after the paper's section 2.2."""
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    v0, v1 = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D
    v2, v3 = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573
    padded = message + bytes(7 - len(message) % 8) + bytes([len(message) % 256])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        v0, v1, v2, v3 = _rounds(v0, v1, v2, v3 ^ word, 2)
        v0 ^= word
    v0, v1, v2, v3 = _rounds(v0, v1, v2 ^ 0xFF, v3, 4)
    return v0 ^ v1 ^ v2 ^ v3


def _rounds(v0: int, v1: int, v2: int, v3: int, times: int) -> tuple[int, int, int, int]:
    def turn(x: int, by: int) -> int:
        return (x << by | x >> (64 - by)) & MASK

    for _ in range(times):
        v0 = (v0 + v1) & MASK
        v1 = turn(v1, 13) ^ v0
        v0 = turn(v0, 32)
        v2 = (v2 + v3) & MASK
        v3 = turn(v3, 16) ^ v2
        v0 = (v0 + v3) & MASK
        v3 = turn(v3, 21) ^ v0
        v2 = (v2 + v1) & MASK
        v1 = turn(v1, 17) ^ v2
        v2 = turn(v2, 32)
    return v0, v1, v2, v3


def slow_join(filters_a, filters_b, threshold):
    """``[(i, j, similarity)]`` of all pairs that score at least the threshold, in order, from bit sets."""
    scored = ((i, j, slow_dice(a, b)) for i, a in enumerate(filters_a) for j, b in enumerate(filters_b))
    return [pair for pair in scored if pair[2] >= threshold]


def slow_nearest(filters_a, filters_b, neighbours, measure):
    """For each row of A the nearest ``[(j, similarity or distance)]``; ties by j."""

    def distance(a, b):
        return sum((int(x) ^ int(y)).bit_count() for x, y in zip(a, b, strict=True))

    nearest = []
    for a in filters_a:
        score = slow_dice if measure == "dice" else distance
        scored = [(j, score(a, b)) for j, b in enumerate(filters_b)]
        best = sorted(scored, key=lambda pair: (-pair[1] if measure == "dice" else pair[1], pair[0]))
        nearest.append(best[:neighbours])
    return nearest


def slow_best_total(index_a, index_b, scores, possible):
    """The highest total score of any one-to-one selection, by trying all of them (few records only)."""
    best: dict[tuple[int, int], float] = {}
    for i, j, score in zip(index_a, index_b, scores, strict=True):
        if score >= possible:
            best[int(i), int(j)] = float(score)
    left, right = sorted({i for i, _ in best}), sorted({j for _, j in best})
    if len(left) > len(right):
        best, left, right = {(j, i): s for (i, j), s in best.items()}, right, left
    chosen = (zip(left, some, strict=True) for some in permutations(right, len(left)))
    return max((sum(best.get(pair, 0.0) for pair in pairs) for pairs in chosen), default=0.0)


def slow_groups(pairs, merge_share, one_a_party):
    """Greedy groups, by looking at all pairs seen so far for each new one."""
    groups: list[set] = []
    seen: list = []
    for first, second in pairs:
        for record in (first, second):
            if not any(record in group for group in groups):
                groups.append({record})
        seen.append({first, second})
        one, other = (next(group for group in groups if record in group) for record in (first, second))
        between = sum(len(pair & one) == 1 and len(pair & other) == 1 for pair in seen)
        shared = {party for party, _ in one} & {party for party, _ in other}
        if (
            one is not other
            and between >= merge_share * len(one) * len(other)
            and not (shared and one_a_party)
        ):
            groups.remove(other)
            one |= other
    return sorted(sorted(group) for group in groups if len(group) > 1)


def slow_entities(pairs, least_density):
    """Entities of matches [(first, second)] by descending probability: components, kept whole or split."""
    components: list[set] = []
    for first, second in pairs:
        joined = [c for c in components if first in c or second in c]
        components = [c for c in components if c not in joined] + [set().union({first, second}, *joined)]
    entities = []
    for component in components:
        own = [pair for pair in pairs if pair[0] in component]
        all_pairs = len(component) * (len(component) - 1) / 2
        if len({party for party, _ in component}) == len(component) and len(own) >= least_density * all_pairs:
            entities.append(sorted(component))
        else:
            entities.extend(slow_groups(own, least_density, True))
    return sorted(entities)
