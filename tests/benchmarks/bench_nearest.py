"""Pairs a second of the 100 nearest, beside faiss's binary indexes, flat and inverted lists, and the machine's limit.

Run: ``python -m tests.benchmarks.bench_nearest [k]`` (after ``make peers``)

CLKs of 100,000 generated people a side. One thread and its CPU time on each side,
preparation included on ours; five rounds in which everyone runs once; medians. The peer counts Hamming distances;
Dice is ours alone. faiss's inverted lists (IVF) are approximate: one run, without the time to make them, with the share
of the nearest that they find; the rate counts all pairs, looked at or not, as ours does.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from linkage_core.linkage_unit.nearest_neighbours import find_nearest
from tests.benchmarks.generated_filters import filters_of_people
from tests.benchmarks.peer_races import REPEATS, cpu_seconds, limit_rate, print_row, run_peer

PEOPLE = 100_000
SHAPES = ((4_000, 100_000), (20_000, 20_000))
PEER_ROWS = 1_000


def main() -> None:
    k = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    a, b = filters_of_people(PEOPLE)
    for measure in ("dice", "hamming"):  # compiles
        for _, records in SHAPES:
            find_nearest(a[:1024], b[:records], k, measure=measure, threads=1)
    for rows, records in SHAPES:
        race(a[:rows], b[:records], k)


def race(a: np.ndarray, b: np.ndarray, k: int) -> None:
    print(f"\n{len(a):,} x {len(b):,}, k = {k}, {64 * a.shape[1]} bits")
    find_nearest(a, b, k, threads=1), find_nearest(a, b, k, measure="hamming", threads=1)
    rates: dict[str, list[float]] = {"Hamming": [], "Dice": [], "faiss flat": [], "limit": []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(REPEATS):
            for name, measure in (("Hamming", "hamming"), ("Dice", "dice")):
                seconds = cpu_seconds(lambda m=measure: find_nearest(a, b, k, measure=m, threads=1))
                rates[name].append(len(a) * len(b) / seconds / 1e6)
            theirs, result = run_peer("faiss", Path(folder), a[:PEER_ROWS], b, k)
            rates["faiss flat"].append(PEER_ROWS * len(b) / theirs / 1e6)
            rates["limit"].append(limit_rate(a.shape[1]))
    print(f"{'one thread, CPU time':34}{'M pairs/s':>10}{'x peer':>9}{'x limit':>9}")
    for name in rates:
        print_row(name, rates[name], rates["faiss flat"], rates["limit"])
    ours = find_nearest(a[:PEER_ROWS], b, k, measure="hamming").similarity
    print(f"distances identical to faiss's: {np.array_equal(ours, result['distance'])}")
    race_lists(a[:PEER_ROWS], b, k, ours, float(np.median(rates["Hamming"])))


def race_lists(a: np.ndarray, b: np.ndarray, k: int, distance: np.ndarray, our_rate: float) -> None:
    """faiss's inverted lists at growing recall; ``distance``, of shape (len(a), k), has the true ones in order."""
    with tempfile.TemporaryDirectory() as folder:
        lists = run_peer("faiss-ivf", Path(folder), a, b, k)[1]
    for probes, seconds, found in zip(lists["probes"], lists["seconds"], lists["distance"], strict=True):
        recall = np.mean((found >= 0) & (found <= distance[:, -1:]))
        rate = len(a) * len(b) / seconds / 1e6
        print(
            f"faiss IVF, {probes:3} lists, recall {recall:.3f}  {rate:10.0f}{rate / our_rate:9.1f} x exact Hamming"
        )


if __name__ == "__main__":
    main()
