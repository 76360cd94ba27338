"""People to tokens in site form, and those to transfer form, without a night around them. Zone: custodian."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from linkage_core.custodian.encode_records import RecordEncoder, no_rows
from linkage_core.custodian.token_forms import place_of, site_tokens, to_transfer_form
from linkage_core.protocol.evidence_spec import TokenDefinition, evidence_of
from linkage_core.protocol.key_files import parse_key_file
from linkage_core.protocol.token_table import FORM_BYTES
from linkage_core.protocol.transfer_keys import TransferSecret, secret_at_custodian
from tasks.custodian.edge_input import People
from tasks.custodian.edge_progress import Progress
from tasks.custodian.edge_protocol import ProtocolRules, normalise_people
from tasks.custodian.edge_schema import EdgeCounts
from tasks.custodian.reasons_file import ReasonsFile
from tasks.protocol.output_files import DigestedFile
from tasks.protocol.settings_files import read_protocol, read_secret
from tasks.protocol.token_files import read_token_file, token_bytes, write_token_file


def write_site_tokens(
    people: People,
    rules: ProtocolRules,
    encoder: RecordEncoder,
    linkage_key: bytes,
    definitions: Sequence[TokenDefinition],
    output: DigestedFile,
    reasons: ReasonsFile,
    tell: Progress,
    *,
    as_csv: bool,
) -> tuple[EdgeCounts, dict[str, int]]:
    """Write the sound rows' tokens in site form; the counts, and missing values by field."""
    parts = [no_rows(rules.protocol)]
    read, missing = normalise_people(people, rules, reasons, tell, parts.append)
    table = site_tokens(pa.concat_batches(parts), encoder, linkage_key, definitions)
    output.write(token_bytes(table, as_csv=as_csv))
    return EdgeCounts(read, len(table)), missing


def write_transfer_tokens(
    source: Path,
    output: Path,
    *,
    protocol_file: Path,
    site_key_file: Path,
    transfer_key_file: Path,
    linkage_unit_public_key: str,
) -> tuple[int, TransferSecret]:
    """A file of tokens in site form to one that only that linkage unit can open; rows, and whose keys were used."""
    protocol = read_protocol(protocol_file)
    site_key = parse_key_file(read_secret(site_key_file), "site", epoch=protocol.key_epoch)
    transfer_key = parse_key_file(read_secret(transfer_key_file), "transfer")
    secret = secret_at_custodian(transfer_key, linkage_unit_public_key)
    known = [definition.name for definition in evidence_of(protocol).tokens]
    table = read_token_file(source, FORM_BYTES["site"], known)
    write_token_file(output, to_transfer_form(table, place_of(protocol), site_key, secret))
    return len(table), secret
