"""A flow refuses to start where it can see something that its zone must not hold. Zone: protocol."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from linkage_core.errors import NightlinkError
from linkage_core.protocol.key_files import KeyRole, refuse_foreign_key

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


_KEY_FILE_BYTES = 4096


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


def refuse_foreign_keys(own_roles: tuple[KeyRole, ...], secret_files: Iterable[Path]) -> None:
    """Raise E-ZONE when a file of secrets, or any that lies beside one, is a key file of another party's role.

    Files that this process cannot read are none of its business; those that it can, it must not hold, whether a
    setting names them or not. Only the first bytes are looked at: a key file is short.
    """
    files = list(secret_files)
    beside = {path for folder in {file.parent for file in files} for path in _small_files(folder)}
    for path in sorted({*files, *beside}):
        with suppress(OSError):
            refuse_foreign_key(_first_bytes(path), own_roles)


def _small_files(folder: Path) -> list[Path]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return []
    regular = (entry for entry in entries if entry.is_file(follow_symlinks=False))
    return [Path(entry.path) for entry in regular if entry.stat().st_size <= _KEY_FILE_BYTES]


def _first_bytes(path: Path) -> str:
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
        return file.read(_KEY_FILE_BYTES).decode("utf-8", "replace")
