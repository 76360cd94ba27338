"""A night of three custodians or more in the summary of two: sums over all pairs of them. Zone: linkage_unit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any


def sum_pairs(by_two: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The summaries of all pairs of custodians as one, and each by itself under ``pairs_of_custodians``.

    Counts add up. The match threshold is the lowest of all; expected precision and recall are means, weighted by
    matches and by expected matches. How often fields agree is told pair by pair only.
    """
    return {
        "candidates": _sum_candidates([two["candidates"] for two in by_two]),
        "scores": _sum_scores(by_two),
        "model": {
            "expected_matches": sum(two["model"]["expected_matches"] for two in by_two),
            "iterations": max(two["model"]["iterations"] for two in by_two),
            "converged": all(two["model"]["converged"] for two in by_two),
            "exact_agreement": [],
        },
        "links": {
            "match": sum(two["links"]["match"] for two in by_two),
            "possible_match": sum(two["links"]["possible_match"] for two in by_two),
            "by_band": dict(sorted(_added(two["links"]["by_band"] for two in by_two).items())),
        },
        "pairs_of_custodians": [dict(two) for two in by_two],
    }


def _sum_candidates(candidates: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    pairs, all_pairs = (sum(two[name] for two in candidates) for name in ("pairs", "all_pairs"))
    return {
        **{name: candidates[0][name] for name in ("mode",) if name in candidates[0]},
        "pairs": pairs,
        "all_pairs": all_pairs,
        "reduction_ratio": 1.0 - pairs / all_pairs if all_pairs else 0.0,
        "passes": [
            {
                "name": same_pass[0]["name"],
                "largest_block_pairs": max(row["largest_block_pairs"] for row in same_pass),
                **{
                    name: sum(row[name] for row in same_pass)
                    for name in ("pairs", "blocks", "blocks_dropped")
                },
            }
            for same_pass in zip(*(two["passes"] for two in candidates), strict=True)
        ],
    }


def _sum_scores(by_two: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    scores = [two["scores"] for two in by_two]
    matches = [two["links"]["match"] for two in by_two]
    expected = [two["model"]["expected_matches"] for two in by_two]
    return {
        **scores[0],
        "counts": [sum(band) for band in zip(*(score["counts"] for score in scores), strict=True)],
        "match_threshold": min(score["match_threshold"] for score in scores),
        "expected_precision": _mean([score["expected_precision"] for score in scores], matches),
        "expected_recall": _mean([score["expected_recall"] for score in scores], expected),
    }


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    total = sum(weights)
    if not total:
        return sum(values) / len(values)
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / total


def _added(counts: Any) -> Counter[str]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return total
