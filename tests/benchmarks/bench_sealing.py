"""How long sealing a delivery takes: AES-SIV of parts of 100 MB. ``python -m tests.benchmarks.bench_sealing``."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable

from linkage_core.protocol.sealed_parts import SealHeader, open_part, seal_part
from linkage_core.protocol.transfer_keys import agreement_public_hex, secret_at_custodian

PART_MB = 100


def _cpu_seconds(work: Callable[[], bytes], runs: int = 3) -> tuple[float, bytes]:
    """The least CPU time of some runs, and what the work gave."""
    times, result = [], b""
    for _ in range(runs):
        began = time.process_time()
        result = work()
        times.append(time.process_time() - began)
    return min(times), result


def main() -> None:
    """Print seconds and MB/s for sealing, opening and, beside them, SHA-256 of the same bytes."""
    secret = secret_at_custodian(os.urandom(32), agreement_public_hex(os.urandom(32)))
    header, name = SealHeader("bench", "2026", "hospital", "2026-03-31", 1), "part-0000.sealed"
    data = os.urandom(PART_MB * 1_000_000)
    sealing, sealed = _cpu_seconds(lambda: seal_part(data, name, header, secret))
    opening, opened = _cpu_seconds(lambda: open_part(sealed, name, header, secret))
    hashing, _ = _cpu_seconds(lambda: hashlib.sha256(sealed).digest())
    if opened != data:
        raise SystemExit("what was opened is not what was sealed")
    for what, seconds in (("seal_part", sealing), ("open_part", opening), ("SHA-256", hashing)):
        print(f"{what:<10} {PART_MB} MB: {seconds:.3f} s of CPU, {PART_MB / seconds:,.0f} MB/s, one core")


if __name__ == "__main__":
    main()
