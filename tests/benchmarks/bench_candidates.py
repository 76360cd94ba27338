"""Seconds and memory of candidates and greedy one-to-one.

Run: ``python -m tests.benchmarks.bench_candidates [records]``

Blocking values follow Zipf's law in part, so that some blocks are crowded: 12 passes, about 30 pairs a record.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from linkage_core.linkage_unit.candidate_pairs import propose_pairs
from linkage_core.linkage_unit.one_to_one import greedy_one_to_one, pair_tie_keys

PASSES = 12
LIMITS = {"max_block_pairs": 2000, "pair_budget": 10**9}


def made_blocking(rng: np.random.Generator, records: int) -> np.ndarray:
    """Half of the passes even, half crowded; 5% null."""
    even = rng.integers(1, records // 3, (records, PASSES // 2))
    crowded = np.minimum(rng.zipf(1.25, (records, PASSES // 2)), 1 << 40)
    values = np.concatenate([even, crowded], axis=1).astype(np.uint64)
    values[rng.random(values.shape) < 0.05] = 0
    return values


def numpy_twin(a: np.ndarray, b: np.ndarray, max_block_pairs: int) -> int:
    """The same union by expanding every pass and sorting all pairs at once."""
    keys = []
    for p in range(PASSES):
        order_b = np.argsort(b[:, p], kind="stable")
        sorted_b = b[order_b, p]
        first = np.searchsorted(sorted_b, a[:, p], "left")
        size = np.searchsorted(sorted_b, a[:, p], "right") - first
        _, inverse, counts = np.unique(a[:, p], return_inverse=True, return_counts=True)
        size[(a[:, p] == 0) | (size * counts[inverse] > max_block_pairs)] = 0
        row_a = np.repeat(np.arange(len(a)), size)
        within = np.arange(len(row_a)) - np.repeat(np.cumsum(size) - size, size)
        keys.append(row_a * len(b) + order_b[np.repeat(first, size) + within])
    return len(np.unique(np.concatenate(keys)))


def peak_mib() -> float:
    """Peak resident memory of this process, from the kernel's books."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def measure(records: int) -> None:
    rng = np.random.default_rng(records)
    a, b = made_blocking(rng, records), made_blocking(rng, records)
    names = [f"p{p}" for p in range(PASSES)]
    propose_pairs(a[:100], b[:100], pass_names=names, **LIMITS)  # compiles
    before, started = peak_mib(), time.perf_counter()
    pairs = propose_pairs(a, b, pass_names=names, **LIMITS)
    seconds, peak = time.perf_counter() - started, peak_mib() - before
    print(f"{records:,} x {records:,}, {PASSES} passes: {len(pairs):,} pairs in {seconds:.2f} s, ", end="")
    print(f"{len(pairs) / seconds / 1e6:.1f} M pairs/s, {peak:.0f} MiB above the input's {before:.0f} MiB")
    started = time.perf_counter()
    twin_pairs = numpy_twin(a, b, LIMITS["max_block_pairs"])
    slow = time.perf_counter() - started
    print(
        f"  numpy twin: {slow:.2f} s, {slow / seconds:.1f} times as long, same count: {twin_pairs == len(pairs)}"
    )
    measure_greedy(rng, records, pairs)


def measure_greedy(rng: np.random.Generator, records: int, pairs) -> None:
    people = np.frombuffer(rng.bytes(16 * records), "V16")
    scores = np.round(rng.beta(4, 4, len(pairs)), 3)
    started = time.perf_counter()
    entered = np.flatnonzero(scores >= 0.72)
    index_a, index_b = pairs.index_a[entered], pairs.index_b[entered]
    ties = pair_tie_keys(people[index_a], people[index_b], b"benchmark")
    chosen = greedy_one_to_one(index_a, index_b, scores[entered], ties, possible=0.72)
    print(
        f"  greedy: {len(entered):,} entered, {len(chosen):,} chosen, {time.perf_counter() - started:.2f} s"
    )


if __name__ == "__main__":
    measure(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
