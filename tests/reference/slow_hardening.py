"""Slow twins of the hardening menu: one filter at a time, as one integer whose bit ``i`` is bit ``i``."""

from __future__ import annotations

import hmac
import math
from hashlib import sha256


def slow_fold(plain: int, bits: int) -> int:
    half = bits // 2
    return (plain ^ (plain >> half)) & ((1 << half) - 1)


def slow_rule_90(plain: int, bits: int) -> int:
    return sum(((plain >> (i - 1) % bits ^ plain >> (i + 1) % bits) & 1) << i for i in range(bits))


def slow_balance(plain: int, bits: int, key: bytes) -> int:
    """Bits of the filter, then of its complement, in the order of their numbers' HMACs; 0 for an empty filter."""
    both = [plain >> i & 1 for i in range(bits)] + [1 - (plain >> i & 1) for i in range(bits)]
    order = sorted(range(2 * bits), key=lambda i: _word(key, i.to_bytes(4, "little")))
    return sum(both[i] << place for place, i in enumerate(order)) if plain else 0


def slow_flips(plain: int, bits: int, key: bytes, flips: int) -> int:
    stream = b"".join(
        hmac.digest(key, plain.to_bytes(bits // 8, "little") + counter.to_bytes(4, "little"), "sha256")
        for counter in range(bits // 32)
    )
    return plain ^ sum((stream[i] < flips) << i for i in range(bits)) if plain else 0


def slow_fourier_signs(plain: int, bits: int, key: bytes, features: int, bandwidth: int) -> int:
    """Angles in whole shares of a turn; a cosine is positive in the first and in the last quarter."""
    turn = 2**32
    scale = round(turn * math.sqrt(bandwidth / bits) / (8 * math.pi))
    out = 0
    for m in range(features):
        shift_digest = _digest(key, 2**32 - 1, m // 8)
        angle = int.from_bytes(shift_digest[4 * (m % 8) : 4 * (m % 8) + 4], "little")
        for bit in range(bits):
            word = _digest(key, bit, m // 4)[8 * (m % 4) : 8 * (m % 4) + 8]
            weight = (int.from_bytes(word, "little").bit_count() - 32) * scale
            angle += weight if plain >> bit & 1 else -weight
        out |= ((angle + turn // 4) % turn < turn // 2) << m
    return out if plain else 0


def slow_salted_token(token: int, salt: str) -> int:
    return token + (int.from_bytes(sha256(salt.encode()).digest()[:3], "little") << 40)


def _word(key: bytes, message: bytes) -> int:
    return int.from_bytes(hmac.digest(key, message, "sha256")[:8], "little")


def _digest(key: bytes, row: int, counter: int) -> bytes:
    return hmac.digest(key, row.to_bytes(4, "little") + counter.to_bytes(4, "little"), "sha256")
