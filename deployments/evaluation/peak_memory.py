"""The largest resident size of this process over a stretch of time."""

from __future__ import annotations

from pathlib import Path

from tasks.protocol.stages import peak_memory_mib

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def take_peak_mib() -> float:
    """MiB since the last call; where the system keeps one peak for the whole process (not Linux), that one."""
    try:
        status = _STATUS.read_text(encoding="ascii", errors="replace")
        _CLEAR.write_text("5", encoding="ascii")  # proc(5): resets the peak resident set size
        peak_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return float(peak_memory_mib())
    return peak_kib / 1024
