"""Explain evidence: which parts of a link's two records agreed, and what each contributed. Zone: linkage_unit.

Read off the night's deliveries again, with the rates of the model that judged them: the warehouse keeps a band of each
link and no more. For the linkage unit's own people; no value is known here, and none is told.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.match_model import MatchModel
from linkage_core.linkage_unit.quality.masked_evidence import FieldEvidence, collision_bits, mask_evidence
from linkage_core.protocol.evidence_spec import evidence_of
from sql.engine import make_engine
from sql.warehouse.audit_log import read_link
from sql.warehouse.ledger import LedgerRun, read_head, read_run
from sql.warehouse.transactions import warehouse_snapshot
from tasks.linkage_unit.receive import ReceivedDelivery, receive_deliveries
from tasks.linkage_unit.scratch_state import scratch_state
from tasks.linkage_unit.settings import LinkageUnit
from tasks.protocol.stages import stage


@stage("explain a link's evidence")
def explain_evidence(link_id: int, unit: LinkageUnit) -> dict[str, Any]:
    """The link's decision and band, and its fields as masked evidence, JSON-able.

    A link that is served is explained by the last published night, which judged it anew; one that has ended by the
    night that opened it.

    Raises
    ------
    NightlinkError
        E-INPUT for a link that there is not, or whose records the deliveries lack (erased since, say), or of a night
        whose model's rates were not kept; as receiving does where the night's deliveries are gone.
    """
    engine = make_engine(
        unit.warehouse_url,
        deadline_s=unit.settings.warehouse_deadline_s,
        application_name="nightlink explain",
    )
    with warehouse_snapshot(engine, doing="explaining a link") as connection:
        link = read_link(connection, link_id)
    if link is None:
        raise _unexplained(f"no link {link_id}")
    is_served = link.closed_by_run is None
    run = read_head(engine, link.project) if is_served else read_run(engine, link.opened_by_run)
    if run is None:
        raise _unexplained("a link without its night")
    fields, collision = _fields(link, run, unit)
    return {
        "link_id": link_id,
        "custodians": [link.custodian_a, link.custodian_b],
        "decision": link.decision,
        "score_band": link.score_band,
        "passes_agreed": list(link.passes_agreed),
        "night": run.run_id,
        "judged_by_a_trained_model": "trained_model" in run.counts,
        "fields": [asdict(field) for field in fields],
        "bits_of_all_fields": sum(field.bits for field in fields),
        "collision_score_bits": collision,
    }


def _fields(link: Any, run: LedgerRun, unit: LinkageUnit) -> tuple[tuple[FieldEvidence, ...], int]:
    rates = _rates_of_night(run.counts, (link.custodian_a, link.custodian_b))
    with scratch_state(unit, "explaining") as scratch:
        settings = scratch.settings.model_copy(update={"wait_for_deliveries_s": 0.0})
        received = receive_deliveries(run.as_of, replace(scratch, settings=settings))
        by_name = {delivery.manifest.custodian: delivery for delivery in received}
        a, b = by_name[link.custodian_a], by_name[link.custodian_b]
        asked = (
            (a.records.evidence, b.records.evidence),
            _row_of(a, link.record_a),
            _row_of(b, link.record_b),
            evidence_of(unit.protocol),
            (a.manifest.aggregates, b.manifest.aggregates),
        )
        return mask_evidence(*asked, rates)[0], collision_bits(*asked)[0]


def _rates_of_night(summary: Mapping[str, Any], custodians: Sequence[str]) -> MatchModel:
    """The night's model as far as evidence needs it: the rates that its summary keeps."""
    for two in summary.get("pairs_of_custodians", [summary]):
        rates = two["model"].get("rates")
        if rates is not None and tuple(two["candidates"]["custodians"]) == tuple(custodians):
            match, random = (
                {name: np.array(levels, np.float64) for name, levels in rates[kind].items()}
                for kind in ("matches", "random_pairs")
            )
            return MatchModel(match, random, {}, 0.0, 0.0, 1.0, 0, True)
    raise _unexplained("a night that did not keep its model's rates")


def _row_of(delivery: ReceivedDelivery, record: str) -> np.ndarray[Any, np.dtype[np.intp]]:
    pseudonym = np.void(uuid.UUID(record).bytes)
    found = np.flatnonzero(delivery.records.record_pseudonyms == pseudonym)
    if len(found) != 1:
        raise _unexplained(f"a record that the delivery of {delivery.manifest.custodian} has not")
    return found.astype(np.intp)


def _unexplained(found: str) -> NightlinkError:
    return NightlinkError(
        "E-INPUT",
        found=found,
        expected="the link_id of a link whose night's deliveries are still in the exchange",
        remedy="Look the link up in linkage.link; what is known of an older one, `nightlink audit explain` tells.",
    )
