"""Key-check values: what two custodians read to each other over the telephone. Zone: custodian."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace
from pathlib import Path

from linkage_core.audit.signatures import public_key_hex
from linkage_core.custodian.clk_keys import secret_check_value
from linkage_core.custodian.key_derivation import derive_custodian_keys
from linkage_core.errors import NightlinkError
from linkage_core.protocol.key_files import parse_key_file
from linkage_core.protocol.linkage_protocol import LinkageProtocol, protocol_fingerprint
from linkage_core.protocol.linkage_schema import XorFolds, schema_fingerprint
from tasks.custodian.edge_schema import read_schema
from tasks.protocol.new_keys import key_id_lines
from tasks.protocol.settings_files import read_protocol, read_secret


@dataclass(frozen=True)
class KeyCheck:
    """A value that is equal at both sides when key and rules are; ``rules`` names their kind."""

    value: str
    fingerprint: str
    rules: str = "protocol"
    epoch: str | None = None
    seals: tuple[str, ...] = ()
    """Ids of the public keys between which this site's deliveries are sealed, to compare with the linkage unit."""

    @property
    def spoken(self) -> str:
        """The value in groups of four."""
        return " - ".join(self.value[i : i + 4] for i in range(0, len(self.value), 4))


def site_check() -> KeyCheck:
    """Of the site whose settings the environment names."""
    from tasks.custodian.settings import custodian_site

    site = custodian_site()
    check, secret = _of_protocol(site.linkage_key, site.protocol), site.transfer_secret
    return replace(check, seals=key_id_lines(secret, public_key_hex(site.signing_key)))


def protocol_check(protocol_file: Path, key_file: Path) -> KeyCheck:
    """Of a linkage key under a protocol."""
    protocol = read_protocol(protocol_file)
    return _of_protocol(parse_key_file(read_secret(key_file), "linkage", epoch=protocol.key_epoch), protocol)


def schema_check(schema_file: Path, key_file: Path, xor_folds: XorFolds) -> KeyCheck:
    """Of a secret under a linkage schema; see :func:`secret_check_value` for why it is short and slow."""
    schema = read_schema(schema_file, xor_folds)
    value = secret_check_value(read_secret(key_file), schema)
    return KeyCheck(value, schema_fingerprint(schema), "schema")


def compare_values(check: KeyCheck, theirs: str) -> None:
    """E-KEY-MISMATCH when the other custodian's value, however it is grouped, differs."""
    spoken = "".join(character for character in theirs.lower() if character.isalnum())
    if not hmac.compare_digest(spoken.encode(), check.value.encode()):
        raise NightlinkError(
            "E-KEY-MISMATCH",
            found="another key-check value at the other custodian",
            expected="the same value at both",
            remedy="Compare the fingerprints first: if they differ, one side has other rules; else another key.",
        )


def _of_protocol(linkage_key: bytes, protocol: LinkageProtocol) -> KeyCheck:
    value = derive_custodian_keys(linkage_key, protocol).key_check_value.hex()
    return KeyCheck(value, protocol_fingerprint(protocol), epoch=protocol.key_epoch)
