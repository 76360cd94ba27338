"""Comparison vectors: how much of each field agrees, read from tokens and filters. Zone: linkage_unit.

No field is seen by itself. Equal tokens make all their parts *known* to agree, and so do equal filters; a diffused
filter with few differing q-grams makes its fields *near*; a field's level is the best that is known. A field that
one side lacks is null. So is a place (postcode, street, middle name) whose agreement no token could show, because
something beside it in every token did not agree: null contributes nothing, neither for nor against. But a street
whose number and start agree stands as that, and a middle name whose initial does: people who changed their names
are found where they live.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import ceil

import numpy as np
import numpy.typing as npt

from linkage_core.linkage_unit.dice_kernels import ONE, PREFETCH_PAIRS, align_rows, kernel_input
from linkage_core.linkage_unit.hardened_rates import hardened_rate
from linkage_core.linkage_unit.kernel_compilation import CompiledKernel, run_in_chunks
from linkage_core.linkage_unit.popcount_intrinsics import prefetch_row, shared_bits
from linkage_core.protocol.encoded_evidence import MISSING, EncodedEvidence, check_evidence
from linkage_core.protocol.evidence_spec import (
    CORE_FIELDS,
    FAMILY,
    GIVEN,
    IMPLIED_CODES,
    JOINT_CODES,
    MAX_ATOMS,
    NEAR,
    SEX,
    STANDING_LEVELS,
    EvidenceSpec,
    TokenDefinition,
    TokenPart,
)
from linkage_core.protocol.linkage_protocol import NAMES, FilterGroup

NULL_LEVEL = -1
PAIRS_PER_CHUNK = 1 << 16
"""Fixed, so that chunks are the same on every machine."""

Words = npt.NDArray[np.uint64]
Levels = npt.NDArray[np.int8]


@dataclass(frozen=True)
class ComparisonVectors:
    """Levels of pairs.

    Attributes
    ----------
    levels : ndarray of int8, shape (m, fields)
        Index into the field's level names (:meth:`EvidenceSpec.level_names`); -1 is null.
    """

    levels: Levels

    def __len__(self) -> int:
        return len(self.levels)


@dataclass(frozen=True)
class EvidenceMasks:
    """The spec as bit sets over its atoms (atom ``i`` of ``spec.atoms`` is bit ``i``), for the kernel.

    Attributes
    ----------
    shown : uint64, shape (tokens,)
        Atoms that are known when the token agrees, implied ones included.
    near, equal : uint64, shape (groups,)
        Atoms that are known when the group's filter is near, and when it is the same to the bit.
    level_masks : uint64, shape (fields, most levels)
        Atoms any of which gives the field this level; 0 beyond the field's levels.
    different : int8, shape (fields,)
        Index of the level *different*.
    tests, tested_field, test_token : uint64, intp and intp, shape (k,)
        When all atoms of ``tests[i]`` are known, token ``test_token[i]``, if both records have it, tells about
        field ``tested_field[i]``.
    always_tested : int8, shape (fields,)
        The worst level that stands though no token could have shown a better one: every level of fields whose
        disagreement a filter or the profile shows, whatever else agrees; of a street, its number and start,
        which tell as much as the whole; of a middle name, its initial; of other places, exact agreement alone.
    joint, joint_shown : uint64, shape (j,)
        When all atoms of ``joint[i]`` are known, so are those of ``joint_shown[i]``.
    swapped : uint64, shape (2,)
        The atoms of unordered names, exact and by sound.
    names : intp, shape (4,)
        Index of given and of family name (-1 if absent); of each, the first level worse than its sound.
    """

    shown: Words
    near: Words
    equal: Words
    level_masks: Words
    different: Levels
    tests: Words
    tested_field: npt.NDArray[np.intp]
    test_token: npt.NDArray[np.intp]
    always_tested: Levels
    joint: Words
    joint_shown: Words
    swapped: Words
    names: npt.NDArray[np.intp]


def compare_pairs(
    evidence_a: EncodedEvidence,
    evidence_b: EncodedEvidence,
    index_a: npt.NDArray[np.intp],
    index_b: npt.NDArray[np.intp],
    spec: EvidenceSpec,
    filter_fill: tuple[float, ...],
    *,
    threads: int | None = None,
) -> ComparisonVectors:
    """Levels of given pairs.

    Parameters
    ----------
    evidence_a, evidence_b : EncodedEvidence
        Of the two sides, under one spec and key.
    index_a, index_b : ndarray of intp, shape (m,)
        Rows of the pairs, in any order.
    filter_fill : tuple of float
        Mean fill of each group's filters before diffusion, of both custodians together.
    threads : int, optional
        Every number gives the same bytes. By default all cores of the process.

    Returns
    -------
    ComparisonVectors
        Memory: one byte a pair and field, and a few megabytes a chunk.

    Raises
    ------
    NightlinkError
        E-KERNEL-INPUT when widths or indices do not fit, or the spec has more than 64 atoms.
    """
    check_evidence(evidence_a, spec)
    check_evidence(evidence_b, spec)
    _check_pairs(index_a, index_b, len(evidence_a), len(evidence_b))
    masks = evidence_masks(spec)
    is_near = near_pairs(evidence_a, evidence_b, index_a, index_b, spec, filter_fill, threads)
    is_equal = equal_pairs(evidence_a, evidence_b, index_a, index_b, is_near)
    levels = np.empty((len(index_a), len(spec.fields)), np.int8)

    def work(start: int, stop: int) -> None:
        pairs = slice(start, stop)
        _levels_kernel(
            evidence_a.tokens, evidence_b.tokens, evidence_a.rarity, evidence_b.rarity,
            index_a[pairs], index_b[pairs], is_near[pairs], is_equal[pairs],
            masks.shown, masks.near, masks.equal, masks.level_masks, masks.different, masks.tests, masks.tested_field,
            masks.test_token, masks.always_tested, masks.joint, masks.joint_shown, masks.swapped, masks.names,
            levels[pairs],
        )  # fmt: skip

    run_in_chunks(work, len(index_a), chunk=PAIRS_PER_CHUNK, threads=threads)
    if SEX in spec.fields:
        levels[:, spec.fields.index(SEX)] = _sex_levels(evidence_a.sex[index_a], evidence_b.sex[index_b])
    return ComparisonVectors(levels)


def near_threshold(group: FilterGroup, fill: float, near_q_grams: float) -> float:
    """The Hamming rate of hardened filters below which fewer than ``near_q_grams`` q-grams differ.

    A differing q-gram flips about ``k (1 - fill)`` of the plain filter's bits.
    """
    plain = near_q_grams * group.bits_per_q_gram * (1.0 - fill) / group.bits
    return hardened_rate(group, min(plain, 0.5))


def near_limits(spec: EvidenceSpec, filter_fill: tuple[float, ...]) -> tuple[int, ...]:
    """Of each group the number of differing bits from which two filters are not near: all that the fill decides."""
    return tuple(
        ceil(near_threshold(group, fill, spec.near_q_grams) * group.sent_bits)
        for group, fill in zip(spec.groups, filter_fill, strict=True)
    )


def near_pairs(
    evidence_a: EncodedEvidence,
    evidence_b: EncodedEvidence,
    index_a: npt.NDArray[np.intp],
    index_b: npt.NDArray[np.intp],
    spec: EvidenceSpec,
    filter_fill: tuple[float, ...],
    threads: int | None = None,
) -> npt.NDArray[np.bool_]:
    """Which groups' filters are near: bool, shape (m, groups); never so where one is missing."""
    near = np.zeros((len(spec.groups), len(index_a)), np.bool_)
    # As unsigned numbers they spare numba's wraparound a third of the time.
    pairs = np.ascontiguousarray(index_a).view(np.uint64), np.ascontiguousarray(index_b).view(np.uint64)
    for g, group in enumerate(spec.groups):
        filters = align_rows(evidence_a.group_filters[g]), align_rows(evidence_b.group_filters[g])
        kernel = _near_kernel(filters[0].shape[1])
        limit = near_threshold(group, filter_fill[g], spec.near_q_grams) * group.sent_bits

        def work(start: int, stop: int) -> None:
            kernel(*filters, *pairs, limit, near[g], np.uint64(start), np.uint64(stop))  # noqa: B023

        run_in_chunks(work, len(index_a), chunk=PAIRS_PER_CHUNK, threads=threads)
    return np.ascontiguousarray(near.T)


@cache
def _near_kernel(words: int) -> CompiledKernel:
    """The kernel for filters of ``words`` words: a constant there unrolls into straight vector code."""

    def write_near(  # pragma: no cover - compiled; held to its twin in tests/reference
        filters_a: Words,
        filters_b: Words,
        index_a: Words,
        index_b: Words,
        limit: float,
        out: npt.NDArray[np.bool_],
        start: np.uint64,
        stop: np.uint64,
    ) -> None:
        for k in range(start, stop):
            ahead = min(k + PREFETCH_PAIRS, stop - ONE)
            prefetch_row(filters_b, index_b[ahead], words)
            bits_a = shared_bits(filters_a, index_a[k], filters_a, index_a[k], words)
            bits_b = shared_bits(filters_b, index_b[k], filters_b, index_b[k], words)
            shared = shared_bits(filters_a, index_a[k], filters_b, index_b[k], words)
            out[k] = bits_a > 0 and bits_b > 0 and bits_a + bits_b - 2 * shared < limit

    return CompiledKernel(write_near)


def equal_pairs(
    evidence_a: EncodedEvidence,
    evidence_b: EncodedEvidence,
    index_a: npt.NDArray[np.intp],
    index_b: npt.NDArray[np.intp],
    is_near: npt.NDArray[np.bool_],
) -> npt.NDArray[np.bool_]:
    """Which groups' filters are the same to the bit, among those that are near: bool, shape (m, groups).

    The same filter means the same q-grams in all of the group's fields: for names and dates the same values, but
    for a few texts of repeated letters.
    """
    equal = np.zeros(is_near.shape, np.bool_)
    for g in range(is_near.shape[1]):
        filters_a, filters_b = evidence_a.group_filters[g], evidence_b.group_filters[g]
        rows = np.flatnonzero(is_near[:, g])
        for start in range(0, len(rows), PAIRS_PER_CHUNK):
            part = rows[start : start + PAIRS_PER_CHUNK]
            equal[part, g] = (filters_a[index_a[part]] == filters_b[index_b[part]]).all(axis=1)
    return equal


def evidence_masks(spec: EvidenceSpec) -> EvidenceMasks:
    """The spec as bit sets."""
    atoms = spec.atoms
    if len(atoms) > MAX_ATOMS:
        raise kernel_input(f"{len(atoms)} atoms in the evidence", f"at most {MAX_ATOMS}")
    bit = {atom: 1 << i for i, atom in enumerate(atoms)}
    field_index = {name: f for f, name in enumerate(spec.fields)}
    shown = [_union(bit, _implied(token.parts)) for token in spec.tokens]
    near = [_union(bit, [TokenPart(name, NEAR) for name in group.fields]) for group in spec.groups]
    tests = [
        (_union(bit, rest), field_index[name], t)
        for t, token in enumerate(spec.tokens)
        for name, rest in _tests_of(token, spec)
    ]
    equal = [_union(bit, _implied(tuple(TokenPart(name) for name in group.fields))) for group in spec.groups]
    joint = _joint_atoms(spec, bit)
    names = [field_index.get(name, -1) for name in (GIVEN, FAMILY)]
    names += [_first_unlike_in_sound(spec, name) for name in (GIVEN, FAMILY)]
    return EvidenceMasks(
        shown=np.array(shown, np.uint64),
        near=np.array(near, np.uint64),
        equal=np.array(equal, np.uint64),
        level_masks=_level_masks(spec, bit),
        different=np.array([len(spec.level_codes(name)) for name in spec.fields], np.int8),
        tests=np.array([mask for mask, _, _ in tests], np.uint64),
        tested_field=np.array([f for _, f, _ in tests], np.intp),
        test_token=np.array([t for _, _, t in tests], np.intp),
        always_tested=np.array([_worst_untested(spec, name) for name in spec.fields], np.int8),
        joint=np.array([parts for parts, _ in joint], np.uint64),
        joint_shown=np.array([shown for _, shown in joint], np.uint64),
        swapped=np.array([bit.get(TokenPart(NAMES, code), 0) for code in ("exact", "soundex")], np.uint64),
        names=np.array(names, np.intp),
    )


def _implied(parts: tuple[TokenPart, ...]) -> list[TokenPart]:
    """The parts and all that they imply. Whatever a name's exact agreement implies is of names only, and an
    atom that the spec does not use is no bit, so one table serves every kind of field.
    """
    return [
        *parts,
        *(TokenPart(part.field, code) for part in parts for code in IMPLIED_CODES.get(part.code, ())),
    ]


def _joint_atoms(spec: EvidenceSpec, bit: Mapping[TokenPart, int]) -> list[tuple[int, int]]:
    """Atoms that are known together, and what they then show, for every field that the spec sees so."""
    return [
        (
            _union(bit, [TokenPart(name, code) for code in codes]),
            _union(bit, _implied((TokenPart(name, shown),))),
        )
        for name in spec.fields
        for codes, shown in JOINT_CODES
        if all(TokenPart(name, code) in bit for code in (*codes, shown))
    ]


def _tests_of(token: TokenDefinition, spec: EvidenceSpec) -> list[tuple[str, list[TokenPart]]]:
    """Each place that a token tells about, with the token's parts of other fields: when those agree, the token
    tells whether the place agrees as well as one of its levels says.
    """
    places = {part.field for part in token.parts} - {*CORE_FIELDS, NAMES, SEX}
    found = []
    for place in sorted(places):
        codes = {part.code for part in token.parts if part.field == place}
        if codes == {"house_number", "street_start"}:
            codes = {"number_and_start"}
        shown = {code for level in _levels_told(spec, place) for code in level}
        if len(codes) == 1 and codes <= shown:
            found.append((place, [other for other in token.parts if other.field != place]))
    return found


def _levels_told(spec: EvidenceSpec, place: str) -> list[tuple[str, ...]]:
    """Codes of a place's levels down to the worst that stands by itself."""
    return [codes for _, codes in spec.level_codes(place)][: _worst_untested(spec, place) + 1]


def _worst_untested(spec: EvidenceSpec, name: str) -> int:
    levels = spec.level_names(name)
    if name in CORE_FIELDS:
        return len(levels)
    return next((levels.index(name) for name in STANDING_LEVELS if name in levels), 0)


def _union(bit: Mapping[TokenPart, int], parts: list[TokenPart]) -> int:
    union = 0
    for part in parts:
        union |= bit.get(part, 0)
    return union


def _level_masks(spec: EvidenceSpec, bit: Mapping[TokenPart, int]) -> Words:
    levels = [spec.level_codes(name) for name in spec.fields]
    masks = np.zeros((len(levels), max((len(codes) for codes in levels), default=0)), np.uint64)
    for f, name in enumerate(spec.fields):
        for level, (_, codes) in enumerate(levels[f]):
            masks[f, level] = _union(bit, [TokenPart(name, code) for code in codes])
    return masks


def _first_unlike_in_sound(spec: EvidenceSpec, name: str) -> int:
    alike = {"exact", NEAR, "soundex"}
    return sum(level in alike for level, _ in spec.level_codes(name))


def _sex_levels(sex_a: npt.NDArray[np.uint8], sex_b: npt.NDArray[np.uint8]) -> Levels:
    levels = np.where(sex_a == sex_b, 0, 1).astype(np.int8)
    levels[(sex_a == MISSING) | (sex_b == MISSING)] = NULL_LEVEL
    return levels


def _check_pairs(
    index_a: npt.NDArray[np.intp], index_b: npt.NDArray[np.intp], records_a: int, records_b: int
) -> None:
    for name, index, records in (("index_a", index_a, records_a), ("index_b", index_b, records_b)):
        if index.dtype != np.intp or index.shape != index_a.shape or index.ndim != 1:
            raise kernel_input(f"{name} as {index.dtype} of shape {index.shape}", "intp, (m,), alike on both")
        if len(index) and (index.min() < 0 or index.max() >= records):
            raise kernel_input(f"{name} beyond the records", f"indices from 0 to {records - 1}")


def _write_levels(  # pragma: no cover - compiled; held to its twin in tests/reference
    tokens_a: Words,
    tokens_b: Words,
    rarity_a: npt.NDArray[np.uint8],
    rarity_b: npt.NDArray[np.uint8],
    index_a: npt.NDArray[np.intp],
    index_b: npt.NDArray[np.intp],
    is_near: npt.NDArray[np.bool_],
    is_equal: npt.NDArray[np.bool_],
    shown: Words,
    near: Words,
    equal: Words,
    level_masks: Words,
    different: Levels,
    tests: Words,
    tested_field: npt.NDArray[np.intp],
    test_token: npt.NDArray[np.intp],
    always_tested: Levels,
    joint: Words,
    joint_shown: Words,
    swapped: Words,
    names: npt.NDArray[np.intp],
    out: Levels,
) -> None:
    zero = np.uint64(0)
    for k in range(index_a.shape[0]):
        i = index_a[k]
        j = index_b[k]
        known = zero
        for t in range(shown.shape[0]):
            if tokens_a[i, t] != zero and tokens_a[i, t] == tokens_b[j, t]:
                known |= shown[t]
        for g in range(near.shape[0]):
            if is_near[k, g]:
                known |= near[g]
            if is_equal[k, g]:
                known |= equal[g]
        for c in range(joint.shape[0]):
            if known & joint[c] == joint[c]:
                known |= joint_shown[c]
        tested = zero
        for c in range(tests.shape[0]):
            t = test_token[c]
            if tests[c] & ~known == zero and tokens_a[i, t] != zero and tokens_b[j, t] != zero:
                tested |= np.uint64(1) << np.uint64(tested_field[c])
        for f in range(different.shape[0]):
            level = different[f]
            for n in range(different[f] - 1, -1, -1):
                if known & level_masks[f, n] != zero:
                    level = n
            seen = level <= always_tested[f] or (tested >> np.uint64(f)) & np.uint64(1) != zero
            if rarity_a[i, f] == 0 or rarity_b[j, f] == 0 or (level > 0 and not seen):
                level = -1
            out[k, f] = level
        if names[0] >= 0 and names[1] >= 0 and out[k, names[0]] >= 0 and out[k, names[1]] >= 0:
            given = out[k, names[0]]
            family = out[k, names[1]]
            # With one name exact in its place, equal unordered names say nothing of a swap.
            if known & swapped[0] != zero and given > 0 and family > 0:
                out[k, names[0]] = different[names[0]] + 1
                out[k, names[1]] = -1
            elif known & swapped[1] != zero and given >= names[2] and family >= names[3]:
                out[k, names[0]] = different[names[0]] + 2
                out[k, names[1]] = -1


_levels_kernel: Callable[..., None] = CompiledKernel(_write_levels)
