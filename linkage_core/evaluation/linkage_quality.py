"""Quality of links and scores against a known truth. Only the evaluation ever holds a truth.

Definitions (the project's own, fixed, so that figures compare across methods and nights):

- Recall counts **all** true pairs, also those that blocking lost.
- Equal scores enter together: a threshold takes all pairs of a score or none.
- Average precision is the sum over thresholds of (R_k - R_{k-1}) P_k, of all scored pairs before one-to-one.
- Best F1, R@P95 and R@P99 are over all thresholds of one-to-one links.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linkage_core.errors import NightlinkError

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class OutputQuality:
    """Precision, recall and F1 of links that were output; each is 0.0 where it is undefined."""

    links: int
    true_links: int
    true_pairs: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class ThresholdQuality:
    """The best that any threshold could reach, with the truth in view; 0.0 if none qualifies."""

    best_f1: float
    best_f1_threshold: float
    best_f1_at_precision_98: float
    best_f1_at_precision_99: float
    recall_at_precision_95: float
    recall_at_precision_99: float


@dataclass(frozen=True)
class PrecisionRecallCurve:
    """Precision and recall of the pairs scoring at least ``thresholds[k]``; thresholds descend."""

    thresholds: npt.NDArray[np.float64]
    precision: npt.NDArray[np.float64]
    recall: npt.NDArray[np.float64]


def mark_true_pairs(
    index_a: Indices, index_b: Indices, truth_a: Indices, truth_b: Indices
) -> npt.NDArray[np.bool_]:
    """Which of the pairs (index_a[k], index_b[k]) are among the true pairs: bool, shape (m,).

    All four are row numbers, not negative and below 2**31; the truth may be in any order.
    """
    width = 1 + max(int(index_b.max(initial=0)), int(truth_b.max(initial=0)))
    return np.isin(index_a * width + index_b, truth_a * width + truth_b)


def output_quality(links_are_true: npt.NDArray[np.bool_], true_pairs: int) -> OutputQuality:
    """Quality of output links.

    Parameters
    ----------
    links_are_true : ndarray of bool, shape (links,)
        From :func:`mark_true_pairs`, each link once.
    true_pairs : int
        All true pairs, found or not.

    Raises
    ------
    NightlinkError
        E-INPUT when more links are true than there are true pairs.
    """
    links, true_links = len(links_are_true), int(np.count_nonzero(links_are_true))
    _check_truth(true_links, true_pairs)
    precision = true_links / links if links else 0.0
    recall = true_links / true_pairs if true_pairs else 0.0
    f1 = 2 * true_links / (links + true_pairs) if true_links else 0.0
    return OutputQuality(links, true_links, true_pairs, precision, recall, f1)


def precision_recall_curve(
    scores: npt.NDArray[np.float64], are_true: npt.NDArray[np.bool_], true_pairs: int
) -> PrecisionRecallCurve:
    """One point for each distinct score, from the highest down.

    Parameters
    ----------
    scores : ndarray of float64, shape (m,)
        Any order; a pair never scored is simply absent.
    are_true : ndarray of bool, shape (m,)
    true_pairs : int
        All true pairs, scored or not.

    Raises
    ------
    NightlinkError
        E-INPUT when more pairs are true than there are true pairs.
    """
    _check_truth(int(np.count_nonzero(are_true)), true_pairs)
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last_of_score = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)])
    found = np.cumsum(are_true[order])[last_of_score]
    # Without true pairs nothing is found, and every recall is 0.0.
    return PrecisionRecallCurve(
        ranked[last_of_score], found / (last_of_score + 1.0), found / float(max(true_pairs, 1))
    )


def average_precision(
    scores: npt.NDArray[np.float64], are_true: npt.NDArray[np.bool_], true_pairs: int
) -> float:
    """Area under the steps of precision over recall, of all scored pairs before one-to-one.

    Summed in whole pairs and without loss: equal precisions give the same area however scores group the pairs.
    """
    curve = precision_recall_curve(scores, are_true, true_pairs)
    found = np.rint(curve.recall * true_pairs)
    return math.fsum(np.diff(found, prepend=0.0) * curve.precision) / max(true_pairs, 1)


def threshold_quality(
    scores: npt.NDArray[np.float64], are_true: npt.NDArray[np.bool_], true_pairs: int
) -> ThresholdQuality:
    """Best F1, R@P95 and R@P99 over all thresholds, of links after one-to-one.

    A greedy one-to-one of all pairs, cut at a threshold, equals the greedy one-to-one of the pairs above it;
    so one resolution without a threshold serves every threshold. Of equal F1, the highest threshold is told.
    """
    curve = precision_recall_curve(scores, are_true, true_pairs)
    if not len(curve.thresholds):
        return ThresholdQuality(0.0, 1.0, 0.0, 0.0, 0.0, 0.0)
    f1 = 2 * curve.precision * curve.recall / np.maximum(curve.precision + curve.recall, np.finfo(float).tiny)
    best = int(np.argmax(f1))
    return ThresholdQuality(
        float(f1[best]),
        float(curve.thresholds[best]),
        float(f1[curve.precision >= 0.98].max(initial=0.0)),
        float(f1[curve.precision >= 0.99].max(initial=0.0)),
        recall_at_precision(curve, 0.95),
        recall_at_precision(curve, 0.99),
    )


def recall_at_precision(curve: PrecisionRecallCurve, precision: float) -> float:
    """The largest recall at a threshold whose precision is at least ``precision``; 0.0 if none is."""
    return float(curve.recall[curve.precision >= precision].max(initial=0.0))


def _check_truth(found: int, true_pairs: int) -> None:
    if found > true_pairs:
        raise NightlinkError(
            "E-INPUT",
            found=f"{found} true pairs among the results, but {true_pairs} in the truth",
            expected="each pair once, and a truth that holds them all",
            remedy="Pass each pair once and count the whole truth.",
        )
