"""Slow, obvious twins of the evidence kernels: plain Python over bits, sets and texts."""

from __future__ import annotations

import math


def slow_diffuse(filter_words, table) -> list[int]:
    """Output words of one filter, bit by bit."""
    bits = [int(word) >> bit & 1 for word in filter_words for bit in range(64)]
    words = [0] * (len(table) // 64)
    for m, positions in enumerate(table):
        parity = sum(bits[int(position)] for position in positions) % 2
        words[m // 64] |= parity << (m % 64)
    return words


def slow_q_gram_differences(first: set, second: set) -> int:
    return len(first ^ second)


def slow_known(tokens_a, tokens_b, near_groups, equal_groups, spec, implied):
    """Atoms known to agree, as a set of (field, code)."""
    known = set()
    for definition, a, b in zip(spec.tokens, tokens_a, tokens_b, strict=True):
        if a != 0 and a == b:
            for part in definition.parts:
                known.add((part.field, part.code))
                known |= {(part.field, code) for code in implied.get(part.code, ())}
    for group, is_near, is_equal in zip(spec.groups, near_groups, equal_groups, strict=True):
        if is_near:
            known |= {(field, "near") for field in group.fields}
        if is_equal:
            exact = ("exact", *implied["exact"])
            known |= {(field, code) for field in group.fields for code in exact}
    if {("street", "house_number"), ("street", "street_start")} <= known:
        known.add(("street", "number_and_start"))
    for codes in (("year", "month_day"), ("decade", "year_digit_month_day")):
        if all(("birth_date", code) in known for code in codes):
            known |= {("birth_date", code) for code in ("exact", *implied["exact"])}
    return known


def slow_level(field, known, spec, present, core, tokens_a, tokens_b):
    """The level's name, or None for null; swapped names are left out."""
    if not present:
        return None
    names = spec.level_names(field)
    level = next(
        (name for name, codes in spec.level_codes(field) if any((field, code) in known for code in codes)),
        "different",
    )
    if field in core or level in (names[0], "number_and_start", "initial"):
        return level
    standing = {"middle_name": {"prefix1"}, "street": {"house_number", "street_start"}}
    telling = [{"exact"}, standing.get(field)]
    tested = any(
        {part.code for part in token.parts if part.field == field} in telling
        and a != 0 != b
        and all((other.field, other.code) in known for other in token.parts if other.field != field)
        for token, a, b in zip(spec.tokens, tokens_a, tokens_b, strict=True)
    )
    return level if tested else None


def slow_messages(odds, index_a, index_b, sweeps):
    """Williams and Lau's messages, pair by pair: a wish from A to B, and how free B's record is for it."""
    pairs = list(zip(index_a, index_b, strict=True))
    free = [1.0] * len(pairs)
    for _ in range(sweeps):
        wish = [
            odds[k] / (1 + sum(odds[n] * free[n] for n in range(len(pairs)) if n != k and pairs[n][0] == i))
            for k, (i, _) in enumerate(pairs)
        ]
        free = [
            1 / (1 + sum(wish[n] for n in range(len(pairs)) if n != k and pairs[n][1] == j))
            for k, (_, j) in enumerate(pairs)
        ]
    rows = [sum(odds[n] * free[n] for n in range(len(pairs)) if pairs[n][0] == i) for i, _ in pairs]
    return [odds[k] * free[k] / (1 + rows[k]) for k in range(len(pairs))]


def slow_matchings(odds, index_a, index_b):
    """Each pair's share of the weight of all one-to-one choices of pairs, by trying every choice."""
    total, of_pair = 0.0, [0.0] * len(odds)
    for choice in range(1 << len(odds)):
        chosen = [k for k in range(len(odds)) if choice >> k & 1]
        if all(len({index[k] for k in chosen}) == len(chosen) for index in (index_a, index_b)):
            weight = math.prod(odds[k] for k in chosen)
            total += weight
            for k in chosen:
                of_pair[k] += weight
    return [share / total for share in of_pair]


def slow_isotonic(wrong, links):
    """Rising rates: at each place the largest, over starts before it, of the smallest mean to an end after it."""
    n = len(wrong)
    return [
        max(min(sum(wrong[s : e + 1]) / sum(links[s : e + 1]) for e in range(k, n)) for s in range(k + 1))
        for k in range(n)
    ]


def slow_patterns(levels, bands_a, bands_b, level_counts, bands):
    """Each pair's pattern as a tuple of states, field by field."""

    def state(level, band_a, band_b, count):
        if level == -1:
            return 0
        return level if level > 0 else count + band_a * (bands + 1) + band_b

    return [
        tuple(state(*field, count) for *field, count in zip(*pair, level_counts, strict=True))
        for pair in zip(levels.tolist(), bands_a.tolist(), bands_b.tolist(), strict=True)
    ]


def slow_near(filter_a, filter_b, limit):
    """Fewer bits differ than the limit, and neither filter is empty."""
    a, b = (sum(int(word) << (64 * w) for w, word in enumerate(words)) for words in (filter_a, filter_b))
    return a > 0 and b > 0 and (a ^ b).bit_count() < limit
