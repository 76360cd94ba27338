"""People to tokens in site form, and those to transfer form, without a night around them. Zone: custodian."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from linkage_core.custodian.encode_records import RecordEncoder, no_rows
from linkage_core.custodian.token_forms import place_of, site_tokens, to_transfer_form
from linkage_core.protocol.evidence_spec import TokenDefinition, evidence_of
from linkage_core.protocol.key_files import parse_key_file
from linkage_core.protocol.token_table import FORM_BYTES, TokenTable
from linkage_core.protocol.transfer_keys import TransferSecret, secret_at_custodian
from tasks.custodian.edge_input import People
from tasks.custodian.edge_progress import Progress
from tasks.custodian.edge_protocol import ProtocolRules, normalise_people
from tasks.custodian.edge_schema import EdgeCounts
from tasks.custodian.encode import divide_by_pseudonym
from tasks.custodian.night_folder import NightFolder
from tasks.custodian.part_threads import in_order, usable_threads
from tasks.custodian.reasons_file import ReasonsFile
from tasks.custodian.spool import RecordSpool
from tasks.protocol.output_files import DigestedFile
from tasks.protocol.settings_files import read_protocol, read_secret
from tasks.protocol.token_files import read_token_file, token_writer, write_token_file


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
    """Write the sound rows' tokens in site form; the counts, and missing values by field.

    Normalised rows wait in encrypted spools, and their tokens are made bucket by bucket in the order of pseudonyms,
    so that memory is bounded by a bucket.
    """
    protocol = rules.protocol

    def tokens_of(bucket: RecordSpool) -> TokenTable:
        rows = pa.concat_batches([no_rows(protocol), *bucket])
        bucket.discard()
        return site_tokens(rows, encoder, linkage_key, definitions)

    names = [definition.name for definition in definitions]
    with tempfile.TemporaryDirectory(prefix=".nightlink-", dir=output.folder) as name:
        folder = NightFolder(Path(name))
        normalised = folder.spool("normalised")
        read, missing = normalise_people(people, rules, reasons, tell, normalised.write)
        count = normalised.rows
        buckets = divide_by_pseudonym(normalised, encoder, folder)
        with token_writer(output, names, FORM_BYTES["site"], as_csv=as_csv) as put:
            for table in in_order(tokens_of, buckets, usable_threads()):
                put(table)
    return EdgeCounts(read, count), missing


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
