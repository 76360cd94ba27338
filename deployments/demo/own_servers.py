"""A user's own PostgreSQL servers in place of the embedded ones, by URL."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlsplit, urlunsplit

from linkage_core.errors import NightlinkError
from tasks.protocol.settings_files import Settings, read_secret, read_settings


class ServersFile(Settings):
    """``--servers FILE``: administrators' URLs; a server that is not named is started from the embedded binaries."""

    format: Literal["nightlink-servers-1"]
    hospital: str | None = None
    pharmacy: str | None = None
    warehouse: str | None = None


@dataclass(frozen=True, repr=False)
class OwnServer:
    """A running server that the demo did not start, and does not stop."""

    admin_url: str

    @property
    def port(self) -> int:
        return urlsplit(self.admin_url).port or 5432

    def superuser_url(self, database: str = "postgres") -> str:
        """The administrator's URL of a database."""
        return urlunsplit(urlsplit(self.admin_url)._replace(path=f"/{database}"))

    def url(self, role: str, password: str, database: str) -> str:
        """A role's URL of a database."""
        parts = urlsplit(self.admin_url)
        host = parts.netloc.rpartition("@")[2]
        login = f"{quote(role, safe='')}:{quote(password, safe='')}"
        return urlunsplit(parts._replace(netloc=f"{login}@{host}", path=f"/{database}"))


def read_servers(path: Path | None) -> dict[str, OwnServer]:
    """The servers that a file names, by party; E-SETTINGS, or E-KEY-FILE when others can read the file."""
    if path is None:
        return {}
    read_secret(path)  # it holds administrators' passwords
    named = read_settings(path, ServersFile).model_dump(exclude={"format"}, exclude_none=True)
    for party, url in named.items():
        if urlsplit(url).scheme != "postgresql" or not urlsplit(url).hostname:
            raise NightlinkError(
                "E-SETTINGS",
                found=f"in {party}: something that is not a URL of a PostgreSQL server",
                expected="postgresql://administrator:password@host:port/postgres",
                remedy="Correct the servers file.",
            )
    return {party: OwnServer(url) for party, url in named.items()}
