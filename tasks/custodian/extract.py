"""Extract: identifiers and content, streamed out of one snapshot of the source. Zone: custodian."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa

from tasks.custodian.file_source import content_batches, people_batches
from tasks.custodian.night_folder import NightFolder
from tasks.custodian.settings import CustodianSite, FileSource
from tasks.custodian.source_rows import Misfit
from tasks.custodian.spool import RecordSpool
from tasks.protocol.settings_files import read_secret
from tasks.protocol.stages import announce, stage

if TYPE_CHECKING:
    from sql.custodian.source import SourceSnapshot

CONTENT_COLUMNS = {
    "admission": ("source_id", "admitted", "discharged", "diagnosis_code"),
    "dispensing": ("source_id", "dispensed", "atc_code", "quantity"),
}


@contextmanager
def open_source(site: CustodianSite) -> Iterator[SourceSnapshot | None]:
    """One snapshot of the source database; None for files, which nobody should write meanwhile."""
    if isinstance(site.settings.source, FileSource):
        yield None
        return
    from sql.custodian.source import source_snapshot

    url = read_secret(site.settings.source.database_url_file)
    with source_snapshot(url, site.settings.source.deadline_s) as snapshot:
        yield snapshot


@stage("extract identifiers")
def extract_identifiers(
    snapshot: SourceSnapshot | None, site: CustodianSite, folder: NightFolder
) -> RecordSpool:
    """All people of the source: a source id and whatever protocol fields the source has, as text."""
    spool = folder.spool("identifiers")
    for batch, misfits in _identifiers(snapshot, site):
        spool.write(batch)
        spool.misfits += misfits
    announce(f"rows extracted: {spool.rows + len(spool.misfits)}")
    return spool


@stage("extract content")
def extract_content(snapshot: SourceSnapshot | None, site: CustodianSite, folder: NightFolder) -> RecordSpool:
    """Admissions or dispensings, from the same snapshot; they never meet the identifiers again."""
    spool = folder.spool("content")
    for batch, misfits in _content(snapshot, site):
        spool.write(batch)
        spool.misfits += misfits
    announce(f"content rows extracted: {spool.rows + len(spool.misfits)}")
    return spool


def _identifiers(
    snapshot: SourceSnapshot | None, site: CustodianSite
) -> Iterator[tuple[pa.RecordBatch, tuple[Misfit, ...]]]:
    source, columns = site.settings.source, ("source_id", *site.protocol.field_names)
    if isinstance(source, FileSource) or snapshot is None:
        yield from people_batches(source, site.protocol)
        return
    from sql.custodian.source import stream_rows

    query = source.identifiers_query.read_text(encoding="utf-8")
    batches = stream_rows(snapshot, query, source.batch_rows, columns=columns, optional=columns[1:])
    yield from ((batch, ()) for batch in batches)


def _content(
    snapshot: SourceSnapshot | None, site: CustodianSite
) -> Iterator[tuple[pa.RecordBatch, tuple[Misfit, ...]]]:
    source = site.settings.source
    if source.content_table is None:
        return
    columns = CONTENT_COLUMNS[source.content_table]
    if isinstance(source, FileSource) or snapshot is None:
        yield from content_batches(source, columns)
        return
    from sql.custodian.source import stream_rows

    query = source.content_query.read_text(encoding="utf-8")
    yield from ((b, ()) for b in stream_rows(snapshot, query, source.batch_rows, columns=columns))
