"""From two deliveries to links and the night's summary: one-to-one, the same in every run, counts only."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace

import numpy as np
import pytest

from linkage_core.custodian.record_pseudonyms import record_pseudonyms
from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.filter_candidates import candidates_by_filters
from linkage_core.linkage_unit.known_links import HEADER, parse_known_links, place_known_links
from linkage_core.linkage_unit.link_decisions import Decision
from linkage_core.linkage_unit.link_probabilities import LinkProbabilities
from linkage_core.linkage_unit.link_selection import LIMITS
from linkage_core.linkage_unit.link_table import link_table_digest, links_as_rows
from linkage_core.linkage_unit.match_model import PairOdds
from linkage_core.linkage_unit.settled_pairs import SettledPairs, settle_pairs
from tasks.linkage_unit.block import block_records
from tasks.linkage_unit.linked_custodians import LinkedCustodians
from tasks.linkage_unit.receive import receive_deliveries
from tasks.linkage_unit.resolve import ResolvedLinks, decide_links, resolve_links
from tasks.linkage_unit.review import pairs_to_review
from tasks.linkage_unit.score import score_pairs
from tasks.linkage_unit.settings import LinkageUnit
from tasks.linkage_unit.summary import summarise_night
from tests.reference.small_world import NIGHT, SmallWorld, few_people, make_world


@pytest.fixture(scope="module", autouse=True)
def _machine_code_is_kept(tmp_path_factory: pytest.TempPathFactory):  # noqa: ANN202
    """Kernels are compiled once for all children of this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMBA_CACHE_DIR", str(tmp_path_factory.mktemp("machine-code")))
        yield


@pytest.fixture(scope="module")
def night(delivered_world: SmallWorld):  # noqa: ANN201
    a, b = receive_deliveries(NIGHT, delivered_world.unit)
    pairs = block_records(a, b, delivered_world.unit)
    scores = score_pairs(a, b, pairs, delivered_world.unit)
    return a, b, pairs, scores, resolve_links(a, b, pairs, scores, delivered_world.unit)


def _with(unit: LinkageUnit, part: str, **changes: object) -> LinkageUnit:
    changed = getattr(unit.protocol, part).model_copy(update=changes)
    return replace(unit, protocol=unit.protocol.model_copy(update={part: changed}))


def _resolve_here(a, b, pairs, scores, unit: LinkageUnit) -> ResolvedLinks:  # noqa: ANN001
    """As `resolve_links` does, of these very arrays and in this process."""
    pseudonyms = (a.records.record_pseudonyms, b.records.record_pseudonyms)
    known = None
    if unit.known_links is not None:
        limits = LIMITS[unit.protocol.decision.resolution]
        known = place_known_links(unit.known_links, ("hospital", "pharmacy"), pseudonyms, limits)
    settled = settle_pairs(pairs.index_a, pairs.index_b, scores.odds, pseudonyms, known, unit.protocol)
    return decide_links(a, b, pairs, settled, known, unit)


def test_the_known_pairs_are_found(night, delivered_world: SmallWorld) -> None:  # noqa: ANN001
    truth = few_people().truth
    protocol, sites = delivered_world.unit.protocol, delivered_world.sites
    known = {
        tuple(
            record_pseudonyms(sites[c].site_key, [rid], project=protocol.project, epoch=protocol.key_epoch)[
                0
            ].tobytes()
            for c, rid in zip(("hospital", "pharmacy"), pair, strict=True)
        )
        for pair in zip(truth["rid_a"].to_pylist(), truth["rid_b"].to_pylist(), strict=True)
    }
    table = night[4].table
    found = set(zip(map(bytes, table.pseudonym_a), map(bytes, table.pseudonym_b), strict=True))
    assert len(found & known) / len(known) > 0.9
    assert len(found & known) / len(found) > 0.95


def test_each_record_has_at_most_one_link(night) -> None:  # noqa: ANN001
    table = night[4].table
    for column in (table.pseudonym_a, table.pseudonym_b):
        assert len({bytes(p) for p in column}) == len(table)
    assert all(count.success and count.point == "link_table" for count in night[4].expectations)


def test_the_order_of_pairs_does_not_matter(night, delivered_world: SmallWorld) -> None:  # noqa: ANN001
    a, b, pairs, scores, links = night
    order = np.random.default_rng(5).permutation(len(scores.odds.odds))
    shuffled = replace(
        pairs, index_a=pairs.index_a[order], index_b=pairs.index_b[order], passes=pairs.passes[order]
    )
    odds = PairOdds(scores.odds.odds[order], scores.odds.probability[order])
    again = _resolve_here(a, b, shuffled, replace(scores, odds=odds), delivered_world.unit)
    assert link_table_digest(again.table) == link_table_digest(links.table)


def test_a_link_table_that_is_not_one_to_one_is_refused(night, delivered_world: SmallWorld) -> None:  # noqa: ANN001
    a, b, pairs, scores, _ = night
    likely = np.ones(len(scores.odds.odds))  # many likely pairs for one record
    everything = LinkProbabilities(np.arange(len(likely)), likely, likely)
    settled = SettledPairs(everything, np.zeros(len(likely), np.uint64))
    with pytest.raises(
        NightlinkError, match="E-DQ-EXPECTATION.*at the point link_table.*be_unique of record_a"
    ):
        decide_links(a, b, pairs, settled, None, delivered_world.unit)


def test_a_night_that_cannot_hold_its_target_stops_visibly(night, delivered_world: SmallWorld) -> None:  # noqa: ANN001
    a, b, pairs, scores, _ = night
    nothing = replace(scores, odds=PairOdds(np.zeros_like(scores.odds.odds), np.zeros_like(scores.odds.odds)))
    with pytest.raises(NightlinkError, match="E-QUALITY-TARGET.*reaches 0.99"):
        _resolve_here(a, b, pairs, nothing, delivered_world.unit)


def test_more_pairs_than_the_budget_are_refused(night, delivered_world: SmallWorld) -> None:  # noqa: ANN001
    a, b = night[:2]
    with pytest.raises(NightlinkError, match="E-PAIR-BUDGET"):
        block_records(a, b, _with(delivered_world.unit, "blocking", pair_budget=3, max_block_pairs=3))


def _summary(night, links: ResolvedLinks, unit: LinkageUnit) -> dict[str, object]:  # noqa: ANN001
    a, b, pairs, scores, _ = night
    return summarise_night(NIGHT, (a, b), [LinkedCustodians(a, b, pairs, scores, links)], None, unit)


def test_the_summary_adds_up(night, delivered_world: SmallWorld) -> None:  # noqa: ANN001
    a, b, pairs, scores, links = night
    summary = json.loads(json.dumps(_summary(night, links, delivered_world.unit)))
    for delivery in (a, b):
        told = summary["custodians"][delivery.manifest.custodian]
        assert told["extracted"] == 150 == told["rejected"] + told["delivered"]
        assert told["manifest_sha256"] == delivery.manifest_sha256
    assert summary["candidates"]["pairs"] == len(scores.odds.odds)
    assert sum(summary["scores"]["counts"]) == len(links.probabilities.pairs)
    assert 0.99 <= summary["scores"]["expected_precision"] <= 1 == summary["model"]["converged"]
    assert summary["candidates"]["all_pairs"] == len(a.records) * len(b.records)
    assert summary["candidates"]["reduction_ratio"] == pytest.approx(
        1 - len(scores.odds.odds) / (len(a.records) * len(b.records))
    )
    assert len(summary["scores"]["bin_edges"]) == len(summary["scores"]["counts"]) + 1
    assert summary["links"]["match"] + summary["links"]["possible_match"] == len(links.table)
    assert sum(summary["links"]["by_band"].values()) == len(links.table)
    assert {e["point"] for e in summary["expectations"]} == {"delivery", "link_table"}
    points = {e["point"] for c in summary["custodians"].values() for e in c["expectations"]}
    assert points == {"raw_extract", "normalised"}


def test_the_summary_has_the_parts_that_the_report_shows(night, delivered_world: SmallWorld) -> None:  # noqa: ANN001
    assert set(_summary(night, night[4], delivered_world.unit)) == {
        "run_id", "as_of", "project", "protocol_version", "protocol_fingerprint", "key_epoch", "code_version",
        "custodians", "candidates", "scores", "model", "links", "expectations", "rule_sentences",
        "method", "quality",
    }  # fmt: skip


def test_the_same_deliveries_give_the_same_summary(night, delivered_world: SmallWorld) -> None:  # noqa: ANN001
    a, b = receive_deliveries(NIGHT, delivered_world.unit)
    pairs = block_records(a, b, delivered_world.unit)
    scores = score_pairs(a, b, pairs, delivered_world.unit)
    links = resolve_links(a, b, pairs, scores, delivered_world.unit)
    again = _summary((a, b, pairs, scores, links), links, delivered_world.unit)
    assert json.dumps(again) == json.dumps(_summary(night, night[4], delivered_world.unit))


def test_no_identifier_and_no_pseudonym_is_in_the_summary(night, delivered_world: SmallWorld) -> None:  # noqa: ANN001
    text = json.dumps(_summary(night, night[4], delivered_world.unit))
    people = few_people().side_a
    for column in ("rid", "last", "street", "phone", "email"):
        assert not any(f'"{value}"' in text for value in people[column].to_pylist() if value)
    assert not any(bytes(p).hex() in text for p in night[0].records.record_pseudonyms)


def _table_of(night, unit: LinkageUnit):  # noqa: ANN001, ANN202
    a, b, pairs, scores, _ = night
    links = _resolve_here(a, b, pairs, scores, unit)
    return links, _pairs_of(links)


def _pairs_of(links):  # noqa: ANN001, ANN202
    return set(zip(map(bytes, links.table.pseudonym_a), map(bytes, links.table.pseudonym_b), strict=True))


def test_a_night_in_another_mode_links_by_filters_chunk_by_chunk(night, delivered_world) -> None:  # noqa: ANN001
    a, b = night[:2]
    unit = _with(delivered_world.unit, "blocking", candidates="threshold_join")
    small = replace(unit, settings=unit.settings.model_copy(update={"chunk_records": 75}))
    pairs = block_records(a, b, small)
    sides = (side.records.evidence.group_filters for side in (a, b))
    whole = candidates_by_filters(*sides, unit.protocol)
    for name in ("index_a", "index_b", "passes"):
        assert np.array_equal(getattr(pairs, name), getattr(whole, name))
    assert pairs.reports == whole.reports
    scores = score_pairs(a, b, pairs, small)
    links = resolve_links(a, b, pairs, scores, small)
    assert {name for row in links_as_rows(links.table) for name in row[4]} <= {
        "given_family", "given_birth", "family_birth"
    }  # fmt: skip
    assert len(links.table) > 0.8 * len(night[4].table)
    summary = summarise_night(NIGHT, (a, b), [LinkedCustodians(a, b, pairs, scores, links)], None, small)
    assert summary["candidates"]["mode"] == "threshold_join"


def test_a_join_of_more_pairs_than_the_budget_is_refused(night, delivered_world) -> None:  # noqa: ANN001
    unit = _with(
        delivered_world.unit,
        "blocking",
        candidates="threshold_join",
        similarity=0.5,
        pair_budget=2000,
        max_block_pairs=1,
    )
    small = replace(unit, settings=unit.settings.model_copy(update={"chunk_records": 75}))
    with pytest.raises(NightlinkError, match="E-PAIR-BUDGET: found more than 2000 pairs with filters"):
        block_records(*night[:2], small)


@pytest.fixture(scope="module")
def larger_night(tmp_path_factory: pytest.TempPathFactory):  # noqa: ANN201
    """Of 500 people a side: so many links can show a precision of .99 with competition on one side only."""
    unit = make_world(tmp_path_factory.mktemp("larger"), people_per_side=500).unit
    a, b = receive_deliveries(NIGHT, unit)
    pairs = block_records(a, b, unit)
    scores = score_pairs(a, b, pairs, unit)
    return unit, (a, b, pairs, scores, _resolve_here(a, b, pairs, scores, unit))


@pytest.mark.parametrize("resolution", ["optimal_one_to_one", "one_to_many", "many_to_one", "many_to_many"])
def test_another_resolution_keeps_its_limits_and_is_told(larger_night, resolution) -> None:  # noqa: ANN001
    agreed, night = larger_night
    unit = _with(agreed, "decision", resolution=resolution)
    links, found = _table_of(night, unit)
    one_to_one = _pairs_of(night[4])
    assert len(found & one_to_one) > 0.9 * len(one_to_one)
    for side, limited in (
        (0, resolution in ("optimal_one_to_one", "many_to_one")),
        (1, resolution in ("optimal_one_to_one", "one_to_many")),
    ):
        assert not limited or len({pair[side] for pair in found}) == len(found)
    summary = _summary(night, links, unit)
    assert summary["resolution"] == resolution
    assert ("optimum" in summary) == (resolution == "optimal_one_to_one")
    assert "resolution" not in _summary(night, night[4], agreed)


def test_known_links_are_published_and_forbidden_pairs_are_not(night, delivered_world: SmallWorld) -> None:  # noqa: ANN001
    a, b, _, _, links = night
    table = links.table
    spelt = [
        [str(uuid.UUID(bytes=bytes(p))) for p in side] for side in (table.pseudonym_a, table.pseudonym_b)
    ]
    strangers = spelt[0][0], spelt[1][1]  # two records that the model gives to others
    lines = [
        ",".join(HEADER),
        f"hospital,{strangers[0]},pharmacy,{strangers[1]},link",
        f"pharmacy,{spelt[1][5]},hospital,{spelt[0][5]},never",
        f"hospital,{uuid.UUID(int=1)},pharmacy,{spelt[1][7]},link",
    ]
    unit = replace(delivered_world.unit, known_links=parse_known_links("\n".join(lines).encode()))
    again, found = _table_of(night, unit)
    pair = tuple(uuid.UUID(record).bytes for record in strangers)
    assert pair in found
    row = [bytes(p) for p in again.table.pseudonym_a].index(pair[0])
    passes = next(r for k, r in enumerate(links_as_rows(again.table)) if k == row)
    assert passes[2:4] == ("match", "0.95-1.00") and passes[4][-1] == "known_link"
    assert (bytes(table.pseudonym_a[5]), bytes(table.pseudonym_b[5])) not in found
    before = _table_of(night, delivered_world.unit)[1]
    assert len(before - found) <= 4  # the rivals of the known link, and the forbidden pair
    assert _summary(night, again, unit)["known_links"] == {
        "sha256": unit.known_links.sha256, "links": 1, "never": 1, "absent": 1,
    }  # fmt: skip
    assert sum(row[4][-1:] == ("known_link",) for row in links_as_rows(again.table)) == 1
    whole_night = (block_records(a, b, unit), score_pairs(a, b, night[2], unit))
    chunk_by_chunk = resolve_links(a, b, *whole_night, unit)
    assert link_table_digest(chunk_by_chunk.table) == link_table_digest(again.table)


def test_a_reviewer_gets_levels_and_bits_of_a_pair_and_no_value(night, delivered_world: SmallWorld) -> None:  # noqa: ANN001
    a, b, pairs, scores, links = night
    thinkable = replace(
        links.pairs, decision=np.full(len(links.pairs.decision), Decision.POSSIBLE_MATCH, np.uint8)
    )
    two = LinkedCustodians(a, b, pairs, scores, replace(links, pairs=thinkable))
    queue = pairs_to_review([two], delivered_world.unit)
    assert len(queue) == len(links.pairs.index_a)
    assert [pair["score_band"] for pair in queue] == sorted(
        (pair["score_band"] for pair in queue), reverse=True
    )
    best = {field["field"]: field for field in queue[0]["evidence"]}
    assert best["birth_date"]["level"] == "exact" and best["birth_date"]["bits"] > 0
    # as in the model itself: a given name tells the sex, so that beside an equal one sex adds nothing
    told = [{field["field"]: field for field in pair["evidence"]} for pair in queue]
    equal = [fields for fields in told if fields["given_name"]["level"] == "exact"]
    assert equal and all(fields["sex"]["bits"] == 0 for fields in equal)
    text = json.dumps([pair["evidence"] for pair in queue])
    people = few_people().side_a
    for column in ("rid", "first", "last", "street", "phone", "email", "dob"):
        assert not any(f'"{value}"' in text for value in people[column].to_pylist() if value)
