"""From the one linkage key to a key for each use. Zone: custodian.

HKDF (``protocol.derived_keys``) with the whole context: project, epoch, role, what the key is for, and the
protocol's fingerprint. Two custodians whose protocols differ in one parameter hence get unrelated keys; no
key of one role or field says anything of another's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from linkage_core.protocol.derived_keys import derive_key
from linkage_core.protocol.evidence_spec import evidence_of
from linkage_core.protocol.key_files import KEY_BYTES, check_key
from linkage_core.protocol.linkage_protocol import LinkageProtocol, protocol_fingerprint

KEY_CHECK_BYTES = 8


@dataclass(frozen=True)
class GroupFilterKeys:
    """Keys of one filter: one a field for the positions, one for the diffusion; ``repr`` shows none."""

    positions: Mapping[str, bytes] = field(repr=False)
    diffusion: bytes = field(repr=False)


@dataclass(frozen=True)
class CustodianKeys:
    """Every key that an encoder needs; ``repr`` shows none of them.

    Attributes
    ----------
    tokens : mapping of str to bytes
        32 bytes for each token, the blocking passes' included.
    groups : mapping of str to GroupFilterKeys
        Of each filter.
    key_check_value : bytes
        8 bytes that travel in the manifest: equal at both custodians exactly when their linkage keys, epochs
        and protocols are. Derived under a role of its own, so it reveals no other key.
    """

    tokens: Mapping[str, bytes] = field(repr=False)
    groups: Mapping[str, GroupFilterKeys] = field(repr=False)
    key_check_value: bytes


def derive_custodian_keys(linkage_key: bytes, protocol: LinkageProtocol) -> CustodianKeys:
    """Derive all keys of one protocol from the custodians' shared 32-byte linkage key.

    Raises
    ------
    NightlinkError
        E-KEY-FILE when the key is not 32 bytes long or has a placeholder's pattern.
    """
    check_key(linkage_key)
    fingerprint = protocol_fingerprint(protocol)
    spec = evidence_of(protocol)

    def key_for(role: str, purpose: str, length: int = KEY_BYTES) -> bytes:
        context = (protocol.project, protocol.key_epoch, role, purpose, fingerprint)
        return derive_key(linkage_key, context, length)

    return CustodianKeys(
        tokens={token.name: key_for("token", token.name) for token in spec.tokens},
        groups={
            group.name: GroupFilterKeys(
                {name: key_for("filter", f"{group.name}/{name}") for name in group.fields},
                key_for("diffusion", group.name),
            )
            for group in spec.groups
        },
        key_check_value=key_for("key-check", "", KEY_CHECK_BYTES),
    )
