"""Candidates by similar filters: each pair once with the filters that proposed it, nulls, ranges, the budget."""

from __future__ import annotations

import numpy as np
import pytest

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.candidate_coverage import CandidateCoverage, FieldPresence
from linkage_core.linkage_unit.filter_candidates import check_pairs_made, filter_reports, propose_by_filters
from linkage_core.protocol.evidence_spec import evidence_of
from linkage_core.protocol.linkage_protocol import BlockingSpec
from tests.reference.linkage_unit_reference import slow_join, slow_nearest
from tests.reference.small_world import shipped_protocol

PASSES = [{"name": "p", "parts": ["given_name", "sex"]}]
RECORDS_A, RECORDS_B, WORDS = 9, 12, 3


def rules(**entries: object) -> BlockingSpec:
    return BlockingSpec.model_validate({"passes": PASSES, "max_block_pairs": 1, **entries})


@pytest.fixture(scope="module")
def filters() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Two filters of each record, some null, and near copies of A's records on side B."""
    rng = np.random.default_rng(3)
    sides_a, sides_b = [], []
    for null in (2, 5):
        a = rng.integers(0, 2**64, (RECORDS_A, WORDS), np.uint64)
        b = rng.integers(0, 2**64, (RECORDS_B, WORDS), np.uint64)
        b[:6] = a[:6] ^ np.uint64(0b1011)
        a[null] = b[null + 1] = 0
        sides_a.append(a)
        sides_b.append(b)
    return sides_a, sides_b


def found(proposals, start: int = 0) -> dict[tuple[int, int], int]:
    rows = np.repeat(np.arange(start, start + len(proposals.pairs.partners)), proposals.pairs.partners)
    keys = list(zip(rows.tolist(), proposals.pairs.index_b.tolist(), strict=True))
    assert keys == sorted(set(keys))
    return dict(zip(keys, proposals.pairs.passes.tolist(), strict=True))


def slow_proposals(filters, blocking: BlockingSpec) -> dict[tuple[int, int], int]:
    """Every filter by itself with the kernels' slow twins, among the records that have one."""
    pairs: dict[tuple[int, int], int] = {}
    for f, (a, b) in enumerate(zip(*filters, strict=True)):
        rows_a, rows_b = (np.flatnonzero(side.any(axis=1)) for side in (a, b))
        if blocking.candidates == "top_k":
            nearest = slow_nearest(a[rows_a], b[rows_b], blocking.nearest, "dice")
            proposed = [(i, j) for i, row in enumerate(nearest) for j, _ in row]
        else:
            proposed = [(i, j) for i, j, _ in slow_join(a[rows_a], b[rows_b], blocking.similarity)]
        for i, j in proposed:
            key = (int(rows_a[i]), int(rows_b[j]))
            pairs[key] = pairs.get(key, 0) | 1 << f
    return pairs


@pytest.mark.parametrize(
    "blocking",
    [
        rules(candidates="top_k", nearest=3),
        rules(candidates="top_k", nearest=50),
        rules(candidates="threshold_join", similarity=0.6),
        rules(candidates="threshold_join", similarity=1.0),
    ],
)
def test_pairs_are_those_of_the_slow_twin_whole_and_range_by_range(filters, blocking: BlockingSpec) -> None:  # noqa: ANN001
    whole = propose_by_filters(*filters, blocking, records_a=RECORDS_A)
    assert found(whole) == slow_proposals(filters, blocking)
    assert (whole.null_a, whole.null_b) == ((1, 1), (1, 1))
    ranges = []
    for start, stop in ((0, 4), (4, 5), (5, RECORDS_A)):
        part = [a[start:stop] for a in filters[0]]
        ranges.append(propose_by_filters(part, filters[1], blocking, records_a=RECORDS_A, threads=2))
    together = {
        key: passes
        for part, start in zip(ranges, (0, 4, 5), strict=True)
        for key, passes in found(part, start).items()
    }
    assert together == found(whole)
    assert filter_reports(["f", "g"], ranges) == filter_reports(["f", "g"], [whole])


def test_the_budget_is_kept_before_top_k_and_during_a_join(filters) -> None:  # noqa: ANN001
    with pytest.raises(NightlinkError, match="E-PAIR-BUDGET: found 54 pairs: 3 nearest by each of 2 filters"):
        propose_by_filters(
            *filters, rules(candidates="top_k", nearest=3, pair_budget=53), records_a=RECORDS_A
        )
    join = rules(candidates="threshold_join", similarity=0.1, pair_budget=176)
    proposed = sum(propose_by_filters(*filters, join, records_a=RECORDS_A).proposed)
    assert proposed == 176  # eight records of A with eleven of B, by two filters
    with pytest.raises(NightlinkError, match="E-PAIR-BUDGET: found more than 176 pairs with filters of"):
        propose_by_filters(*filters, join, records_a=RECORDS_A, made_before=1)
    check_pairs_made(176, join)
    with pytest.raises(NightlinkError, match="E-PAIR-BUDGET"):
        check_pairs_made(177, join)


def test_sides_without_records_or_filters_propose_nothing(filters) -> None:  # noqa: ANN001
    for mode in ("top_k", "threshold_join"):
        blocking = rules(candidates=mode)
        none = [a[:0] for a in filters[0]]
        assert len(propose_by_filters(none, filters[1], blocking, records_a=0).pairs.index_b) == 0
        empty = [np.zeros_like(b) for b in filters[1]]
        got = propose_by_filters(filters[0], empty, blocking, records_a=RECORDS_A)
        assert got.pairs.partners.tolist() == [0] * RECORDS_A and got.null_b == (RECORDS_B, RECORDS_B)


def test_the_expected_share_of_candidates_follows_the_filters() -> None:
    protocol = shipped_protocol()
    blocking = protocol.blocking.model_copy(update={"candidates": "threshold_join"})
    spec = evidence_of(protocol.model_copy(update={"blocking": blocking}))
    here = np.ones((1, len(spec.fields)), np.bool_)
    rates = {name: np.zeros(len(spec.level_names(name))) for name in spec.fields}
    for name, exact in (("given_name", 0.5), ("family_name", 1.0), ("birth_date", 0.0)):
        rates[name][[0, -1]] = exact, 1.0 - exact
    everybody = FieldPresence(here, np.array([10]))
    # only given and family name together are near or exact, in half of the draws
    assert CandidateCoverage(spec, everybody, everybody).share(rates) == pytest.approx(0.5, abs=0.02)
