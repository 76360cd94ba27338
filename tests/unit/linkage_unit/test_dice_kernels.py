"""Dice of pairs: known answers, hub filters, threads, and refusal of wrong arrays."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit import dice_kernels
from linkage_core.linkage_unit.dice_kernels import align_rows, count_bits, dice_pairs

GOLDEN = Path(__file__).parents[2] / "golden" / "dice_pairs.json"
VECTORS = Path(__file__).parents[4] / "shared" / "vectors" / "clkhash_0_18_3.json"
FULL = np.uint64(2**64 - 1)


def filters_of(rng: np.random.Generator, records: int, words: int) -> np.ndarray:
    """Filters with a fill of about 0.44, as the encoder's."""
    draws = rng.integers(0, 2**64, (4, records, words), dtype=np.uint64)
    return (draws[0] & draws[1]) | (draws[2] & draws[3])


def test_known_answers():
    case = json.loads(GOLDEN.read_text())
    filters = np.array([[int(word, 16) for word in row] for row in case["filters"]], np.uint64)
    index_a, index_b = np.array([pair["pair"] for pair in case["pairs"]], np.intp).T
    expected = [float(Fraction(pair["dice"])) for pair in case["pairs"]]
    assert dice_pairs(filters, filters, index_a, index_b).tolist() == expected


@pytest.mark.skipif(not VECTORS.exists(), reason="../shared/vectors is not beside this clone")
def test_filters_made_by_clkhash_keep_their_popcounts_and_score_as_their_bit_sets():
    record = json.loads(VECTORS.read_text())["full_record"]
    raw = [base64.b64decode(clk) for clk in record["clks_base64"]]
    filters = np.array([np.frombuffer(clk, "<u8") for clk in raw]).astype(np.uint64)
    assert count_bits(filters).tolist() == record["popcounts"]
    numbers = [int.from_bytes(clk, "big") for clk in raw]
    for i, a in enumerate(numbers):
        for j, b in enumerate(numbers):
            expected = 2 * (a & b).bit_count() / (a.bit_count() + b.bit_count())
            assert dice_pairs(filters, filters, np.array([i]), np.array([j])).tolist() == [expected]


@pytest.mark.parametrize("words", [0, 1, 16])
def test_two_empty_filters_score_zero(words):
    empty = np.zeros((1, words), np.uint64)
    assert dice_pairs(empty, empty, np.zeros(1, np.intp), np.zeros(1, np.intp)).tolist() == [0.0]


def test_no_pairs_and_no_records():
    none, nobody = np.empty(0, np.intp), np.empty((0, 16), np.uint64)
    assert dice_pairs(nobody, nobody, none, none).shape == (0,)


@pytest.mark.parametrize(
    "hub", [FULL, np.uint64(0), np.uint64(0x00FF00FF00FF00FF)], ids=["ones", "zeros", "constant"]
)
def test_a_hub_filter_stays_below_the_match_threshold_against_everybody(hub):
    people = filters_of(np.random.default_rng(1), 2000, 16)
    hubs = np.full((1, 16), hub)
    everybody = np.arange(len(people))
    scores = dice_pairs(people, hubs, everybody, np.zeros_like(everybody))
    assert scores.max() < 0.72


def test_any_number_of_threads_gives_the_same_bytes(monkeypatch):
    monkeypatch.setattr(dice_kernels, "PAIRS_PER_CHUNK", 1000)
    rng = np.random.default_rng(2)
    a, b = filters_of(rng, 300, 16), filters_of(rng, 300, 16)
    index_a, index_b = rng.integers(0, 300, (2, 25_001))
    one = dice_pairs(a, b, index_a, index_b, threads=1)
    for threads in (2, 3, 7, None):
        assert dice_pairs(a, b, index_a, index_b, threads=threads).tobytes() == one.tobytes()
    whole = (
        2.0
        * np.bitwise_count(a[index_a] & b[index_b]).sum(1)
        / (count_bits(a)[index_a] + count_bits(b)[index_b])
    )
    assert np.array_equal(one, whole)


@pytest.mark.parametrize("layout", ["fortran", "strided", "reversed", "offset"])
def test_any_memory_layout_gives_the_same_scores(layout):
    a = filters_of(np.random.default_rng(3), 60, 16)
    other = {
        "fortran": np.asfortranarray(a),
        "strided": np.repeat(a, 2, axis=0)[::2],
        "reversed": np.ascontiguousarray(a[::-1])[::-1],
        "offset": np.frombuffer(bytes(8) + a.tobytes(), np.uint64)[1:].reshape(a.shape),
    }[layout]
    index_a, index_b = np.random.default_rng(4).integers(0, 60, (2, 500))
    strided = np.repeat(index_a, 2)[::2]
    assert np.array_equal(dice_pairs(other, a, strided, index_b), dice_pairs(a, a, index_a, index_b))
    aligned = align_rows(other)
    assert aligned.ctypes.data % 64 == 0
    assert np.array_equal(aligned, a)
    assert align_rows(aligned) is aligned


GOOD = {
    "filters_a": np.zeros((2, 16), np.uint64),
    "filters_b": np.zeros((3, 16), np.uint64),
    "index_a": np.zeros(4, np.intp),
    "index_b": np.zeros(4, np.intp),
}


@pytest.mark.parametrize(
    ("name", "wrong", "found"),
    [
        ("filters_a", np.zeros((2, 16), np.int64), "filters_a as int64"),
        ("filters_b", np.zeros(16, np.uint64), "filters_b as uint64 of shape (16,)"),
        ("filters_b", np.zeros((3, 8), np.uint64), "filters of 16 and 8 words"),
        ("index_a", np.zeros(4, np.int32), "index_a as int32"),
        ("index_b", np.zeros((4, 1), np.intp), "index_b as int64 of shape (4, 1)"),
        ("index_b", np.zeros(5, np.intp), "4 and 5 indices"),
        ("index_a", np.array([0, 1, 2, 0]), "index_a beyond the records"),
        ("index_b", np.array([0, 1, -1, 0]), "index_b beyond the records"),
    ],
)
def test_wrong_arrays_are_refused_before_the_kernel(name, wrong, found):
    with pytest.raises(NightlinkError) as refusal:
        dice_pairs(**{**GOOD, name: wrong})
    assert refusal.value.code == "E-KERNEL-INPUT"
    assert found in refusal.value.found


@pytest.mark.parametrize("cpu", ["x86-64", "x86-64-v3"])
def test_machines_without_vector_popcount_give_the_same_scores(cpu):
    program = (
        "import numpy as np; from linkage_core.linkage_unit.dice_kernels import dice_pairs;"
        "f = np.random.default_rng(5).integers(0, 2**64, (50, 19), dtype=np.uint64); i = np.arange(50);"
        "print(dice_pairs(f, f[::-1], i, i).tobytes().hex())"
    )
    settings = {**os.environ, "NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": ""}
    printed = subprocess.run(
        [sys.executable, "-c", program], env=settings, capture_output=True, text=True, check=True
    ).stdout
    filters = np.random.default_rng(5).integers(0, 2**64, (50, 19), dtype=np.uint64)
    everybody = np.arange(50)
    assert printed.strip() == dice_pairs(filters, filters[::-1], everybody, everybody).tobytes().hex()
