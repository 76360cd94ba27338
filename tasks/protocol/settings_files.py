"""Reading settings, secret files and the protocol. Zone: protocol."""

from __future__ import annotations

import os
import stat
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    StringConstraints,
    ValidationError,
    ValidationInfo,
)

from linkage_core.errors import NightlinkError
from linkage_core.protocol.linkage_protocol import LinkageProtocol, parse_protocol


def resolve_path(value: Path, info: ValidationInfo) -> Path:
    """A path of a settings file: ``~`` expanded, relative to the folder of that file."""
    folder = (info.context or {}).get("folder", Path())
    return Path(folder, value.expanduser())


SettingsPath = Annotated[Path, AfterValidator(resolve_path)]
PublicKey = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def check_time_zone(name: str) -> str:
    """The name of a time zone that this machine knows; ValueError otherwise."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise ValueError("must name a time zone, such as Europe/London") from None
    return name


TimeZone = Annotated[str, AfterValidator(check_time_zone)]


class Settings(BaseModel):
    """Base of all settings: frozen, and no entry that the model does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


S = TypeVar("S", bound=Settings)


def read_settings(path: Path, model: type[S]) -> S:
    """Read a TOML settings file; relative paths in it are relative to the file.

    Raises
    ------
    NightlinkError
        E-SETTINGS for a missing, unreadable or wrong file; the message names the entry, never its value.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise wrong_settings(path, f"a file that cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise wrong_settings(path, "text that is not TOML") from None
    try:
        return model.model_validate(document, context={"folder": path.resolve().parent})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        # A step in angle brackets names a kind of table, such as <file>, which no file writes.
        steps = [str(step) for step in first["loc"] if not str(step).startswith("<")]
        raise wrong_settings(path, f"in {'.'.join(steps) or 'the document'}: {first['msg']}") from None


def settings_path(variable: str) -> Path:
    """The settings file that the environment names in ``variable``; E-SETTINGS when it names none."""
    value = os.environ.get(variable, "")
    if not value:
        raise NightlinkError(
            "E-SETTINGS",
            found=f"no {variable} in the environment",
            expected="the path of this party's settings file",
            remedy=f"Start the process with {variable} set (deployments/README.md).",
        )
    return Path(value)


def wrong_settings(path: Path, found: str) -> NightlinkError:
    """The error for a settings file at ``path``."""
    return NightlinkError(
        "E-SETTINGS",
        found=f"{found}, in {path.name}",
        expected="a settings file as in deployments/settings",
        remedy="Correct the file and start again.",
    )


def read_secret(path: Path) -> str:
    """The text of a secret file that only its owner can read, with white space trimmed.

    Raises
    ------
    NightlinkError
        E-KEY-FILE when it is missing, not a regular file, another user's, or readable by others.
    """
    try:
        # Opened before it is judged, so that the file which is checked is the file which is read; without
        # blocking, so that a FIFO is refused rather than waited for.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        with open(os.open(path, flags), encoding="utf-8") as file:
            _refuse_loose_permissions(path, os.fstat(file.fileno()))
            return file.read(100_000).strip()
    except OSError as error:
        raise _bad_secret(path, f"a file that cannot be opened ({error.strerror})") from None
    except UnicodeDecodeError:
        raise _bad_secret(path, "bytes that are not UTF-8 text") from None


def _refuse_loose_permissions(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _bad_secret(path, "something that is not a regular file")
    if not hasattr(os, "geteuid"):  # Windows: the mode says nothing of who else may read
        _say_that_nobody_checked(path.parent)
        return
    if status.st_mode & 0o077:
        raise _bad_secret(path, f"permissions {stat.S_IMODE(status.st_mode):04o}")
    if status.st_uid not in (os.geteuid(), 0):
        raise _bad_secret(path, "a file of another user")


@cache
def _say_that_nobody_checked(folder: Path) -> None:
    """Once for each folder: what this system keeps from being checked, and what its administrator should do."""
    print(
        f"NOTE: who may read the secret files in {folder} cannot be checked on this system. Let only the account "
        "that runs this read them: Properties > Security, or icacls (flows/README.md).",
        file=sys.stderr,
    )


def _bad_secret(path: Path, found: str) -> NightlinkError:
    return NightlinkError(
        "E-KEY-FILE",
        found=f"{found}, at {path}",
        expected="a regular file that only its owner can read (mode 0600)",
        remedy="Correct the path or run chmod 600 on it.",
    )


def read_protocol(path: Path) -> LinkageProtocol:
    """The linkage protocol at ``path``; E-SETTINGS when unreadable, E-PROTOCOL when wrong.

    One that calls itself unsafe is E-PROTOCOL-UNSAFE at every party, and no setting allows it: its filters fell
    to known attacks. Measurements build theirs in memory.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise wrong_settings(path, "a protocol file that cannot be read") from None
    protocol = parse_protocol(text)
    if protocol.unsafe:
        raise NightlinkError(
            "E-PROTOCOL-UNSAFE",
            found=f"unsafe = true in {path}",
            expected="a protocol whose filters no attack that was run has read",
            remedy="Take out the entry unsafe, and every hardening that is then refused.",
        )
    return protocol
