"""A custodian whose people lie in a CSV file: settings, keys and folders of a whole night, without a server."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from deployments.demo.parties import SystemUser, copy_protocol, draw_keys, make_party, write_custodian
from linkage_core.protocol.transfer_keys import agreement_public_hex

NIGHT = "2026-03-31"
_SOURCE = '[source]\npeople_file = "{file}"\n\n[source.format]'


def file_site(root: Path, people: Path) -> Path:
    """The settings file of a hospital that reads ``people``, everything below ``root``."""
    party = make_party(root, "hospital", SystemUser(None))
    (root / "exchange" / "hospital").mkdir(parents=True)
    write_custodian(
        party,
        draw_keys(secrets.token_bytes(32)),
        protocol=copy_protocol(root),
        exchange=root / "exchange",
        source_url="postgresql://nobody@localhost/nothing",
        content_url="postgresql://nobody@localhost/nothing",
        linkage_unit_public_key=agreement_public_hex(secrets.token_bytes(32)),
        must_not_read=[],
    )
    text = party.settings_file.read_text(encoding="utf-8")
    text = re.sub(
        r"\[source\].*?\[source\.format\]", _SOURCE.format(file=people.as_posix()), text, flags=re.DOTALL
    )
    party.settings_file.write_text(
        re.sub(r"^warehouse_content_url_file.*$", "", text, flags=re.MULTILINE), encoding="utf-8"
    )
    return party.settings_file
