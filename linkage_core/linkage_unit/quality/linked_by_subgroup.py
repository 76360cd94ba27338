"""Linked against unlinked, by subgroup: whom the linkage leaves out. Zone: linkage_unit.

Unequal shares linked bias whatever is reckoned from the links (Bohensky 2010, doi:10.1186/1472-6963-10-346; GUILD,
Gilbert 2018, doi:10.1093/pubmed/fdx037, asks for the comparison). The subgroups are those that the linkage unit sees:
sex, how common the names are, and which fields are missing. A lower share is no proof of missed matches (a group may
simply be in one file only), but a difference that nobody expected is worth a look.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linkage_core.linkage_unit.quality.estimate import wilson_interval
from linkage_core.protocol.encoded_evidence import MISSING, EncodedEvidence
from linkage_core.protocol.evidence_spec import FAMILY, GIVEN, SEX, EvidenceSpec

SEX_WORDS = ("not given", "female", "male", "other")


@dataclass(frozen=True)
class Subgroup:
    """How many records of a subgroup are in a match; ``low`` and ``high`` are the share's 95% interval."""

    feature: str
    group: str
    records: int
    linked: int
    low: float
    high: float


def linked_by_subgroup(
    evidence: EncodedEvidence, linked: npt.NDArray[np.bool_], spec: EvidenceSpec
) -> tuple[Subgroup, ...]:
    """Subgroups of one custodian's records that have any, in a fixed order.

    Parameters
    ----------
    linked : ndarray of bool, shape (n,)
        Which records are in a match.
    """
    found: list[Subgroup] = []
    if SEX in spec.fields:
        found += _split(SEX, evidence.sex, SEX_WORDS, linked)
    bands = band_words(len(spec.rarity_edges) + 1)
    for name in (GIVEN, FAMILY):
        found += _split(name, evidence.rarity[:, spec.fields.index(name)], bands, linked)
    for f, name in enumerate(spec.fields):
        if name not in (GIVEN, FAMILY, SEX):
            given = (evidence.rarity[:, f] != MISSING).astype(np.uint8)
            found += _split(name, given, ("not given", "given"), linked)
    return tuple(found)


def _split(
    feature: str, groups: npt.NDArray[np.uint8], words: tuple[str, ...], linked: npt.NDArray[np.bool_]
) -> list[Subgroup]:
    records = np.bincount(groups, minlength=len(words))
    of_group = np.bincount(groups[linked], minlength=len(words))
    counts = [(words[g], int(records[g]), int(of_group[g])) for g in range(len(words)) if records[g]]
    return [Subgroup(feature, word, n, k, *wilson_interval(k, n)) for word, n, k in counts]


def band_words(bands: int) -> tuple[str, ...]:
    """Words of rarity bands, 0 being a missing value, then from the commonest on."""
    middle = tuple(f"band {band + 1} of {bands}" for band in range(1, bands - 1))
    if bands == 3:
        middle = ("middling",)
    return ("not given", "common", *middle, "rare") if bands > 1 else ("not given", "any")
