"""Key files: one 32-byte key, its role and, where it has one, its epoch written beside it. Zone: protocol.

The role keeps a custodian's key from being handed to the linkage unit by a slip of a path: a file is only
ever read *for* a role, and a file of another role is refused, with a code of its own where that role is
another party's. The epoch keeps last epoch's key from being used on: a new epoch's name alone would give new
encodings under a key that may be known. Messages name the entry that is wrong and never repeat what the file
holds.
"""

from __future__ import annotations

import re
import tomllib
from typing import Literal, get_args

from linkage_core.errors import NightlinkError
from linkage_core.protocol.protocol_mistakes import EPOCH_PATTERN

KeyRole = Literal[
    "linkage",
    "site",
    "signing",
    "transfer",
    "linkage_unit_signing",
    "linkage_unit_encryption",
    "linkage_unit_tokens",
]
KEY_ROLES: tuple[KeyRole, ...] = get_args(KeyRole)
CUSTODIAN_ROLES: tuple[KeyRole, ...] = ("linkage", "site", "signing", "transfer")
LINKAGE_UNIT_ROLES: tuple[KeyRole, ...] = (
    "linkage_unit_signing",
    "linkage_unit_encryption",
    "linkage_unit_tokens",
)
EPOCH_ROLES: tuple[KeyRole, ...] = ("linkage", "site")
"""Keys that encode records: a new epoch asks for a new linkage key, and may have a new site key."""
SIGNING_ROLES: tuple[KeyRole, ...] = ("signing", "linkage_unit_signing")
AGREEMENT_ROLES: tuple[KeyRole, ...] = ("transfer", "linkage_unit_encryption")
"""Halves of key agreements (X25519); like those of signing keys, their public halves are handed over."""

KEY_BYTES = 32
KEY_FILE_FORMAT = "nightlink-key-1"
KEY_FILE_MARK = "nightlink-key-"
_ROLE_LINE = re.compile(r"""^\s*role\s*=\s*["']([a-z_]{1,40})["']""", re.MULTILINE)

_EPOCH = re.compile(EPOCH_PATTERN)
MIN_DISTINCT_BYTES = 17
"""32 random bytes have fewer than 17 distinct ones about once in 10**11 keys; typed placeholders nearly
always do.
"""


def parse_key_file(text: str, role: KeyRole, *, epoch: str | None = None) -> bytes:
    """Read the 32-byte key from the TOML text of a key file made for ``role``.

    Parameters
    ----------
    text : str
        ``format = "nightlink-key-1"``, ``role = "..."``, perhaps ``epoch = "..."``, ``key = "<64 hex
        digits>"``. White space around the digits is trimmed.
    role : str
        One of :data:`KEY_ROLES`: what the caller is about to use the key for.
    epoch : str, optional
        The epoch that the caller is about to use the key in; a file that names none serves any.

    Raises
    ------
    NightlinkError
        E-KEY-FILE: not TOML, another format or role, a wrong length, digits that are not hexadecimal, or a
        key that nobody drew at random. E-ZONE: the role of another party's key. E-KEY-EPOCH: a key of another
        epoch.
    """
    if role not in KEY_ROLES:
        raise _refused("a request for an unknown role", f"one of {', '.join(KEY_ROLES)}")
    document = _parse_document(text)
    _check_role(document, role)
    _check_epoch(document, epoch)
    key = document["key"]
    if not isinstance(key, str):
        raise _refused("a key that is not text", "key = 64 hexadecimal digits in quotes")
    return _parse_hex(key.strip())


def own_role(role: str, roles: tuple[KeyRole, ...]) -> KeyRole:
    """``role`` if it is one of the ``roles`` that this party makes keys of; E-KEY-FILE otherwise."""
    if role not in roles:
        found = f"the role {role} of another party" if role in KEY_ROLES else "an unknown role"
        raise _refused(found, f"one of {', '.join(roles)}")
    return role


def format_key_file(role: KeyRole, key: bytes, *, epoch: str | None = None) -> str:
    """The text of a key file; the inverse of :func:`parse_key_file`, and as strict."""
    if role not in KEY_ROLES:
        raise _refused("an unknown role", f"one of {', '.join(KEY_ROLES)}")
    check_key(key)
    if epoch is not None and _EPOCH.fullmatch(epoch) is None:
        raise _refused("an epoch of another form", "a name as the linkage protocol's key_epoch")
    of_epoch = "" if epoch is None else f'epoch = "{epoch}"\n'
    return f'format = "{KEY_FILE_FORMAT}"\nrole = "{role}"\n{of_epoch}key = "{key.hex()}"\n'


def refuse_foreign_key(text: str, own_roles: tuple[KeyRole, ...]) -> None:
    """Refuse any text, a key file or not, that names the role of a key which this party must not hold.

    Whatever a setting makes of the file, be it a database's URL: a key of another party is not to be here.

    Raises
    ------
    NightlinkError
        E-ZONE.
    """
    role = role_in(text)
    if role is not None and role not in own_roles:
        raise _foreign_role(role)


def role_in(text: str) -> KeyRole | None:
    """The role that a key file's text names, well-formed or not; None for other texts."""
    found = _ROLE_LINE.search(text) if KEY_FILE_MARK in text else None
    return next((role for role in KEY_ROLES if found is not None and role == found[1]), None)


def check_key(key: bytes) -> None:
    """Refuse a key that is not 32 bytes long or was evidently not drawn at random.

    Raises
    ------
    NightlinkError
        E-KEY-FILE.
    """
    if len(key) != KEY_BYTES:
        raise _refused(f"a key of {len(key)} bytes", f"{KEY_BYTES} bytes")
    steps = {(after - before) % 256 for before, after in zip(key, key[1:], strict=False)}
    if len(set(key)) < MIN_DISTINCT_BYTES or len(steps) == 1:
        raise _refused("a key with a pattern, such as a placeholder's", "32 bytes drawn at random")


def _parse_document(text: str) -> dict[str, object]:
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeError):
        # `from None`: the parser's own message quotes the text, which may be the key
        raise _refused("text that is not TOML", "a TOML document") from None
    if set(document) - {"epoch"} != {"format", "role", "key"}:
        raise _refused(
            "missing or surplus entries", "exactly the entries format, role, key and perhaps epoch"
        )
    if document["format"] != KEY_FILE_FORMAT:
        raise _refused("another format", f'format = "{KEY_FILE_FORMAT}"')
    return document


def _check_role(document: dict[str, object], role: KeyRole) -> None:
    found = document["role"]
    if found == role:
        return
    for own, others in ((CUSTODIAN_ROLES, LINKAGE_UNIT_ROLES), (LINKAGE_UNIT_ROLES, CUSTODIAN_ROLES)):
        if role in own and found in others:
            raise _foreign_role(str(found))
    # an unknown role is not repeated: somebody may have pasted the key there
    described = f"a key of the role {found}" if found in KEY_ROLES else "a key of an unknown role"
    raise _refused(described, f'role = "{role}"')


def _check_epoch(document: dict[str, object], epoch: str | None) -> None:
    found = document.get("epoch")
    if found is None or epoch is None or found == epoch:
        return
    known = isinstance(found, str) and _EPOCH.fullmatch(found)  # else perhaps a pasted key: not repeated
    raise NightlinkError(
        "E-KEY-EPOCH",
        found=f"a {document['role']} key of the epoch {found}"
        if known
        else "a key of an epoch without a name",
        expected=f"one of the epoch {epoch}, as the linkage protocol says",
        remedy="Install the new epoch's key and the new protocol file together (runbook, rotation).",
    )


def _foreign_role(role: str) -> NightlinkError:
    party = "a custodian" if role in CUSTODIAN_ROLES else "the linkage unit"
    return NightlinkError(
        "E-ZONE",
        found=f"a key of the role {role}, which {party} alone may hold",
        expected="no key of another party on this machine",
        remedy="Find out how it came here, destroy this copy, and let its owner rotate the key.",
    )


def _parse_hex(digits: str) -> bytes:
    if len(digits) != 2 * KEY_BYTES:
        raise _refused(f"a key of {len(digits)} characters", f"{2 * KEY_BYTES} hexadecimal digits")
    if not all(digit in "0123456789abcdefABCDEF" for digit in digits):
        raise _refused(
            "a key with characters that are not hexadecimal", f"{2 * KEY_BYTES} hexadecimal digits"
        )
    key = bytes.fromhex(digits)
    check_key(key)
    return key


def _refused(found: str, expected: str) -> NightlinkError:
    return NightlinkError(
        "E-KEY-FILE",
        found=found,
        expected=expected,
        remedy="Make a new key file with `nightlink custodian keygen`, or point the setting to the right file.",
    )
