"""The threshold join, the nearest neighbours and their bounds agree with slow twins, on inputs by hypothesis."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage_core.linkage_unit import nearest_neighbours, threshold_join
from linkage_core.linkage_unit.distance_bounds import BoundShape, bound_distances
from linkage_core.linkage_unit.nearest_neighbours import find_nearest
from linkage_core.linkage_unit.threshold_join import find_similar_pairs, stream_similar_pairs
from tests.reference.linkage_unit_reference import slow_join, slow_nearest

PATIENT = settings(deadline=None, max_examples=60)  # the first example of a shape compiles
SHAPES = {1: [(1, 1)], 3: [(3, 3), (2, 1)], 16: [(16, 16), (8, 5), (5, 2)]}
FULL = 2**64 - 1


@pytest.fixture(autouse=True, scope="module")
def small_chunks():
    """Chunks of a few rows, pieces of a few pairs: every seam is crossed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threshold_join, "ROWS_PER_CHUNK", 3)
        patch.setattr(threshold_join, "PAIRS_PER_CHUNK", 4)
        patch.setattr(nearest_neighbours, "ROWS_PER_CHUNK", 3)
        yield


@st.composite
def two_sides(draw):
    """Two sides of few distinct words, so that equal, near, empty and full filters are all common."""
    words = draw(st.sampled_from(sorted(SHAPES)))
    pool = draw(st.lists(st.integers(0, FULL), min_size=1, max_size=3)) + [0, FULL]
    row = st.lists(st.sampled_from(pool), min_size=words, max_size=words)
    sides = [draw(st.lists(row, max_size=9)) for _ in "ab"]
    filters = [np.array(side, np.uint64).reshape(len(side), words) for side in sides]
    return *filters, BoundShape(*draw(st.sampled_from(SHAPES[words])))


THRESHOLDS = st.one_of(st.sampled_from([0.0, 0.5, 2 / 3, 0.8, 1.0]), st.floats(0, 1))


@PATIENT
@given(two_sides())
def test_the_bound_never_exceeds_the_distance(case):
    filters_a, filters_b, shape = case
    words = filters_a.shape[1]
    distances = np.bitwise_count(filters_a[:, None] ^ filters_b).sum(axis=2, dtype=np.int64)
    assert (bound_distances(filters_a, filters_b, shape) <= distances).all()
    assert (bound_distances(filters_a, filters_b, BoundShape(words, words)) == distances).all()


@PATIENT
@given(two_sides(), THRESHOLDS)
def test_the_join_agrees_with_comparing_everybody_with_everybody(case, threshold):
    filters_a, filters_b, shape = case
    got = find_similar_pairs(filters_a, filters_b, threshold, shape=shape, threads=1)
    found = list(zip(got.index_a.tolist(), got.index_b.tolist(), got.similarity.tolist(), strict=True))
    assert found == slow_join(filters_a, filters_b, threshold)


@PATIENT
@given(two_sides())
def test_a_pair_at_its_own_similarity_as_threshold_is_found(case):
    filters_a, filters_b, shape = case
    for i, j, similarity in slow_join(filters_a[:2], filters_b[:2], 0.0):
        got = find_similar_pairs(filters_a[:2], filters_b[:2], similarity, shape=shape, threads=1)
        assert (i, j) in set(zip(got.index_a.tolist(), got.index_b.tolist(), strict=True))


@PATIENT
@given(two_sides(), THRESHOLDS)
def test_no_piece_is_larger_than_stated(case, threshold):
    filters_a, filters_b, shape = case
    for piece in stream_similar_pairs(filters_a, filters_b, threshold, shape=shape, threads=1):
        assert len(piece) <= max(threshold_join.PAIRS_PER_CHUNK, len(filters_b))


@PATIENT
@given(two_sides(), st.integers(1, 6), st.sampled_from(["dice", "hamming"]))
def test_the_nearest_agree_with_sorting_everybody(case, neighbours, measure):
    filters_a, filters_b, shape = case
    got = find_nearest(filters_a, filters_b, neighbours, measure=measure, shape=shape, threads=1)
    found = [
        list(zip(rows, scores, strict=True))
        for rows, scores in zip(got.index_b.tolist(), got.similarity.tolist(), strict=True)
    ]
    assert found == slow_nearest(filters_a, filters_b, neighbours, measure)
