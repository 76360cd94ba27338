"""Deliver: encodings to the exchange, content to the warehouse; the two never meet. Zone: custodian."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from linkage_core.audit.signatures import public_key_hex
from linkage_core.custodian.field_group_filters import FilterFill
from linkage_core.custodian.key_derivation import derive_custodian_keys
from linkage_core.errors import NightlinkError
from linkage_core.protocol.delivery_manifest import (
    DeliveryManifest,
    PartEntry,
    Sealing,
    check_part,
    describe_part,
    open_manifest,
    seal_manifest,
)
from linkage_core.protocol.linkage_protocol import protocol_fingerprint
from linkage_core.protocol.sealed_parts import SealHeader, seal_part
from linkage_core.protocol.wire_format import write_part
from tasks.custodian.encode import EncodedDelivery, aggregates_of
from tasks.custodian.part_threads import in_order, usable_threads
from tasks.custodian.settings import CustodianSite
from tasks.custodian.witness import witnessed_log
from tasks.protocol.code_version import code_version
from tasks.protocol.exchange import (
    MANIFEST_MAX_BYTES,
    MANIFEST_NAME,
    DeliveryFolder,
    complete_deliveries,
    next_sequence,
    open_delivery,
    read_file,
    remove_unfinished,
    write_file,
)
from tasks.protocol.stages import announce, stage


@stage("look for an earlier delivery")
def already_delivered(night: date, site: CustodianSite) -> bool:
    """Whether the night's newest delivery is complete and was made under today's protocol and keys.

    A delivery is what the night saw; it is never replaced while it is usable. One made under another protocol or
    key, or sealed with another, is useless to the linkage unit, and a new one gets the next sequence number.
    """
    deliveries = complete_deliveries(site.settings.exchange, site.name, night.isoformat())
    if not deliveries:
        return False
    try:
        manifest = open_manifest(
            read_file(deliveries[-1], MANIFEST_NAME, MANIFEST_MAX_BYTES), site.signing_key.public_key()
        )
        _check_parts(deliveries[-1], manifest)
        usable = _made_under_todays_rules(manifest, site)
    except NightlinkError:
        usable = False
    if usable:
        announce(f"already delivered as sequence {deliveries[-1].sequence}: nothing to do")
    return usable


def _made_under_todays_rules(manifest: DeliveryManifest, site: CustodianSite) -> bool:
    keys = derive_custodian_keys(site.linkage_key, site.protocol)
    return (
        manifest.protocol_fingerprint == protocol_fingerprint(site.protocol)
        and manifest.key_check_value == keys.key_check_value.hex()
        and manifest.sealing == _sealing(site)
    )


def _check_parts(folder: DeliveryFolder, manifest: DeliveryManifest) -> None:
    for part in manifest.parts:
        check_part(part, read_file(folder, part.name, part.bytes))


@stage("deliver encodings")
def deliver_encodings(encoded: EncodedDelivery, night: date, site: CustodianSite) -> None:
    """Sealed parts first, the signed manifest last: until then the delivery does not exist."""
    remove_unfinished(site.settings.exchange, site.name, night.isoformat())
    sequence = _take_sequence(site)
    folder = open_delivery(site.settings.exchange, site.name, night.isoformat(), sequence)
    written = list(
        in_order(lambda n: _write_part(n, encoded, folder, site), range(len(encoded.parts)), usable_threads())
    )
    manifest = _describe(encoded, written, night, sequence, site)
    write_file(folder, MANIFEST_NAME, seal_manifest(manifest, site.signing_key))
    signer = public_key_hex(site.signing_key)[:16]
    announce(f"records delivered: {encoded.rows}, sequence {sequence}, signer {signer}")


def _take_sequence(site: CustodianSite) -> int:
    """The next sequence number, remembered here too: an exchange that was emptied must not make one come twice."""
    memory = site.settings.state_folder / "last_sequence"
    remembered = int(memory.read_text(encoding="ascii")) if memory.exists() else 0
    sequence = max(next_sequence(site.settings.exchange, site.name), remembered + 1)
    partial = memory.with_suffix(".partial")
    partial.write_text(f"{sequence}\n", encoding="ascii")
    partial.replace(memory)
    return sequence


@dataclass(frozen=True)
class _WrittenPart:
    entry: PartEntry
    fills: tuple[FilterFill, ...]


def _write_part(
    number: int, encoded: EncodedDelivery, folder: DeliveryFolder, site: CustodianSite
) -> _WrittenPart:
    """Encode one part, seal it and write it; several of them go on at the same time."""
    part = encoded.parts[number]()
    data = write_part(part.records, site.protocol)
    return _WrittenPart(write_sealed_part(number, len(part.records), data, folder, site), part.fills)


def write_sealed_part(
    number: int, rows: int, data: bytes, folder: DeliveryFolder, site: CustodianSite
) -> PartEntry:
    """Seal one part's bytes to the linkage unit and write them; what the manifest is to say of the file."""
    name = f"part-{number:04d}.sealed"
    protocol = site.protocol
    header = SealHeader(protocol.project, protocol.key_epoch, site.name, folder.run_id, folder.sequence)
    sealed = seal_part(data, name, header, site.transfer_secret)
    write_file(folder, name, sealed)
    return describe_part(name, rows, sealed)


def _sealing(site: CustodianSite) -> Sealing:
    secret = site.transfer_secret
    return Sealing(transfer_key=secret.transfer_key_id, linkage_unit_key=secret.unit_key_id)


def _describe(
    encoded: EncodedDelivery, written: list[_WrittenPart], night: date, sequence: int, site: CustodianSite
) -> DeliveryManifest:
    validated = encoded.normalised.validated
    return DeliveryManifest(
        project=site.protocol.project,
        custodian=site.name,
        run_id=night.isoformat(),
        sequence=sequence,
        as_of=night,
        protocol_fingerprint=protocol_fingerprint(site.protocol),
        protocol_version=site.protocol.version,
        key_epoch=site.protocol.key_epoch,
        key_check_value=encoded.key_check_value.hex(),
        code_version=code_version(),
        sealing=_sealing(site),
        row_count=encoded.rows,
        parts=tuple(part.entry for part in written),
        extracted=validated.extracted,
        rejected=validated.rejected,
        rejected_by_rule=validated.rejected_by_rule,
        expectations=tuple(encoded.normalised.expectations),
        witnessed=witnessed_log(site),
        aggregates=aggregates_of(encoded, [part.fills for part in written], site),
    )
