"""Named SQL statements, read from the package's ``.sql`` files.

Zone: protocol (both sides use it). SQL lives in ``.sql`` files beside the code that runs it; a file holds one
or more statements, each opened by a line ``-- name: some_name``. Comment lines below that line document the
statement and stay part of it, so that ``pg_stat_activity`` shows what is running.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

_NAME_LINE = re.compile(r"^-- name: ([a-z][a-z0-9_]*)[ \t]*$", re.MULTILINE)


def read_sql(package: str, file_name: str) -> str:
    """The text of one ``.sql`` file that ships inside ``package`` (``"sql.warehouse.views"``)."""
    return files(package).joinpath(file_name).read_text(encoding="utf-8")


@cache
def load_statements(package: str, file_name: str) -> Mapping[str, str]:
    """The named statements of one file, in the file's order.

    Raises
    ------
    KeyError
        When the file names no statement, or one name twice: a mistake in this repository, not of a user.
    """
    pieces = _NAME_LINE.split(read_sql(package, file_name))
    names, bodies = pieces[1::2], pieces[2::2]
    if not names or len(set(names)) != len(names):
        raise KeyError(f"{package}/{file_name} must name each of its statements once")
    return MappingProxyType(dict(zip(names, (body.strip() for body in bodies), strict=True)))
