"""The linkage protocol: everything that both sides must agree on, typed and fingerprinted. Zone: protocol.

Its SHA-256 over RFC 8785 canonical JSON is the *fingerprint*. The fingerprint enters key derivation, so two
sides with different protocols produce unrelated encodings and matching refusals, never silent non-matches.
"""

from __future__ import annotations

import hashlib
import tomllib
from typing import Annotated, Literal, Self

import rfc8785
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from linkage_core.errors import ProtocolError

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
FieldKind = Literal["name", "date", "sex", "text", "postcode", "phone", "email"]

BLOCKING_CODES: dict[str, frozenset[str]] = {
    "exact": frozenset({"name", "date", "sex", "text", "postcode", "phone", "email"}),
    "soundex": frozenset({"name"}),
    "prefix1": frozenset({"name", "text", "postcode"}),
    "prefix3": frozenset({"name", "text", "postcode"}),
    "suffix3": frozenset({"name"}),
    "year": frozenset({"date"}),
    "year_month": frozenset({"date"}),
    "month_day": frozenset({"date"}),
    "year_digit_month_day": frozenset({"date"}),
    "year_sorted_day_month": frozenset({"date"}),
    "house_number": frozenset({"text"}),
}
"""What a blocking part may take from a field, and from which kinds of field."""

REQUIRED_FIELDS = ("given_name", "family_name", "birth_date")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class FieldSpec(_Frozen):
    """One field: how it is normalised, and its share of the record-level filter.

    ``bits`` is the number of hash positions that the field may set in the filter, shared out evenly over the
    q-grams of the record's value (at most ``max_bits_per_q_gram`` each), so that the fill stays under control
    whatever the length of a name. 0 keeps the field out of the filter.
    """

    name: Name
    kind: FieldKind
    q: int = Field(default=2, ge=1, le=4)
    bits: int = Field(ge=0, le=1024)


class FilterSpec(_Frozen):
    """The record-level Bloom filter."""

    bits: int = Field(default=1024)
    max_bits_per_q_gram: int = Field(default=40, ge=1, le=64)

    @model_validator(mode="after")
    def _power_of_two(self) -> Self:
        if self.bits not in (256, 512, 1024, 2048, 4096):
            raise ValueError("filter.bits must be 256, 512, 1024, 2048 or 4096")
        return self


class BlockingPart(_Frozen):
    """One field seen through one code, such as the Soundex of the family name."""

    field: Name
    code: str

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        if isinstance(value, str):
            field, _, code = value.partition(":")
            return {"field": field, "code": code or "exact"}
        return value

    @model_validator(mode="after")
    def _known_code(self) -> Self:
        if self.code not in BLOCKING_CODES:
            raise ValueError(f"unknown blocking code; known are {', '.join(sorted(BLOCKING_CODES))}")
        return self


class BlockingPass(_Frozen):
    """One blocking pass: records that agree on all parts become candidates. Null when a part is missing."""

    name: Name
    parts: tuple[BlockingPart, ...] = Field(min_length=2, max_length=5)


class BlockingSpec(_Frozen):
    """All passes, and the limits that keep one crowded value from exploding."""

    max_block_pairs: int = Field(default=2000, ge=1)
    pair_budget: int = Field(default=50_000_000, ge=1)
    passes: tuple[BlockingPass, ...] = Field(min_length=1, max_length=32)


class DecisionSpec(_Frozen):
    """Dice thresholds: at least ``match`` is a match, at least ``possible`` a possible match."""

    match: float = Field(gt=0, le=1)
    possible: float = Field(gt=0, le=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.possible > self.match:
            raise ValueError("decision.possible must not exceed decision.match")
        return self


class LinkageProtocol(_Frozen):
    """The whole protocol. Build it with :func:`parse_protocol`."""

    format: Literal["nightlink-protocol-1"]
    project: Name
    version: int = Field(ge=1)
    key_epoch: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,40}$")]
    normaliser_version: Literal[1]
    custodians: tuple[Name, Name]
    filter: FilterSpec = FilterSpec()
    fields: tuple[FieldSpec, ...] = Field(min_length=1)
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
        for name in REQUIRED_FIELDS:
            if name not in self.field_names:
                raise ValueError(f"the required field {name} is missing")
        for blocking_pass in self.blocking.passes:
            for part in blocking_pass.parts:
                _check_part(self, blocking_pass.name, part)
        if all(field.bits == 0 for field in self.fields):
            raise ValueError("every field has bits = 0, so the filter would stay empty")
        return self


def _refuse_duplicates(what: str, names: tuple[str, ...]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"the {what} {name} is declared twice")


def _check_part(protocol: LinkageProtocol, pass_name: str, part: BlockingPart) -> None:
    if part.field not in protocol.field_names:
        raise ValueError(f"blocking pass {pass_name} names the field {part.field}, which is not declared")
    kind = protocol.field(part.field).kind
    if kind not in BLOCKING_CODES[part.code]:
        raise ValueError(f"blocking pass {pass_name} takes {part.code} of {part.field}, a field of kind {kind}")


def parse_protocol(text: str) -> LinkageProtocol:
    """Read a protocol from TOML text.

    Raises
    ------
    ProtocolError
        E-PROTOCOL, one sentence for the first mistake, naming its entry.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProtocolError(found=f"text that is not TOML ({error})", expected="a TOML document") from None
    try:
        return LinkageProtocol.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        entry = ".".join(str(step) for step in first["loc"]) or "the document"
        raise ProtocolError(
            found=f"in {entry}: {first['msg']}", expected="a protocol as deployments/linkage_protocol.toml"
        ) from None


def canonical_protocol(protocol: LinkageProtocol) -> bytes:
    """RFC 8785 canonical JSON of the protocol, defaults written out."""
    return rfc8785.dumps(protocol.model_dump(mode="json"))


def protocol_fingerprint(protocol: LinkageProtocol) -> str:
    """SHA-256 of :func:`canonical_protocol`, as 64 hex digits."""
    return hashlib.sha256(canonical_protocol(protocol)).hexdigest()
