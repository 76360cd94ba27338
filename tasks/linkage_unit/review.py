"""Clerical review: the night's possible matches for reviewers, and what they decided. Zone: linkage_unit."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from linkage_core.audit.audit_events import NightApproved, PairReviewed, canonical_event
from linkage_core.linkage_unit.link_decisions import BAND_NAMES, Decision, score_bands
from linkage_core.linkage_unit.pair_context import pair_context
from linkage_core.linkage_unit.quality.masked_evidence import (
    collision_bits,
    context_evidence,
    mask_evidence,
)
from linkage_core.linkage_unit.reviewed_pairs import PairVerdict, review_counts, with_reviewed
from linkage_core.protocol.evidence_spec import evidence_of
from sql.engine import Engine, make_engine
from sql.warehouse.review import (
    HeldNight,
    OpenPair,
    approve_night,
    decide_pair,
    held_nights,
    open_pairs,
    read_verdicts,
)
from tasks.linkage_unit.linked_custodians import LinkedCustodians
from tasks.linkage_unit.load import NightRun
from tasks.linkage_unit.settings import LinkageUnit
from tasks.protocol.settings_files import read_secret
from tasks.protocol.stages import announce, stage

MOST_QUEUED = 5_000
"""The likeliest are queued: more than a person reviews in a month."""
DEADLINE_S = 60.0


@stage("read reviewers' decisions")
def with_reviews(run: NightRun, unit: LinkageUnit) -> LinkageUnit:
    """The unit, its known links completed by what reviewers settled in this project."""
    verdicts = [PairVerdict(**row) for row in read_verdicts(run.engine, unit.protocol.project)]
    if not verdicts:
        return unit
    counts = review_counts(verdicts)
    announce(f"pairs decided by reviewers: {counts.decided}, judged by two: {counts.judged_twice}")
    return replace(unit, known_links=with_reviewed(unit.known_links, verdicts), reviewed=counts)


def pairs_to_review(linked: Sequence[LinkedCustodians], unit: LinkageUnit) -> list[dict[str, Any]]:
    """Possible matches, likeliest first, each with its masked evidence; of two custodians at most 5,000."""
    return [pair for two in linked for pair in _of_two(two, unit)]


def _of_two(two: LinkedCustodians, unit: LinkageUnit) -> list[dict[str, Any]]:
    chosen = two.links.pairs
    possible = np.flatnonzero(chosen.decision == Decision.POSSIBLE_MATCH)
    order = np.lexsort((chosen.tie_keys[possible], -chosen.probability[possible]))
    possible = possible[order[:MOST_QUEUED]]
    rows_a, rows_b = chosen.index_a[possible], chosen.index_b[possible]
    asked = (
        (two.a.records.evidence, two.b.records.evidence),
        rows_a,
        rows_b,
        evidence_of(unit.protocol),
        (two.a.manifest.aggregates, two.b.manifest.aggregates),
    )
    evidence = mask_evidence(*asked, two.scored.model)
    pairs = two.pairs
    at = two.links.probabilities.pairs[possible]
    context = pair_context(two.scored.odds.odds, pairs.passes, pairs.index_a, pairs.index_b, at)
    more = context_evidence(context, collision_bits(*asked))
    bands = score_bands(chosen.probability[possible])
    return [
        {
            "custodian_a": two.custodians[0],
            "record_a": str(uuid.UUID(bytes=two.a.records.record_pseudonyms[rows_a[k]].tobytes())),
            "custodian_b": two.custodians[1],
            "record_b": str(uuid.UUID(bytes=two.b.records.record_pseudonyms[rows_b[k]].tobytes())),
            "score_band": BAND_NAMES[bands[k]],
            "evidence": [asdict(field) for field in (*evidence[k], *more[k])],
        }
        for k in range(len(possible))
    ]


def list_pairs(url_file: Path, project: str, most: int) -> list[OpenPair]:
    """The queue of the reviewer whose URL it is."""
    return open_pairs(_engine(url_file), project, most)


def decide(url_file: Path, pair_id: int, verdict: str, reason: str) -> str:
    """Record a verdict, with its audit event; returns under which name."""

    def make_event(project: str, person: str) -> str:
        return canonical_event(
            PairReviewed.model_validate(
                {
                    "project": project,
                    "pair_id": pair_id,
                    "person": person,
                    "verdict": verdict,
                    "reason": reason,
                }
            )
        )

    return decide_pair(_engine(url_file), pair_id, verdict, reason, make_event)


def list_held(url_file: Path) -> list[HeldNight]:
    """Nights that were held, with their findings."""
    return held_nights(_engine(url_file))


def approve(url_file: Path, run_id: str, reason: str) -> tuple[str, ...]:
    """Approve the newest findings of a held night, with the audit event; returns all who approved them."""

    def make_event(held: HeldNight, person: str) -> str:
        return canonical_event(
            NightApproved(
                run_id=held.run_id,
                project=held.project,
                findings_sha256=held.findings_sha256,
                reason=reason,
                persons=[*held.persons, person],
            )
        )

    return approve_night(_engine(url_file), run_id, reason, make_event)


def _engine(url_file: Path) -> Engine:
    return make_engine(read_secret(url_file), deadline_s=DEADLINE_S, application_name="nightlink review")
