"""Deliver content: admissions or dispensings to the warehouse, under record pseudonyms alone. Zone: custodian.

Content takes a way of its own, past the linkage unit: the custodian's content role may load its own table, and
can read neither links nor the other custodian's rows.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import pyarrow as pa

from linkage_core.audit.audit_events import ContentLoaded, canonical_event
from linkage_core.custodian.content_rules import check_content
from linkage_core.custodian.record_pseudonyms import record_pseudonyms
from linkage_core.errors import NightlinkError
from tasks.custodian.extract import CONTENT_COLUMNS
from tasks.custodian.settings import CustodianSite
from tasks.custodian.spool import RecordSpool
from tasks.protocol.code_version import code_version
from tasks.protocol.settings_files import read_secret
from tasks.protocol.stages import announce, stage


@stage("deliver content")
def deliver_content(content: RecordSpool, night: date, site: CustodianSite) -> None:
    """Load the night's content in one transaction with its audit event; the same content again changes nothing."""
    settings = site.settings
    table, url_file = settings.source.content_table, settings.warehouse_content_url_file
    if table is None or url_file is None:
        announce("no content is configured: none was delivered")
        return
    # Here, since a custodian without content needs neither a driver nor a warehouse.
    from sql.engine import make_engine
    from sql.warehouse.content import load_content

    engine = make_engine(
        read_secret(url_file),
        deadline_s=settings.source.deadline_s,
        application_name="nightlink content",
    )
    checked = _checked_content(content, site)
    rows = _pseudonymous_rows(checked, CONTENT_COLUMNS[table], site)
    loaded = load_content(
        engine,
        run_id=night.isoformat(),
        as_of=night,
        tables={table: rows},
        make_event=lambda digest, counts: canonical_event(
            ContentLoaded(
                run_id=night.isoformat(),
                project=site.protocol.project,
                as_of=night,
                custodian=site.name,
                manifest_sha256=digest,
                rows=dict(counts),
                code_version=code_version(),
            )
        ),
    )
    content.discard()
    announce(f"content rows delivered: {sum(loaded.rows.values())} ({loaded.status})")


def _checked_content(content: RecordSpool, site: CustodianSite) -> list[pa.RecordBatch]:
    """The rows that hold codes, dates and numbers alone; E-DQ-REJECTS when too many do not."""
    checked = [check_content(batch) for batch in content]
    rules = Counter[str](misfit.code for misfit in content.misfits)
    extracted = content.rows + len(content.misfits)
    rejected = len(content.misfits) + sum(c.rejected for c in checked)
    for part in checked:
        rules.update(part.rejected_by_rule)
    by_rule = ", ".join(f"{rule} {count}" for rule, count in sorted(rules.items()))
    announce(f"content rows rejected: {rejected} ({by_rule or 'none'})")
    allowed = site.settings.quality.max_reject_share
    if rejected > allowed * extracted:
        raise NightlinkError(
            "E-DQ-REJECTS",
            found=f"{rejected} of {extracted} rows of content rejected ({by_rule})",
            expected=f"at most a share of {allowed}",
            remedy="Look at the codes and dates of the source; nothing of this night was delivered.",
        )
    return [part.rows for part in checked]


def _pseudonymous_rows(
    content: list[pa.RecordBatch], columns: Sequence[str], site: CustodianSite
) -> Iterator[tuple[Any, ...]]:
    """Rows with a pseudonym in place of the source id, in the order of pseudonyms: that of the source tells."""
    parts = [_with_pseudonyms(batch, site) for batch in content]
    table = pa.Table.from_batches(parts).sort_by([(name, "ascending") for name in columns]) if parts else None
    for batch in table.to_batches(max_chunksize=10_000) if table is not None else ():
        for pseudonym, *values in zip(*(batch.column(name).to_pylist() for name in columns), strict=True):
            yield (str(uuid.UUID(bytes=pseudonym)), *values)


def _with_pseudonyms(batch: pa.RecordBatch, site: CustodianSite) -> pa.RecordBatch:
    pseudonyms = record_pseudonyms(
        site.site_key,
        batch.column("source_id"),
        project=site.protocol.project,
        epoch=site.protocol.key_epoch,
    )
    binary = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(16), len(pseudonyms), [None, pa.py_buffer(pseudonyms.tobytes())]
    )
    return batch.set_column(batch.schema.get_field_index("source_id"), "source_id", binary)
