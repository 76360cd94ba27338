"""Pairs a second of the threshold join, beside anonlink and the machine's limit.

Run: ``python -m tests.benchmarks.bench_threshold_join [threshold]`` (after ``make peers``)

CLKs of 100,000 generated people a side. One thread and its CPU time on each side,
preparation included on ours; five rounds in which everyone runs once; medians. The limit is AND and popcount of two
whole rows in the first cache, so pruning can beat it. Full width does not fold: every word is looked at, ORed in
groups before it is counted, or counted whole. Two threads are wall time: other work on the machine shows.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from linkage_core.linkage_unit.distance_bounds import BoundShape
from linkage_core.linkage_unit.threshold_join import find_similar_pairs, plan_join
from tests.benchmarks.generated_filters import filters_of_people
from tests.benchmarks.peer_races import REPEATS, cpu_seconds, limit_rate, print_row, run_peer, wall_seconds

PEOPLE = 100_000
ROWS, PEER_ROWS = 20_000, 2_000
FRACTIONS = (ROWS, ROWS // 2, ROWS // 2)


def join_all(a: np.ndarray, b: np.ndarray, threshold: float, threads: int) -> None:
    find_similar_pairs(a, b[:ROWS], threshold, threads=threads)


def main() -> None:
    threshold = float(sys.argv[1]) if len(sys.argv) > 1 else 0.8
    a, b = filters_of_people(PEOPLE)
    whole = BoundShape(a.shape[1], a.shape[1])
    chosen = plan_join(a, b, threshold).side_b.shape
    grouped = BoundShape(a.shape[1], -(-3 * a.shape[1] // 8))
    for shape in (chosen, whole, grouped):
        find_similar_pairs(a[:100], b[:1000], threshold, shape=shape)  # compiles
    fill = np.bitwise_count(a).sum() / (64 * a.size)
    print(f"{64 * a.shape[1]} bits, fill {fill:.2f}, threshold {threshold}, {ROWS:,} x {PEOPLE:,}; {chosen}")
    names = ("pruned", "full width, in groups", "full width, every bit counted", "anonlink", "limit")
    rates: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(REPEATS):
            pairs = find_similar_pairs(a[:PEER_ROWS], b, threshold, threads=1)
            for name, rows, shape in zip(names, FRACTIONS, (None, grouped, whole), strict=False):
                seconds = cpu_seconds(
                    lambda n=rows, s=shape: find_similar_pairs(a[:n], b, threshold, threads=1, shape=s)
                )
                rates[name].append(rows * PEOPLE / seconds / 1e6)
            theirs, result = run_peer("anonlink", Path(folder), a[:PEER_ROWS], b, threshold)
            order = np.lexsort((result["index_b"], result["index_a"]))
            same = all(np.array_equal(result[name][order], getattr(pairs, name)) for name in result)
            rates["anonlink"].append(PEER_ROWS * PEOPLE / theirs / 1e6)
            rates["limit"].append(limit_rate(a.shape[1]))
    print(f"{'one thread, CPU time':34}{'M pairs/s':>10}{'x peer':>9}{'x limit':>9}")
    for name in rates:
        print_row(name, rates[name], rates["anonlink"], rates["limit"])
    print(f"pairs and similarities identical to anonlink's: {same} ({len(pairs)} pairs)")
    walls: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(2 * REPEATS):
        for threads, taken in walls.items():
            taken.append(wall_seconds(lambda t=threads: join_all(a, b, threshold, t)))
    print(
        f"two threads against one, best wall times: {min(walls[1]) / min(walls[2]):.2f}"
        f" (load of the machine {os.getloadavg()[0]:.1f})"
    )


if __name__ == "__main__":
    main()
