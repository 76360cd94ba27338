"""Runs a peer on the same filters, in its own environment, and compares CPU time of one thread each."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from linkage_core.linkage_unit.dice_kernels import align_rows
from tests.benchmarks.bench_dice_pairs import PAIRS, best_seconds, machine_limit

ROOT = Path(__file__).parents[2]
PEER_PYTHON = Path(os.environ.get("PEERS_PYTHON", ROOT / ".venv-peers" / "bin" / "python"))
REPEATS = 5


def run_peer(
    peer: str, folder: Path, a: np.ndarray, b: np.ndarray, setting: float
) -> tuple[float, dict[str, np.ndarray]]:
    """CPU seconds of the peer's search, and its result."""
    np.save(folder / "a.npy", a)
    np.save(folder / "b.npy", b)
    script = Path(__file__).with_name("peer_searches.py")
    command = [PEER_PYTHON, script, peer, folder, str(setting)]
    settings = {**os.environ, "OMP_NUM_THREADS": "1"}
    printed = subprocess.run(command, env=settings, capture_output=True, text=True, check=True).stdout
    with np.load(folder / "result.npz") as result:
        return float(printed), dict(result)


def cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def wall_seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def limit_rate(words: int) -> float:
    """M pairs a second of AND and popcount on two rows in the first cache: bench_dice_pairs' micro-kernel."""
    kernel, total = machine_limit(words), np.zeros(1, np.int64)
    rows = align_rows(np.zeros((16, words), np.uint64))
    return PAIRS / best_seconds(lambda: kernel(rows, total)) / 1e6


def print_row(name: str, rates: list[float], peer: list[float], limit: list[float]) -> None:
    """Median rate, and medians of the ratios of the rounds: what disturbs a round disturbs both of its sides."""
    against = np.median(np.divide(rates, peer))
    share = np.median(np.divide(rates, limit))
    print(f"{name:34}{np.median(rates):10.0f}{against:9.1f}{share:9.2f}")
