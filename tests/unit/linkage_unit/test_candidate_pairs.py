"""Candidates: crowded and null values, the budget, threads, empty sides."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit import candidate_pairs
from linkage_core.linkage_unit.candidate_pairs import PassReport, pass_names_of, propose_pairs

LIMITS = {"max_block_pairs": 2000, "pair_budget": 10**7}


def column(*values: int) -> np.ndarray:
    return np.array(values, np.uint64).reshape(-1, 1)


def test_a_small_case_by_hand():
    a = np.array([[7, 1], [7, 0], [8, 2]], np.uint64)
    b = np.array([[9, 2], [7, 1], [0, 0]], np.uint64)
    got = propose_pairs(a, b, pass_names=["name", "date"], **LIMITS)
    assert got.index_a.tolist() == [0, 1, 2]
    assert got.index_b.tolist() == [1, 1, 0]
    assert got.passes.tolist() == [0b11, 0b01, 0b10]
    assert (got.index_a.dtype, got.index_b.dtype, got.passes.dtype) == (np.intp, np.intp, np.uint32)
    assert got.reports == (
        PassReport("name", 1, 2, 2, 0, 0, 0, 1, (0, 1)),
        PassReport("date", 2, 2, 1, 0, 0, 1, 1, (2,)),
    )
    assert len(got) == 3
    assert got.all_pairs == 9
    assert got.reduction_ratio == pytest.approx(2 / 3)


def test_null_never_pairs():
    got = propose_pairs(column(0, 0), column(0, 0, 0), pass_names=["p"], **LIMITS)
    assert len(got) == 0
    assert got.reports == (PassReport("p", 0, 0, 0, 0, 0, 2, 3, ()),)


def test_an_oversized_block_is_dropped_in_its_pass_only_and_reported():
    a = np.array([[5, 1], [5, 2], [6, 3]], np.uint64)
    b = np.array([[5, 1], [5, 9], [6, 9]], np.uint64)
    got = propose_pairs(a, b, pass_names=["p", "q"], max_block_pairs=3, pair_budget=100)
    assert list(zip(got.index_a, got.index_b, strict=True)) == [(0, 0), (2, 2)]
    assert got.passes.tolist() == [0b10, 0b01]
    assert got.reports[0] == PassReport("p", 1, 1, 4, 1, 4, 0, 0, (1, 0, 1))


def test_a_record_takes_its_smallest_blocks_first_and_no_more_than_it_has_room_for():
    # Pass p puts all records into one block; in pass q only record 0 of each side meets.
    a = np.array([[5, 1], [5, 2]], np.uint64)
    b = np.array([[5, 1], [5, 3], [5, 4]], np.uint64)
    got = propose_pairs(a, b, pass_names=["p", "q"], **LIMITS, partners_per_record=1)
    assert list(zip(got.index_a.tolist(), got.index_b.tolist(), strict=True)) == [(0, 0)]
    assert got.passes.tolist() == [0b10]
    assert [(report.pairs, report.pairs_left_out) for report in got.reports] == [(0, 6), (1, 0)]


def test_one_record_with_room_is_enough():
    # Two records of A and three of B share a block: B's have room for two partners, A's have none for three.
    got = propose_pairs(column(5, 5), column(5, 5, 5), pass_names=["p"], **LIMITS, partners_per_record=2)
    assert len(got) == 6
    assert got.reports[0].pairs_left_out == 0


def test_a_record_that_lacks_values_has_more_room():
    # Two passes in use: with one value of two the room is 2**3 times as large.
    b = np.array([[5, 9]] * 8, np.uint64)
    a = np.array([[5, 0]] * 9 + [[0, 9]], np.uint64)
    assert len(propose_pairs(a, b, pass_names=["p", "q"], **LIMITS, partners_per_record=1)) == 80
    a[:, 1] = 7
    a[9] = [3, 9]
    assert len(propose_pairs(a, b, pass_names=["p", "q"], **LIMITS, partners_per_record=1)) == 8


def test_sides_change_places():
    rng = np.random.default_rng(4)
    a, b = (rng.integers(0, 9, (60, 3)).astype(np.uint64) for _ in range(2))
    limits = LIMITS | {"pass_names": ["p", "q", "r"], "partners_per_record": 8}
    one, other = propose_pairs(a, b, **limits), propose_pairs(b, a, **limits)
    assert 0 < len(one) < 60 * 60
    assert set(zip(one.index_a, one.index_b, one.passes, strict=True)) == set(
        zip(other.index_b, other.index_a, other.passes, strict=True)
    )


@pytest.mark.parametrize(("na", "nb"), [(0, 0), (0, 3), (3, 0)])
def test_empty_sides(na, nb):
    got = propose_pairs(
        np.ones((na, 2), np.uint64), np.ones((nb, 2), np.uint64), pass_names=["p", "q"], **LIMITS
    )
    assert len(got) == 0
    assert got.reduction_ratio == 0.0


def test_a_constant_key_is_refused_or_dropped_without_asking_for_memory():
    constant = np.full((50_000, 1), 42, np.uint64)
    tracemalloc.start()
    with pytest.raises(NightlinkError) as refusal:
        propose_pairs(constant, constant, pass_names=["town"], max_block_pairs=10**12, pair_budget=10**7)
    dropped = propose_pairs(constant, constant, pass_names=["town"], **LIMITS)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refusal.value.code == "E-PAIR-BUDGET"
    assert "2500000000 from the pass town" in refusal.value.found
    assert len(dropped) == 0
    assert (dropped.reports[0].blocks_dropped, dropped.reports[0].pairs_dropped) == (1, 2_500_000_000)
    assert peak < 30 * 2**20


def test_zipf_blocks_keep_the_small_ones_and_stay_within_the_limit():
    rng = np.random.default_rng(1)
    a, b = (np.minimum(rng.zipf(1.3, (20_000, 1)), 10**6).astype(np.uint64) for _ in "ab")
    got = propose_pairs(a, b, pass_names=["surname"], **LIMITS)
    report = got.reports[0]
    assert report.blocks_dropped > 0
    assert report.pairs_dropped > 10**6
    assert len(got) == report.pairs <= 2000 * report.blocks
    assert np.array_equal(a[got.index_a, 0], b[got.index_b, 0])


def test_the_budget_names_the_largest_pass():
    a = np.array([[1, 2], [1, 3]], np.uint64)
    with pytest.raises(NightlinkError) as refusal:
        propose_pairs(a, a, pass_names=["p", "q"], max_block_pairs=10, pair_budget=5)
    assert refusal.value.found == "6 pairs, of which 4 from the pass p"
    assert len(propose_pairs(a, a, pass_names=["p", "q"], max_block_pairs=10, pair_budget=6)) == 4


def test_any_number_of_threads_and_any_chunk_gives_the_same_pairs(monkeypatch):
    rng = np.random.default_rng(2)
    a, b = rng.integers(0, 60, (2, 500, 32)).astype(np.uint64)
    names = [f"p{p}" for p in range(32)]
    whole = propose_pairs(a, b, pass_names=names, threads=1, **LIMITS)
    assert whole.passes.max() >= 2**31
    for chunk, threads in ((1000, 1), (1000, 2), (77, 5), (10**9, None)):
        monkeypatch.setattr(candidate_pairs, "PROPOSALS_PER_CHUNK", chunk)
        cut = propose_pairs(a, b, pass_names=names, threads=threads, **LIMITS)
        for name in ("index_a", "index_b", "passes"):
            assert getattr(cut, name).tobytes() == getattr(whole, name).tobytes()


@pytest.mark.parametrize(
    ("wrong", "names", "found"),
    [
        (np.ones((2, 1), np.int64), ["p"], "blocking_a as int64"),
        (np.ones(2, np.uint64), ["p"], "shape (2,)"),
        (np.ones((2, 2), np.uint64), ["p"], "shape (2, 2)"),
        (np.ones((2, 33), np.uint64), [f"p{p}" for p in range(33)], "33 passes"),
        (np.broadcast_to(np.uint64(1), (2**31, 1)), ["p"], "2147483648 records"),
    ],
)
def test_wrong_arrays_are_refused(wrong, names, found):
    other = np.ones((2, len(names)), np.uint64)
    with pytest.raises(NightlinkError) as refusal:
        propose_pairs(wrong, other, pass_names=names, **LIMITS)
    assert refusal.value.code == "E-KERNEL-INPUT"
    assert found in refusal.value.found


def test_pass_names_come_in_the_order_of_the_protocol():
    assert pass_names_of(0b101, ["x", "a", "m"]) == ("x", "m")
    assert pass_names_of(0, ["x"]) == ()
