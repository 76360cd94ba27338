"""How long sealing takes: parts of 100 MB, and tokens beside the library's call for each token.

``python -m tests.benchmarks.bench_sealing``
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable

import numpy as np
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from linkage_core.protocol.sealed_parts import SealHeader, open_part, seal_part
from linkage_core.protocol.siv_tokens import SIV_KEY_BYTES, TOKEN_BYTES, seal_tokens
from linkage_core.protocol.transfer_keys import agreement_public_hex, secret_at_custodian

PART_MB = 100
TOKENS = 200_000


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
    _race_tokens(os.urandom(SIV_KEY_BYTES))


def _race_tokens(key: bytes) -> None:
    """All tokens at once beside a call for each, the same bytes either way."""
    tokens = np.frombuffer(os.urandom(TOKENS * TOKEN_BYTES), np.uint8).reshape(-1, TOKEN_BYTES)
    slow = AESSIV(key)
    at_once, sealed = _cpu_seconds(lambda: seal_tokens(key, b"bench", tokens).tobytes())
    one_by_one, expected = _cpu_seconds(
        lambda: b"".join([slow.encrypt(token.tobytes(), [b"bench"]) for token in tokens])
    )
    if sealed != expected:
        raise SystemExit("the tokens sealed at once are not those sealed one by one")
    print(
        f"{TOKENS:,} tokens: {at_once:.3f} s at once, {one_by_one:.3f} s one by one: {one_by_one / at_once:.1f} times"
    )


if __name__ == "__main__":
    main()
