"""Compilation on first use, the cache on disk, and chunks on threads."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from numba.core.errors import NumbaError

from linkage_core.linkage_unit import popcount_intrinsics
from linkage_core.linkage_unit.kernel_compilation import CompiledKernel, default_threads, run_in_chunks

PROGRAM = (
    "import numpy as np; from linkage_core.linkage_unit import dice_kernels as d;"
    "f = np.full((2, 16), 3, np.uint64); i = np.arange(2);"
    "assert d.dice_pairs(f, f, i, i).tolist() == [1.0, 1.0];"
    "print(sum(d._dice_kernel(16)._dispatcher.stats.cache_hits.values()))"
)


def run_with_cache(folder) -> str:
    settings = {**os.environ, "NUMBA_CACHE_DIR": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], env=settings, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_machine_code_is_kept_where_the_process_says_and_a_damaged_cache_costs_a_compilation_only(tmp_path):
    assert run_with_cache(tmp_path) == "0"
    assert run_with_cache(tmp_path) == "1"
    for kept in tmp_path.rglob("*.nb?"):
        kept.write_bytes(kept.read_bytes()[:20])
    assert run_with_cache(tmp_path) == "0"


def test_without_a_cache_folder_nothing_is_written(tmp_path):
    settings = {**os.environ, "NUMBA_CACHE_DIR": "", "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-B", "-c", PROGRAM], env=settings, check=True, stdout=subprocess.DEVNULL)
    assert list(tmp_path.rglob("*.nb?")) == []


def test_a_kernel_that_cannot_compile_says_so_with_and_without_a_cache(monkeypatch):
    def wrong(out):
        out.no_such_method()

    for setting in ("", "/nonexistent"):
        monkeypatch.setattr(
            "linkage_core.linkage_unit.kernel_compilation._numba_setting", lambda _, s=setting: s
        )
        with pytest.raises(Exception, match=r"no_such_method|cannot cache"):
            CompiledKernel(wrong)(1)


@pytest.mark.parametrize("threads", [1, 2, 5, None])
@pytest.mark.parametrize("length", [0, 1, 10, 101])
def test_chunks_cover_the_range_once(length, threads):
    seen = []
    run_in_chunks(lambda start, stop: seen.extend(range(start, stop)), length, chunk=10, threads=threads)
    assert sorted(seen) == list(range(length))


def test_the_failure_of_a_chunk_is_raised():
    def work(start, stop):
        if start >= 20:
            raise ValueError("chunk failed")

    with pytest.raises(ValueError, match="chunk failed"):
        run_in_chunks(work, 100, chunk=10, threads=3)


def test_the_default_is_at_least_one_thread():
    assert default_threads() >= 1


@pytest.mark.parametrize("intrinsic", ["shared_bits", "prefetch_row"])
def test_the_number_of_words_must_be_a_constant(intrinsic):
    rows, ask = np.zeros((1, 8), np.uint64), getattr(popcount_intrinsics, intrinsic)

    def ask_for_one_row(rows, words):
        ask(rows, 0, words)

    def ask_for_two_rows(rows, words):
        ask(rows, 0, rows, 0, words)

    kernel = CompiledKernel(ask_for_two_rows if intrinsic == "shared_bits" else ask_for_one_row)
    with pytest.raises(NumbaError, match="words must be a constant"):
        kernel(rows, 8)


def test_the_shape_of_a_bound_must_be_a_constant():
    rows, limits, marks = np.zeros((2, 8), np.uint64), np.zeros(2, np.int64), np.zeros((2, 8), np.uint64)
    slabs = np.zeros((64, 8, 8), np.uint64)

    def mark(rows, slabs, limits, marks, words):
        popcount_intrinsics.mark_close_lanes(rows, 0, slabs, 0, limits, marks, words, 1)

    with pytest.raises(NumbaError, match="words and groups must be constants"):
        CompiledKernel(mark)(rows, slabs, limits, marks, 8)
