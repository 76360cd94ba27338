"""The linkage unit's settings: there is no field for the linkage key or a source. Zone: linkage_unit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field, StringConstraints

from linkage_core.audit.signatures import signing_key_from_seed
from linkage_core.linkage_unit.known_links import KnownLinks, parse_known_links
from linkage_core.linkage_unit.reviewed_pairs import ReviewCounts
from linkage_core.linkage_unit.trained_model import (
    MOST_MODEL_BYTES,
    TrainedModel,
    check_model,
    read_model,
)
from linkage_core.protocol.derived_keys import derive_key
from linkage_core.protocol.key_files import LINKAGE_UNIT_ROLES, parse_key_file
from linkage_core.protocol.linkage_protocol import LinkageProtocol, Name
from linkage_core.protocol.transfer_keys import TransferSecret, secret_at_linkage_unit
from tasks.protocol.bounded_files import read_bounded
from tasks.protocol.settings_files import (
    PublicKey,
    Settings,
    SettingsPath,
    TimeZone,
    read_protocol,
    read_secret,
    read_settings,
    settings_path,
    wrong_settings,
)
from tasks.protocol.zones import (
    SETTINGS_VARIABLE,
    refuse_foreign_environment,
    refuse_foreign_keys,
    refuse_readable,
)

MOST_KNOWN_LINKS_BYTES = 1 << 28


class NamedModel(Settings):
    """A file that `nightlink linkage-unit train-model` wrote, and its fingerprint, as that command printed it."""

    file: SettingsPath
    sha256: PublicKey


class Retention(Settings):
    """How long things are kept, in days; left out, for ever."""

    link_history_days: Annotated[int, Field(ge=1)] | None = None
    """Versions of links and entity members after their end."""
    report_days: Annotated[int, Field(ge=1)] | None = None
    """Reports after their night."""


class LinkageUnitSettings(Settings):
    """The linkage unit's settings file (``deployments/settings/linkage_unit.toml``)."""

    format: Literal["nightlink-linkage-unit-1"]
    time_zone: TimeZone = "UTC"
    protocol_file: SettingsPath
    exchange: SettingsPath
    reports_folder: SettingsPath
    warehouse_url_file: SettingsPath
    encryption_key_file: SettingsPath
    """The linkage unit's own X25519 key: deliveries are sealed to it, and it opens nothing else."""
    retired_encryption_key_files: tuple[SettingsPath, ...] = ()
    """Former ones, while a custodian may still seal to them."""
    signing_key_file: SettingsPath
    """The linkage unit's own Ed25519 key: signs the custodians' receipts and the audit log's checkpoints."""
    custodian_public_keys: dict[Name, PublicKey]
    custodian_transfer_keys: dict[Name, PublicKey]
    known_links_file: SettingsPath | None = None
    """Links known before the night, and pairs known to be none (linkage_core/linkage_unit/known_links.py)."""
    precision_allowance: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """How far below the target the 95% interval of the night's own precision may begin before it is held."""
    most_volume_ratio: Annotated[float, Field(gt=1)] = 2.0
    """How many times more or fewer records than in the last nights a delivery may have before the night is held."""
    most_share_change: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """How far a filter's fill or a field's missing values may move from the last nights before the night is held."""
    trained_model: NamedModel | None = None
    """Judge pairs by a model trained on labelled ones; without it the model is fitted on the night's own pairs."""
    must_not_read: tuple[SettingsPath, ...] = ()
    wait_for_deliveries_s: Annotated[float, Field(ge=0, le=86_400)] = 0.0
    """How long to wait for the custodians' deliveries; above 0 where nobody coordinates the flows."""
    warehouse_deadline_s: Annotated[float, Field(gt=0, le=3600)] = 120.0
    max_delivery_rows: Annotated[int, Field(ge=1)] = 20_000_000
    state_folder: Annotated[SettingsPath, Field(validate_default=True)] = Path("state")
    """Working files of the night at work, up to 2 kB a record; removed when it is published."""
    chunk_records: Annotated[int, Field(ge=1)] = 65_536
    """Records of the first custodian whose pairs are made and compared at a time."""
    chunk_deadline_s: Annotated[float, Field(gt=0, le=86_400)] = 1800.0
    chunk_memory_mib: Annotated[int, Field(ge=64)] = 4096
    """What the process that computes may have of its own; mapped files do not count."""
    retention: Retention = Retention()
    """What `nightlink retention apply` goes by."""
    dask_scheduler: Annotated[str, StringConstraints(pattern=r"^(tcp|tls)://[^\s]+$")] | None = None
    """Compute on this Dask cluster, whose workers see state_folder under the same path (nightlink[dask])."""


@dataclass(frozen=True, repr=False)
class LinkageUnit:
    """Settings and protocol of the linkage unit; its repr shows nothing of them."""

    settings: LinkageUnitSettings
    protocol: LinkageProtocol
    warehouse_url: str
    transfer_secrets: Mapping[str, tuple[TransferSecret, ...]]
    """For each custodian what it shares with this unit: under today's key first, then under retired ones."""
    storage_key: bytes
    """Of what the linkage unit keeps from night to night, derived from its encryption key."""
    signing_key: Ed25519PrivateKey
    known_links: KnownLinks | None = None
    reviewed: ReviewCounts | None = None
    """What reviewers have decided so far, once the night has asked the warehouse."""
    trained: TrainedModel | None = None

    @property
    def known_links_sha256(self) -> str | None:
        """Digest of the file of known links, where there is one."""
        return None if self.known_links is None else self.known_links.sha256

    def __repr__(self) -> str:
        return "LinkageUnit()"


def linkage_unit() -> LinkageUnit:
    """Load this process's linkage unit, or refuse to start.

    E-ZONE, E-SETTINGS, E-KEY-FILE, E-PROTOCOL, E-KNOWN-LINKS, E-MATCH-MODEL.
    """
    refuse_foreign_environment("linkage_unit", os.environ)
    path = settings_path(SETTINGS_VARIABLE["linkage_unit"])
    settings = read_settings(path, LinkageUnitSettings)
    refuse_readable("linkage_unit", settings.must_not_read)
    refuse_foreign_keys(LINKAGE_UNIT_ROLES, secret_files(settings))
    protocol = read_protocol(settings.protocol_file)
    for entry in ("custodian_public_keys", "custodian_transfer_keys"):
        if set(getattr(settings, entry)) != set(protocol.custodians):
            raise wrong_settings(path, f"{entry} that are not those of the protocol's custodians")
    path = settings.known_links_file
    known = None if path is None else parse_known_links(read_bounded(path, MOST_KNOWN_LINKS_BYTES))
    keys = _encryption_keys(settings)
    trained = None if settings.trained_model is None else load_trained_model(settings.trained_model, protocol)
    return LinkageUnit(
        settings=settings,
        protocol=protocol,
        warehouse_url=read_secret(settings.warehouse_url_file),
        transfer_secrets=_transfer_secrets(settings, keys),
        storage_key=derive_key(keys[0], ("linkage-unit-storage", protocol.project)),
        signing_key=signing_key_from_seed(
            parse_key_file(read_secret(settings.signing_key_file), "linkage_unit_signing")
        ),
        known_links=known,
        trained=trained,
    )


def load_trained_model(named: NamedModel, protocol: LinkageProtocol) -> TrainedModel:
    """The model, if its file is the one that was named and reads what the protocol says (E-MATCH-MODEL)."""
    model = read_model(read_bounded(named.file, MOST_MODEL_BYTES), named.sha256)
    check_model(model, protocol)
    return model


def secret_files(settings: LinkageUnitSettings) -> tuple[Path, ...]:
    """Every file of the settings that must be secret; what lies beside one is looked at, too."""
    return (
        settings.encryption_key_file,
        *settings.retired_encryption_key_files,
        settings.signing_key_file,
        settings.warehouse_url_file,
    )


def _encryption_keys(settings: LinkageUnitSettings) -> list[bytes]:
    files = (settings.encryption_key_file, *settings.retired_encryption_key_files)
    return [parse_key_file(read_secret(file), "linkage_unit_encryption") for file in files]


def _transfer_secrets(
    settings: LinkageUnitSettings, keys: list[bytes]
) -> dict[str, tuple[TransferSecret, ...]]:
    return {
        name: tuple(secret_at_linkage_unit(key, public) for key in keys)
        for name, public in settings.custodian_transfer_keys.items()
    }
