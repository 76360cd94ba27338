"""Nicknames and the formal names they stand for, from a table under ``tables/``. Zone: custodian.

Bob and Robert share no sound and no first letter; a table brings both to one form. Which table is part of the
protocol, with the digest of its file: two custodians with different tables would lose such people in silence.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
from collections.abc import Mapping
from importlib.resources import files

from linkage_core.errors import ProtocolError
from linkage_core.protocol.linkage_protocol import NicknameTableSpec

NICKNAME_FILES: Mapping[str, str] = {"us_1": "nicknames_us_1.csv.gz"}
"""The file of each version; a version's file never changes (``tables/README.md``)."""


def load_formal_names(spec: NicknameTableSpec | None) -> dict[str, str]:
    """The protocol's table: from a normalised given name to its formal name. Empty without a table.

    Raises
    ------
    ProtocolError
        E-PROTOCOL when this installation has no such version, or its file has another digest.
    """
    if spec is None:
        return {}
    if spec.version not in NICKNAME_FILES:
        raise ProtocolError(
            found=f"nickname_table.version = {spec.version!r}", expected=f"one of {', '.join(NICKNAME_FILES)}"
        )
    content = files("linkage_core.custodian").joinpath("tables", NICKNAME_FILES[spec.version]).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != spec.sha256:
        raise ProtocolError(
            found=f"nickname_table.sha256 = {spec.sha256!r}",
            expected=f"{digest!r}, which is this installation's table {spec.version}",
        )
    rows = csv.reader(io.StringIO(gzip.decompress(content).decode("ascii")))
    next(rows)
    return {row[0]: row[1] for row in rows}
