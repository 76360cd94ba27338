"""Which parties a night has, and how to start each one's process. Zone: coordinator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from linkage_core.protocol.linkage_protocol import Name
from tasks.protocol.settings_files import Settings, SettingsPath, read_settings


class PartySettings(Settings):
    """One party: its zone, its settings file, and what its process may be."""

    name: Name
    zone: Literal["custodian", "linkage_unit"]
    settings_file: SettingsPath
    home: SettingsPath
    user: Annotated[int, Field(ge=1)] | None = None
    groups: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Operating-system user (its group has the same number) and further groups; no user runs it as the caller."""


class NightSettings(Settings):
    """``deployments/settings/night.toml``: for `nightlink run`, where nobody runs Prefect."""

    format: Literal["nightlink-night-1"]
    deadline_s: Annotated[float, Field(gt=0)] = 3600.0
    parties: tuple[PartySettings, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _whole_night(self) -> Self:
        if not self.of_zone("custodian") or len(self.of_zone("linkage_unit")) != 1:
            raise ValueError("a night needs custodians and one party of the zone linkage_unit")
        if len({party.name for party in self.parties}) != len(self.parties):
            raise ValueError("a night needs a name of its own for each party")
        return self

    def of_zone(self, zone: str) -> tuple[PartySettings, ...]:
        """The parties of a zone, in the file's order."""
        return tuple(party for party in self.parties if party.zone == zone)


def night_settings(path: Path) -> NightSettings:
    """Read the file at ``path``; E-SETTINGS when it is wrong."""
    return read_settings(path, NightSettings)
