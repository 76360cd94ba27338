"""How many of the matches become candidates at all, by the model's own rates. Zone: linkage_unit.

Where values are missing, many matches share no blocking value: the sum of the candidates' posteriors is then far
below the number of matches, and a prior that is read off it is too low for everybody. Which fields have a value is
known of every record, and how often a match agrees in a field is what the model learns; so the chance that a
match becomes a candidate follows by drawing matches: two records' gaps at random, agreements by the rates.

Where filters propose pairs, a match whose fields of one filter are all near or exact counts as proposed.
Codes that are neither shown by a level nor implied by it count as different, so the chance is a lower bound; on
complete records it was .98 and more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linkage_core.protocol.encoded_evidence import EncodedEvidence
from linkage_core.protocol.evidence_spec import FAMILY, GIVEN, IMPLIED_CODES, NEAR, EvidenceSpec, TokenPart
from linkage_core.protocol.linkage_protocol import NAMES

Floats = npt.NDArray[np.float64]

DRAWS = 8_192
SEED = 0
"""Fixed: the same night always draws the same."""
LEAST_SHARE = 0.05


@dataclass(frozen=True)
class FieldPresence:
    """Which fields have a value, over all records of a side.

    Attributes
    ----------
    present : ndarray of bool, shape (k, fields)
        Distinct rows, in ascending order.
    counts : ndarray of intp, shape (k,)
        Records of each; they add up to the side's.
    """

    present: npt.NDArray[np.bool_]
    counts: npt.NDArray[np.intp]


def field_presence(evidence: EncodedEvidence) -> FieldPresence:
    """Count a side's records by the fields that have a value; the order of records does not matter."""
    present = evidence.rarity > 0
    fields = present.shape[1]
    packed = np.packbits(present, axis=1, bitorder="little")
    distinct, counts = np.unique(packed, axis=0, return_counts=True)
    unpacked = np.unpackbits(distinct, axis=1, count=fields, bitorder="little").astype(np.bool_)
    return FieldPresence(unpacked, counts.astype(np.intp))


class CandidateCoverage:
    """Drawn pairs of one person's records, whose agreements follow from rates that are handed in later."""

    def __init__(self, spec: EvidenceSpec, side_a: FieldPresence, side_b: FieldPresence) -> None:
        generator = np.random.default_rng(SEED)
        self._spec = spec
        self._present = _draw_rows(side_a, generator) & _draw_rows(side_b, generator)
        self._draws = generator.random((DRAWS, len(spec.fields)))
        self._proposers = _proposers(spec)

    def share(self, rates: Mapping[str, Floats]) -> float:
        """Share of pairs that agree as ``rates`` say that are proposed, at least :data:`LEAST_SHARE`."""
        agrees = {
            part: self._agreement(part, rates) for part in sorted({p for ps in self._proposers for p in ps})
        }
        proposed = np.zeros(DRAWS, np.bool_)
        for parts in self._proposers:
            proposed |= np.all([agrees[part] for part in parts], axis=0)
        return max(float(proposed.mean()), LEAST_SHARE)

    def _agreement(self, part: TokenPart, rates: Mapping[str, Floats]) -> npt.NDArray[np.bool_]:
        f = self._spec.fields.index(part.field)
        level = np.searchsorted(np.cumsum(rates[part.field])[:-1], self._draws[:, f], side="right")
        shows: npt.NDArray[np.bool_] = levels_with(self._spec, part)[level] & self._present[:, f]
        return shows


def _draw_rows(side: FieldPresence, generator: np.random.Generator) -> npt.NDArray[np.bool_]:
    total = int(side.counts.sum())
    if not total:
        return np.zeros((DRAWS, side.present.shape[1]), np.bool_)
    record = generator.integers(0, total, DRAWS)
    return side.present[np.searchsorted(np.cumsum(side.counts), record, side="right")]


def levels_with(spec: EvidenceSpec, part: TokenPart) -> npt.NDArray[np.bool_]:
    """At which of its field's levels a code surely agrees: those that it shows, or that imply it."""
    agrees = np.zeros(len(spec.level_names(part.field)), np.bool_)
    for level, (_, codes) in enumerate(spec.level_codes(part.field)):
        agrees[level] = any(part.code in (code, *IMPLIED_CODES.get(code, ())) for code in codes)
    agrees[0] |= part.code == NEAR
    return agrees


def _proposers(spec: EvidenceSpec) -> tuple[tuple[TokenPart, ...], ...]:
    """For each pass the parts that must agree; for filters, fields that are all near, which similar ones show."""
    if spec.by_filters:
        return tuple(tuple(TokenPart(name, NEAR) for name in group.fields) for group in spec.groups)
    return tuple(_parts_of_pass(spec, number) for number in range(spec.passes))


def _parts_of_pass(spec: EvidenceSpec, number: int) -> tuple[TokenPart, ...]:
    """The parts that must agree for a pass to propose a pair; names without order agree where both do."""
    parts = []
    for part in spec.tokens[number].parts:
        names = (GIVEN, FAMILY) if part.field == NAMES else (part.field,)
        parts += [TokenPart(name, part.code) for name in names]
    return tuple(parts)
