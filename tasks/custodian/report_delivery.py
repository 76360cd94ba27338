"""What a night's delivery let out, and what not, for the person who answers for it. Zone: custodian.

Made from the manifest as it lies in the exchange, so that it says what left and not what was meant to. It holds
names of columns, counts and digests; no value of a record; and it stays in the custodian's state folder.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import date
from pathlib import Path

from linkage_core.custodian.key_derivation import derive_custodian_keys
from linkage_core.custodian.sealed_people import SealedPeople
from linkage_core.protocol.delivery_manifest import DeliveryManifest, open_manifest
from linkage_core.protocol.leaving_columns import LeavingColumn, leaving_columns
from linkage_core.protocol.linkage_protocol import protocol_fingerprint
from linkage_core.protocol.row_rules import FILE_RULES, ROW_RULES
from tasks.custodian.edge_report import (
    EdgeReport,
    LeavingFile,
    SourceColumn,
    field_use,
    report_json,
    report_text,
)
from tasks.custodian.settings import CustodianSite, FileSource
from tasks.custodian.validate import ValidatedIdentifiers
from tasks.protocol.code_version import code_version
from tasks.protocol.exchange import MANIFEST_MAX_BYTES, MANIFEST_NAME, complete_deliveries, read_file
from tasks.protocol.output_files import write_whole
from tasks.protocol.stages import announce, stage

_MANIFEST_COLUMNS = (
    LeavingColumn("counts", "numbers", "rows read, delivered, and rejected under each rule"),
    LeavingColumn(
        "aggregates", "rates", "how often values of a field agree by chance, over all rows together"
    ),
    LeavingColumn("digests", "SHA-256", "of each part, of the protocol and of the code"),
    LeavingColumn(
        "key_check_value", "8 bytes", "equal at both custodians when the key is; tells nothing of it"
    ),
    LeavingColumn("signature", "Ed25519", "of all of it"),
)


_SEALED_LINE = (
    "which of the delivered records are {} people who do not exist (added for estimates of quality): that went to the "
    "warehouse under their pseudonyms, past the linkage unit"
)


@stage("report delivery")
def report_delivery(
    night: date, site: CustodianSite, sealed: SealedPeople | None = None, warnings: tuple[str, ...] = ()
) -> None:
    """Write ``state_folder/reports/DATE.txt`` and ``.json`` about the night's newest delivery.

    People who do not exist are of the delivery, and not of the source: they are told apart, here alone.
    """
    made_up = 0 if sealed is None else sealed.records.num_rows
    folder = complete_deliveries(site.settings.exchange, site.name, night.isoformat())[-1]
    data = read_file(folder, MANIFEST_NAME, MANIFEST_MAX_BYTES)
    manifest = open_manifest(data, site.signing_key.public_key())
    report = replace(_report(manifest, data, site, made_up), warnings=warnings)
    home = site.settings.state_folder / "reports"
    home.mkdir(mode=0o700, exist_ok=True)
    path = home / f"{night.isoformat()}.txt"
    write_whole(path, report_text(report))
    write_whole(path.with_suffix(".json"), report_json(report))
    since = manifest.changes
    brought = "" if since is None else f", {manifest.rows_in_parts} of them new since {since.base_sequence}"
    rows, read = manifest.row_count - made_up, manifest.extracted - made_up
    verdict = f"{rows} of {read} rows delivered{brought}, {manifest.rejected} rejected"
    announce(
        f"verdict: {verdict}; delivered to {folder.path}; report in {path}{_reasons(manifest.rejected, night, site)}"
    )


@stage("report dry run")
def report_dry_run(validated: ValidatedIdentifiers, night: date, site: CustodianSite) -> None:
    """Say what would be delivered; the keys are derived, so that a wrong one shows now."""
    key_check_value = derive_custodian_keys(site.linkage_key, site.protocol).key_check_value.hex()
    announce(f"protocol {protocol_fingerprint(site.protocol)}, key-check value {key_check_value}")
    for rule, count in validated.rejected_by_rule.items():
        announce(f"  {rule:<18}{count:>9}  {ROW_RULES.get(rule) or FILE_RULES.get(rule, '')}")
    kept = validated.extracted - validated.rejected
    verdict = f"{kept} of {validated.extracted} rows would be delivered, {validated.rejected} rejected"
    announce(f"verdict: {verdict}; nothing was delivered{_reasons(validated.rejected, night, site)}")


def _reasons(rejected: int, night: date, site: CustodianSite) -> str:
    path: Path = site.settings.state_folder / "quarantine" / f"{night.isoformat()}.csv"
    return f"; row numbers and reasons in {path}" if rejected else ""


def _report(manifest: DeliveryManifest, data: bytes, site: CustodianSite, made_up: int) -> EdgeReport:
    columns = leaving_columns(site.protocol)
    parts = [LeavingFile(part.name, part.rows, part.bytes, part.sha256, columns) for part in manifest.parts]
    gone = None if manifest.changes is None else manifest.changes.gone
    if gone is not None:
        pseudonyms = tuple(column for column in columns if column.name == "record_pseudonym")
        parts.append(LeavingFile(gone.name, gone.rows, gone.bytes, gone.sha256, pseudonyms))
    described = LeavingFile(
        MANIFEST_NAME, manifest.row_count, len(data), hashlib.sha256(data).hexdigest(), _MANIFEST_COLUMNS
    )
    fill = manifest.aggregates.filter_fill
    return EdgeReport(
        written=True,
        source=_source_name(site),
        rules={
            "linkage protocol": manifest.protocol_fingerprint,
            "project": manifest.project,
            "version": str(manifest.protocol_version),
            "key epoch": manifest.key_epoch,
            "night": manifest.run_id,
            "sequence": str(manifest.sequence),
        },
        warnings=(),
        rows_read=manifest.extracted - made_up,
        rows_encoded=manifest.row_count - made_up,
        rows_rejected=manifest.rejected,
        rejected_by_rule=dict(manifest.rejected_by_rule),
        rule_meanings={**FILE_RULES, **ROW_RULES},
        mean_fill=round(sum(fill) / len(fill), 4) if fill else 0.0,
        leaves=(*parts, described),
        source_columns=_source_columns(site),
        stays=(
            "the keys, and every key derived from them (the parts are sealed: only the linkage unit can open them)",
            "this report, and the list of rejected rows (row numbers, fields and reason codes)",
            "digests of the delivered rows, by which the next delivery tells what changed (delivered.state, sealed)",
            *_content_line(site),
            *([_SEALED_LINE.format(made_up)] if made_up else []),
        ),
        order="that of the record pseudonyms, which has nothing to do with the input's",
        code_version=code_version(),
    )


def _source_name(site: CustodianSite) -> str:
    source = site.settings.source
    return f"{source.people_file.name} (file)" if isinstance(source, FileSource) else "the source database"


def _source_columns(site: CustodianSite) -> tuple[SourceColumn, ...]:
    source = site.settings.source
    names = source.columns if isinstance(source, FileSource) else {}
    fields = ("source_id", *site.protocol.field_names)
    read = tuple(SourceColumn(names.get(name, name), field_use(name)) for name in fields)
    return (*read, SourceColumn("every other column", "not read"))


def _content_line(site: CustodianSite) -> tuple[str, ...]:
    table = site.settings.source.content_table
    if table is None:
        return ("content: none is configured",)
    return (
        f"content ({table}): codes and dates went to the warehouse under pseudonyms, past the linkage unit",
    )
