"""The nearest neighbours: ties, guesses that fail, threads, hub filters, and refusal of wrong inputs."""

from __future__ import annotations

import numpy as np
import pytest

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit import nearest_neighbours
from linkage_core.linkage_unit.distance_bounds import BoundShape
from linkage_core.linkage_unit.nearest_neighbours import find_nearest

FULL = np.uint64(2**64 - 1)
MEASURES = ("dice", "hamming")


def filters_of(rng: np.random.Generator, records: int, words: int = 16) -> np.ndarray:
    """Filters with a fill of about 0.44, as the encoder's."""
    draws = rng.integers(0, 2**64, (4, records, words), dtype=np.uint64)
    return (draws[0] & draws[1]) | (draws[2] & draws[3])


def by_numpy(a: np.ndarray, b: np.ndarray, k: int, measure: str) -> tuple[np.ndarray, np.ndarray]:
    bits_b = np.bitwise_count(b).sum(axis=1, dtype=np.int64)
    rows, scores = [], []
    for row in a:
        if measure == "hamming":
            score = np.bitwise_count(row ^ b).sum(axis=1, dtype=np.float64)
            order = np.argsort(score, kind="stable")[:k]
        else:
            shared = np.bitwise_count(row & b).sum(axis=1, dtype=np.int64)
            score = 2.0 * shared / np.maximum(int(np.bitwise_count(row).sum()) + bits_b, 1)
            order = np.argsort(-score, kind="stable")[:k]
        rows.append(order)
        scores.append(score[order])
    return np.array(rows), np.array(scores)


def assert_nearest(got, a, b, k, measure):
    rows, scores = by_numpy(a, b, k, measure)
    assert np.array_equal(got.index_b, rows)
    assert np.array_equal(got.similarity, scores)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("shape", [None, BoundShape(16, 12), BoundShape(8, 5)])
@pytest.mark.parametrize("k", [1, 10, 100])
def test_the_nearest_are_those_of_sorting_everybody(measure, shape, k):
    rng = np.random.default_rng(k)
    a, b = filters_of(rng, 50), filters_of(rng, 3000)
    assert_nearest(find_nearest(a, b, k, measure=measure, shape=shape), a, b, k, measure)


@pytest.mark.parametrize("measure", MEASURES)
def test_among_equals_the_lower_row_comes_first_and_stays(measure):
    rng = np.random.default_rng(2)
    b = np.repeat(filters_of(rng, 12), 150, axis=0)[rng.permutation(1800)]
    a = b[:30]
    assert_nearest(find_nearest(a, b, 100, measure=measure), a, b, 100, measure)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("guess", [0.0, 0.3, 1e9])
def test_a_guess_decides_no_result(monkeypatch, measure, guess):
    """Too strict for all, for some, or far too lax: rows that were left short are searched again."""
    rng = np.random.default_rng(3)
    a, b = filters_of(rng, 40), filters_of(rng, 1500)
    guessed = guess * (400 if measure == "hamming" else 1)
    monkeypatch.setattr(
        nearest_neighbours, "_guess_slopes", lambda _, rows: np.where(rows % 2, guessed, np.inf)
    )
    assert_nearest(find_nearest(a, b, 20, measure=measure), a, b, 20, measure)


@pytest.mark.parametrize("measure", MEASURES)
def test_guesses_from_a_sample_and_shapes_from_a_sample_change_nothing(monkeypatch, measure):
    monkeypatch.setattr(nearest_neighbours, "GUESS_FROM_RECORDS", 1)
    monkeypatch.setattr(nearest_neighbours, "SAMPLE_FROM_PAIRS", 1)
    rng = np.random.default_rng(4)
    a, b = filters_of(rng, 30), filters_of(rng, 4000)
    b[::7] = a[0]
    for k in (3, 200):
        assert_nearest(find_nearest(a, b, k, measure=measure), a, b, k, measure)


@pytest.mark.parametrize("measure", MEASURES)
def test_any_number_of_threads_gives_the_same_bytes(monkeypatch, measure):
    monkeypatch.setattr(nearest_neighbours, "ROWS_PER_CHUNK", 16)
    rng = np.random.default_rng(5)
    a, b = filters_of(rng, 130), filters_of(rng, 900)
    one = find_nearest(a, b, 7, measure=measure, threads=1)
    for threads in (2, 3, None):
        other = find_nearest(a, b, 7, measure=measure, threads=threads)
        assert other.index_b.tobytes() == one.index_b.tobytes()
        assert other.similarity.tobytes() == one.similarity.tobytes()


@pytest.mark.parametrize("hub", [FULL, np.uint64(0), np.uint64(0x00FF00FF00FF00FF)])
def test_hub_filters_are_never_nearer_than_a_match_and_find_their_own(hub):
    rng = np.random.default_rng(6)
    people, hubs = filters_of(rng, 800), np.full((600, 16), hub)
    b = np.concatenate([people, hubs])
    for a in (people[:20], hubs[:20]):
        assert_nearest(find_nearest(a, b, 5), a, b, 5, "dice")


@pytest.mark.parametrize(("records_a", "records_b"), [(0, 0), (0, 5), (5, 0), (5, 2)])
def test_fewer_records_than_wanted_are_all_given(records_a, records_b):
    got = find_nearest(np.ones((records_a, 16), np.uint64), np.ones((records_b, 16), np.uint64), 9)
    assert got.index_b.shape == got.similarity.shape == (records_a, min(9, records_b))
    assert (got.similarity == 1.0).all()


GOOD = {"filters_a": np.zeros((2, 16), np.uint64), "filters_b": np.zeros((3, 16), np.uint64), "neighbours": 1}


@pytest.mark.parametrize(
    ("name", "wrong", "found"),
    [
        ("filters_a", np.zeros((2, 16), np.int64), "filters_a as int64"),
        ("neighbours", 0, "0 neighbours"),
        ("neighbours", 70_000, "70000 neighbours"),
        ("measure", "jaccard", "another measure"),
        ("shape", BoundShape(17, 1), "17 words in 1 groups"),
    ],
)
def test_wrong_inputs_are_refused_before_the_kernel(name, wrong, found):
    with pytest.raises(NightlinkError) as refusal:
        find_nearest(**{**GOOD, name: wrong})
    assert refusal.value.code == "E-KERNEL-INPUT"
    assert found in refusal.value.found


def test_filters_too_long_for_ranks_are_refused():
    with pytest.raises(NightlinkError, match="257 words"):
        find_nearest(np.zeros((1, 257), np.uint64), np.zeros((1, 257), np.uint64), 1)
