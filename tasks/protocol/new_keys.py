"""Making key files: at the party that is to hold the key, readable for its owner alone. Zone: protocol."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from linkage_core.audit.signatures import public_key_hex, signing_key_from_seed
from linkage_core.errors import NightlinkError
from linkage_core.protocol.key_files import AGREEMENT_ROLES, SIGNING_ROLES, KeyRole, format_key_file
from linkage_core.protocol.transfer_keys import TransferSecret, agreement_public_hex, key_id


def make_key_file(role: KeyRole, out: Path, epoch: str | None = None) -> bytes:
    """Draw a key and write its file with mode 0600; returns the key.

    Raises
    ------
    NightlinkError
        E-KEY-FILE: a role or epoch that there cannot be, or a file that cannot be created; none is ever replaced.
    """
    key = secrets.token_bytes(32)
    text = format_key_file(role, key, epoch=epoch)  # refuses an unknown role before there is a file
    try:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
        descriptor = os.open(out, flags, 0o600)
    except OSError as error:
        raise NightlinkError(
            "E-KEY-FILE",
            found=f"{out} cannot be created ({error.strerror})",
            expected="a path that does not exist yet, in a folder that you may write",
            remedy="Choose another path; a key is never overwritten.",
        ) from None
    with open(descriptor, "w", encoding="utf-8", newline="\n") as file:  # the same bytes on every system
        file.write(text)
    return key


def public_lines(role: KeyRole, key: bytes) -> list[str]:
    """What to hand over of a new key, and the short name to compare by voice; nothing where all of it is secret."""
    if role in SIGNING_ROLES:
        public = public_key_hex(signing_key_from_seed(key))
        return [f"public key: {public}", f"key id: {key_id(public)}"]
    if role in AGREEMENT_ROLES:
        public = agreement_public_hex(key)
        return [f"public key: {public}", f"key id: {key_id(public)}"]
    return []


def key_id_lines(secret: TransferSecret, signing_public_key: str) -> tuple[str, ...]:
    """What a custodian and the linkage unit read to each other: equal at both when neither was given a wrong key."""
    return (
        f"signing key id: {key_id(signing_public_key)}",
        f"transfer key id: {secret.transfer_key_id}",
        f"linkage unit's key id: {secret.unit_key_id}",
    )
