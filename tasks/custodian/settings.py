"""The custodian's settings: the key and the source database exist only here. Zone: custodian."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Discriminator, Field, Tag, model_validator

from linkage_core.audit.signatures import signing_key_from_seed
from linkage_core.custodian.source_format import SourceFormat
from linkage_core.protocol.key_files import CUSTODIAN_ROLES, KeyRole, parse_key_file
from linkage_core.protocol.linkage_protocol import LinkageProtocol, Name
from linkage_core.protocol.transfer_keys import TransferSecret, secret_at_custodian
from tasks.protocol.settings_files import (
    PublicKey,
    Settings,
    SettingsPath,
    TimeZone,
    read_protocol,
    read_secret,
    read_settings,
    settings_path,
)
from tasks.protocol.zones import (
    SETTINGS_VARIABLE,
    refuse_foreign_environment,
    refuse_foreign_keys,
    refuse_readable,
)

Share = Annotated[float, Field(ge=0, le=1)]


class SourceSettings(Settings):
    """The custodian's database: where it is, what is read, and how its values are written."""

    database_url_file: SettingsPath
    identifiers_query: SettingsPath
    content_query: SettingsPath
    content_table: Literal["admission", "dispensing"]
    deadline_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    batch_rows: Annotated[int, Field(ge=100, le=1_000_000)] = 50_000
    format: SourceFormat


class FileSource(Settings):
    """A custodian's files in place of a database: its people, and its content if it delivers any."""

    people_file: SettingsPath
    """CSV or Parquet. A CSV has a header; encoding and delimiter are as declared, never guessed."""
    encoding: str = "utf-8"
    delimiter: str = ","
    columns: dict[str, str] = {}
    """The file's name of a column, by ``source_id`` or field, where it is another."""
    content_file: SettingsPath | None = None
    content_table: Literal["admission", "dispensing"] | None = None
    content_columns: dict[str, str] = {}
    deadline_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    format: SourceFormat

    @model_validator(mode="after")
    def _content_is_named(self) -> Self:
        if (self.content_file is None) != (self.content_table is None):
            raise ValueError("content_file and content_table go together")
        return self


def _kind_of_source(value: object) -> str:
    people_file = "people_file" in value if isinstance(value, dict) else isinstance(value, FileSource)
    return "<file>" if people_file else "<database>"


Source = Annotated[
    Annotated[SourceSettings, Tag("<database>")] | Annotated[FileSource, Tag("<file>")],
    Discriminator(_kind_of_source),
]


class QualitySettings(Settings):
    """When a batch is refused as a whole."""

    max_reject_share: Share = 0.05
    min_rows: Annotated[int, Field(ge=0)] = 1
    max_rows: Annotated[int, Field(ge=1)] = 50_000_000
    warn_after_still_nights: Annotated[int, Field(ge=1)] = 2
    most_still_nights: Annotated[int, Field(ge=1)] | None = None
    """For how many nights the source may bring the very same rows: the first warns, the second refuses the night."""
    max_null_share: dict[str, Share] = {}
    """The largest share of missing values for a field; fields that are not named may be missing altogether."""


class SealedPeopleSettings(Settings):
    """People who do not exist, added each night so that links can be counted that are known to be wrong, or right."""

    null_people: Annotated[int, Field(ge=0, le=100_000)] = 0
    canary_pairs: Annotated[int, Field(ge=0, le=100_000)] = 0
    """How many; both custodians need the same canaries, so that the smaller number counts."""
    most_share: Annotated[float, Field(ge=0, le=0.2)] = 0.01
    """At most this share of the records each: more records without a match make the night's threshold stricter."""


class CustodianSettings(Settings):
    """One custodian's settings file (``deployments/settings/hospital.toml``)."""

    format: Literal["nightlink-custodian-1"]
    custodian: Name
    time_zone: TimeZone = "UTC"
    protocol_file: SettingsPath
    exchange: SettingsPath
    state_folder: SettingsPath
    linkage_key_file: SettingsPath
    site_key_file: SettingsPath
    signing_key_file: SettingsPath
    transfer_key_file: SettingsPath
    linkage_unit_public_key: PublicKey
    """The linkage unit's X25519 key, as ``nightlink linkage-unit keygen`` prints it there."""
    linkage_unit_signing_key: PublicKey
    """The linkage unit's Ed25519 key, under which receipts and checkpoints of the audit log are signed."""
    warehouse_content_url_file: SettingsPath | None = None
    """Without it no content leaves: a custodian with a file of people alone, and no way to the warehouse."""
    must_not_read: tuple[SettingsPath, ...] = ()
    source: Source
    quality: QualitySettings = QualitySettings()
    sealed_people: SealedPeopleSettings = SealedPeopleSettings()

    @model_validator(mode="after")
    def _content_has_a_way(self) -> Self:
        if (self.source.content_table is None) != (self.warehouse_content_url_file is None):
            raise ValueError("content needs both its source and warehouse_content_url_file")
        return self

    @model_validator(mode="after")
    def _sealed_people_can_be_named(self) -> Self:
        asked = self.sealed_people.null_people or self.sealed_people.canary_pairs
        if asked and self.warehouse_content_url_file is None:
            raise ValueError(
                "sealed people need warehouse_content_url_file, to tell the warehouse who they are"
            )
        return self


@dataclass(frozen=True, repr=False)
class CustodianSite:
    """Settings, protocol and keys of one custodian, in this process only; its repr shows nothing of them."""

    settings: CustodianSettings
    protocol: LinkageProtocol
    linkage_key: bytes
    site_key: bytes
    signing_key: Ed25519PrivateKey
    transfer_secret: TransferSecret

    @property
    def name(self) -> str:
        return self.settings.custodian

    def __repr__(self) -> str:
        return f"CustodianSite({self.name})"


def custodian_site() -> CustodianSite:
    """Load this process's custodian, or refuse to start (E-ZONE, E-SETTINGS, E-KEY-FILE, E-KEY-EPOCH, E-PROTOCOL)."""
    refuse_foreign_environment("custodian", os.environ)
    settings = read_settings(settings_path(SETTINGS_VARIABLE["custodian"]), CustodianSettings)
    refuse_readable("custodian", settings.must_not_read)
    refuse_foreign_keys(CUSTODIAN_ROLES, secret_files(settings))
    protocol = read_protocol(settings.protocol_file)
    epoch = protocol.key_epoch
    return CustodianSite(
        settings=settings,
        protocol=protocol,
        linkage_key=_read_key(settings.linkage_key_file, "linkage", epoch),
        site_key=_read_key(settings.site_key_file, "site", epoch),
        signing_key=signing_key_from_seed(_read_key(settings.signing_key_file, "signing")),
        transfer_secret=secret_at_custodian(
            _read_key(settings.transfer_key_file, "transfer"), settings.linkage_unit_public_key
        ),
    )


def secret_files(settings: CustodianSettings) -> tuple[Path, ...]:
    """Every file of the settings that must be secret; what lies beside one is looked at, too."""
    files = (
        settings.linkage_key_file,
        settings.site_key_file,
        settings.signing_key_file,
        settings.transfer_key_file,
        settings.warehouse_content_url_file,
        None if isinstance(settings.source, FileSource) else settings.source.database_url_file,
    )
    return tuple(file for file in files if file is not None)


def _read_key(path: Path, role: KeyRole, epoch: str | None = None) -> bytes:
    return parse_key_file(read_secret(path), role, epoch=epoch)
