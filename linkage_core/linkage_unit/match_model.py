"""A Fellegi-Sunter model, fitted without labels, that does not collapse. Zone: linkage_unit.

Fellegi and Sunter 1969 (doi:10.1080/01621459.1969.10501049); EM: Winkler 1988, and for the mixture Dempster,
Laird and Rubin 1977 (doi:10.1111/j.2517-6161.1977.tb01600.x). Left alone, EM on candidates finds the wrong
two classes: it takes households for people. What holds it (ablation in MATCHING):

- *u*, the rates among random pairs, is fixed: custodians publish it, field by field and level by level;
- a third class, **household**: another person of the same family or address, with the given name and the
  birth date of a stranger and the family name and places of a relative;
- **competition**: everybody has at most one match, so a pair's posterior is shared with its row and column;
- priors on *m*, and caps on how often a match may differ in a core field.

How rare an agreeing value is enters through rarity bands: in place of *u* stands the published chance that a
random record holds the value of a record in that band.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from linkage_core.linkage_unit.comparison_vectors import ComparisonVectors
from linkage_core.linkage_unit.dice_kernels import kernel_input
from linkage_core.protocol.encoded_evidence import EncodedEvidence, EvidenceAggregates, check_aggregates
from linkage_core.protocol.evidence_spec import BIRTH, DIFFERENT, FAMILY, GIVEN, SEX, EvidenceSpec

Floats = npt.NDArray[np.float64]
Rates = dict[str, Floats]

PRIOR_PAIRS = 30.0
"""Weight of the starting rates, in pairs."""
MAX_ITERATIONS = 60
MIN_ITERATIONS = 6
TOLERANCE = 1e-4
SMALLEST_SHARE = 0.01
HOUSEHOLD_EXACT = 0.03
"""Relatives share a given name (father and son) or a birth date (twins) a little more often than strangers."""
PERSONAL_FIELDS = (GIVEN, BIRTH, "middle_name", SEX)
"""Fields in which a relative is a stranger; all others (family name, places, telephone) a household shares."""
CHUNK_PAIRS = 1 << 20
MAX_LOG_ODDS = 80.0

_EXACT_START: Mapping[str, float] = {GIVEN: 0.86, FAMILY: 0.86, BIRTH: 0.86, "street": 0.8, "postcode": 0.8}
_DIFFERENT_START: Mapping[str, float] = {
    GIVEN: 0.04,
    FAMILY: 0.04,
    BIRTH: 0.04,
    "street": 0.1,
    "postcode": 0.1,
}
_DIFFERENT_CAP: Mapping[str, float] = {GIVEN: 0.15, BIRTH: 0.15}
DEFAULT_DIFFERENT_CAP = 0.6


@dataclass(frozen=True)
class MatchModel:
    """A fitted model; rates only, so it may be shown.

    Attributes
    ----------
    match_rates, random_rates, household_rates : mapping of field to ndarray of float64, shape (levels,)
        How often each level is seen among matches (m), random pairs (u) and households.
    expected_matches, expected_household_pairs : float
        Sums of the posteriors.
    iterations : int
    converged : bool
        False when the number of matches still moved by more than a ten-thousandth.
    """

    match_rates: Mapping[str, Floats]
    random_rates: Mapping[str, Floats]
    household_rates: Mapping[str, Floats]
    expected_matches: float
    expected_household_pairs: float
    iterations: int
    converged: bool


@dataclass(frozen=True)
class PairOdds:
    """What the fitted model says of each pair.

    Attributes
    ----------
    odds : ndarray of float64, shape (m,)
        Match against anything else, before competition: ``w / (1 + w_H)``.
    probability : ndarray of float64, shape (m,)
        Posterior after competition with the pair's row and column.
    """

    odds: Floats = field(repr=False)
    probability: Floats = field(repr=False)


@dataclass(frozen=True)
class _Patterns:
    """Distinct comparison vectors: their levels, and each pair's pattern."""

    levels: npt.NDArray[np.int8]
    of_pair: npt.NDArray[np.int32]


@dataclass(frozen=True)
class _Pairs:
    """All that stays fixed while the model is fitted."""

    index_a: npt.NDArray[np.intp]
    index_b: npt.NDArray[np.intp]
    records_a: int
    records_b: int
    patterns: _Patterns
    rarity: Floats
    rarity_household: Floats


def fit_match_model(
    vectors: ComparisonVectors,
    evidence_a: EncodedEvidence,
    evidence_b: EncodedEvidence,
    index_a: npt.NDArray[np.intp],
    index_b: npt.NDArray[np.intp],
    spec: EvidenceSpec,
    aggregates: tuple[EvidenceAggregates, EvidenceAggregates],
) -> tuple[MatchModel, PairOdds]:
    """Fit by EM on this night's own candidates, and judge every pair.

    Deterministic: sums run in the order of the pairs. Memory: about 60 bytes a pair.

    Parameters
    ----------
    vectors : ComparisonVectors
        Of the pairs.
    evidence_a, evidence_b : EncodedEvidence
        For the rarity bands of what agrees.
    index_a, index_b : ndarray of intp, shape (m,)
        Each pair once.
    aggregates : two EvidenceAggregates
        Published by the two custodians.

    Raises
    ------
    NightlinkError
        E-KERNEL-INPUT when lengths, fields or levels do not fit.
    """
    _check_model_input(vectors, index_a, index_b, spec, aggregates)
    pairs = _fixed_pairs(vectors, evidence_a, evidence_b, index_a, index_b, spec, aggregates)
    random = random_rates(spec, aggregates)
    starts = {name: start_rates(spec, name, random[name]) for name in spec.fields}
    household_starts = {name: household_start(name, random[name]) for name in spec.fields}
    match, household = dict(starts), dict(household_starts)
    smaller = max(min(pairs.records_a, pairs.records_b), 1)
    matches = relatives = smaller / 2
    iteration, converged = 0, False
    while not converged and iteration < MAX_ITERATIONS:
        iteration += 1
        odds, probability, kin = _expect(pairs, spec, match, random, household, matches, relatives)
        found = float(probability.sum())
        converged = iteration > MIN_ITERATIONS and abs(found - matches) <= TOLERANCE * max(matches, 1.0)
        matches = min(max(found, SMALLEST_SHARE * smaller), smaller)
        relatives = max(float(kin.sum()), SMALLEST_SHARE * smaller)
        if not converged:
            match = _learn_match(pairs.patterns, spec, probability, starts)
            household = _learn_household(pairs.patterns, spec, kin, household_starts)
    return (
        MatchModel(match, random, household, matches, relatives, iteration, converged),
        PairOdds(odds, probability),
    )


def random_rates(
    spec: EvidenceSpec, aggregates: tuple[EvidenceAggregates, EvidenceAggregates]
) -> dict[str, Floats]:
    """u: the mean of the two custodians' rates among random pairs.

    A level between *exact* and *different* gets at least half of the rate of exact agreement: where nothing
    else agrees, exact agreement shows as the lower level, and a rate near zero (dates that all fall on the
    first of January, say: no two share the year alone) would let such pairs look like miracles.
    """
    rates = {}
    for f, name in enumerate(spec.fields):
        sides = [np.array(side.fields[f].level_rates, np.float64) for side in aggregates]
        mean = np.maximum((sides[0] + sides[1]) / 2, 1e-12)
        between = slice(1, spec.level_names(name).index(DIFFERENT))
        mean[between] = np.maximum(mean[between], mean[0] / 2)
        rates[name] = mean / mean.sum()
    return rates


def start_rates(spec: EvidenceSpec, name: str, random: Floats) -> Floats:
    """Where m starts: mostly exact, seldom different, the rest shared out equally."""
    levels = spec.level_names(name)
    exact = _EXACT_START.get(name, 0.95)
    different = _DIFFERENT_START.get(name, 0.05)
    rates = np.full(len(random), max(1.0 - exact - different, 0.0) / max(len(levels) - 2, 1))
    rates[0] = exact
    rates[levels.index(DIFFERENT)] = different
    return np.asarray(rates / rates.sum(), np.float64)


def household_start(name: str, random: Floats) -> Floats:
    """Where the household class starts; in personal fields it stays there."""
    exact = (np.arange(len(random)) == 0).astype(np.float64)
    if name in (GIVEN, BIRTH):
        return np.asarray((1.0 - HOUSEHOLD_EXACT) * random + HOUSEHOLD_EXACT * exact, np.float64)
    return random.copy() if name in PERSONAL_FIELDS else np.asarray(0.9 * exact + 0.1 * random, np.float64)


def compete(
    odds: Floats,
    index_a: npt.NDArray[np.intp],
    index_b: npt.NDArray[np.intp],
    records_a: int,
    records_b: int,
) -> Floats:
    """Posteriors when everybody has at most one match: odds / (1 + row's odds + column's odds - odds)."""
    row = np.bincount(index_a, odds, records_a)
    column = np.bincount(index_b, odds, records_b)
    # the pair's own odds stand in both sums; rounding must not let the rest fall below zero
    rivals = np.maximum(row[index_a] - odds, 0.0) + np.maximum(column[index_b] - odds, 0.0)
    probability: Floats = odds / (1.0 + odds + rivals)
    return probability


def rarity_bits(
    evidence: EncodedEvidence, aggregates: EvidenceAggregates, f: int, exact_rate: float
) -> Floats:
    """How many nats more than average it says that a record's value agrees: float64, shape (n,)."""
    agreement = np.array(aggregates.fields[f].band_agreement, np.float64)
    gain = np.log(max(exact_rate, 1e-12)) - np.log(np.maximum(agreement, 1e-12))
    table = np.zeros(256, np.float64)
    table[1 : 1 + len(gain)] = gain
    return np.asarray(table[evidence.rarity[:, f]], np.float64)


def _fixed_pairs(
    vectors: ComparisonVectors,
    evidence_a: EncodedEvidence,
    evidence_b: EncodedEvidence,
    index_a: npt.NDArray[np.intp],
    index_b: npt.NDArray[np.intp],
    spec: EvidenceSpec,
    aggregates: tuple[EvidenceAggregates, EvidenceAggregates],
) -> _Pairs:
    rarity, rarity_household = np.zeros(len(vectors)), np.zeros(len(vectors))
    random = random_rates(spec, aggregates)
    for f, name in enumerate(spec.fields):
        if name == SEX:
            continue
        rate = float(random[name][0])
        side_a = rarity_bits(evidence_a, aggregates[0], f, rate)
        side_b = rarity_bits(evidence_b, aggregates[1], f, rate)
        for start in range(0, len(vectors), CHUNK_PAIRS):
            part = slice(start, start + CHUNK_PAIRS)
            gain = (side_a[index_a[part]] + side_b[index_b[part]]) / 2
            gain[vectors.levels[part, f] != 0] = 0.0
            rarity[part] += gain
            if name not in PERSONAL_FIELDS:
                rarity_household[part] += gain
    patterns = _find_patterns(vectors.levels, [len(random[name]) for name in spec.fields])
    return _Pairs(index_a, index_b, len(evidence_a), len(evidence_b), patterns, rarity, rarity_household)


def _find_patterns(levels: npt.NDArray[np.int8], sizes: Sequence[int]) -> _Patterns:
    """Number the distinct rows: a few thousand, whatever the number of pairs."""
    code = np.zeros(len(levels), np.int64)
    for f, size in enumerate(sizes):
        code = code * (size + 1) + (levels[:, f] + 1)
    _, first, of_pair = np.unique(code, return_index=True, return_inverse=True)
    return _Patterns(levels[first], of_pair.astype(np.int32))


def _log_odds(
    patterns: _Patterns, spec: EvidenceSpec, rates: Mapping[str, Floats], random: Mapping[str, Floats]
) -> Floats:
    """Of each pattern: the sum over fields of log(rate / u); null adds nothing."""
    total = np.zeros(len(patterns.levels))
    for f, name in enumerate(spec.fields):
        table = np.append(np.log(np.maximum(rates[name], 1e-300)) - np.log(random[name]), 0.0)
        total += table[patterns.levels[:, f]]  # -1, null, takes the last entry
    return total


def _expect(
    pairs: _Pairs,
    spec: EvidenceSpec,
    match: Mapping[str, Floats],
    random: Mapping[str, Floats],
    household: Mapping[str, Floats],
    matches: float,
    relatives: float,
) -> tuple[Floats, Floats, Floats]:
    """Odds of a match, its posterior with competition, and the posterior of a household."""
    all_pairs = float(max(pairs.records_a * pairs.records_b, 1))
    kin = _odds(pairs, _log_odds(pairs.patterns, spec, household, random), pairs.rarity_household)
    kin *= relatives / all_pairs
    odds = _odds(pairs, _log_odds(pairs.patterns, spec, match, random), pairs.rarity)
    odds *= matches / all_pairs
    odds /= 1.0 + kin
    probability = compete(odds, pairs.index_a, pairs.index_b, pairs.records_a, pairs.records_b)
    return odds, probability, (1.0 - probability) * kin / (1.0 + kin)


def _odds(pairs: _Pairs, of_pattern: Floats, rarity: Floats) -> Floats:
    logs = of_pattern[pairs.patterns.of_pair] + rarity
    odds: Floats = np.exp(np.clip(logs, -MAX_LOG_ODDS, MAX_LOG_ODDS))
    return odds


def _learn_match(
    patterns: _Patterns, spec: EvidenceSpec, probability: Floats, starts: Mapping[str, Floats]
) -> Rates:
    weight = np.bincount(patterns.of_pair, probability, len(patterns.levels)).astype(np.float64)
    rates = {}
    for f, name in enumerate(spec.fields):
        learnt = _counted_rates(patterns, f, weight, starts[name])
        different = spec.level_names(name).index(DIFFERENT)
        rates[name] = _cap_rate(learnt, different, _DIFFERENT_CAP.get(name, DEFAULT_DIFFERENT_CAP))
    return rates


def _learn_household(
    patterns: _Patterns, spec: EvidenceSpec, kin: Floats, starts: Mapping[str, Floats]
) -> Rates:
    weight = np.bincount(patterns.of_pair, kin, len(patterns.levels)).astype(np.float64)
    return {
        name: starts[name] if name in PERSONAL_FIELDS else _counted_rates(patterns, f, weight, starts[name])
        for f, name in enumerate(spec.fields)
    }


def _counted_rates(patterns: _Patterns, f: int, weight: Floats, start: Floats) -> Floats:
    levels = patterns.levels[:, f]
    present = levels >= 0
    counted = np.bincount(levels[present], weight[present], len(start)) + PRIOR_PAIRS * start
    return np.asarray(counted / counted.sum(), np.float64)


def _cap_rate(rates: Floats, level: int, cap: float) -> Floats:
    """The same rates with one of them at most ``cap``, the others scaled up."""
    if rates[level] <= cap:
        return rates
    capped = np.asarray(rates * ((1.0 - cap) / (1.0 - rates[level])), np.float64)
    capped[level] = cap
    return capped


def _check_model_input(
    vectors: ComparisonVectors,
    index_a: npt.NDArray[np.intp],
    index_b: npt.NDArray[np.intp],
    spec: EvidenceSpec,
    aggregates: tuple[EvidenceAggregates, EvidenceAggregates],
) -> None:
    shape = (len(index_a), len(spec.fields))
    if vectors.levels.shape != shape or len(index_b) != len(index_a):
        raise kernel_input(f"levels of shape {vectors.levels.shape}", f"shape {shape}")
    for side in aggregates:
        check_aggregates(side, spec)
