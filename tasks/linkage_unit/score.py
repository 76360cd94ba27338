"""Score: Dice similarity of the candidates' filters. Zone: linkage_unit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from linkage_core.linkage_unit.candidate_pairs import CandidatePairs
from linkage_core.linkage_unit.dice_kernels import dice_pairs
from tasks.linkage_unit.receive import ReceivedDelivery
from tasks.protocol.stages import stage


@stage("score pairs")
def score_pairs(a: ReceivedDelivery, b: ReceivedDelivery, pairs: CandidatePairs) -> npt.NDArray[np.float64]:
    """Dice of every candidate, in the pairs' order."""
    return dice_pairs(a.records.filters, b.records.filters, pairs.index_a, pairs.index_b)
