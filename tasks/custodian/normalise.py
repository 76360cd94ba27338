"""Normalise: every custodian's spelling brought to one form. Zone: custodian."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date

import pyarrow as pa

from linkage_core.custodian.normalise import NormalisedBatch, normalise_batch
from tasks.custodian.expectations.normalised_identifiers import normalised_suite
from tasks.custodian.night_folder import NightFolder
from tasks.custodian.part_threads import in_order, usable_threads
from tasks.custodian.settings import CustodianSite
from tasks.custodian.spool import RecordSpool
from tasks.custodian.validate import ValidatedIdentifiers
from tasks.protocol.expectations.run_expectations import ExpectationCount, refuse_broken
from tasks.protocol.stages import announce, stage


@dataclass(frozen=True)
class NormalisedIdentifiers:
    """Normalised rows, with the counts so far."""

    rows: RecordSpool
    validated: ValidatedIdentifiers
    expectations: list[ExpectationCount]


@stage("normalise identifiers")
def normalise_identifiers(
    validated: ValidatedIdentifiers, night: date, site: CustodianSite, folder: NightFolder
) -> NormalisedIdentifiers:
    """Normalise batch by batch and check the result as a set; E-DQ-EXPECTATION when it is not canonical."""
    spool, suite = folder.spool("normalised"), normalised_suite(site.protocol)
    changed, emptied = 0, Counter[str]()

    def normalise(batch: pa.RecordBatch) -> NormalisedBatch:
        return normalise_batch(batch, site.protocol, site.settings.source.format, night)

    for normalised in in_order(normalise, validated.accepted, usable_threads()):
        suite.judge(normalised.records)
        spool.write(normalised.records)
        changed += sum(normalised.changed.values())
        emptied.update(normalised.emptied)
    validated.accepted.discard()
    announce(f"values changed: {changed}; emptied: {_listed(emptied)}")
    counts = suite.counts()
    refuse_broken(counts)
    return NormalisedIdentifiers(spool, validated, [*validated.expectations, *counts])


def _listed(emptied: Counter[str]) -> str:
    return ", ".join(f"{field} {count}" for field, count in sorted(emptied.items()) if count) or "none"
