"""Recall as a range, by capture and recapture over passes that share no field. Zone: linkage_unit.

Two passes over disjoint fields, say the names and the birth date with the area, each catch some of the matches. If
catching were independent, n1 n2 / n12 matches would be there (Lincoln and Petersen, in Chapman's form: Chapman 1951),
and the night's matches over that number would be the recall. It is not independent: records in good order are caught
by every pass, so each pair of passes tells of too few missed matches. Hence a range over all pairs of passes and no
point: read it as *recall is probably not above this*. Matches that no pass at all could find are not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from linkage_core.protocol.evidence_spec import FAMILY, GIVEN, TokenDefinition
from linkage_core.protocol.linkage_protocol import NAMES

FEWEST_IN_BOTH = 30


@dataclass(frozen=True)
class RecallRange:
    """The lowest and the highest recall that two passes tell, and how many pairs of passes were asked."""

    low: float
    high: float
    pairs_of_passes: int


def recall_by_recapture(
    passes: npt.NDArray[np.uint32], definitions: Sequence[TokenDefinition]
) -> RecallRange | None:
    """Recall of matches, from the passes that proposed each; None where no two passes without a common field do.

    Parameters
    ----------
    passes : ndarray of uint32, shape (matches,)
        Bit p stands for pass p.
    definitions : sequence of TokenDefinition
        Of the passes, in order.
    """
    caught = [(passes >> np.uint32(p)) & np.uint32(1) > 0 for p in range(len(definitions))]
    told = []
    for p, q in combinations(range(len(definitions)), 2):
        both = int((caught[p] & caught[q]).sum())
        if both >= FEWEST_IN_BOTH and not _fields(definitions[p]) & _fields(definitions[q]):
            there = (int(caught[p].sum()) + 1) * (int(caught[q].sum()) + 1) / (both + 1) - 1
            told.append(min(len(passes) / there, 1.0))
    return RecallRange(min(told), max(told), len(told)) if told else None


def _fields(definition: TokenDefinition) -> set[str]:
    fields = {part.field for part in definition.parts}
    return fields | {GIVEN, FAMILY} if NAMES in fields else fields
