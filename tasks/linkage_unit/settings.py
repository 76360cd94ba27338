"""The linkage unit's settings: there is no field for the linkage key or a source. Zone: linkage_unit."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from linkage_core.linkage_unit.known_links import KnownLinks, parse_known_links
from linkage_core.protocol.linkage_protocol import LinkageProtocol, Name
from tasks.protocol.bounded_files import read_bounded
from tasks.protocol.settings_files import (
    Settings,
    SettingsPath,
    TimeZone,
    read_protocol,
    read_secret,
    read_settings,
    settings_path,
    wrong_settings,
)
from tasks.protocol.zones import SETTINGS_VARIABLE, refuse_foreign_environment, refuse_readable

MOST_KNOWN_LINKS_BYTES = 1 << 28
PublicKey = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class LinkageUnitSettings(Settings):
    """The linkage unit's settings file (``deployments/settings/linkage_unit.toml``)."""

    format: Literal["nightlink-linkage-unit-1"]
    time_zone: TimeZone = "UTC"
    protocol_file: SettingsPath
    exchange: SettingsPath
    reports_folder: SettingsPath
    warehouse_url_file: SettingsPath
    custodian_public_keys: dict[Name, PublicKey]
    known_links_file: SettingsPath | None = None
    """Links known before the night, and pairs known to be none (linkage_core/linkage_unit/known_links.py)."""
    must_not_read: tuple[SettingsPath, ...] = ()
    wait_for_deliveries_s: Annotated[float, Field(ge=0, le=86_400)] = 0.0
    """How long to wait for the custodians' deliveries; above 0 where nobody coordinates the flows."""
    warehouse_deadline_s: Annotated[float, Field(gt=0, le=3600)] = 120.0
    max_delivery_rows: Annotated[int, Field(ge=1)] = 20_000_000


@dataclass(frozen=True, repr=False)
class LinkageUnit:
    """Settings and protocol of the linkage unit; its repr shows nothing of them."""

    settings: LinkageUnitSettings
    protocol: LinkageProtocol
    warehouse_url: str
    known_links: KnownLinks | None = None

    def __repr__(self) -> str:
        return "LinkageUnit()"


def linkage_unit() -> LinkageUnit:
    """Load this process's linkage unit, or refuse to start (E-ZONE, E-SETTINGS, E-PROTOCOL)."""
    refuse_foreign_environment("linkage_unit", os.environ)
    path = settings_path(SETTINGS_VARIABLE["linkage_unit"])
    settings = read_settings(path, LinkageUnitSettings)
    refuse_readable("linkage_unit", settings.must_not_read)
    protocol = read_protocol(settings.protocol_file)
    if set(settings.custodian_public_keys) != set(protocol.custodians):
        raise wrong_settings(path, "custodian_public_keys that are not those of the protocol's custodians")
    return LinkageUnit(
        settings, protocol, read_secret(settings.warehouse_url_file), _known_links(settings.known_links_file)
    )


def _known_links(path: Path | None) -> KnownLinks | None:
    return None if path is None else parse_known_links(read_bounded(path, MOST_KNOWN_LINKS_BYTES))
