"""Loaded by the child process that computes chunks when a fault test puts this folder first on PYTHONPATH.

$HOME/fault says which fault, really done: a native kernel that spins, memory that is really asked for, a signal.
"""

import os
import signal
from pathlib import Path

import numba
import numpy as np

from tasks.linkage_unit import chunk_stages


@numba.njit(nogil=True)
def _spin(counter):
    while counter[0] >= 0:
        counter[0] += 1


def _spoiled(stage):
    honest = chunk_stages.STAGES[stage]

    def compute(work, number, pieces):
        fault, where, chunk, amount = Path(os.environ["HOME"], "fault").read_text().split()
        if where == stage and number == int(chunk):
            if fault == "spin":
                _spin(np.zeros(1, np.int64))
            if fault == "memory":
                np.ones(int(amount) * (1 << 17) // pieces)
            if fault == "memory-always":
                np.ones(int(amount) * (1 << 17))
            if fault == "die-once" and pieces == 1 or fault == "die":
                os.kill(os.getpid(), signal.SIGKILL)
        return honest(work, number, pieces)

    return compute


for name in ("pairs", "links"):
    chunk_stages.STAGES[name] = _spoiled(name)
