"""Estimators of a night's own quality: what each must answer on worlds that are made so that the answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from linkage_core.linkage_unit.link_probabilities import ChosenThreshold, LinkProbabilities
from linkage_core.linkage_unit.match_model import PairOdds
from linkage_core.linkage_unit.quality.capture_recapture import recall_by_recapture
from linkage_core.linkage_unit.quality.delivery_shape import DeliveryShape, drifts
from linkage_core.linkage_unit.quality.duplicate_links import precision_by_duplicates
from linkage_core.linkage_unit.quality.estimate import Estimate, estimate_within, wilson_interval
from linkage_core.linkage_unit.quality.held_out_sex import SexlessPairs, precision_by_sex
from linkage_core.linkage_unit.quality.judged_links import JudgedLinks
from linkage_core.linkage_unit.quality.posterior_sums import precision_by_posteriors, recall_by_posteriors
from linkage_core.linkage_unit.quality.publication_gate import (
    digest_of_findings,
    drift_findings,
    precision_findings,
)
from linkage_core.linkage_unit.reviewed_pairs import (
    PairVerdict,
    cohens_kappa,
    review_counts,
    with_reviewed,
)
from linkage_core.protocol.evidence_spec import TokenDefinition, TokenPart

A, B = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"
C = "00000000-0000-4000-8000-00000000000c"


def judged(matches: int = 600, duplicates: int = 30, records: int = 1000) -> JudgedLinks:
    """So many sure links on the diagonal, and so many rivals that would be matches were those not there."""
    index = np.arange(matches, dtype=np.intp)
    rivals = np.arange(duplicates, dtype=np.intp)
    index_a = np.concatenate([index, rivals])
    index_b = np.concatenate([index, records - 1 - rivals])
    odds = np.concatenate([np.full(matches, 1e6), np.full(duplicates, 10.0)])
    probability = np.concatenate([np.full(matches, 0.999), np.full(duplicates, 1e-5)])
    links = LinkProbabilities(index, np.full(matches, 0.99), np.full(matches, 0.999))
    return JudgedLinks(
        index_a, index_b, np.ones(len(odds), np.uint32), np.arange(len(odds), dtype=np.uint64),
        PairOdds(odds, probability), links, ChosenThreshold(0.9, 0.8, matches, 0.99, 1.0, reached=True),
        (records, records),
    )  # fmt: skip


def test_duplicates_tell_how_many_single_links_are_wrong() -> None:
    found = precision_by_duplicates(judged())
    assert found is not None
    # two fifths of each side are free: a wrong pair is free on both sides with .16, beside a link with .84
    assert found.value == pytest.approx(1 - 30 * (0.16 / 0.84) / 600)
    assert found.low < found.value < found.high and found.basis == 30
    assert precision_by_duplicates(judged(matches=0, duplicates=0)) is None
    assert precision_by_duplicates(replace(judged(), resolution="many_to_many")) is None


def test_posterior_sums_have_an_interval_and_the_same_bytes_again() -> None:
    found = precision_by_posteriors(judged())
    assert found == precision_by_posteriors(judged())
    assert found is not None and found.value == pytest.approx(0.99)
    assert found.low < 0.99 < found.high and found.basis == 600
    assert precision_by_posteriors(judged(matches=0, duplicates=0)) is None
    assert recall_by_posteriors(judged(), expected_matches=1188.0) == pytest.approx(0.5)


def sexless(night: JudgedLinks, disagree: int) -> SexlessPairs:
    """A hundred links are unsure without sex, of which so many disagree; rivals disagree by halves."""
    probability = night.odds.probability.copy()
    probability[:100] = 0.8
    says = np.zeros(len(probability), np.int8)
    says[:disagree] = 1
    says[600::2] = 1
    pairs = np.arange(len(probability), dtype=np.intp)
    return SexlessPairs(pairs, PairOdds(night.odds.odds, probability), says, 0.5)


def test_sex_that_disagrees_tells_of_wrong_links() -> None:
    night = judged()
    right, wrong = (precision_by_sex(night, sexless(night, disagree)) for disagree in (0, 20))
    assert right is not None and wrong is not None
    assert right.high > 0.999 and right.low > 0.98
    assert (
        wrong.low < 1 - 40 / 600 < wrong.high < 0.98
    )  # 20 of 100 disagree, by chance half of the wrong ones do
    unknown = replace(sexless(night, 0), says=np.full(len(night.odds.odds), 2, np.int8))
    assert precision_by_sex(night, unknown) is None


def test_passes_without_a_common_field_give_a_range_of_recall() -> None:
    definitions = [
        TokenDefinition("names", (TokenPart("names"),)),
        TokenDefinition("birth", (TokenPart("birth_date"), TokenPart("postcode"))),
        TokenDefinition("given", (TokenPart("given_name"), TokenPart("postcode"))),
    ]
    passes = np.repeat(np.array([1, 2, 3, 4], np.uint32), [100, 100, 300, 10])
    found = recall_by_recapture(passes, definitions)
    assert found is not None and found.pairs_of_passes == 1  # the third shares a field with either
    assert found.low == found.high == pytest.approx(510 / (401 * 401 / 301 - 1))
    assert recall_by_recapture(passes[:0], definitions) is None


def test_intervals_hold_their_value() -> None:
    low, high = wilson_interval(5, 50)
    assert (round(low, 4), round(high, 4)) == (0.0435, 0.2136)  # Newcombe 1998, by the formula
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert estimate_within(1.2, 0.5, 0.9, 1) == Estimate(1.0, 0.5, 1.0, 1)


def shape(records: int = 1000, fill: float = 0.3) -> DeliveryShape:
    return DeliveryShape(records, {"names": fill}, {"names": 0.5}, {"phone": 0.1})


def test_a_delivery_drifts_when_it_leaves_the_median_of_the_last_nights() -> None:
    limits = {"most_volume_ratio": 2.0, "most_share_change": 0.05}
    earlier = [shape(), shape(1010), shape(10)]
    assert drifts("hospital", shape(600), earlier, **limits) == []
    assert drifts("hospital", shape(100), [], **limits) == []
    [volume] = drifts("hospital", shape(100), earlier, **limits)
    assert (volume.figure, volume.usual) == ("records", 1000)
    [fill] = drifts("hospital", shape(fill=0.4), earlier, **limits)
    assert drift_findings([fill])[0].sentence == "hospital: fill of names is 0.4, usually 0.3"


def test_a_night_is_held_by_a_low_bound_and_by_sex_only_when_it_is_whole_below() -> None:
    estimates = {
        "posteriors": Estimate(0.985, 0.975, 0.995, 1),
        "duplicates": Estimate(0.99, 0.985, 0.995, 1),
        "held_out_sex": Estimate(0.97, 0.95, 0.985, 1),
    }
    found = precision_findings(("hospital", "pharmacy"), 10_000, 0.99, estimates, allowance=0.01)
    assert [finding.code for finding in found] == ["E-QUALITY-HELD"]
    assert "lower bound of precision by posteriors is 0.9750, below 0.9800" in found[0].sentence
    assert (
        precision_findings(("a", "b"), 100, 0.99, estimates, allowance=0.01) == []
    )  # six of 100 may be wrong
    low = {"held_out_sex": Estimate(0.95, 0.93, 0.97, 1)}
    assert len(precision_findings(("a", "b"), 10_000, 0.99, low, allowance=0.01)) == 1
    assert len({digest_of_findings(found), digest_of_findings([])}) == 2


def verdict(person: str, word: str, number: int, b: str = B) -> PairVerdict:
    return PairVerdict("hospital", A, "pharmacy", b, person, word, number)


def test_what_all_reviewers_say_is_settled_and_what_they_dispute_is_not() -> None:
    known = with_reviewed(None, [verdict("alice", "link", 1), verdict("bob", "link", 2)])
    assert known is not None and len(known.links) == 1 and not known.never
    assert with_reviewed(None, [verdict("alice", "link", 1), verdict("bob", "never", 2)]) is None
    assert with_reviewed(None, [verdict("alice", "unsure", 1)]) is None
    # a second link of the same record waits; a file goes before reviewers, and its digest is of both
    both = with_reviewed(None, [verdict("alice", "link", 1), verdict("alice", "link", 2, b=C)])
    assert both is not None and both.links == known.links
    again = with_reviewed(known, [verdict("bob", "never", 3), verdict("bob", "never", 4, b=C)])
    assert again is not None and again.links == known.links and len(again.never) == 1
    assert again.sha256 != known.sha256
    assert with_reviewed(known, []) is known


def test_kappa_is_agreement_beyond_chance() -> None:
    judged_twice = [("link", "link")] * 20 + [("link", "never")] * 5 + [("never", "link")] * 10
    judged_twice += [("never", "never")] * 15
    assert cohens_kappa(judged_twice) == pytest.approx(0.4)
    assert cohens_kappa([]) is None and cohens_kappa([("link", "link")]) is None
    counts = review_counts(
        [verdict("alice", "link", 1), verdict("bob", "never", 2), verdict("bob", "link", 3, b=C)]
    )
    assert (counts.decided, counts.judged_twice, counts.kappa) == (2, 1, 0.0)
