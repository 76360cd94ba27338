"""Pairs a second of the Dice kernel, beside numpy and the machine's limit.

Run: ``python -m tests.benchmarks.bench_dice_pairs``

One thread, CPU time, best of five. The limit is a micro-kernel that does the same AND and popcount on two rows
that stay in the first cache: it loads and counts, and neither divides nor looks anything up.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from linkage_core.linkage_unit.dice_kernels import align_rows, count_bits, dice_pairs
from linkage_core.linkage_unit.kernel_compilation import CompiledKernel
from linkage_core.linkage_unit.popcount_intrinsics import shared_bits

RECORDS = 100_000
PAIRS = 4_000_000
BLOCK = 30


def best_seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """Least CPU time of several calls, after one that compiles."""
    work()
    seconds = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return min(seconds)


def made_filters(rng: np.random.Generator, words: int) -> np.ndarray:
    draws = rng.integers(0, 2**64, (2, RECORDS, words), dtype=np.uint64)
    return align_rows(draws[0] & draws[1])


def block_order(rng: np.random.Generator, side: int, *, scattered: bool) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of side x side blocks; the rows of a block lie together, or anywhere."""
    starts = np.arange(PAIRS // side**2) % (RECORDS // side) * side
    rows_a, rows_b = (starts[:, None, None] + offset for offset in np.indices((side, side)))
    if scattered:
        return rng.permutation(RECORDS)[rows_a.ravel()], rng.permutation(RECORDS)[rows_b.ravel()]
    return rows_a.ravel(), rows_b.ravel()


def pair_orders(rng: np.random.Generator) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    index_a, index_b = rng.integers(0, RECORDS, (2, PAIRS))
    return {
        "random": (index_a, index_b),
        "sorted by row of A": (np.sort(index_a), index_b),
        "5 x 5 blocks, scattered rows": block_order(rng, 5, scattered=True),
        "30 x 30 blocks, scattered rows": block_order(rng, BLOCK, scattered=True),
        "30 x 30 blocks, block order": block_order(rng, BLOCK, scattered=False),
    }


def numpy_twin(a: np.ndarray, b: np.ndarray, index_a: np.ndarray, index_b: np.ndarray) -> np.ndarray:
    out = np.empty(len(index_a))
    bits_a, bits_b = count_bits(a), count_bits(b)
    for start in range(0, len(out), 1 << 14):
        part = slice(start, start + (1 << 14))
        i, j = index_a[part], index_b[part]
        out[part] = 2.0 * np.bitwise_count(a[i] & b[j]).sum(axis=1, dtype=np.int64) / (bits_a[i] + bits_b[j])
    return out


def machine_limit(words: int) -> Callable[[np.ndarray, np.ndarray], None]:
    """The micro-kernel for filters of ``words`` words."""

    def count(rows: np.ndarray, out: np.ndarray) -> None:
        total = 0
        for k in range(np.uint64(0), np.uint64(PAIRS)):
            total += shared_bits(rows, k & np.uint64(7), rows, k & np.uint64(15), words)
        out[0] = total

    return CompiledKernel(count)


def measure(words: int) -> None:
    rng = np.random.default_rng(words)
    a, b = made_filters(rng, words), made_filters(rng, words)
    limit_kernel, total = machine_limit(words), np.zeros(1, np.int64)
    limit = PAIRS / best_seconds(lambda: limit_kernel(a[:16], total)) / 1e6
    print(f"\n{words * 64} bits; AND + popcount in the first cache: {limit:.0f} M pairs/s")
    print(f"{'order':34}{'M pairs/s':>10}{'x numpy':>9}{'x limit':>9}{'2 threads':>11}")
    for name, (index_a, index_b) in pair_orders(rng).items():
        fast = (
            len(index_a) / best_seconds(lambda i=index_a, j=index_b: dice_pairs(a, b, i, j, threads=1)) / 1e6
        )
        few = slice(0, PAIRS // 8)
        slow_seconds = best_seconds(lambda i=index_a[few], j=index_b[few]: numpy_twin(a, b, i, j), 2)
        slow = PAIRS // 8 / slow_seconds / 1e6
        print(
            f"{name:34}{fast:10.0f}{fast / slow:9.1f}{fast / limit:9.2f}{two_threads(a, b, index_a, index_b):11.2f}"
        )


def two_threads(a: np.ndarray, b: np.ndarray, index_a: np.ndarray, index_b: np.ndarray) -> float:
    """Wall time of one thread over that of two."""

    def wall(threads: int) -> float:
        seconds = []
        for _ in range(5):
            started = time.perf_counter()
            dice_pairs(a, b, index_a, index_b, threads=threads)
            seconds.append(time.perf_counter() - started)
        return min(seconds)

    return wall(1) / wall(2)


if __name__ == "__main__":
    for filter_words in (16, 32):
        measure(filter_words)
