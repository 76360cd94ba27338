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
    random_projection(),
    signed_fourier(6),
    diffused(2),
    diffused(4),
    diffused(5),
    diffused(6),
    diffused(8),
    pair_filters(1),
    pair_fourier_signs(8),
    *(pair_filters(8, (pair,)) for pair in PAIRS),
    pair_filters(6),
    pair_filters(8),
)
DEFAULT, PLAIN_PAIRS = pair_filters(8), pair_filters(1)
