"""The linkage protocol: everything that both sides must agree on, typed and fingerprinted. Zone: protocol.

Its SHA-256 over RFC 8785 canonical JSON is the *fingerprint*. The fingerprint enters key derivation, so two
sides with different protocols produce unrelated encodings and matching refusals, never silent non-matches.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

import rfc8785
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from linkage_core.errors import ProtocolError
from linkage_core.protocol.evidence_spec import FAMILY, GIVEN, NAMES
from linkage_core.protocol.protocol_mistakes import (
    DIGEST_PATTERN,
    EPOCH_PATTERN,
    NAME_PATTERN,
    EntryError,
    describe_mistake,
)

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
# Strict: TOML has types of its own, so that true or "3" where a number belongs is a mistake. Whole numbers
# have upper bounds far below 2^53, above which RFC 8785 would lose digits.
WholeNumber = Annotated[int, Field(strict=True)]
Threshold = Annotated[float, Field(strict=True, gt=0, le=1, allow_inf_nan=False)]
FieldKind = Literal["name", "date", "sex", "text", "postcode", "phone", "email"]

BLOCKING_CODES: dict[str, frozenset[str]] = {
    "exact": frozenset({"name", "date", "sex", "text", "postcode", "phone", "email"}),
    "soundex": frozenset({"name"}),
    "nickname": frozenset({"name"}),
    "nickname_sound": frozenset({"name"}),
    "prefix1": frozenset({"name", "text", "postcode"}),
    "prefix3": frozenset({"name", "text", "postcode"}),
    "suffix3": frozenset({"name"}),
    "decade": frozenset({"date"}),
    "year": frozenset({"date"}),
    "year_month": frozenset({"date"}),
    "month_day": frozenset({"date"}),
    "year_digit_month_day": frozenset({"date"}),
    "year_sorted_day_month": frozenset({"date"}),
    "house_number": frozenset({"text"}),
    "street_start": frozenset({"text"}),
}
"""What a blocking part may take from a field, and from which kinds of field."""

NICKNAME_CODES = frozenset({"nickname", "nickname_sound"})
"""Codes that need the protocol's nickname table."""

REQUIRED_FIELDS: dict[str, FieldKind] = {"given_name": "name", "family_name": "name", "birth_date": "date"}
"""Fields that every protocol has, with their kinds."""

FILTER_BITS = (256, 512, 1024, 2048, 4096)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FieldSpec(_Frozen):
    """One field: how it is normalised, and its share of the record-level filter.

    ``bits`` is the number of hash positions that the field may set in the filter, shared out evenly over the
    q-grams of the record's value (at most ``max_bits_per_q_gram`` each), so that the fill stays under control
    whatever the length of a name. 0 keeps the field out of the filter.
    """

    name: Name
    kind: FieldKind
    q: WholeNumber = Field(default=2, ge=1, le=4)
    bits: WholeNumber = Field(ge=0, le=1024)


class FilterSpec(_Frozen):
    """The record-level Bloom filter."""

    bits: WholeNumber = 1024
    max_bits_per_q_gram: WholeNumber = Field(default=40, ge=1, le=64)

    @field_validator("bits")
    @classmethod
    def _offered_length(cls, bits: int) -> int:
        if bits not in FILTER_BITS:
            raise EntryError(f"{bits}", f"one of {', '.join(map(str, FILTER_BITS))}")
        return bits


class NicknameTableSpec(_Frozen):
    """Which nickname table the custodians use: its version and the SHA-256 of its file, so that both have it."""

    version: Name
    sha256: Annotated[str, StringConstraints(pattern=DIGEST_PATTERN)]


class BlockingPart(_Frozen):
    """One field seen through one code, such as the Soundex of the family name.

    The field ``names`` is given and family name together, without telling which is which.
    """

    field: Name
    code: str

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        if isinstance(value, str):
            field, colon, code = value.partition(":")
            return {"field": field, "code": code if colon else "exact"}
        return value

    @field_validator("code")
    @classmethod
    def _known_code(cls, code: str) -> str:
        if code not in BLOCKING_CODES:
            raise EntryError(
                f"the unknown blocking code {ascii(code[:40])}", f"one of {', '.join(BLOCKING_CODES)}"
            )
        return code


class BlockingPass(_Frozen):
    """One blocking pass: records that agree on all parts become candidates. Null when a part is missing."""

    name: Name
    parts: tuple[BlockingPart, ...] = Field(min_length=1, max_length=5)

    @property
    def fields(self) -> frozenset[str]:
        """The fields that must agree, through one code or another."""
        found = {part.field for part in self.parts}
        return frozenset(found - {NAMES} | ({GIVEN, FAMILY} if NAMES in found else set()))


class BlockingSpec(_Frozen):
    """All passes, and the limits that keep one crowded value from exploding.

    ``partners_per_record`` bounds what a record asks for: it takes its smallest blocks first, up to so many
    partners, more when it has fewer values (:mod:`linkage_core.linkage_unit.candidate_pairs`).
    """

    partners_per_record: WholeNumber = Field(default=22, ge=1, le=10**6)
    max_block_pairs: WholeNumber = Field(default=200_000, ge=1, le=10**9)
    pair_budget: WholeNumber = Field(default=50_000_000, ge=1, le=10**12)
    passes: tuple[BlockingPass, ...] = Field(min_length=1, max_length=32)

    @model_validator(mode="after")
    def _budget_holds_a_block(self) -> Self:
        if self.max_block_pairs > self.pair_budget:
            raise EntryError(
                f"max_block_pairs = {self.max_block_pairs}", f"at most pair_budget = {self.pair_budget}"
            )
        return self


class DecisionSpec(_Frozen):
    """Dice thresholds: at least ``match`` is a match, at least ``possible`` a possible match."""

    match: Threshold
    possible: Threshold

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.possible > self.match:
            raise EntryError(f"possible = {self.possible}", f"at most match = {self.match}")
        return self


class LinkageProtocol(_Frozen):
    """The whole protocol. Build it with :func:`parse_protocol`."""

    format: Literal["nightlink-protocol-1"]
    project: Name
    version: WholeNumber = Field(ge=1, le=10**6)
    key_epoch: Annotated[str, StringConstraints(pattern=EPOCH_PATTERN)]
    normaliser_version: WholeNumber = Field(ge=1, le=1)
    custodians: tuple[Name, Name]
    filter: FilterSpec = FilterSpec()
    fields: tuple[FieldSpec, ...] = Field(min_length=1, max_length=100)
    nickname_table: NicknameTableSpec | None = None
    blocking: BlockingSpec
    decision: DecisionSpec

    @property
    def field_names(self) -> tuple[str, ...]:
        """Field names in the protocol's order."""
        return tuple(field.name for field in self.fields)

    @property
    def pass_names(self) -> tuple[str, ...]:
        """Names of the blocking passes in the protocol's order."""
        return tuple(blocking_pass.name for blocking_pass in self.blocking.passes)

    @property
    def filter_words(self) -> int:
        """64-bit words a filter."""
        return self.filter.bits // 64

    def field(self, name: str) -> FieldSpec:
        """The field called ``name``; KeyError when the protocol has none."""
        return {field.name: field for field in self.fields}[name]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _refuse_duplicates("field", self.field_names)
        _refuse_duplicates("blocking pass", self.pass_names)
        _refuse_duplicates("custodian", self.custodians)
        _check_required_fields(self)
        _check_fill(self)
        if NAMES in self.field_names:
            raise EntryError(f"a field called {NAMES}", f"another name: {NAMES} means both names, unordered")
        _check_passes(self)
        return self


_KNOWN_ENTRIES: dict[tuple[str, ...], Sequence[str]] = {
    (): tuple(LinkageProtocol.model_fields),
    ("filter",): tuple(FilterSpec.model_fields),
    ("nickname_table",): tuple(NicknameTableSpec.model_fields),
    ("fields",): tuple(FieldSpec.model_fields),
    ("blocking",): tuple(BlockingSpec.model_fields),
    ("blocking", "passes"): tuple(BlockingPass.model_fields),
    ("blocking", "passes", "parts"): tuple(BlockingPart.model_fields),
    ("decision",): tuple(DecisionSpec.model_fields),
}


def _refuse_duplicates(what: str, names: tuple[str, ...]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise EntryError(f"the {what} {name} twice", f"each {what} once")


def _check_required_fields(protocol: LinkageProtocol) -> None:
    for name, kind in REQUIRED_FIELDS.items():
        if name not in protocol.field_names:
            raise EntryError(f"no field {name}", f"the fields {', '.join(REQUIRED_FIELDS)}")
        if protocol.field(name).kind != kind:
            raise EntryError(f"the field {name} of kind {protocol.field(name).kind}", f"kind {kind}")


def _check_fill(protocol: LinkageProtocol) -> None:
    total = sum(field.bits for field in protocol.fields)
    if total == 0:
        raise EntryError("bits = 0 in every field", "bits for at least one field, or the filter stays empty")
    if total > protocol.filter.bits:
        # Beyond it more than 1 - 1/e of a filter is set, and even unlike records begin to look alike.
        raise EntryError(f"fields of {total} bits together", f"at most filter.bits = {protocol.filter.bits}")


def _check_passes(protocol: LinkageProtocol) -> None:
    seen: dict[frozenset[tuple[str, str]], str] = {}
    for blocking_pass in protocol.blocking.passes:
        name = blocking_pass.name
        for part in blocking_pass.parts:
            _check_part(protocol, name, part)
        parts = frozenset((part.field, part.code) for part in blocking_pass.parts)
        if len(parts) < len(blocking_pass.parts):
            raise EntryError(f"a part twice in the blocking pass {name}", "each part once")
        _check_breadth(protocol, blocking_pass)
        if parts in seen:
            raise EntryError(f"the blocking passes {seen[parts]} and {name} of the same parts", "one of them")
        seen[parts] = name


def _check_breadth(protocol: LinkageProtocol, blocking_pass: BlockingPass) -> None:
    """Values of one field alone could be counted, and matched with a list of names or dates by frequency.

    Two parts of an address are a home's: no value of theirs is frequent.
    """
    if len(blocking_pass.fields) > 1:
        return
    (field,) = blocking_pass.fields
    if len(blocking_pass.parts) < 2 or protocol.field(field).kind != "text":
        found = f"the blocking pass {blocking_pass.name} over {field} alone"
        raise EntryError(found, "parts of at least two fields, or two parts of an address")


def _check_part(protocol: LinkageProtocol, pass_name: str, part: BlockingPart) -> None:
    if part.field not in (*protocol.field_names, NAMES):
        found = f"the blocking pass {pass_name} over {part.field}, which is no field"
        raise EntryError(found, f"one of {', '.join((*protocol.field_names, NAMES))}")
    if part.code in NICKNAME_CODES and protocol.nickname_table is None:
        found = f"the blocking pass {pass_name} taking {part.code}, but no nickname_table"
        raise EntryError(found, "the table's version and sha256")
    kind = "name" if part.field == NAMES else protocol.field(part.field).kind
    if kind not in BLOCKING_CODES[part.code]:
        found = f"the blocking pass {pass_name} taking {part.code} of {part.field}, a field of kind {kind}"
        codes = [code for code, kinds in BLOCKING_CODES.items() if kind in kinds]
        raise EntryError(found, f"one of {', '.join(codes)}")


def parse_protocol(text: str) -> LinkageProtocol:
    """Read a protocol from TOML text.

    Raises
    ------
    ProtocolError
        E-PROTOCOL, one sentence for the first mistake, naming its entry.
    """
    return protocol_from_document(_read_toml(text))


def protocol_from_document(document: dict[str, Any]) -> LinkageProtocol:
    """Build a protocol from what a TOML file holds; raises as :func:`parse_protocol` does."""
    try:
        return LinkageProtocol.model_validate(document)
    except ValidationError as error:
        raise describe_mistake(error, document, _KNOWN_ENTRIES) from None


def _read_toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProtocolError(found=f"text that is not TOML: {error}", expected="a TOML document") from None
    except RecursionError:
        raise ProtocolError(found="lists or tables nested too deeply", expected="a TOML document") from None
    except ValueError:  # a number of thousands of digits
        raise ProtocolError(found="a number too long to read", expected="a TOML document") from None


def canonical_protocol(protocol: LinkageProtocol) -> bytes:
    """RFC 8785 canonical JSON of the protocol, defaults written out."""
    return rfc8785.dumps(protocol.model_dump(mode="json"))


def protocol_fingerprint(protocol: LinkageProtocol) -> str:
    """SHA-256 of :func:`canonical_protocol`, as 64 hex digits."""
    return hashlib.sha256(canonical_protocol(protocol)).hexdigest()
