"""The figures that the demo prints, and the truth beside them. Only here is the truth known."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any

import numpy as np

from deployments.demo.stage_setting import CUSTODIANS, DemoWorld
from linkage_core.custodian.record_pseudonyms import record_pseudonyms
from linkage_core.errors import NightlinkError
from linkage_core.evaluation.linkage_quality import output_quality
from linkage_core.evaluation.synthetic_care import followup_by_group, last_complete_discharge
from linkage_core.protocol.linkage_protocol import LinkageProtocol
from sql.engine import make_engine
from sql.warehouse.audit_log import read_links_of_run
from sql.warehouse.ledger import read_estimates, read_run
from sql.warehouse.research import followup_within_30_days
from sql.warehouse.transactions import warehouse_snapshot
from tasks.protocol.settings_files import read_protocol


def link_quality(world: DemoWorld, protocol: LinkageProtocol, run_id: str) -> dict[str, dict[str, Any]]:
    """Precision, recall and F1 of the published links against the truth, with and without possible matches."""
    pairs = _true_pairs(world, protocol)
    engine = make_engine(world.warehouse_urls["auditor"], deadline_s=120, application_name="demo")
    with warehouse_snapshot(engine, doing="reading the links") as connection:
        links = list(read_links_of_run(connection, run_id))
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


def own_estimates(world: DemoWorld, night: date) -> list[dict[str, Any]]:
    """What the published night says of its own matches, read before anybody looks at the truth."""
    engine = make_engine(world.warehouse_urls["auditor"], deadline_s=120, application_name="demo")
    return read_estimates(engine, night.isoformat())


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


def collect_figures(world: DemoWorld, night: date) -> dict[str, Any]:
    """All figures of a night that was published: from the ledger, the links, the researcher and the truth."""
    engine = make_engine(world.warehouse_urls["auditor"], deadline_s=120, application_name="demo")
    run = read_run(engine, night.isoformat())
    if run is None or not run.is_published:
        raise NightlinkError(
            "E-PARTY-FAILED",
            found="a night that is not in the ledger as published",
            expected="a published night",
            remedy="See the failed flow run in the Prefect UI.",
        )
    protocol = read_protocol(world.folder / "linkage_protocol.toml")
    period = (night - timedelta(days=364), last_complete_discharge(night))
    summary = dict(run.counts)
    return {
        "as_of": night.isoformat(),
        "custodians": summary["custodians"],
        "candidates": summary["candidates"],
        "links": {
            **summary["links"],
            "opened": run.links_opened,
            "closed": run.links_closed,
            "kept": run.links_kept,
        },
        "scores": summary["scores"],
        "model": summary["model"],
        "quality": link_quality(world, protocol, run.run_id),
        "answer": answer_beside_truth(world, protocol.project, period),
        "answer_period": [day.isoformat() for day in period],
        "audit": {"sequence": run.audit_sequence, "event_hash": (run.audit_event_hash or b"").hex()},
    }


def answer_beside_truth(world: DemoWorld, project: str, period: tuple[date, date]) -> list[dict[str, Any]]:
    """The researcher's rows, each with the true share; a suppressed group's truth stays suppressed."""
    truth = true_answer(world, period)
    return [
        {**row, "true_share": None if row["suppressed"] else truth.get(row["diagnosis_group"])}
        for row in researchers_answer(world, project, period)
    ]
