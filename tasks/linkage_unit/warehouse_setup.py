"""An administrator's work on the warehouse, and a researcher's question. Zone: linkage_unit."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from linkage_core.errors import NightlinkError
from sql.engine import make_engine
from sql.warehouse.login_roles import FIXED_ROLES, content_role, install_warehouse, reviewer_role
from sql.warehouse.migrate import apply_migrations
from sql.warehouse.research import followup_within_30_days
from tasks.protocol.settings_files import read_secret

DEADLINE_S = 600.0


def install(
    admin_url_file: Path,
    database: str,
    content: Mapping[str, Sequence[str]],
    research: Mapping[str, Sequence[str]],
    secrets_folder: Path,
    reviewers: Sequence[str] = (),
) -> list[Path]:
    """Create roles, database and schema, or bring them up to date; every role's URL goes into a file of its own.

    Passwords are drawn anew each time, so the files must be handed out again afterwards.

    Returns
    -------
    list of Path
        ``<role>.url``, each readable for the caller alone.
    """
    secrets_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    roles = {*FIXED_ROLES, *map(content_role, content), *research, *map(reviewer_role, reviewers)}
    passwords = {role: secrets.token_urlsafe(24) for role in sorted(roles)}
    urls = install_warehouse(read_secret(admin_url_file), database, passwords, content, research, reviewers)
    return [_write_secret(secrets_folder / f"{role}.url", url) for role, url in urls.items()]


def migrate(owner_url_file: Path) -> list[str]:
    """Bring the schema to this version; names of what was run, none when there was nothing to do."""
    owner = make_engine(
        read_secret(owner_url_file), deadline_s=DEADLINE_S, application_name="nightlink-migrate"
    )
    return apply_migrations(owner)


def ask_followup(
    url_file: Path, project: str, first_day: date | None, last_day: date | None
) -> list[dict[str, Any]]:
    """The researcher's question, as the role of the URL."""
    engine = make_engine(
        read_secret(url_file), deadline_s=DEADLINE_S, application_name="nightlink-researcher"
    )
    return followup_within_30_days(engine, project, first_day, last_day)


def _write_secret(path: Path, text: str) -> Path:
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    try:
        with open(
            os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(text + "\n")
        partial.rename(path)
    except OSError as error:
        raise NightlinkError(
            "E-KEY-FILE",
            found=f"{path} cannot be written ({error.strerror})",
            expected="a folder that only its owner can read and write",
            remedy="Choose another --secrets folder.",
        ) from None
    return path
