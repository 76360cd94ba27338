"""The figures that the demo prints, and the truth beside them. Only here is the truth known."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from datetime import date
from typing import Any

import numpy as np

from deployments.demo.stage_setting import CUSTODIANS, DemoWorld
from linkage_core.custodian.record_pseudonyms import record_pseudonyms
from linkage_core.evaluation.linkage_quality import output_quality
from linkage_core.evaluation.synthetic_care import followup_by_group
from linkage_core.protocol.linkage_protocol import LinkageProtocol
from sql.engine import make_engine
from sql.warehouse.audit_log import read_links_of_run
from sql.warehouse.research import followup_within_30_days
from sql.warehouse.transactions import warehouse_snapshot


def link_quality(world: DemoWorld, protocol: LinkageProtocol, run_id: str) -> dict[str, dict[str, Any]]:
    """Precision, recall and F1 of the published links against the truth, with and without possible matches."""
    pairs = _true_pairs(world, protocol)
    links = list(
        read_links_as_of(
            make_engine(world.as_role("auditor"), deadline_s=120, application_name="demo"), run_id
        )
    )
    figures = {}
    for name, decisions in (("matches", {"match"}), ("matches_and_possible", {"match", "possible_match"})):
        chosen = [(a, b) for a, b, decision, *_ in links if decision in decisions]
        are_true = np.array([pairs.get(a) == b for a, b in chosen], dtype=bool)
        figures[name] = asdict(output_quality(are_true, len(pairs)))
    return figures


def _true_pairs(world: DemoWorld, protocol: LinkageProtocol) -> dict[str, str]:
    """Hospital pseudonym to pharmacy pseudonym, as the UUID texts of the warehouse."""
    uuid_of = {}
    for name in CUSTODIANS:
        rids, source_ids = zip(*world.fills[name].source_ids.items(), strict=True)
        pseudonyms = record_pseudonyms(
            world.keys[name].site, list(source_ids), project=protocol.project, epoch=protocol.key_epoch
        )
        uuid_of[name] = {rid: str(uuid.UUID(bytes=bytes(p))) for rid, p in zip(rids, pseudonyms, strict=True)}
    truth = world.people.truth
    return {
        uuid_of["hospital"][a]: uuid_of["pharmacy"][b]
        for a, b in zip(truth["rid_a"].to_pylist(), truth["rid_b"].to_pylist(), strict=True)
    }


def researchers_answer(world: DemoWorld, project: str, period: tuple[date, date]) -> list[dict[str, Any]]:
    """The question, asked in the warehouse as the read-only researcher."""
    engine = make_engine(world.warehouse_urls["researcher"], deadline_s=120, application_name="researcher")
    return followup_within_30_days(engine, project, *period)


def true_answer(world: DemoWorld, period: tuple[date, date]) -> dict[str, float]:
    """The same share by diagnosis group, from the sources and the true pairs."""
    rows = followup_by_group(
        world.care.admissions, world.care.dispensings, world.people.truth, days=30, discharged_period=period
    )
    return {row.diagnosis_group: row.share for row in rows}
