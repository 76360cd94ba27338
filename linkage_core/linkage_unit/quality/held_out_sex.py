"""Precision from a field that was kept out of the score: sex. Zone: linkage_unit.

Wrong links disagree on sex with chance d, right ones only where sex is wrongly coded, with chance e. So among links of
which a share m disagrees, FDR = (m - e) / (d - e); with strangers d = 2 pi (1 - pi) (Blakely and Salmond 2002,
doi:10.1093/ije/31.6.1246). Two things stand in the way of asking the night's own links. *Sex helped to choose them*:
therefore the candidates are judged once more as if nobody had given a sex (it and every token that holds it are null,
and pairs that only a pass with sex proposed are left out), and FDR is read off the links that come of that, in bands
of their posterior. *Wrong links are no strangers*: who shares a given name mostly shares the sex (d = .1 to .4 was
seen, in place of .5). Therefore d is counted among pairs that are known to be wrong and look like links, the rivals
of confident ones, with the strangers' d as a prior worth :data:`PRIOR_PAIRS`. e is counted among the surest links.

Of the published matches, those that are sure without sex count as right; those of the bands as their band says, by
whether they agree on sex; for those that sex alone lifted (no link without it, or a posterior below
:data:`LEAST_BAND`) nothing is known, and the interval allows for any share of them.

Trust it where both sides give sex, and errors in it have nothing to do with the record's other errors. It says little
where few wrong links disagree on sex, and its interval is wide where sex lifts many links.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from linkage_core.linkage_unit.comparison_vectors import compare_pairs
from linkage_core.linkage_unit.link_probabilities import rivals_of
from linkage_core.linkage_unit.link_selection import LEAST_SELECTED, LIMITS, select_links
from linkage_core.linkage_unit.match_model import MatchModel, PairOdds, judge_patterns, patterns_of
from linkage_core.linkage_unit.pair_patterns import merge_patterns
from linkage_core.linkage_unit.quality.estimate import CONFIDENCE, Estimate, estimate_within, scale_errors
from linkage_core.linkage_unit.quality.judged_links import JudgedLinks
from linkage_core.protocol.encoded_evidence import (
    MISSING,
    NULL_TOKEN,
    EncodedEvidence,
    EvidenceAggregates,
    mean_fill,
)
from linkage_core.protocol.evidence_spec import SEX, EvidenceSpec

Indices = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]

PAIRS_AT_A_TIME = 1 << 14
SURE = 0.99
"""Links of this posterior without sex count as right, and show how often sex is wrongly coded."""
LEAST_BAND = 0.1
BANDS = ((LEAST_BAND, 0.5), (0.5, SURE))
LIKE_LINKS = 0.5
"""Rivals that would reach this posterior show how often wrong links disagree on sex."""
PRIOR_PAIRS = 20.0
LEAST_CONTRAST = 0.05
"""Where wrong links disagree on sex hardly more often than right ones, sex tells nothing of them."""
FEWEST_KNOWN = 100
DRAWS = 4000

AGREES, DISAGREES, UNKNOWN = 0, 1, 2


@dataclass(frozen=True)
class SexlessPairs:
    """Candidates as they look when nobody gave a sex, and what sex says of them.

    Attributes
    ----------
    pairs : ndarray of intp, shape (m,)
        Positions among the judged pairs, ascending.
    odds : PairOdds
        Of these.
    says : ndarray of int8, shape (judged pairs,)
        Whether sex :data:`AGREES`, :data:`DISAGREES` or is :data:`UNKNOWN`.
    strangers_disagree : float
        2 pi (1 - pi), over the two sides.
    """

    pairs: Indices
    odds: PairOdds = field(repr=False)
    says: npt.NDArray[np.int8] = field(repr=False)
    strangers_disagree: float


def judge_without_sex(
    judged: JudgedLinks,
    model: MatchModel,
    evidence: tuple[EncodedEvidence, EncodedEvidence],
    spec: EvidenceSpec,
    aggregates: tuple[EvidenceAggregates, EvidenceAggregates],
    *,
    threads: int | None = None,
) -> SexlessPairs:
    """Judge again, without sex, the pairs that may be links at all.

    Pairs whose odds with sex are below :data:`LEAST_SELECTED` stay out: sex moves odds by a factor of some
    hundred, and these lack more. Memory: some 50 MB beside 20 bytes a pair.
    """
    bearing = np.array([any(part.field == SEX for part in token.parts) for token in spec.tokens])
    with_sex = np.uint32(sum(1 << p for p in range(spec.passes) if bearing[p]))
    kept = np.flatnonzero((judged.odds.odds >= LEAST_SELECTED) & (judged.passes & ~with_sex > 0))
    index_a, index_b = judged.index_a[kept], judged.index_b[kept]
    fill, found = mean_fill(*aggregates), []
    for start in range(0, len(kept), PAIRS_AT_A_TIME):
        part = slice(start, start + PAIRS_AT_A_TIME)
        side_a = _rows_without_sex(evidence[0], index_a[part], bearing)
        side_b = _rows_without_sex(evidence[1], index_b[part], bearing)
        each = np.arange(len(side_a), dtype=np.intp)
        levels = compare_pairs(side_a, side_b, each, each, spec, fill, threads=threads).levels
        found.append(patterns_of(levels, side_a, side_b, each, each, spec))
    patterns = merge_patterns(found, len(spec.fields))
    odds = judge_patterns(model, patterns, index_a, index_b, judged.records, spec, aggregates)
    sexes = (evidence[0].sex, evidence[1].sex)
    says = _sex_says(sexes[0][judged.index_a], sexes[1][judged.index_b])
    return SexlessPairs(kept, odds, says, _strangers_disagree(*sexes))


def precision_by_sex(judged: JudgedLinks, sexless: SexlessPairs, seed: int = 0) -> Estimate | None:
    """Precision of the matches; ``basis`` is how many of them are links without sex, too.

    None where sex cannot tell: without matches, with fewer than :data:`FEWEST_KNOWN` sure links of known sex, or
    where sex has no contrast (:data:`LEAST_CONTRAST`). A seed gives the same bytes.
    """
    held = _hold_out(judged, sexless)
    sure = _known(sexless.says[held.pairs[held.posterior >= SURE]])
    if not len(judged.matches) or sure[0] < FEWEST_KNOWN:
        return None
    generator = np.random.default_rng(seed)
    rivals = _known(sexless.says[held.rivals])
    error = _draw_share(generator, sure[1] + 0.5, sure[0] - sure[1] + 0.5)
    prior = PRIOR_PAIRS * np.array([sexless.strangers_disagree, 1.0 - sexless.strangers_disagree])
    contrast = _draw_share(generator, rivals[1] + prior[0], rivals[0] - rivals[1] + prior[1])
    if float(np.median(contrast - error)) < LEAST_CONTRAST:
        return None
    wrong = np.zeros(DRAWS)
    of_match = np.full(len(judged.odds.odds), -1.0)
    of_match[held.pairs] = held.posterior
    matched = of_match[judged.matches]
    for low, high in BANDS:
        links = sexless.says[held.pairs[(held.posterior >= low) & (held.posterior < high)]]
        matches = sexless.says[judged.matches[(matched >= low) & (matched < high)]]
        wrong += _wrong_in_band(links, matches, error, contrast, generator)
    lifted = int((matched < LEAST_BAND).sum())
    wrong += generator.binomial(lifted, generator.random(DRAWS))
    low, middle, high = 1.0 - np.quantile(wrong, [(1 + CONFIDENCE) / 2, 0.5, (1 - CONFIDENCE) / 2]) / len(
        judged.matches
    )
    return estimate_within(middle, low, high, len(judged.matches) - lifted)


@dataclass(frozen=True)
class _HeldOut:
    """Links without sex with their posterior, and rivals of sure ones that look like links: positions among all."""

    pairs: Indices
    posterior: Floats
    rivals: Indices


def _hold_out(judged: JudgedLinks, sexless: SexlessPairs) -> _HeldOut:
    at = sexless.pairs
    index_a, index_b = judged.index_a[at], judged.index_b[at]
    chosen = select_links(
        sexless.odds, index_a, index_b, judged.tie_keys[at], judged.records, judged.resolution
    )
    posterior = chosen.posterior[chosen.pairs]
    sure = chosen.pairs[posterior >= SURE]
    rivals = rivals_of(sexless.odds, sure, index_a, index_b, judged.records, LIMITS[judged.resolution])
    return _HeldOut(at[chosen.pairs], posterior, at[rivals.pairs[rivals.posterior >= LIKE_LINKS]])


def _wrong_in_band(
    links: npt.NDArray[np.int8],
    matches: npt.NDArray[np.int8],
    error: Floats,
    contrast: Floats,
    generator: np.random.Generator,
) -> Floats:
    """Draws of the wrong matches of a band: float64, shape (DRAWS,); below zero where chance has it so.

    Jeffreys' prior on the share that disagrees. Not cut at zero, or noise around no error at all would add up to
    some; above it they are counted, not only expected, and half a wrong match a band is thinkable though none shows.
    """
    known, disagree = _known(links)
    if not known:
        return np.zeros(DRAWS)
    seen = _draw_share(generator, disagree + 0.5, known - disagree + 0.5)
    fdr = (seen - error) / np.maximum(contrast - error, LEAST_CONTRAST)
    agree_out, disagree_out, unknown_out = (int((matches == s).sum()) for s in (AGREES, DISAGREES, UNKNOWN))
    agreeing = known * (1.0 - contrast) * agree_out / max(known - disagree, 1)
    disagreeing = known * contrast * disagree_out / max(disagree, 1)
    expected = fdr * (agreeing + disagreeing + unknown_out)
    counted = generator.poisson(np.maximum(expected, 0.0) * scale_errors(generator, DRAWS))
    unseen = generator.poisson(generator.gamma(0.5, size=DRAWS))
    return np.asarray(np.where(expected > 0, counted, expected) + unseen, np.float64)


def _draw_share(generator: np.random.Generator, yes: float, no: float) -> Floats:
    return generator.beta(yes, no, DRAWS)


def _known(says: npt.NDArray[np.int8]) -> tuple[int, int]:
    """How many pairs have a known sex on both sides, and how many of these disagree."""
    return int((says != UNKNOWN).sum()), int((says == DISAGREES).sum())


def _sex_says(sex_a: npt.NDArray[np.uint8], sex_b: npt.NDArray[np.uint8]) -> npt.NDArray[np.int8]:
    says = np.where(sex_a == sex_b, AGREES, DISAGREES).astype(np.int8)
    says[(sex_a == MISSING) | (sex_b == MISSING)] = UNKNOWN
    return says


def _strangers_disagree(sex_a: npt.NDArray[np.uint8], sex_b: npt.NDArray[np.uint8]) -> float:
    shares = [
        np.bincount(side[side != MISSING], minlength=4) / max((side != MISSING).sum(), 1)
        for side in (sex_a, sex_b)
    ]
    return float(1.0 - shares[0] @ shares[1]) if all(share.any() for share in shares) else 0.5


def _rows_without_sex(
    side: EncodedEvidence, rows: Indices, bearing: npt.NDArray[np.bool_]
) -> EncodedEvidence:
    tokens = side.tokens[rows]
    tokens[:, bearing] = NULL_TOKEN
    filters = tuple(np.ascontiguousarray(group[rows]) for group in side.group_filters)
    return EncodedEvidence(tokens, filters, side.rarity[rows], np.full(len(rows), MISSING, np.uint8))
