"""A flow refuses to start where it can see something that its zone must not hold. Zone: protocol."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from linkage_core.errors import NightlinkError

SETTINGS_VARIABLE = {
    "custodian": "NIGHTLINK_CUSTODIAN_SETTINGS",
    "linkage_unit": "NIGHTLINK_LINKAGE_UNIT_SETTINGS",
    "coordinator": "NIGHTLINK_NIGHT_SETTINGS",
}
"""The one Nightlink variable that each zone's environment may hold: the path of its settings file."""

CREDENTIAL_VARIABLES = (
    "PGPASSWORD",
    "PGPASSFILE",
    "PGSERVICE",
    "PGSERVICEFILE",
    "DATABASE_URL",
    "PREFECT_API_DATABASE_CONNECTION_URL",
    "PREFECT_SERVER_DATABASE_CONNECTION_URL",
    "PREFECT_API_DATABASE_PASSWORD",
    "PREFECT_SERVER_DATABASE_PASSWORD",
)
"""Credentials travel in files that the settings name; in an environment any tool on the machine may show them."""


def refuse_foreign_environment(zone: str, environment: Mapping[str, str]) -> None:
    """Raise E-ZONE when the environment holds another zone's settings or a credential."""
    allowed = SETTINGS_VARIABLE[zone]
    foreign = sorted(
        name
        for name in environment
        if (name.startswith("NIGHTLINK_") and name != allowed) or name in CREDENTIAL_VARIABLES
    )
    if foreign:
        raise NightlinkError(
            "E-ZONE",
            found=f"the environment variable {', '.join(foreign)} in a process of the zone {zone}",
            expected=f"no Nightlink variable but {allowed}, and no credential",
            remedy="Start each party's worker with an environment of its own (deployments/README.md).",
        )


def refuse_readable(zone: str, paths: Iterable[Path]) -> None:
    """Raise E-ZONE when this process can read one of ``paths``, which belong to other parties."""
    for path in paths:
        if os.access(path, os.R_OK):
            raise NightlinkError(
                "E-ZONE",
                found=f"{path} is readable for a process of the zone {zone}",
                expected="files of other parties to be out of reach",
                remedy="Run this party's worker as an operating-system user of its own, or correct the permissions.",
            )
