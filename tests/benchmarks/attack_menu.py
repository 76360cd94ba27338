"""The encodings that the attack table attacks: the positive control first, the default last."""

from __future__ import annotations

from linkage_core.evaluation.attacks.hardenings import (
    PAIRS,
    Hardening,
    balanced,
    diffused,
    flipped,
    pair_filters,
    pair_fourier_signs,
    plain,
    random_projection,
    rotation,
    rule_90,
    salted,
    signed_fourier,
    tabulation_min_hash,
    xor_folded,
)

MENU: tuple[Hardening, ...] = (
    plain(),
    xor_folded(),
    rule_90(),
    balanced(),
    flipped(13),
    flipped(51),
    salted(),
    tabulation_min_hash(),
    rotation(),
    diffused(2),
    diffused(6),
    pair_filters(1),
    pair_fourier_signs(8),
    pair_filters(8, PAIRS[:1]),
    pair_filters(6),
    pair_filters(8),
)

LONGER_MENU: tuple[Hardening, ...] = (
    random_projection(),
    signed_fourier(6),
    diffused(4),
    diffused(8),
    *(pair_filters(8, (pair,)) for pair in PAIRS[1:]),
)
"""With ``--longer``: more of the same kinds."""
