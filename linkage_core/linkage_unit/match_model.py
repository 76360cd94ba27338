"""A Fellegi-Sunter model, fitted without labels, that does not collapse. Zone: linkage_unit.

Fellegi and Sunter 1969 (doi:10.1080/01621459.1969.10501049); EM: Winkler 1988, and for the mixture Dempster,
Laird and Rubin 1977 (doi:10.1111/j.2517-6161.1977.tb01600.x). Left alone, EM on candidates finds the wrong
two classes: it takes households for people. What holds it (ablation in MATCHING):

- *u*, the rates among random pairs, is fixed: custodians publish it, field by field and level by level;
- a third class, **household**: another person of the same family or address, with the given name and the
  birth date of a stranger and the family name and places of a relative;
- **competition**: everybody has at most one match (:mod:`~linkage_core.linkage_unit.competition`);
- **coverage**: matches that no pass proposes count among all matches, though their pairs are never seen
  (:mod:`~linkage_core.linkage_unit.candidate_coverage`);
- priors on *m*, and caps on how often a match may differ in a core field.

How rare an agreeing value is enters through rarity bands: in place of *u* stands the published chance that a
random record holds the value of a record in that band.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from linkage_core.linkage_unit.candidate_coverage import (
    CandidateCoverage,
    FieldPresence,
    field_presence,
    levels_with,
)
from linkage_core.linkage_unit.comparison_vectors import NULL_LEVEL, ComparisonVectors
from linkage_core.linkage_unit.competition import (
    expect_patterns,
    pass_messages,
    prior_odds,
    take_posteriors,
)
from linkage_core.linkage_unit.dice_kernels import kernel_input
from linkage_core.linkage_unit.pair_patterns import (
    PairPatterns,
    find_patterns,
    merge_patterns,
    states_of_field,
)
from linkage_core.protocol.encoded_evidence import EncodedEvidence, EvidenceAggregates, check_aggregates
from linkage_core.protocol.evidence_spec import (
    BIRTH,
    CORE_FIELDS,
    DIFFERENT,
    FAMILY,
    GIVEN,
    MIDDLE,
    SEX,
    STANDING_LEVELS,
    EvidenceSpec,
    TokenPart,
)

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp] | npt.NDArray[np.uint32]
Rates = dict[str, Floats]

PRIOR_PAIRS = 30.0
"""Weight of the starting rates, in pairs."""
MAX_ITERATIONS = 60
MIN_ITERATIONS = 6
TOLERANCE = 1e-4
SWEEPS_AN_ITERATION = 4
"""The messages of one iteration start where those of the last one ended."""
SMALLEST_SHARE = 0.01
HOUSEHOLD_EXACT = 0.03
"""Relatives share a given name (father and son) or a birth date (twins) a little more often than strangers."""
PERSONAL_FIELDS = (GIVEN, BIRTH, MIDDLE, SEX)
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
_DIFFERENT_CAP: Mapping[str, float] = {GIVEN: 0.15, BIRTH: 0.08}
DEFAULT_DIFFERENT_CAP = 0.6
BESIDE_OTHER_GIVEN = "middle_name beside another given_name"
"""Key of the rates of middle names beside given names that differ: how often they agree at all, and how often not."""
_BESIDE_OTHER_GIVEN_START = np.array([0.7, 0.3])
BESIDE_OTHER_GIVEN_PAIRS = 10.0
"""Weight of the start of these two, in pairs: they are learnt from the few matches whose given names differ."""


@dataclass(frozen=True)
class MatchModel:
    """A fitted model; rates only, so it may be shown.

    Attributes
    ----------
    match_rates, random_rates, household_rates : mapping of field to ndarray of float64, shape (levels,)
        How often each level is seen among matches (m), random pairs (u) and households. m has two rates more under
        :data:`BESIDE_OTHER_GIVEN`, where there are given and middle names.
    expected_matches, expected_household_pairs : float
        Sums of the posteriors, over the share of such pairs that become candidates.
    candidate_share : float
        Share of the matches that become candidates, as the model expects it.
    iterations : int
    converged : bool
        False when the number of matches still moved by more than a ten-thousandth.
    """

    match_rates: Mapping[str, Floats]
    random_rates: Mapping[str, Floats]
    household_rates: Mapping[str, Floats]
    expected_matches: float
    expected_household_pairs: float
    candidate_share: float
    iterations: int
    converged: bool


@dataclass(frozen=True)
class PairOdds:
    """What the fitted model says of each pair.

    Attributes
    ----------
    odds : ndarray of float64, shape (m,)
        A match against two records that are nobody's, before competition: ``w / (1 + w_H)``.
    probability : ndarray of float64, shape (m,)
        Posterior after competition: everybody has at most one match.
    """

    odds: Floats = field(repr=False)
    probability: Floats = field(repr=False)


@dataclass(frozen=True)
class _Pairs:
    """All that stays fixed while the model is fitted; levels, rarity and counts are those of the patterns.

    ``teaches``: levels that are known for what they are, and of middle names not those that differ as the given name
    does, which have rates of their own.
    """

    index_a: Indices
    index_b: Indices
    records_a: int
    records_b: int
    of_pair: npt.NDArray[np.uint32]
    levels: npt.NDArray[np.int8]
    is_least: npt.NDArray[np.bool_]
    teaches: npt.NDArray[np.bool_]
    rarity: Floats
    rarity_household: Floats
    counts: Floats


def fit_match_model(
    vectors: ComparisonVectors,
    evidence_a: EncodedEvidence,
    evidence_b: EncodedEvidence,
    index_a: Indices,
    index_b: Indices,
    spec: EvidenceSpec,
    aggregates: tuple[EvidenceAggregates, EvidenceAggregates],
) -> tuple[MatchModel, PairOdds]:
    """Fit by EM on this night's own candidates, and judge every pair.

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
    shape = (len(index_a), len(spec.fields))
    if vectors.levels.shape != shape or len(index_b) != len(index_a):
        raise kernel_input(f"levels of shape {vectors.levels.shape}", f"shape {shape}")
    patterns = merge_patterns(
        [
            patterns_of(vectors.levels[part], evidence_a, evidence_b, index_a[part], index_b[part], spec)
            for part in (slice(n, n + CHUNK_PAIRS) for n in range(0, len(vectors), CHUNK_PAIRS))
        ],
        len(spec.fields),
    )
    presence = (field_presence(evidence_a), field_presence(evidence_b))
    return fit_patterns(
        patterns, index_a, index_b, (len(evidence_a), len(evidence_b)), spec, aggregates, presence
    )


def patterns_of(
    levels: npt.NDArray[np.int8],
    evidence_a: EncodedEvidence,
    evidence_b: EncodedEvidence,
    index_a: Indices,
    index_b: Indices,
    spec: EvidenceSpec,
) -> PairPatterns:
    """Patterns of some pairs, from their levels and their records' rarity bands."""
    level_counts = [len(spec.level_names(name)) for name in spec.fields]
    return find_patterns(
        levels,
        evidence_a.rarity[index_a],
        evidence_b.rarity[index_b],
        level_counts,
        len(spec.rarity_edges) + 1,
    )


def fit_patterns(
    patterns: PairPatterns,
    index_a: Indices,
    index_b: Indices,
    records: tuple[int, int],
    spec: EvidenceSpec,
    aggregates: tuple[EvidenceAggregates, EvidenceAggregates],
    presence: tuple[FieldPresence, FieldPresence],
) -> tuple[MatchModel, PairOdds]:
    """Fit by EM and judge every pair, given the patterns of all pairs.

    Deterministic: sums run in the order of the pairs. Memory: 16 bytes a pair for the result, beside what is
    handed in.

    Parameters
    ----------
    patterns : PairPatterns
        Of all pairs.
    index_a, index_b : ndarray of intp or uint32, shape (m,)
        Each pair once.
    records : two int
        Records of the two sides.
    aggregates : two EvidenceAggregates
        Published by the two custodians.
    presence : two FieldPresence
        Which fields the two sides' records have.

    Raises
    ------
    NightlinkError
        E-KERNEL-INPUT when lengths or fields do not fit.
    """
    for side in aggregates:
        check_aggregates(side, spec)
    if not len(patterns) == len(index_a) == len(index_b) or patterns.states.shape[1] != len(spec.fields):
        shape = f"patterns of {len(patterns)} pairs over {patterns.states.shape[1]} fields"
        raise kernel_input(shape, f"{len(index_a)} pairs over {len(spec.fields)} fields")
    pairs = _fixed_pairs(patterns, index_a, index_b, records, spec, aggregates)
    random = random_rates(spec, aggregates)
    starts = {name: start_rates(spec, name, random[name]) for name in spec.fields}
    if {GIVEN, MIDDLE} <= set(spec.fields):
        starts[BESIDE_OTHER_GIVEN] = _BESIDE_OTHER_GIVEN_START
    household_starts = {name: household_start(name, random[name]) for name in spec.fields}
    match, household = dict(starts), dict(household_starts)
    coverage = CandidateCoverage(spec, *presence)
    freedom = np.ones(len(patterns))
    smaller = max(min(records), 1)
    matches = relatives = smaller / 2
    iteration, converged = 0, False
    while not converged and iteration < MAX_ITERATIONS:
        iteration += 1
        expected = _expect(pairs, spec, match, random, household, matches, relatives, freedom)
        candidate_share = coverage.share(match)
        found = min(float(expected.matches.sum()) / candidate_share, smaller)
        converged = iteration > MIN_ITERATIONS and abs(found - matches) <= TOLERANCE * max(matches, 1.0)
        matches = max(found, SMALLEST_SHARE * smaller)
        kin = float(expected.kin.sum()) / coverage.share(household)
        relatives = max(kin, SMALLEST_SHARE * smaller)
        if not converged:
            match = _learn_match(pairs, spec, expected.matches, starts)
            household = _learn_household(pairs, spec, expected.kin, household_starts)
    return (
        MatchModel(match, random, household, matches, relatives, candidate_share, iteration, converged),
        _judge(expected.odds, pairs, freedom),
    )


def judge_patterns(
    model: MatchModel,
    patterns: PairPatterns,
    index_a: Indices,
    index_b: Indices,
    records: tuple[int, int],
    spec: EvidenceSpec,
    aggregates: tuple[EvidenceAggregates, EvidenceAggregates],
) -> PairOdds:
    """What a fitted model says of pairs, be they others or seen otherwise than those that it was fitted on.

    Parameters are those of :func:`fit_patterns`; nothing is learnt.
    """
    pairs = _fixed_pairs(patterns, index_a, index_b, records, spec, aggregates)
    rates = (model.match_rates, model.random_rates, model.household_rates)
    freedom = np.ones(len(patterns))
    expected = _expect(pairs, spec, *rates, model.expected_matches, model.expected_household_pairs, freedom)
    return _judge(expected.odds, pairs, freedom)


def _judge(odds: Floats, pairs: _Pairs, freedom: Floats) -> PairOdds:
    graph = (odds, pairs.of_pair, pairs.index_a, pairs.index_b, (pairs.records_a, pairs.records_b), freedom)
    pass_messages(*graph)
    take_posteriors(*graph)
    return PairOdds(odds[pairs.of_pair], freedom)


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


def rarity_of_bands(aggregates: EvidenceAggregates, f: int, exact_rate: float) -> Floats:
    """How many nats more than average it says that a value of each band agrees: float64, shape (bands + 1,).

    Element 0 is for a missing value: nothing.
    """
    agreement = np.array(aggregates.fields[f].band_agreement, np.float64)
    gain = np.log(max(exact_rate, 1e-12)) - np.log(np.maximum(agreement, 1e-12))
    return np.concatenate([[0.0], gain])


@dataclass(frozen=True)
class _Expected:
    """One expectation, by pattern: odds of a match, and the pairs expected to be matches and households."""

    odds: Floats
    matches: Floats
    kin: Floats


def _fixed_pairs(
    patterns: PairPatterns,
    index_a: Indices,
    index_b: Indices,
    records: tuple[int, int],
    spec: EvidenceSpec,
    aggregates: tuple[EvidenceAggregates, EvidenceAggregates],
) -> _Pairs:
    random, bands = random_rates(spec, aggregates), len(spec.rarity_edges) + 1
    levels = np.empty(patterns.states.shape, np.int8)
    rarity, rarity_household = np.zeros(len(levels)), np.zeros(len(levels))
    for f, name in enumerate(spec.fields):
        count = len(random[name])
        exact = np.arange(states_of_field(count, bands) - count)
        levels_of = np.concatenate([[NULL_LEVEL], np.arange(1, count), np.zeros(len(exact))]).astype(np.int8)
        levels[:, f] = levels_of[patterns.states[:, f]]
        if name == SEX:
            continue
        rate = float(random[name][0])
        side_a, side_b = (rarity_of_bands(side, f, rate) for side in aggregates)
        both = (side_a[exact // (bands + 1)] + side_b[exact % (bands + 1)]) / 2
        gain = np.concatenate([np.zeros(count), both])[patterns.states[:, f]]
        rarity += gain
        if name not in PERSONAL_FIELDS:
            rarity_household += gain
    counts = np.bincount(patterns.of_pair, minlength=len(levels)).astype(np.float64)
    is_least = untested_levels(levels, spec)
    teaches = (levels != NULL_LEVEL) & ~is_least
    if {GIVEN, MIDDLE} <= set(spec.fields):
        teaches[_both_differ(levels, spec), spec.fields.index(MIDDLE)] = False
    return _Pairs(
        index_a,
        index_b,
        *records,
        patterns.of_pair,
        levels,
        is_least,
        teaches,
        rarity,
        rarity_household,
        counts,
    )


def untested_levels(levels: npt.NDArray[np.int8], spec: EvidenceSpec) -> npt.NDArray[np.bool_]:
    """Where a level is only the least that agrees, since nothing could have shown exact agreement.

    A name, a birth date, a street or a middle name shows exact agreement through tokens beside other fields. Where
    those are missing, a lower level may well be exact agreement that nobody could see. Of the core fields this is
    told for one that stands alone: with several, "all were exact unseen" is impossible, for they would have shown each
    other.

    Parameters
    ----------
    levels : ndarray of int8, shape (m, fields)

    Returns
    -------
    ndarray of bool, shape (m, fields)
    """
    core = [f for f, name in enumerate(spec.fields) if name in CORE_FIELDS]
    alone = (levels[:, core] != NULL_LEVEL).sum(axis=1) == 1
    untested = np.zeros(levels.shape, np.bool_)
    for f, name in enumerate(spec.fields):
        names = spec.level_names(name)
        if name in CORE_FIELDS:
            may_be_exact = alone & (levels[:, f] > 0) & (levels[:, f] < names.index(DIFFERENT))
        else:
            standing = [names.index(level) for level in STANDING_LEVELS if level in names]
            may_be_exact = np.isin(levels[:, f], standing)
        untested[:, f] = may_be_exact & ~_is_tested(levels, spec, TokenPart(name))
    return untested


def _is_tested(levels: npt.NDArray[np.int8], spec: EvidenceSpec, part: TokenPart) -> npt.NDArray[np.bool_]:
    """Whether all other parts of some token with this part agree, so that the token tells whether it does."""
    tested = np.zeros(len(levels), np.bool_)
    for token in spec.tokens:
        others = [other for other in token.parts if other != part]
        if len(others) < len(token.parts) and all(other.field in spec.fields for other in others):
            agree = [
                np.append(levels_with(spec, other), False)[levels[:, spec.fields.index(other.field)]]
                for other in others
            ]
            tested |= np.all(agree, axis=0)
    return tested


def _log_odds(
    pairs: _Pairs, spec: EvidenceSpec, rates: Mapping[str, Floats], random: Mapping[str, Floats]
) -> Floats:
    """Of each pattern: the sum of its fields' gains."""
    total = np.zeros(len(pairs.levels))
    for f in range(len(spec.fields)):
        total += field_gain(pairs.levels, pairs.is_least, f, spec, rates, random)
    return total


def field_gain(
    levels: npt.NDArray[np.int8],
    is_least: npt.NDArray[np.bool_],
    f: int,
    spec: EvidenceSpec,
    rates: Mapping[str, Floats],
    random: Mapping[str, Floats],
) -> Floats:
    """What a field adds for a class against random pairs, in nats, rarity aside: log(rate / u); null adds nothing.

    Where a level is but the least that agrees, the rates are of it and of all better ones. A given name tells the
    sex (two with the same one have the same sex in .97 of random pairs, not in half of them), so beside equal given
    names sex adds nothing.

    Parameters
    ----------
    levels, is_least : ndarrays of int8 and bool, shape (m, fields)
        Of :func:`~linkage_core.linkage_unit.comparison_vectors.compare_pairs` and :func:`untested_levels`.
    rates, random : mapping of field to ndarray of float64, shape (levels,)
        Of the class, and among random pairs.

    Returns
    -------
    ndarray of float64, shape (m,)
    """
    name = spec.fields[f]
    mass, base = np.maximum(rates[name], 1e-300), random[name]
    alone = np.append(np.log(mass) - np.log(base), 0.0)  # -1, null, takes the last entry
    or_better = np.append(np.log(np.cumsum(mass)) - np.log(np.cumsum(base)), 0.0)
    gain = np.where(is_least[:, f], or_better[levels[:, f]], alone[levels[:, f]])
    if name == SEX:
        gain[levels[:, spec.fields.index(GIVEN)] == 0] = 0.0
    if name == MIDDLE and BESIDE_OTHER_GIVEN in rates:
        chance = rates[BESIDE_OTHER_GIVEN][1] / base[spec.level_names(MIDDLE).index(DIFFERENT)]
        gain[_both_differ(levels, spec)] = min(np.log(chance), 0.0)
    return np.asarray(gain, np.float64)


def _both_differ(levels: npt.NDArray[np.int8], spec: EvidenceSpec) -> npt.NDArray[np.bool_]:
    """Where given and middle name both differ: bool, shape (m,)."""
    both = np.ones(len(levels), np.bool_)
    for name in (GIVEN, MIDDLE):
        both &= levels[:, spec.fields.index(name)] == spec.level_names(name).index(DIFFERENT)
    return both


def _expect(
    pairs: _Pairs,
    spec: EvidenceSpec,
    match: Mapping[str, Floats],
    random: Mapping[str, Floats],
    household: Mapping[str, Floats],
    matches: float,
    relatives: float,
    freedom: Floats,
) -> _Expected:
    """Odds and sums of posteriors by pattern, with competition; ``freedom`` is brought along."""
    records = (pairs.records_a, pairs.records_b)
    kin = _odds(_log_odds(pairs, spec, household, random) + pairs.rarity_household)
    kin *= relatives / float(max(pairs.records_a * pairs.records_b, 1))
    odds = _odds(_log_odds(pairs, spec, match, random) + pairs.rarity)
    odds *= prior_odds(matches, *records)
    odds /= 1.0 + kin
    graph = (odds, pairs.of_pair, pairs.index_a, pairs.index_b, records, freedom)
    pass_messages(*graph, sweeps=SWEEPS_AN_ITERATION)
    expected = expect_patterns(*graph)
    # of the pairs that are no match, households have their share of odds, the same for all of a pattern
    return _Expected(odds, expected, (pairs.counts - expected) * kin / (1.0 + kin))


def _odds(logs: Floats) -> Floats:
    odds: Floats = np.exp(np.clip(logs, -MAX_LOG_ODDS, MAX_LOG_ODDS))
    return odds


def _learn_match(pairs: _Pairs, spec: EvidenceSpec, weight: Floats, starts: Mapping[str, Floats]) -> Rates:
    rates = {}
    for f, name in enumerate(spec.fields):
        learnt = _counted_rates(pairs, f, weight, starts[name])
        different = spec.level_names(name).index(DIFFERENT)
        rates[name] = _cap_rate(learnt, different, _DIFFERENT_CAP.get(name, DEFAULT_DIFFERENT_CAP))
    if BESIDE_OTHER_GIVEN in starts:
        rates[BESIDE_OTHER_GIVEN] = _learn_beside_other_given(pairs, spec, weight, starts[BESIDE_OTHER_GIVEN])
    return rates


def _learn_beside_other_given(pairs: _Pairs, spec: EvidenceSpec, weight: Floats, start: Floats) -> Floats:
    """How often a match's middle names agree at all, and how often not, where its given names differ."""
    given, middle = (pairs.levels[:, spec.fields.index(name)] for name in (GIVEN, MIDDLE))
    told = (given == spec.level_names(GIVEN).index(DIFFERENT)) & (middle != NULL_LEVEL)
    differs = _both_differ(pairs.levels, spec)
    counted = np.bincount(differs[told], weight[told], 2) + BESIDE_OTHER_GIVEN_PAIRS * start
    return np.asarray(counted / counted.sum(), np.float64)


def _learn_household(
    pairs: _Pairs, spec: EvidenceSpec, weight: Floats, starts: Mapping[str, Floats]
) -> Rates:
    return {
        name: starts[name] if name in PERSONAL_FIELDS else _counted_rates(pairs, f, weight, starts[name])
        for f, name in enumerate(spec.fields)
    }


def _counted_rates(pairs: _Pairs, f: int, weight: Floats, start: Floats) -> Floats:
    """Rates of the levels that are known for what they are."""
    taught = pairs.teaches[:, f]
    counted = np.bincount(pairs.levels[taught, f], weight[taught], len(start)) + PRIOR_PAIRS * start
    return np.asarray(counted / counted.sum(), np.float64)


def _cap_rate(rates: Floats, level: int, cap: float) -> Floats:
    """The same rates with one of them at most ``cap``, the others scaled up."""
    if rates[level] <= cap:
        return rates
    capped = np.asarray(rates * ((1.0 - cap) / (1.0 - rates[level])), np.float64)
    capped[level] = cap
    return capped
