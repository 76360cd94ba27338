"""Unsealed: what null people and canary pairs say of a night that is published. Zone: linkage_unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from linkage_core.linkage_unit.quality.estimate import Estimate
from linkage_core.linkage_unit.quality.sealed_people import (
    CANARY_PAIRS,
    NULL_PEOPLE,
    SealedCounts,
    precision_by_null_people,
    recall_by_canaries,
)
from sql.warehouse.sealed import UnsealedCounts

DIGITS = 6


def unsealed_rows(counts: UnsealedCounts) -> list[dict[str, Any]]:
    """Rows of estimates for the warehouse."""
    precision, recall = _estimates(counts)
    told = (("precision", NULL_PEOPLE, precision), ("recall", CANARY_PAIRS, recall))
    return [
        {"measure": measure, "estimator": name, **_rounded(found)}
        for measure, name, found in told
        if found is not None
    ]


def with_unsealed(summary: dict[str, Any], unsealed: Sequence[UnsealedCounts]) -> dict[str, Any]:
    """The summary for a report, with what the unsealed counts add; the ledger's own stays as its digest has it."""
    found = {(counts.custodian_a, counts.custodian_b): counts for counts in unsealed}
    quality = [
        _with_estimates(two, found.get(tuple(two["custodians"]))) for two in summary.get("quality", [])
    ]
    return {**summary, "quality": quality, "unsealed": [asdict(counts) for counts in unsealed]}


def _with_estimates(two: dict[str, Any], counts: UnsealedCounts | None) -> dict[str, Any]:
    if counts is None:
        return two
    precision, recall = _estimates(counts)
    added = {} if precision is None else {NULL_PEOPLE: _rounded(precision)}
    told = {} if recall is None else {"canary_recall": _rounded(recall)}
    return {**two, "precision": {**added, **two["precision"]}, **told}


def _estimates(counts: UnsealedCounts) -> tuple[Estimate | None, Estimate | None]:
    sealed = SealedCounts(
        (counts.rows_a - counts.sealed_a, counts.rows_b - counts.sealed_b),
        counts.matches_left,
        (counts.null_a, counts.null_b),
        (counts.null_matched_a, counts.null_matched_b),
        counts.canary_pairs,
        counts.canary_matches,
    )
    return precision_by_null_people(sealed), recall_by_canaries(sealed)


def _rounded(estimate: Estimate) -> dict[str, Any]:
    told = asdict(estimate)
    return {name: round(value, DIGITS) if isinstance(value, float) else value for name, value in told.items()}
