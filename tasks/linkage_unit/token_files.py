"""Files of tokens at the linkage unit: to project tokens, and who agrees with whom. Zone: linkage_unit."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from linkage_core.linkage_unit.project_tokens import (
    AGREE,
    SAYS_NOTHING,
    agreement,
    pairs_that_agree,
    to_project_tokens,
)
from linkage_core.protocol.evidence_spec import evidence_of
from linkage_core.protocol.key_files import parse_key_file
from linkage_core.protocol.linkage_protocol import LinkageProtocol
from linkage_core.protocol.token_table import FORM_BYTES, TokenPlace
from linkage_core.protocol.transfer_keys import TransferSecret, secret_at_linkage_unit
from tasks.protocol.output_files import whole_file
from tasks.protocol.settings_files import read_protocol, read_secret
from tasks.protocol.token_files import fixed_bytes, is_csv, parquet_bytes, read_token_file, write_token_file

_WORDS = {AGREE: "true", SAYS_NOTHING: ""}


def receive_token_file(
    source: Path,
    output: Path,
    *,
    protocol_file: Path,
    encryption_key_file: Path,
    tokens_key_file: Path,
    transfer_public_key: str,
) -> tuple[int, TransferSecret]:
    """A custodian's file in transfer form to one of project tokens; rows, and whose keys were used."""
    protocol = read_protocol(protocol_file)
    unit_key = parse_key_file(read_secret(encryption_key_file), "linkage_unit_encryption")
    tokens_key = parse_key_file(read_secret(tokens_key_file), "linkage_unit_tokens")
    secret = secret_at_linkage_unit(unit_key, transfer_public_key)
    table = read_token_file(source, FORM_BYTES["transfer"], _definitions(protocol))
    place = TokenPlace(protocol.project, protocol.key_epoch)
    write_token_file(output, to_project_tokens(table, place, secret, tokens_key))
    return len(table), secret


@dataclass(frozen=True)
class Agreements:
    """How many pairs agree on something, and on each definition how many are true, false and null."""

    pairs: int
    by_definition: dict[str, tuple[int, int, int]]


def compare_token_files(
    first: Path, second: Path, output: Path, *, protocol_file: Path, max_pairs: int
) -> Agreements:
    """Write all pairs that agree on a project token, with true, false or null for every definition."""
    known = _definitions(read_protocol(protocol_file))
    a, b = (read_token_file(path, FORM_BYTES["project"], known) for path in (first, second))
    pairs = pairs_that_agree(a, b, max_pairs)
    agreed = agreement(a, b, pairs)
    names = [column.definition for column in a.columns]
    pseudonyms = a.pseudonyms[pairs[0]], b.pseudonyms[pairs[1]]
    if is_csv(output):
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["pseudonym_a", "pseudonym_b", *names])
        for one, other, row in zip(*pseudonyms, agreed.tolist(), strict=True):
            writer.writerow(
                [one.tobytes().hex(), other.tobytes().hex(), *(_WORDS.get(cell, "false") for cell in row)]
            )
        data = text.getvalue().encode("ascii")
    else:
        columns = [
            pa.array(agreed[:, d] == AGREE, mask=agreed[:, d] == SAYS_NOTHING) for d in range(len(names))
        ]
        arrays = [*map(fixed_bytes, pseudonyms), *columns]
        data = parquet_bytes(pa.Table.from_arrays(arrays, names=["pseudonym_a", "pseudonym_b", *names]))
    with whole_file(output) as file:
        file.write(data)
    counts = {
        name: tuple(int((agreed[:, d] == value).sum()) for value in (AGREE, 0, SAYS_NOTHING))
        for d, name in enumerate(names)
    }
    return Agreements(len(agreed), {name: (t, f, n) for name, (t, f, n) in counts.items()})


def _definitions(protocol: LinkageProtocol) -> list[str]:
    return [definition.name for definition in evidence_of(protocol).tokens]
