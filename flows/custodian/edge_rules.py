"""The two kinds of rules by which a custodian's command encodes: clkhash's schema, Nightlink's protocol. Zone:
custodian.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from linkage_core.custodian.clk_encoder import clk_encoder
from linkage_core.custodian.clk_values import SCHEMA_RULES
from linkage_core.custodian.encode_records import RecordEncoder
from linkage_core.custodian.key_derivation import derive_custodian_keys
from linkage_core.custodian.source_format import SourceFormat
from linkage_core.custodian.token_forms import choose_definitions
from linkage_core.errors import NightlinkError
from linkage_core.protocol.evidence_spec import FAMILY, GIVEN, TokenDefinition, TokenPart
from linkage_core.protocol.key_files import parse_key_file
from linkage_core.protocol.leaving_columns import LeavingColumn, leaving_columns
from linkage_core.protocol.linkage_protocol import NAMES, REQUIRED_FIELDS, protocol_fingerprint
from linkage_core.protocol.linkage_schema import (
    Feature,
    LinkageSchema,
    NgramComparison,
    NumericComparison,
    schema_fingerprint,
)
from linkage_core.protocol.row_rules import ROW_RULES
from tasks.custodian import edge_protocol, edge_schema, edge_tokens
from tasks.custodian.edge_input import Columns, People
from tasks.custodian.edge_progress import Progress
from tasks.custodian.edge_protocol import ProtocolRules
from tasks.custodian.edge_report import SourceColumn, field_use
from tasks.custodian.edge_schema import EdgeCounts
from tasks.custodian.reasons_file import ReasonsFile
from tasks.protocol.output_files import DigestedFile
from tasks.protocol.settings_files import read_protocol, read_secret
from tasks.protocol.token_files import is_csv


@dataclass(frozen=True)
class SchemaEdge:
    """A linkage schema and the file of the shared secret; without one it can only check."""

    schema: LinkageSchema
    key_file: Path | None = None
    validate: bool = True
    order: str = "that of the input, which tells whoever knows the input's order who is who"
    keeps_order: bool = True

    def columns(self) -> Columns:
        """The schema's features, in order."""
        return edge_schema.schema_columns(self.schema)

    def check(self, people: People, reasons: ReasonsFile, tell: Progress) -> EdgeCounts:
        """Judge the rows."""
        return edge_schema.check_people(people, self.schema, reasons, tell, check=self.validate)

    def encode(
        self, people: People, output: DigestedFile, reasons: ReasonsFile, tell: Progress
    ) -> EdgeCounts:
        """Write the CLKs."""
        secret = read_secret(_given(self.key_file, "--key-file"))
        encoder = clk_encoder(self.schema, secret, check=self.validate)
        return edge_schema.encode_clk_file(people, encoder, output, reasons, tell)

    def described(self) -> dict[str, str]:
        """The schema's fingerprint and measures."""
        return {
            "linkage schema": schema_fingerprint(self.schema),
            "bits": str(self.schema.bits),
            "XOR folds": str(self.schema.folds),
        }

    def warnings(self) -> tuple[str, ...]:
        """The schema's, and what is known of the format."""
        doubles = any(f.hashing is not None and f.hashing.hash == "doubleHash" for f in self.schema.features)
        weak = (
            "doubleHash is broken by published attacks; use it only where the other side cannot do better",
        )
        return self.schema.warnings + (weak if doubles else ())

    def leaving_columns(self) -> tuple[LeavingColumn, ...]:
        """One filter a record."""
        used = ", ".join(feature.identifier for feature in self.schema.features if not feature.ignored)
        return (
            LeavingColumn(
                "clks", f"{self.schema.bits} bits in base64", f"one keyed Bloom filter a row, of {used}"
            ),
        )

    def source_columns(self) -> tuple[SourceColumn, ...]:
        """What happens to each column."""
        return tuple(SourceColumn(f.identifier, _use(f)) for f in self.schema.features)

    def meanings(self) -> dict[str, str]:
        """Of the reason codes."""
        return dict(SCHEMA_RULES)


@dataclass(frozen=True)
class ProtocolEdge:
    """A linkage protocol, the linkage key's and the site key's files; without them it can only check."""

    rules: ProtocolRules
    key_file: Path | None = None
    site_key_file: Path | None = None
    missing: dict[str, int] = field(default_factory=dict, compare=False)
    mostly_missing: list[str] = field(default_factory=list, compare=False)
    order: str = "that of the record pseudonyms, which has nothing to do with the input's"
    keeps_order: bool = False

    def columns(self) -> Columns:
        """source_id and the protocol's fields, under the source's names."""
        return self.rules.columns()

    def check(self, people: People, reasons: ReasonsFile, tell: Progress) -> EdgeCounts:
        """Judge the rows."""
        return edge_protocol.check_protocol_people(people, self.rules, reasons, tell)

    def encode(
        self, people: People, output: DigestedFile, reasons: ReasonsFile, tell: Progress
    ) -> EdgeCounts:
        """Write the part."""
        counts, missing = edge_protocol.encode_protocol_file(
            people, self.rules, self._encoder(), output, reasons, tell
        )
        self._note_missing(counts, missing)
        return counts

    def _note_missing(self, counts: EdgeCounts, missing: dict[str, int]) -> None:
        self.missing.update(missing)
        names = dict(zip(self.rules.fields, self.columns().names, strict=True))
        self.mostly_missing.extend(
            f"{names[name]} is missing in {missing[name]} of the {counts.encoded} encoded rows, so few can be linked"
            for name in REQUIRED_FIELDS
            if 2 * missing.get(name, 0) > counts.encoded
        )

    def _encoder(self) -> RecordEncoder:
        protocol = self.rules.protocol
        site_key = parse_key_file(
            read_secret(_given(self.site_key_file, "--site-key-file")), "site", epoch=protocol.key_epoch
        )
        return RecordEncoder(protocol, derive_custodian_keys(self._linkage_key(), protocol), site_key)

    def _linkage_key(self) -> bytes:
        epoch = self.rules.protocol.key_epoch
        return parse_key_file(read_secret(_given(self.key_file, "--key-file")), "linkage", epoch=epoch)

    def described(self) -> dict[str, str]:
        """The protocol's fingerprint, project and epoch."""
        protocol = self.rules.protocol
        return {
            "linkage protocol": protocol_fingerprint(protocol),
            "project": protocol.project,
            "version": str(protocol.version),
            "key epoch": protocol.key_epoch,
        }

    def warnings(self) -> tuple[str, ...]:
        """A wrongly declared date format, say, that emptied a column: known once it was encoded."""
        return tuple(self.mostly_missing)

    def leaving_columns(self) -> tuple[LeavingColumn, ...]:
        """As in the wire format."""
        return leaving_columns(self.rules.protocol)

    def source_columns(self) -> tuple[SourceColumn, ...]:
        """What happens to each column."""
        names = dict(zip(self.rules.fields, self.columns().names, strict=True))
        return tuple(
            SourceColumn(names[name], field_use(name), self.missing.get(name)) for name in self.rules.fields
        )

    def meanings(self) -> dict[str, str]:
        """Of the reason codes."""
        return dict(ROW_RULES)


@dataclass(frozen=True)
class TokensEdge(ProtocolEdge):
    """A linkage protocol and the definitions whose tokens are wanted, in site form."""

    definitions: tuple[TokenDefinition, ...] = ()
    as_csv: bool = False

    def encode(
        self, people: People, output: DigestedFile, reasons: ReasonsFile, tell: Progress
    ) -> EdgeCounts:
        """Write the tokens in site form."""
        counts, missing = edge_tokens.write_site_tokens(
            people, self.rules, self._encoder(), self._linkage_key(), self.definitions, output, reasons, tell,
            as_csv=self.as_csv,
        )  # fmt: skip
        self._note_missing(counts, missing)
        return counts

    def warnings(self) -> tuple[str, ...]:
        """What this file is for."""
        return (
            "this file is in site form and stays here: `transfer-tokens` makes what one linkage unit may be sent",
            *self.mostly_missing,
        )

    def leaving_columns(self) -> tuple[LeavingColumn, ...]:
        """A token a definition."""
        return (
            LeavingColumn("record_pseudonym", "16 bytes", "names the row under the site's own key"),
            *(
                LeavingColumn(
                    definition.name,
                    "32 bytes",
                    "keyed token of these fields, encrypted under the site key, or null",
                )
                for definition in self.definitions
            ),
        )

    def source_columns(self) -> tuple[SourceColumn, ...]:
        """What happens to each column."""
        used = {field for d in self.definitions for part in d.parts for field in fields_of(part)}
        names = dict(zip(self.rules.fields, self.columns().names, strict=True))
        return (
            SourceColumn(names["source_id"], "hashed into the record pseudonym under the site key"),
            *(
                SourceColumn(
                    names[f],
                    "hashed into tokens under the linkage key" if f in used else "checked, and not used",
                    self.missing.get(f),
                )
                for f in self.rules.protocol.field_names
            ),
        )


def tokens_edge(edge: ProtocolEdge, definitions: Sequence[str], output: Path) -> TokensEdge:
    """The same rules and keys, for tokens in site form; E-INPUT for definitions that the protocol has not."""
    chosen = choose_definitions(edge.rules.protocol, definitions)
    return TokensEdge(
        edge.rules, edge.key_file, edge.site_key_file, definitions=chosen, as_csv=is_csv(output)
    )


def protocol_edge(
    protocol_file: Path,
    source_format: SourceFormat,
    column_of: dict[str, str],
    as_of: date,
    key_file: Path | None = None,
    site_key_file: Path | None = None,
) -> ProtocolEdge:
    """Rules by the protocol at ``protocol_file``; E-SETTINGS or E-PROTOCOL when it is wrong."""
    rules = ProtocolRules(read_protocol(protocol_file), source_format, column_of, as_of)
    return ProtocolEdge(rules, key_file, site_key_file)


def fields_of(part: TokenPart) -> tuple[str, ...]:
    """The fields that a part looks at: both names together are two."""
    return (GIVEN, FAMILY) if part.field == NAMES else (part.field,)


def _given(path: Path | None, option: str) -> Path:
    if path is None:
        raise NightlinkError(
            "E-KEY-FILE",
            found="no key file",
            expected=f"{option} with the path of one",
            remedy="Only `validate` needs no key.",
        )
    return path


def _use(feature: Feature) -> str:
    if feature.hashing is None:
        return "ignored"
    comparison = feature.hashing.comparison
    if isinstance(comparison, NgramComparison):
        kind = f"{'positional ' if comparison.positional else ''}{comparison.n}-grams"
    else:
        kind = "neighbouring numbers" if isinstance(comparison, NumericComparison) else "whole value"
    return f"hashed into the filter, {kind} by {feature.hashing.hash}"
