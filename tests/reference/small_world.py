"""A small world for tests of the tasks: the shipped protocol, generated people, real files, no database."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import date
from functools import cache, partial
from pathlib import Path

import pyarrow as pa

from linkage_core.audit.signatures import public_key_hex, signing_key_from_seed
from linkage_core.custodian.encode_records import EncodedPart
from linkage_core.custodian.source_format import SourceFormat
from linkage_core.evaluation.synthetic_people import PeopleParameters, SyntheticPeople, generate_people
from linkage_core.protocol.delivery_manifest import DeliveryManifest, open_manifest
from linkage_core.protocol.encoded_records import EncodedRecords, concat_records
from linkage_core.protocol.linkage_protocol import LinkageProtocol, parse_protocol
from linkage_core.protocol.transfer_keys import (
    agreement_public_hex,
    secret_at_custodian,
    secret_at_linkage_unit,
)
from tasks.custodian.deliver import deliver_encodings
from tasks.custodian.encode import EncodedDelivery, encode_identifiers
from tasks.custodian.night_folder import NightFolder, night_folder
from tasks.custodian.normalise import normalise_identifiers
from tasks.custodian.settings import CustodianSettings, CustodianSite, QualitySettings, SourceSettings
from tasks.custodian.spool import RecordSpool
from tasks.custodian.validate import validate_identifiers
from tasks.linkage_unit.settings import LinkageUnit, LinkageUnitSettings

ROOT = Path(__file__).resolve().parents[2]
NIGHT = date(2026, 11, 22)
CUSTODIANS = ("hospital", "pharmacy")
FIELD_OF_COLUMN = {
    "rid": "source_id", "first": "given_name", "middle": "middle_name", "last": "family_name",
    "dob": "birth_date", "sex": "sex", "street": "street", "city": "city", "zip": "postcode",
    "phone": "phone", "email": "email",
}  # fmt: skip


@cache
def shipped_protocol() -> LinkageProtocol:
    return parse_protocol((ROOT / "deployments" / "linkage_protocol.toml").read_text(encoding="utf-8"))


@cache
def few_people(people_per_side: int = 150) -> SyntheticPeople:
    return generate_people(PeopleParameters(people_per_side=people_per_side), seed=20261122)


def key(role: str) -> bytes:
    """A key that looks drawn at random, the same in every run."""
    return hashlib.sha256(f"small world {role}".encode()).digest()


def public_key(custodian: str) -> str:
    return public_key_hex(signing_key_from_seed(key(f"signing {custodian}")))


UNIT_PUBLIC_KEY = agreement_public_hex(key("encryption"))
UNIT_SIGNING_KEY = signing_key_from_seed(key("signing linkage unit"))
UNIT_SIGNING_PUBLIC_KEY = public_key_hex(UNIT_SIGNING_KEY)


def transfer_public_key(custodian: str) -> str:
    return agreement_public_hex(key(f"transfer {custodian}"))


def make_site(
    folder: Path, custodian: str = "hospital", *, linkage: str = "linkage", **quality: object
) -> CustodianSite:
    """A custodian whose state lies in ``folder`` and whose exchange is ``folder/exchange``."""
    state = folder / f"{custodian}-state"
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    unused = folder / "no-database"
    source = SourceSettings(
        database_url_file=unused,
        identifiers_query=unused,
        content_query=unused,
        content_table="admission",
        batch_rows=100,
        format=SourceFormat(),
    )
    settings = CustodianSettings(
        format="nightlink-custodian-1",
        custodian=custodian,
        protocol_file=unused,
        exchange=folder / "exchange",
        state_folder=state,
        linkage_key_file=unused,
        site_key_file=unused,
        signing_key_file=unused,
        transfer_key_file=unused,
        linkage_unit_public_key=UNIT_PUBLIC_KEY,
        linkage_unit_signing_key=UNIT_SIGNING_PUBLIC_KEY,
        warehouse_content_url_file=unused,
        source=source,
        quality=QualitySettings.model_validate(quality),
    )
    signing = signing_key_from_seed(key(f"signing {custodian}"))
    transfer = secret_at_custodian(key(f"transfer {custodian}"), UNIT_PUBLIC_KEY)
    return CustodianSite(
        settings, shipped_protocol(), key(linkage), key(f"site {custodian}"), signing, transfer
    )


def make_unit(folder: Path, encryption: tuple[str, ...] = ("encryption",), **changes: object) -> LinkageUnit:
    """The linkage unit that knows both custodians' public keys and reads ``folder/exchange``."""
    entries: dict[str, object] = {
        "format": "nightlink-linkage-unit-1",
        "protocol_file": folder / "unused",
        "exchange": folder / "exchange",
        "reports_folder": folder / "reports",
        "state_folder": folder / "unit-state",
        "warehouse_url_file": folder / "unused",
        "encryption_key_file": folder / "unused",
        "signing_key_file": folder / "unused",
        "custodian_public_keys": {name: public_key(name) for name in CUSTODIANS},
        "custodian_transfer_keys": {name: transfer_public_key(name) for name in CUSTODIANS},
    }
    settings = LinkageUnitSettings.model_validate({**entries, **changes})
    secrets = {
        name: tuple(secret_at_linkage_unit(key(ours), theirs) for ours in encryption)
        for name, theirs in settings.custodian_transfer_keys.items()
    }
    return LinkageUnit(
        settings, shipped_protocol(), "postgresql://nowhere", secrets, key("storage"), UNIT_SIGNING_KEY
    )


def raw_table(people: pa.Table) -> pa.Table:
    """A register's columns under the protocol's names, empty texts as nulls: as a source's query gives them."""
    columns = {}
    for name, field in FIELD_OF_COLUMN.items():
        columns[field] = pa.array([value or None for value in people[name].to_pylist()], pa.string())
    return pa.table(columns)


def fill_spool(folder: NightFolder, table: pa.Table, batch_rows: int = 100) -> RecordSpool:
    spool = folder.spool("identifiers")
    for batch in table.to_batches(max_chunksize=batch_rows):
        spool.write(batch)
    return spool


def encode_people(site: CustodianSite, table: pa.Table, folder: NightFolder) -> EncodedDelivery:
    """Validate, normalise and encode through the real tasks."""
    validated = validate_identifiers(fill_spool(folder, table), NIGHT, site, folder)
    encoded = encode_identifiers(normalise_identifiers(validated, NIGHT, site, folder), site, folder)
    parts = [part() for part in encoded.parts]  # kept, so that a test may deliver them twice
    return replace(encoded, parts=[partial(_same, part) for part in parts])


def _same(part: EncodedPart) -> EncodedPart:
    return part


def encoded_records(encoded: EncodedDelivery) -> EncodedRecords:
    """All records of a delivery."""
    return concat_records([part().records for part in encoded.parts])


@dataclass(frozen=True)
class SmallWorld:
    """Both custodians' deliveries in one exchange, and the unit that may receive them."""

    folder: Path
    sites: dict[str, CustodianSite]
    encoded: dict[str, EncodedDelivery]
    unit: LinkageUnit

    def manifest(self, custodian: str) -> DeliveryManifest:
        """That of the custodian's first delivery."""
        data = (self.delivery(custodian) / "manifest.json").read_bytes()
        return open_manifest(data, self.sites[custodian].signing_key.public_key())

    def delivery(self, custodian: str, sequence: int = 1) -> Path:
        return self.folder / "exchange" / custodian / NIGHT.isoformat() / f"{sequence:06d}"


def make_world(folder: Path, people_per_side: int = 150) -> SmallWorld:
    """Deliver both sides of :func:`few_people`."""
    people, sites, encoded = few_people(people_per_side), {}, {}
    for custodian, side in zip(CUSTODIANS, (people.side_a, people.side_b), strict=True):
        site = sites[custodian] = make_site(folder, custodian)
        with night_folder(site.settings.state_folder) as work:
            encoded[custodian] = encode_people(site, raw_table(side), work)
            deliver_encodings(encoded[custodian], NIGHT, site)
    return SmallWorld(folder, sites, encoded, make_unit(folder))
