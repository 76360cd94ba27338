"""Rates that a custodian can publish, so that the linkage unit's model need not guess. Zone: custodian.

How often two **random** records agree on a field, level by level (the model's *u*), is known best where the
values are. Estimated at the linkage unit, from candidates, it collapses the model (MATCHING: recall at 99%
precision .971 to .725). Only rates over all records leave.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numba
import numpy as np
import numpy.typing as npt

from linkage_core.custodian.field_columns import FieldColumn, FieldColumns, code_field
from linkage_core.custodian.q_grams import value_q_grams
from linkage_core.protocol.evidence_spec import (
    FAMILY,
    GIVEN,
    NEAR,
    EvidenceSpec,
)
from linkage_core.protocol.linkage_protocol import FieldSpec

RANDOM_PAIRS = 1_000_000
SMALLEST_RATE = 1e-9


@dataclass(frozen=True)
class _RandomPairs:
    """Random pairs of rows that both have a value."""

    first: npt.NDArray[np.int32] = field(repr=False)
    second: npt.NDArray[np.int32] = field(repr=False)


def level_rates(
    columns: FieldColumns,
    spec: EvidenceSpec,
    field_specs: Mapping[str, FieldSpec],
    *,
    seed: int,
    random_pairs: int = RANDOM_PAIRS,
    agreement: Mapping[str, float] | None = None,
) -> tuple[tuple[float, ...], ...]:
    """Each field's share of random pairs of distinct records at each level.

    Exact agreement is computed, not sampled: it is what matters most and happens least. Half a pair is added
    to every sampled level, so that no rate is zero.

    Parameters
    ----------
    columns : mapping of str to FieldColumn
        All records, or a random sample of them.
    agreement : mapping of str to float, optional
        How often two of all records agree exactly, by field; by default, how often two of ``columns`` do.
    seed : int
        Same seed, same records in the same order: same rates. Any will do; take it from the run.

    Returns
    -------
    tuple of tuple of float
        In the order of ``spec.fields``, each as :meth:`EvidenceSpec.level_names` and adding up to 1. A field
        without two values gets equal rates.
    """
    generator = np.random.default_rng(seed)
    exact = agreement or {name: agreement_rate(columns[name].value_of_row) for name in spec.fields}
    return tuple(
        _field_rates(
            columns,
            name,
            spec,
            field_specs[name],
            _draw_pairs(columns[name], generator, random_pairs),
            exact[name],
        )
        for name in spec.fields
    )


def _field_rates(
    columns: FieldColumns,
    name: str,
    spec: EvidenceSpec,
    field_spec: FieldSpec,
    pairs: _RandomPairs,
    exact: float,
) -> tuple[float, ...]:
    names = spec.level_names(name)
    if not len(pairs.first):
        return (1.0 / len(names),) * len(names)
    levels = len(spec.level_codes(name)) + 1
    if levels > 2:
        level = _levels_of_pairs(columns[name], name, spec, field_spec, pairs)
        counts = np.bincount(level, minlength=levels)
        sampled = (counts[1:] + 0.5) / (counts[1:].sum() + 0.5 * (levels - 1))
    else:
        sampled = np.ones(1)  # what does not agree is different: nothing to sample
    rates = [max(exact, SMALLEST_RATE), *((1.0 - exact) * sampled)]
    if name == GIVEN:
        rates += [swap_rate(columns, code) for code in ("exact", "soundex")]
    total = sum(rates)
    return tuple(float(rate / total) for rate in rates)


def agreement_rate(value_of_row: npt.NDArray[np.intp]) -> float:
    """The chance that two random distinct records with a value agree: sum c (c - 1) / (n (n - 1))."""
    counts = np.bincount(value_of_row[value_of_row >= 0]).astype(np.float64)
    records = counts.sum()
    return float((counts * (counts - 1)).sum() / (records * (records - 1))) if records > 1 else 0.0


def swap_rate(columns: FieldColumns, code: str) -> float:
    """The chance that two random records hold each other's names in the other field, seen through ``code``.

    The square of the chance that a random given name is a random family name.
    """
    shares = []
    for name in (GIVEN, FAMILY):
        coded = code_field(columns[name], code)
        counts = np.bincount(coded.code_of_row[coded.code_of_row >= 0], minlength=len(coded.codes))
        shares.append(dict(zip(coded.codes.to_pylist(), counts / max(counts.sum(), 1), strict=True)))
    both = sum(share * shares[1].get(value, 0.0) for value, share in shares[0].items())
    return max(float(both) ** 2, SMALLEST_RATE)


def _draw_pairs(column: FieldColumn, generator: np.random.Generator, pairs: int) -> _RandomPairs:
    rows = np.flatnonzero(column.value_of_row >= 0).astype(np.int32)
    first, second = np.empty((2, pairs if len(rows) > 1 else 0), np.int32)
    if len(rows) > 1:
        places = generator.integers(0, len(rows), pairs)
        # a step of 1 to n - 1 around the circle: never the record itself
        _step_kernel(places, generator.integers(1, len(rows), pairs), rows, first, second)
    return _RandomPairs(first, second)


def _levels_of_pairs(
    column: FieldColumn, name: str, spec: EvidenceSpec, field_spec: FieldSpec, pairs: _RandomPairs
) -> npt.NDArray[np.intp]:
    levels = spec.level_codes(name)
    level = np.full(len(pairs.first), len(levels), np.intp)
    used = {part.code for token in spec.tokens for part in token.parts if part.field == name}
    for index, (_, codes) in reversed(list(enumerate(levels))):
        for code in codes:
            if code == NEAR:
                near = near_values(column, field_spec, pairs.first, pairs.second, spec.near_q_grams)
                np.putmask(level, near, index)
            elif code == "number_and_start" or code == "exact" or code in used:
                _agree_kernel(_code_of_row(column, code), pairs.first, pairs.second, index, level)
    return level


def _code_of_row(column: FieldColumn, code: str) -> npt.NDArray[np.int64]:
    if code != "number_and_start":
        return code_field(column, code).code_of_row
    number, start = (code_field(column, part).code_of_row for part in ("house_number", "street_start"))
    both: npt.NDArray[np.int64] = np.where((number < 0) | (start < 0), -1, (number << 32) | start)
    return both


def near_values(
    column: FieldColumn,
    field_spec: FieldSpec,
    first: npt.NDArray[np.int32],
    second: npt.NDArray[np.int32],
    near_q_grams: float,
) -> npt.NDArray[np.bool_]:
    """Whether the values of two rows differ in fewer q-grams than ``near_q_grams``; bool, shape (m,).

    Parameters
    ----------
    first, second : ndarrays of int32, shape (m,)
        Rows with a value.
    """
    q_grams = value_q_grams(column.values, field_spec)
    tokens = q_grams.tokens[q_grams.gram_ids]
    signatures = np.zeros(len(column.values), np.uint64)
    _signature_kernel(q_grams.starts, tokens, signatures)
    out = np.empty(len(first), np.bool_)
    _near_kernel(
        column.value_of_row, first, second, q_grams.starts, tokens, signatures, float(near_q_grams), out
    )
    return out


@numba.njit(cache=True, nogil=True)
def _step_kernel(places, steps, rows, first, second):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    for k in range(len(places)):
        place = places[k] + steps[k]
        first[k], second[k] = rows[places[k]], rows[place - len(rows) if place >= len(rows) else place]


@numba.njit(cache=True, nogil=True)
def _agree_kernel(code_of_row, first, second, index, level):  # type: ignore[no-untyped-def] # pragma: no cover
    for k in range(len(level)):
        code = code_of_row[first[k]]
        if code >= 0 and code == code_of_row[second[k]]:
            level[k] = index


@numba.njit(cache=True, nogil=True)
def _signature_kernel(starts, tokens, signatures):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """One of 64 bits for each of a value's q-grams."""
    for v in range(len(signatures)):
        for k in range(starts[v], starts[v + 1]):
            bit = (tokens[k] * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(58)
            signatures[v] |= np.uint64(1) << bit


@numba.njit(cache=True, nogil=True)
def _near_kernel(value_of_row, first, second, starts, tokens, signatures, limit, out):  # type: ignore[no-untyped-def] # pragma: no cover
    """A bit that one signature has and the other has not is a q-gram's, so most pairs need no look at q-grams."""
    for k in range(len(out)):
        one, other = value_of_row[first[k]], value_of_row[second[k]]
        bits = signatures[one] ^ signatures[other]
        differing = 0
        while bits and differing < limit:
            bits &= bits - np.uint64(1)
            differing += 1
        out[k] = differing < limit and _differences(starts, tokens, one, other) < limit


@numba.njit(cache=True, nogil=True)
def _differences(starts, tokens, one, other):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Size of the symmetric difference of two sorted runs of distinct tokens."""
    i, end_i, j, end_j = starts[one], starts[one + 1], starts[other], starts[other + 1]
    total = (end_i - i) + (end_j - j)
    while i < end_i and j < end_j:
        if tokens[i] == tokens[j]:
            total -= 2
            i += 1
            j += 1
        elif tokens[i] < tokens[j]:
            i += 1
        else:
            j += 1
    return total
