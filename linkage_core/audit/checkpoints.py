"""Checkpoints: the log's size and root, signed by the linkage unit, for witnesses to keep. Zone: protocol.

The form is C2SP's: a tlog-checkpoint (https://c2sp.org/tlog-checkpoint) as a signed note
(https://c2sp.org/signed-note), so that tools and witnesses of transparency logs read it::

    nightlink/discharge_followup
    42
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
    time 2026-03-31T02:03:04Z

    — nightlink/discharge_followup Az3grlgt...

A note is signed as it stands, without a context before it; it holds no zero byte, and every other signature of this
project covers one within its first 41 bytes (:mod:`linkage_core.audit.signatures`), so that none passes for another.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from linkage_core.audit.merkle_tree import HASH_BYTES
from linkage_core.errors import NightlinkError

MAX_NOTE_BYTES = 4096
_ED25519 = b"\x01"
_KEY_ID_BYTES = 4
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_BODY = re.compile(
    r"(?P<origin>nightlink/[a-z0-9][a-z0-9_-]{0,62})\n"
    r"(?P<size>0|[1-9][0-9]{0,15})\n"
    r"(?P<root>[A-Za-z0-9+/]{43}=)\n"
    r"time (?P<time>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)\n"
)


@dataclass(frozen=True)
class Checkpoint:
    """The log as one party signed it.

    Attributes
    ----------
    origin : str
        Whose log: :func:`log_origin` of the project.
    size : int
        Number of entries.
    root : bytes
        The Merkle root over them.
    at : datetime
        When it was signed, to the second, UTC.
    """

    origin: str
    size: int
    root: bytes
    at: datetime


def log_origin(project: str) -> str:
    """The name of a linkage project's log."""
    return f"nightlink/{project}"


def sign_checkpoint(checkpoint: Checkpoint, signing_key: Ed25519PrivateKey) -> str:
    """The signed note; equal checkpoints and keys give equal text.

    Raises
    ------
    NightlinkError
        E-INPUT: a checkpoint that could not be read again (a project's name with other characters).
    """
    text = _body(checkpoint)
    if _BODY.fullmatch(text) is None:
        raise NightlinkError(
            "E-INPUT",
            found="a checkpoint with another origin, size or root",
            expected="nightlink/PROJECT, a size below 10**16 and a root of 32 bytes",
            remedy="This is a mistake in the calling code.",
        )
    return f"{text}\n{signature_line(checkpoint.origin, text, signing_key)}"


def open_checkpoint(note: str, public_key: Ed25519PublicKey, origin: str) -> Checkpoint:
    """Read a checkpoint and check whose it is. Signatures of others (cosigning witnesses) are passed over.

    Raises
    ------
    NightlinkError
        E-AUDIT-RECEIPT: not such a note, of another log, or not signed by the owner of ``public_key``.
    """
    if len(note) > MAX_NOTE_BYTES:
        raise _refused(f"a checkpoint of {len(note)} characters")
    text, separator, signatures = note.rpartition("\n\n")
    found = _BODY.fullmatch(f"{text}\n")
    if not separator or found is None:
        raise _refused("a checkpoint that is no signed note of a log of ours")
    if found["origin"] != origin:
        raise _refused(f"a checkpoint of {found['origin']}, not of {origin}")
    if not any(_holds(line, origin, f"{text}\n", public_key) for line in signatures.splitlines()):
        raise _refused("a checkpoint without the linkage unit's signature")
    return _parsed(found)


def signature_line(name: str, text: str, signing_key: Ed25519PrivateKey) -> str:
    """The line under a note's text with its Ed25519 signature and the key's name and id."""
    signed = key_id(name, signing_key.public_key()) + signing_key.sign(text.encode())
    return f"\u2014 {name} {base64.b64encode(signed).decode()}\n"


def key_id(name: str, public_key: Ed25519PublicKey) -> bytes:
    """The first 4 bytes of SHA-256 of name, newline, algorithm and key: which key a line says it is of."""
    told = name.encode() + b"\n" + _ED25519 + public_key.public_bytes_raw()
    return hashlib.sha256(told).digest()[:_KEY_ID_BYTES]


def _body(checkpoint: Checkpoint) -> str:
    root = base64.b64encode(checkpoint.root).decode()
    at = checkpoint.at.astimezone(UTC).strftime(_TIME_FORMAT)
    return f"{checkpoint.origin}\n{checkpoint.size}\n{root}\ntime {at}\n"


def _parsed(found: re.Match[str]) -> Checkpoint:
    root = base64.b64decode(found["root"])
    try:
        at = datetime.strptime(found["time"], _TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        raise _refused("a checkpoint of a time that there is not") from None
    if len(root) != HASH_BYTES or base64.b64encode(root).decode() != found["root"]:
        raise _refused("a checkpoint whose root is not 32 bytes")
    return Checkpoint(found["origin"], int(found["size"]), root, at)


def _holds(line: str, name: str, text: str, public_key: Ed25519PublicKey) -> bool:
    mark, _, signed = line.rpartition(" ")
    if mark != f"\u2014 {name}":
        return False
    try:
        data = base64.b64decode(signed, validate=True)
        if data[:_KEY_ID_BYTES] != key_id(name, public_key):
            return False
        public_key.verify(data[_KEY_ID_BYTES:], text.encode())
    except (binascii.Error, ValueError, InvalidSignature):
        return False
    return True


def _refused(found: str) -> NightlinkError:
    return NightlinkError(
        "E-AUDIT-RECEIPT",
        found=found,
        expected="a checkpoint as the linkage unit signs it, under its registered key",
        remedy="Keep it as evidence; compare the registered public key with the linkage unit's by voice.",
    )
