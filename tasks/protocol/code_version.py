"""Which code made a delivery or a link: a digest over the installed sources. Zone: protocol."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("flows", "linkage_core", "sql", "tasks")


@cache
def code_version() -> str:
    """``nightlink-0.1.0+`` and 12 hex digits of SHA-256 over this installation's sources, in order of path.

    A version number says what the authors meant to run; the digest says what ran, also for a changed checkout.
    Only code that every party holds is counted: with the other zones' folders deleted the version differs.
    """
    digest = hashlib.sha256()
    for path in _source_files():
        digest.update(path.relative_to(_ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return f"nightlink-0.1.0+{digest.hexdigest()[:12]}"


def _source_files() -> list[Path]:
    files = [
        p for package in _PACKAGES for p in (_ROOT / package).rglob("*") if p.suffix in (".py", ".sql", ".j2")
    ]
    return sorted(files)
