"""How a file of people writes its values, declared on the command line. Zone: custodian."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from pydantic import ValidationError

from linkage_core.custodian.source_format import SourceFormat
from linkage_core.errors import NightlinkError
from tasks.protocol.settings_files import wrong_settings


def source_conventions(path: Path | None, date_formats: Sequence[str]) -> SourceFormat:
    """The conventions of a TOML file, or the defaults; dates as declared on the command line, if they are.

    Raises
    ------
    NightlinkError
        E-SETTINGS, naming the entry that is wrong.
    """
    where, document = path or Path("--date-format"), {}
    if path is not None:
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise wrong_settings(path, f"a file that cannot be read ({error.strerror})") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError):
            raise wrong_settings(path, "text that is not TOML") from None
    if date_formats:
        document["date_formats"] = list(date_formats)
    try:
        return SourceFormat.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        entry = ".".join(str(step) for step in first["loc"]) or "the document"
        raise wrong_settings(where, f"in {entry}: {first['msg']}") from None


def column_names(declared: Sequence[str]) -> dict[str, str]:
    """The header's name of each field that has another; E-INPUT for a declaration without ``=``."""
    names = {}
    for declaration in declared:
        name, equals, header = declaration.partition("=")
        if not (name and equals and header):
            raise NightlinkError(
                "E-INPUT", found="a --column without = or a name", expected="FIELD=HEADER",
                remedy="Write for example --column birth_date=DOB.",
            )  # fmt: skip
        names[name.strip()] = header.strip()
    return names


def day(text: str | None) -> date:
    """A date written YYYY-MM-DD; without one today."""
    if text is None:
        return date.today()
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise NightlinkError(
            "E-INPUT", found="a date in another form", expected="YYYY-MM-DD", remedy="Correct --as-of."
        ) from None
