"""Quality of candidate pairs against a known truth: pairs completeness and reduction ratio.

Christen 2012, "Data Matching", section 7.3 (doi:10.1007/978-3-642-31164-2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from linkage_core.evaluation.linkage_quality import Indices, mark_true_pairs, output_quality


@dataclass(frozen=True)
class BlockingQuality:
    """Figures of a set of candidate pairs.

    Attributes
    ----------
    candidate_recall : float
        Share of all true pairs that are candidates (pairs completeness); 0.0 without true pairs.
    pairs_scored, true_candidates, true_pairs : int
    reduction_ratio : float
        Share of the cross product that is not compared; 0.0 when a side is empty.
    """

    candidate_recall: float
    pairs_scored: int
    true_candidates: int
    true_pairs: int
    reduction_ratio: float


def blocking_quality(
    index_a: Indices, index_b: Indices, truth_a: Indices, truth_b: Indices, *, records_a: int, records_b: int
) -> BlockingQuality:
    """Quality of candidate pairs (row numbers, each pair once) against true pairs.

    Raises
    ------
    NightlinkError
        E-INPUT when more candidates are true than there are true pairs.
    """
    quality = output_quality(mark_true_pairs(index_a, index_b, truth_a, truth_b), len(truth_a))
    all_pairs = records_a * records_b
    return BlockingQuality(
        candidate_recall=quality.recall,
        pairs_scored=quality.links,
        true_candidates=quality.true_links,
        true_pairs=quality.true_pairs,
        reduction_ratio=1.0 - quality.links / all_pairs if all_pairs else 0.0,
    )


def missed_true_pairs(index_a: Indices, index_b: Indices, truth_a: Indices, truth_b: Indices) -> Indices:
    """Positions in the truth of the pairs that no pass proposed, ascending."""
    return np.flatnonzero(~mark_true_pairs(truth_a, truth_b, index_a, index_b))
