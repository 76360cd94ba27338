"""Validate: rows that break a rule go to quarantine, a batch that breaks an expectation fails. Zone: custodian."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TextIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linkage_core.custodian.field_rules import RowVerdicts, accepted_rows, check_rows, reject_repeated_ids
from linkage_core.custodian.record_pseudonyms import record_pseudonyms
from linkage_core.custodian.repeated_ids import repeated_ids
from linkage_core.errors import NightlinkError
from tasks.custodian.expectations.raw_extract import raw_extract_suite
from tasks.custodian.night_folder import NightFolder
from tasks.custodian.part_threads import in_order, usable_threads
from tasks.custodian.settings import CustodianSite
from tasks.custodian.source_rows import Misfit
from tasks.custodian.spool import RecordSpool
from tasks.protocol.expectations.run_expectations import ExpectationCount, refuse_broken
from tasks.protocol.output_files import cannot_write
from tasks.protocol.stages import announce, stage


@dataclass(frozen=True)
class ValidatedIdentifiers:
    """Accepted rows, and what became of the others, as counts."""

    accepted: RecordSpool
    extracted: int
    rejected: int
    rejected_by_rule: dict[str, int]
    expectations: list[ExpectationCount]


@stage("validate identifiers")
def validate_identifiers(
    identifiers: RecordSpool, night: date, site: CustodianSite, folder: NightFolder
) -> ValidatedIdentifiers:
    """Judge every row and the whole batch; E-DQ-REJECTS, E-DQ-VOLUME or E-DQ-EXPECTATION when it fails."""
    _check_volume(identifiers.rows + len(identifiers.misfits), site)
    suite = raw_extract_suite(site.protocol, site.settings.quality.max_null_share)
    repeated = repeated_ids(identifiers, identifiers.rows)
    accepted, rules, row_number = folder.spool("accepted"), Counter[str](), 0
    misfits = identifiers.misfits

    def check(batch: pa.RecordBatch) -> tuple[pa.RecordBatch, RowVerdicts]:
        return batch, check_rows(batch, site.protocol, site.settings.source.format, night)

    with _quarantine_file(site, night) as file:
        quarantine = csv.writer(file)
        quarantine.writerow(("row_number", "record_pseudonym", "field", "reason"))
        quarantine.writerows((misfit.row_number, "", "", misfit.code) for misfit in misfits)
        rules.update(misfit.code for misfit in misfits)
        for batch, verdicts in in_order(check, identifiers, usable_threads()):
            suite.judge(batch)
            verdicts = reject_repeated_ids(verdicts, _rows_within(repeated, row_number, batch.num_rows))
            rules.update(verdicts.rejected_by_rule)
            numbers = _row_numbers(row_number, batch.num_rows, misfits)
            quarantine.writerows(_quarantine_rows(batch, verdicts, numbers, site))
            accepted.write(accepted_rows(batch, verdicts))
            row_number += batch.num_rows
    identifiers.discard()
    extracted = row_number + len(misfits)
    rejected = extracted - accepted.rows
    announce(f"rows rejected: {rejected}; rows accepted: {accepted.rows}")
    counts = suite.counts()
    refuse_broken(counts)
    _check_reject_share(rejected, extracted, rules, site)
    return ValidatedIdentifiers(accepted, extracted, rejected, dict(sorted(rules.items())), counts)


def _rows_within(rows: npt.NDArray[np.int64], first: int, count: int) -> npt.NDArray[np.bool_]:
    """Which of ``count`` rows from ``first`` on are among ``rows``, which ascend."""
    start, stop = np.searchsorted(rows, [first, first + count])
    within = np.zeros(count, np.bool_)
    within[rows[start:stop] - first] = True
    return within


def _quarantine_rows(
    batch: pa.RecordBatch, verdicts: RowVerdicts, numbers: npt.NDArray[np.int64], site: CustodianSite
) -> list[tuple[int, str, str, str]]:
    """Row number (from 1, in the order of extraction), pseudonym, field and reason: never a value.

    A row without a source id has no pseudonym; its number finds it.
    """
    ids = batch.column("source_id").take(pa.array(verdicts.rows)).cast(pa.string())
    pseudonyms = record_pseudonyms(
        site.site_key, ids.fill_null(""), project=site.protocol.project, epoch=site.protocol.key_epoch
    )
    return [
        (int(numbers[row]), pseudonym.tobytes().hex() if source_id else "", field, code)
        for row, pseudonym, source_id, field, code in zip(
            verdicts.rows.tolist(), pseudonyms, ids.to_pylist(), verdicts.fields, verdicts.codes, strict=True
        )
    ]


def _row_numbers(before: int, rows: int, misfits: Sequence[Misfit]) -> npt.NDArray[np.int64]:
    """Numbers, from 1, of ``rows`` rows that follow ``before`` others; misfits between them have numbers too.

    A misfit that is the k-th of its kind (from 0) and has number m lies behind m - 1 - k rows.
    """
    place = np.arange(before, before + rows, dtype=np.int64)
    behind = np.array([misfit.row_number - 1 - k for k, misfit in enumerate(misfits)], np.int64)
    return place + 1 + np.searchsorted(behind, place, side="right")


@contextmanager
def _quarantine_file(site: CustodianSite, night: date) -> Iterator[TextIO]:
    """The night's file, open for writing; E-OUTPUT when the disk is full, or what failed before on that disk."""
    path = site.settings.state_folder / "quarantine" / f"{night.isoformat()}.csv"
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            yield file
    except OSError as error:
        earlier = error.__context__
        failure = earlier if isinstance(earlier, NightlinkError) else cannot_write(path, error)
    else:
        return
    raise failure


def _check_volume(rows: int, site: CustodianSite) -> None:
    quality = site.settings.quality
    if not quality.min_rows <= rows <= quality.max_rows:
        raise NightlinkError(
            "E-DQ-VOLUME",
            found=f"{rows} rows from the source of {site.name}",
            expected=f"{quality.min_rows} to {quality.max_rows}",
            remedy="Look at the source; if the change is real, change quality.min_rows or max_rows in the settings.",
        )


def _check_reject_share(rejected: int, extracted: int, rules: Counter[str], site: CustodianSite) -> None:
    allowed = site.settings.quality.max_reject_share
    if rejected > allowed * extracted:
        by_rule = ", ".join(f"{rule} {count}" for rule, count in sorted(rules.items()))
        raise NightlinkError(
            "E-DQ-REJECTS",
            found=f"{rejected} of {extracted} rows rejected ({by_rule})",
            expected=f"at most a share of {allowed}",
            remedy="See the quarantine file in the custodian's state folder for rows and reasons.",
        )
