"""The process that computes chunks: ``python -m tasks.linkage_unit.chunk_process``. Zone: linkage_unit.

It reads orders, a line of JSON each, and answers with a line for each chunk that is done. It sees no settings, no key
and no warehouse: the job's folder is all that it is told. It ends when whoever gives the orders ends.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from linkage_core.errors import NightlinkError
from tasks.linkage_unit.chunk_stages import compute_chunk, opened
from tasks.protocol.stages import coded_errors_only, peak_memory_mib

OUT_OF_MEMORY = "memory"


def main() -> None:
    """Carry out one order after the other."""
    orders: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_take_orders, args=(orders,), daemon=True).start()
    while True:
        _carry_out(json.loads(orders.get()))


def _carry_out(order: dict[str, Any]) -> None:
    """Do what an order says, chunk by chunk, until one fails; nothing of the order before is left in memory."""
    opened.cache_clear()
    _forget_peak()
    _limit_memory(order["memory_mib"])
    for stage, number in order["chunks"]:
        answer = attempt(Path(order["folder"]), stage, number, order["pieces"])
        print(json.dumps(answer), flush=True)
        if "done" not in answer:
            return


def attempt(folder: Path, stage: str, number: int, pieces: int) -> dict[str, Any]:
    """Compute a chunk and say how it went, in words without a value of a record."""
    try:
        _compute(folder, stage, number, pieces)
    except NightlinkError as error:
        return {"error": [error.code, error.found, error.expected, error.remedy, error.transient]}
    except MemoryError:
        return {OUT_OF_MEMORY: True}
    return {"done": [stage, number], "peak_mib": _own_peak_mib()}


@coded_errors_only
def _coded(folder: Path, stage: str, number: int, pieces: int) -> MemoryError | None:
    try:
        compute_chunk(folder, stage, number, pieces)
    except MemoryError as error:
        return error
    except RuntimeError as error:
        # A thread's stack is memory, too; Python has no error of its own for it.
        if "start new thread" in str(error):
            return MemoryError()
        raise
    return None


def _compute(folder: Path, stage: str, number: int, pieces: int) -> None:
    if _coded(folder, stage, number, pieces) is not None:
        raise MemoryError


def _own_peak_mib() -> int:
    """The largest resident size of this process; the system's books of a child begin with its parent's peak."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024
    except OSError:
        return peak_memory_mib()


def _forget_peak() -> None:
    """Let the system measure this process's largest resident size anew, where it can."""
    with suppress(OSError), open("/proc/self/clear_refs", "w") as control:
        control.write("5")


def _limit_memory(mebibytes: int) -> None:
    """Let allocations beyond the limit fail in this process, before the system kills somebody for it.

    What counts is memory of the process's own: mapped files may be dropped by the system at any time.
    """
    if sys.platform != "linux":  # others know the limit and do not keep it
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = mebibytes << 20
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _take_orders(orders: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        orders.put(line)
    os._exit(1)  # whoever gave the orders has ended


if __name__ == "__main__":
    main()
