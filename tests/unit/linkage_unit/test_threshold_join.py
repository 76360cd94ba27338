"""The threshold join: hub filters, seams, threads, memory, other machines, and refusal of wrong inputs."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit import distance_bounds, threshold_join
from linkage_core.linkage_unit.distance_bounds import (
    LANES_PER_BLOCK,
    BoundShape,
    bound_distances,
    choose_shape,
    comparable_words,
    fold_filters,
    lay_out_blocks,
    sample_rows,
)
from linkage_core.linkage_unit.threshold_join import (
    find_similar_pairs,
    join_rows,
    plan_join,
    stream_similar_pairs,
)

FULL = np.uint64(2**64 - 1)
PRUNED = BoundShape(8, 5)


def filters_of(rng: np.random.Generator, records: int, words: int = 16) -> np.ndarray:
    """Filters with a fill of about 0.44, as the encoder's."""
    draws = rng.integers(0, 2**64, (4, records, words), dtype=np.uint64)
    return (draws[0] & draws[1]) | (draws[2] & draws[3])


def near_copies(rng: np.random.Generator, filters: np.ndarray, flips: int) -> np.ndarray:
    """The same filters with some bits flipped."""
    copies = filters.copy()
    for _ in range(flips):
        words = rng.integers(0, filters.shape[1], len(filters))
        copies[np.arange(len(filters)), words] ^= np.uint64(1) << rng.integers(
            0, 64, len(filters), dtype=np.uint64
        )
    return copies


@pytest.fixture(scope="module")
def sides() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    a = filters_of(rng, 1300)
    return a, np.concatenate([near_copies(rng, a[:900], 120)[::-1], filters_of(rng, 700)])


def by_numpy(a: np.ndarray, b: np.ndarray, threshold: float) -> list[tuple[int, int, float]]:
    found = []
    bits_b = np.bitwise_count(b).sum(axis=1, dtype=np.int64)
    for i, row in enumerate(a):
        total = int(np.bitwise_count(row).sum()) + bits_b
        dice = 2.0 * np.bitwise_count(row & b).sum(axis=1, dtype=np.int64) / np.maximum(total, 1)
        found += [(i, int(j), float(dice[j])) for j in np.flatnonzero(dice >= threshold)]
    return found


def as_tuples(pairs) -> list[tuple[int, int, float]]:
    return list(zip(pairs.index_a.tolist(), pairs.index_b.tolist(), pairs.similarity.tolist(), strict=True))


@pytest.mark.parametrize("shape", [None, PRUNED, BoundShape(7, 7), BoundShape(16, 6), BoundShape(1, 1)])
@pytest.mark.parametrize("threshold", [0.7, 0.8])
def test_every_shape_of_the_bound_finds_the_same_pairs(sides, shape, threshold):
    assert as_tuples(find_similar_pairs(*sides, threshold, shape=shape)) == by_numpy(*sides, threshold)


def test_any_number_of_threads_gives_the_same_pieces(sides, monkeypatch):
    monkeypatch.setattr(threshold_join, "ROWS_PER_CHUNK", 100)
    monkeypatch.setattr(threshold_join, "PAIRS_PER_CHUNK", 60)  # some chunks are cut, some are not

    def pieces(threads):
        return [as_tuples(piece) for piece in stream_similar_pairs(*sides, 0.8, threads=threads)]

    one = pieces(1)
    assert len(one) > 13
    for threads in (2, 3, 7, None):
        assert pieces(threads) == one
    assert [pair for piece in one for pair in piece] == by_numpy(*sides, 0.8)


def test_a_caller_may_cut_the_rows_itself(sides):
    plan = plan_join(*sides, 0.8, shape=PRUNED)
    cut = [p for start in range(0, 1300, 170) for p in join_rows(plan, start, min(start + 170, 1300))]
    assert [pair for piece in cut for pair in as_tuples(piece)] == by_numpy(*sides, 0.8)


@pytest.mark.parametrize(
    "hub", [FULL, np.uint64(0), np.uint64(0x00FF00FF00FF00FF)], ids=["ones", "zeros", "constant"]
)
def test_a_hub_filter_joins_nobody_and_changes_no_other_pair(sides, hub):
    a, b = sides
    hubs = np.full((LANES_PER_BLOCK + 3, 16), hub)
    expected = find_similar_pairs(a, b, 0.8)
    joined = find_similar_pairs(a, np.concatenate([b, hubs]), 0.8, shape=PRUNED)
    assert as_tuples(joined) == as_tuples(expected)
    turned = find_similar_pairs(np.concatenate([a, hubs]), b, 0.8, shape=PRUNED)
    assert as_tuples(turned) == as_tuples(expected)


def test_two_empty_filters_score_zero():
    empty = np.zeros((2, 16), np.uint64)
    assert len(find_similar_pairs(empty, empty, 1e-9)) == 0
    assert find_similar_pairs(empty, empty, 0.0).similarity.tolist() == [0.0] * 4


@pytest.mark.parametrize(("records_a", "records_b"), [(0, 0), (0, 5), (5, 0)])
def test_nobody_on_a_side_gives_no_pairs(records_a, records_b):
    pairs = find_similar_pairs(np.ones((records_a, 16), np.uint64), np.ones((records_b, 16), np.uint64), 0.0)
    assert len(pairs) == 0
    assert (pairs.index_a.dtype, pairs.index_b.dtype, pairs.similarity.dtype) == (
        np.intp,
        np.intp,
        np.float64,
    )


def test_memory_is_bounded_where_everybody_is_similar_to_everybody(monkeypatch):
    monkeypatch.setattr(threshold_join, "PAIRS_PER_CHUNK", 20_000)
    everybody = np.full((3000, 16), np.uint64(0x0F0F0F0F0F0F0F0F))
    pieces = stream_similar_pairs(everybody, everybody, 0.8, threads=1)
    next(pieces)
    tracemalloc.start()
    total = sum(len(piece) for piece in pieces)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total > 3000 * 2980
    # Room for the candidates of a chunk, its pairs, and copies of its filters; 9 M pairs would take 216 MB.
    assert peak < 3000 * LANES_PER_BLOCK * 8 + 200 * 20_000 + 4 * everybody.nbytes


def test_popcount_windows_keep_pairs_at_their_very_edge():
    """Filters within one another: Dice is exactly 2 min / (min + max)."""
    nested = np.zeros((1025, 16), np.uint64)
    for bits in range(1, 1025):
        nested[bits] = nested[bits - 1]
        nested[bits, (bits - 1) // 64] |= np.uint64(1) << np.uint64((bits - 1) % 64)
    for threshold in (2 / 3, 0.8, 0.9):
        for shape in (PRUNED, BoundShape(16, 16)):
            pairs = find_similar_pairs(nested, nested, threshold, shape=shape)
            assert as_tuples(pairs) == by_numpy(nested, nested, threshold)


def test_a_large_join_is_pruned_by_a_shape_chosen_from_its_sample(monkeypatch, sides):
    monkeypatch.setattr(threshold_join, "SAMPLE_FROM_PAIRS", 1)
    chosen = plan_join(*sides, 0.8).side_b.shape
    assert chosen.groups < 16
    assert plan_join(*sides, 0.8).side_b.shape == chosen
    assert as_tuples(find_similar_pairs(*sides, 0.8)) == by_numpy(*sides, 0.8)
    assert plan_join(*sides, 0.0).side_b.shape.words >= 1


def test_where_nothing_can_be_pruned_the_cheapest_way_to_look_is_as_good_as_any():
    rows = filters_of(np.random.default_rng(4), 8)
    everything = np.full((8, 8), 1024.0)
    assert choose_shape(rows, rows, everything) == BoundShape(1, 1)
    nothing = np.full((8, 8), -1.0)
    assert choose_shape(rows, rows, nothing) == BoundShape(1, 1)


@pytest.mark.parametrize("words", [1, 2, 3, 4, 5, 16, 33])
def test_layouts_hold_every_filter_once(words):
    filters = filters_of(np.random.default_rng(5), 700, words)
    for shape in (BoundShape(words, words), BoundShape(max(1, words // 2), 1)):
        side = lay_out_blocks(filters, shape)
        assert np.array_equal(side.rows[: len(filters)], filters[side.order])
        assert not side.rows[len(filters) :].any()
        assert (np.diff(side.bits) >= 0).all()
        lanes = side.slabs.transpose(0, 2, 1).reshape(-1, shape.words)
        assert np.array_equal(lanes[: len(filters)], comparable_words(filters[side.order], shape))
        assert side.slabs.ctypes.data % 64 == 0
    assert np.array_equal(
        fold_filters(filters, 1)[:, 0], np.bitwise_xor.reduce(filters, axis=1)
    )  # one word: the XOR of all


@pytest.mark.parametrize("words", [1, 2, 3, 5, 7, 16, 32])
def test_the_kernel_marks_as_the_slow_bound_does(words):
    rng = np.random.default_rng(words)
    a, b = filters_of(rng, 5, words), filters_of(rng, 300, words)
    for groups in {1, -(-words // 2), words}:
        shape = BoundShape(words, groups)
        side, bounds = lay_out_blocks(b, shape), bound_distances(a, b, shape)
        folds = comparable_words(np.concatenate([a, a[:1]]), shape)
        limits = np.append(np.median(bounds, axis=1).astype(np.int64), -1)
        room = np.empty(5 * LANES_PER_BLOCK, np.uint64)
        close = distance_bounds.collect_close(folds, limits, 0, 5, side, 0, room)
        rows, places = distance_bounds.rows_of(close), distance_bounds.places_of(close)
        found = {(i, side.order[p]) for i, p in zip(rows.tolist(), places.tolist(), strict=True) if p < 300}
        assert found == set(zip(*np.nonzero(bounds <= limits[:5, None]), strict=True))


def test_a_sample_takes_every_row_of_a_few():
    rows = np.arange(6, dtype=np.uint64).reshape(3, 2)
    assert np.array_equal(sample_rows(rows, 10), rows)
    assert len(sample_rows(rows[:0], 10)) == 0


GOOD = {
    "filters_a": np.zeros((2, 16), np.uint64),
    "filters_b": np.zeros((3, 16), np.uint64),
    "threshold": 0.8,
}


@pytest.mark.parametrize(
    ("name", "wrong", "found"),
    [
        ("filters_a", np.zeros((2, 16), np.int64), "filters_a as int64"),
        ("filters_b", np.zeros((3, 8), np.uint64), "filters of 16 and 8 words"),
        ("threshold", 1.01, "a threshold of 1.01"),
        ("threshold", -0.1, "a threshold of -0.1"),
        ("threshold", float("nan"), "a threshold of nan"),
        ("shape", BoundShape(17, 17), "17 words in 17 groups"),
        ("shape", BoundShape(4, 5), "4 words in 5 groups"),
        ("shape", BoundShape(4, 0), "4 words in 0 groups"),
    ],
)
def test_wrong_inputs_are_refused_before_the_kernel(name, wrong, found):
    with pytest.raises(NightlinkError) as refusal:
        find_similar_pairs(**{**GOOD, name: wrong})
    assert refusal.value.code == "E-KERNEL-INPUT"
    assert found in refusal.value.found


def test_filters_of_no_words_and_too_many_records_are_refused(monkeypatch):
    none = np.zeros((2, 0), np.uint64)
    with pytest.raises(NightlinkError, match="0 words"):
        find_similar_pairs(none, none, 0.8)
    monkeypatch.setattr(threshold_join, "MAX_RECORDS", 2)
    with pytest.raises(NightlinkError, match="2 and 3 records"):
        find_similar_pairs(**GOOD)


@pytest.mark.parametrize("cpu", ["x86-64", "x86-64-v3"])
def test_machines_without_vector_popcount_find_the_same(cpu):
    program = (
        "import numpy as np, hashlib;"
        "from linkage_core.linkage_unit.threshold_join import find_similar_pairs;"
        "from linkage_core.linkage_unit.nearest_neighbours import find_nearest;"
        "from linkage_core.linkage_unit.distance_bounds import BoundShape;"
        "d = np.random.default_rng(5).integers(0, 2**64, (2, 600, 16), dtype=np.uint64);"
        "f = d[0]; f[::3] ^= d[1][::3] & (d[1][::3] >> np.uint64(1)) & np.uint64(0x1111111111111111);"
        "p = find_similar_pairs(f[:300], f, 0.55, shape=BoundShape(14, 12));"
        "n = find_nearest(f[:40], f, 9);"
        "parts = [p.index_a, p.index_b, p.similarity, n.index_b, n.similarity];"
        "print(len(p), hashlib.sha256(b''.join(x.tobytes() for x in parts)).hexdigest())"
    )

    def printed(**settings: str) -> str:
        environment = {**os.environ, "NUMBA_CACHE_DIR": "", **settings}
        return subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        ).stdout

    assert printed(NUMBA_CPU_NAME=cpu, NUMBA_CPU_FEATURES="") == printed()
