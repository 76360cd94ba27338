"""Extract: identifiers and content, streamed out of one snapshot of the source. Zone: custodian."""

from __future__ import annotations

from sql.custodian.source import SourceSnapshot, stream_rows
from tasks.custodian.night_folder import NightFolder
from tasks.custodian.settings import CustodianSite
from tasks.custodian.spool import RecordSpool
from tasks.protocol.settings_files import read_secret
from tasks.protocol.stages import announce, stage


def source_url(site: CustodianSite) -> str:
    """The URL of the source database, from its secret file."""
    return read_secret(site.settings.source.database_url_file)


@stage("extract identifiers")
def extract_identifiers(snapshot: SourceSnapshot, site: CustodianSite, folder: NightFolder) -> RecordSpool:
    """All people of the source: a source id and whatever protocol fields the source has, as text."""
    spool = folder.spool("identifiers")
    columns = ("source_id", *site.protocol.field_names)
    query = site.settings.source.identifiers_query.read_text(encoding="utf-8")
    for batch in stream_rows(
        snapshot, query, site.settings.source.batch_rows, columns=columns, optional=columns[1:]
    ):
        spool.write(batch)
    announce(f"rows extracted: {spool.rows}")
    return spool


CONTENT_COLUMNS = {
    "admission": ("source_id", "admitted", "discharged", "diagnosis_code"),
    "dispensing": ("source_id", "dispensed", "atc_code", "quantity"),
}


@stage("extract content")
def extract_content(snapshot: SourceSnapshot, site: CustodianSite, folder: NightFolder) -> RecordSpool:
    """Admissions or dispensings, from the same snapshot; they never meet the identifiers again."""
    spool = folder.spool("content")
    source = site.settings.source
    query = source.content_query.read_text(encoding="utf-8")
    for batch in stream_rows(
        snapshot, query, source.batch_rows, columns=CONTENT_COLUMNS[source.content_table]
    ):
        spool.write(batch)
    announce(f"content rows extracted: {spool.rows}")
    return spool
