"""Tokens in site form, and on to transfer form. Zone: custodian.

T = HMAC(K_definition, fields): 16 bytes, two keyed values of 8 bytes each (``custodian.tokens``) under two keys
that HKDF derives from the linkage key for token files alone, so that a token file says nothing of a night's
delivery. T exists in memory only: what is stored is AES-SIV(K_site, T), what is sent AES-SIV(K_site->unit, T)
(Nightlink's privacy model; the forms are those of the tokenisation world).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from linkage_core.custodian.blocking_keys import coding_functions
from linkage_core.custodian.encode_records import RecordEncoder
from linkage_core.custodian.field_columns import field_columns
from linkage_core.custodian.nickname_table import load_formal_names
from linkage_core.custodian.record_pseudonyms import record_pseudonyms
from linkage_core.custodian.text_columns import SOURCE_ID
from linkage_core.custodian.tokens import encode_tokens
from linkage_core.errors import NightlinkError
from linkage_core.protocol.derived_keys import derive_key
from linkage_core.protocol.encoded_evidence import NULL_TOKEN
from linkage_core.protocol.encoded_records import pseudonym_order
from linkage_core.protocol.evidence_spec import SEX, TokenDefinition, evidence_of
from linkage_core.protocol.linkage_protocol import LinkageProtocol, protocol_fingerprint
from linkage_core.protocol.siv_tokens import SIV_KEY_BYTES
from linkage_core.protocol.token_table import (
    TokenColumn,
    TokenPlace,
    TokenTable,
    map_tokens,
    open_column,
    seal_column,
    transfer_key,
)
from linkage_core.protocol.transfer_keys import TransferSecret

SITE_FORMAT = "nightlink-site-token-1"
LEAST_PARTS = 2
"""Of a token that is exported by default, sex not counted: with it alone, a family name could be told by counting."""
_HALVES = ("first", "second")


def choose_definitions(protocol: LinkageProtocol, names: Sequence[str] = ()) -> tuple[TokenDefinition, ...]:
    """The protocol's token definitions of these names; without names those of two exact fields or more beside sex.

    Fewer and longer tokens disclose less together; only what the protocol's parties agreed on may be chosen.

    Raises
    ------
    NightlinkError
        E-INPUT: a name that the protocol does not have, or one that comes twice; no names, and no such tokens.
    """
    known = {definition.name: definition for definition in evidence_of(protocol).tokens}
    exact = [
        definition
        for definition in known.values()
        if all(part.code == "exact" for part in definition.parts)
        and sum(part.field != SEX for part in definition.parts) >= LEAST_PARTS
    ]
    if not names and exact:
        return tuple(exact)
    unknown = [name for name in names if name not in known]
    if not names or unknown or len(set(names)) != len(names):
        wrong = f"{len(unknown)} token definitions that the protocol does not have"
        none = f"no token definition named, and none of {LEAST_PARTS} exact fields in the protocol"
        raise NightlinkError(
            "E-INPUT",
            found=none if not names else wrong if unknown else "a token definition twice",
            expected=f"some of {', '.join(known)}",
            remedy="Name each definition once, as the protocol's tokens are named.",
        )
    return tuple(known[name] for name in names)


def site_tokens(
    normalised: pa.RecordBatch,
    encoder: RecordEncoder,
    linkage_key: bytes,
    definitions: Sequence[TokenDefinition],
) -> TokenTable:
    """All records' tokens in site form, in the order of their record pseudonyms.

    Parameters
    ----------
    normalised : RecordBatch
        As for :func:`linkage_core.custodian.encode_records.encode_records`.
    encoder : RecordEncoder
        Protocol and site key.
    linkage_key : bytes
        Root of the definitions' keys.
    """
    protocol = encoder.protocol
    pseudonyms = record_pseudonyms(
        encoder.site_key, normalised.column(SOURCE_ID), project=protocol.project, epoch=protocol.key_epoch
    )
    order = pseudonym_order(pseudonyms)
    records = normalised.take(pa.array(order))
    plain = _plain_tokens(records, protocol, linkage_key, definitions)
    table = TokenTable(pseudonyms[order].view(np.uint8).reshape(-1, pseudonyms.dtype.itemsize), plain)
    place = place_of(protocol)

    def seal(definition: str, tokens: np.ndarray) -> np.ndarray:
        key, context = _site_key(encoder.site_key, place, definition)
        return seal_column(key, context, tokens)

    return map_tokens(table, seal)


def to_transfer_form(
    table: TokenTable, place: TokenPlace, site_key: bytes, secret: TransferSecret
) -> TokenTable:
    """Tokens in site form to the form that one linkage unit can open.

    Raises
    ------
    NightlinkError
        E-TOKEN-SEAL: not this site's tokens, or not of this project and epoch.
    """

    def change(definition: str, sealed: np.ndarray) -> np.ndarray:
        key, context = _site_key(site_key, place, definition)
        tokens = open_column(key, context, sealed, "site")
        key, context = transfer_key(secret, place, definition)
        return seal_column(key, context, tokens)

    return map_tokens(table, change)


def place_of(protocol: LinkageProtocol) -> TokenPlace:
    """The project and epoch of a protocol."""
    return TokenPlace(protocol.project, protocol.key_epoch)


def _plain_tokens(
    records: pa.RecordBatch,
    protocol: LinkageProtocol,
    linkage_key: bytes,
    definitions: Sequence[TokenDefinition],
) -> tuple[TokenColumn, ...]:
    functions = coding_functions(load_formal_names(protocol.nickname_table))
    columns = field_columns(records, evidence_of(protocol).fields, functions)
    halves = [
        encode_tokens(
            columns, definitions, _definition_keys(linkage_key, protocol, definitions, half), len(records)
        )
        for half in _HALVES
    ]
    return tuple(
        TokenColumn(
            definition.name,
            np.ascontiguousarray(np.stack([half[:, d] for half in halves], axis=1).astype("<u8")).view(
                np.uint8
            ),
            halves[0][:, d] != NULL_TOKEN,
        )
        for d, definition in enumerate(definitions)
    )


def _definition_keys(
    linkage_key: bytes, protocol: LinkageProtocol, definitions: Sequence[TokenDefinition], half: str
) -> dict[str, bytes]:
    fingerprint = protocol_fingerprint(protocol)
    place = (protocol.project, protocol.key_epoch)
    return {
        d.name: derive_key(linkage_key, (*place, "file-token", half, d.name, fingerprint))
        for d in definitions
    }


def _site_key(site_key: bytes, place: TokenPlace, definition: str) -> tuple[bytes, tuple[str, ...]]:
    context = place.context(SITE_FORMAT, definition)
    return derive_key(site_key, context, SIV_KEY_BYTES), context
