"""Encoded records: all that the linkage unit ever sees of a person. Zone: protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linkage_core.errors import NightlinkError
from linkage_core.protocol.encoded_evidence import EncodedEvidence, concat_evidence, take_evidence
from linkage_core.protocol.evidence_spec import EvidenceSpec

PSEUDONYM_BYTES = 16
PSEUDONYM_DTYPE = np.dtype(f"V{PSEUDONYM_BYTES}")


@dataclass(frozen=True, repr=False, eq=False)
class EncodedRecords:
    """One custodian's encoded records, as aligned arrays.

    Attributes
    ----------
    record_pseudonyms : ndarray of V16, shape (n,)
        Keyed pseudonyms; unique within a delivery.
    evidence : EncodedEvidence
        Tokens (the blocking passes' first), diffused filters, rarity bands and sex of the same ``n`` records.
    """

    record_pseudonyms: npt.NDArray[np.void]
    evidence: EncodedEvidence

    def __post_init__(self) -> None:
        n = len(self.evidence)
        if self.record_pseudonyms.dtype != PSEUDONYM_DTYPE or self.record_pseudonyms.shape != (n,):
            found = f"record_pseudonyms as {self.record_pseudonyms.dtype} of {self.record_pseudonyms.shape}"
            raise _wrong_records(found, f"V{PSEUDONYM_BYTES} of shape ({n},)")

    def __repr__(self) -> str:
        # Tracebacks and debug logs print representations: shapes may go there, encodings may not.
        return f"EncodedRecords({self.evidence!r})"

    def __len__(self) -> int:
        return len(self.record_pseudonyms)


def _wrong_records(found: str, expected: str) -> NightlinkError:
    remedy = "Build encoded records through the encoder or the wire format."
    return NightlinkError("E-KERNEL-INPUT", found=found, expected=expected, remedy=remedy)


def blocking_values(records: EncodedRecords, spec: EvidenceSpec) -> npt.NDArray[np.uint64]:
    """The blocking passes' keyed values: uint64, shape (n, passes), C-contiguous; 0 where a part was missing."""
    return np.ascontiguousarray(records.evidence.tokens[:, : spec.passes])


def empty_records(spec: EvidenceSpec) -> EncodedRecords:
    """No records, with the arrays' widths of the protocol."""
    filters = tuple(np.empty((0, group.sent_bits // 64), np.uint64) for group in spec.groups)
    tokens, rarity = np.empty((0, len(spec.tokens)), np.uint64), np.empty((0, len(spec.fields)), np.uint8)
    evidence = EncodedEvidence(tokens, filters, rarity, np.empty(0, np.uint8))
    return EncodedRecords(np.empty(0, PSEUDONYM_DTYPE), evidence)


def concat_records(parts: Sequence[EncodedRecords]) -> EncodedRecords:
    """Join one or more parts of one protocol, keeping their order; E-KERNEL-INPUT without any."""
    evidence = concat_evidence([part.evidence for part in parts])
    return EncodedRecords(np.concatenate([part.record_pseudonyms for part in parts]), evidence)


def take_records(records: EncodedRecords, rows: npt.NDArray[np.intp] | slice) -> EncodedRecords:
    """Some records, in their order; consecutive ones, given as a slice, without a copy."""
    return EncodedRecords(records.record_pseudonyms[rows], take_evidence(records.evidence, rows))


def copy_records(records: EncodedRecords, target: EncodedRecords, first: int) -> None:
    """Copy records of the same protocol into ``target``, from its row ``first`` on."""
    place, source, evidence = slice(first, first + len(records)), records.evidence, target.evidence
    target.record_pseudonyms[place] = records.record_pseudonyms
    evidence.tokens[place], evidence.rarity[place], evidence.sex[place] = (
        source.tokens,
        source.rarity,
        source.sex,
    )
    for filters, wanted in zip(source.group_filters, evidence.group_filters, strict=True):
        wanted[place] = filters


def pseudonym_order(record_pseudonyms: npt.NDArray[np.void]) -> npt.NDArray[np.intp]:
    """Indices that sort pseudonyms by their bytes; stable.

    Pseudonyms are keyed hashes, so this order is a deterministic shuffle: it tells the linkage unit nothing of
    the order in the source.
    """
    halves = np.ascontiguousarray(record_pseudonyms).view(">u8").reshape(-1, 2)
    return np.lexsort((halves[:, 1], halves[:, 0]))
