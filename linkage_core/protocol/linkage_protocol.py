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
    SerializerFunctionWrapHandler,
    StringConstraints,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from linkage_core.errors import ProtocolError
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
Precision = Annotated[float, Field(strict=True, ge=0.5, lt=1, allow_inf_nan=False)]
Edge = Annotated[float, Field(strict=True, ge=-30, le=30, allow_inf_nan=False)]
NearQGrams = Annotated[float, Field(strict=True, gt=0, le=20, allow_inf_nan=False)]
Resolution = Literal["one_to_one", "optimal_one_to_one", "one_to_many", "many_to_one", "many_to_many"]
CandidateMode = Literal["blocked", "top_k", "threshold_join"]
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
"""What a part of a pass or a token may take from a field, and from which kinds of field."""

NAMES = "names"
"""A pseudo-field for parts: given and family name without their order, so that swapped names agree."""

NICKNAME_CODES = frozenset({"nickname", "nickname_sound"})
"""Codes that need the protocol's nickname table."""

REQUIRED_FIELDS: dict[str, FieldKind] = {"given_name": "name", "family_name": "name", "birth_date": "date"}
"""Fields that every protocol has, with their kinds."""

FILTER_BITS = (256, 512, 1024, 2048, 4096)

HARDENINGS = ("diffusion", "fourier_signs", "blip", "balancing", "xor_fold", "rule_90", "none")
"""What may be done to a filter (``linkage_core/custodian/filter_hardening.py``), the default first."""

UNSAFE_HARDENINGS = frozenset(HARDENINGS) - {"diffusion"}
"""Those that do not hold the gates of ``make attack-table``: for measurements, never for people."""

Hardening = Literal["diffusion", "fourier_signs", "blip", "balancing", "xor_fold", "rule_90", "none"]

LEAST_TERMS = 6
"""With fewer bits in each XOR, known plaintexts and graph matching read a diffused filter (PRIVACY, tables)."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FieldSpec(_Frozen):
    """One field: how it is normalised, and the length ``q`` of the q-grams that filters see it through."""

    name: Name
    kind: FieldKind
    q: WholeNumber = Field(default=2, ge=1, le=4)


class NicknameTableSpec(_Frozen):
    """Which nickname table the custodians use: its version and the SHA-256 of its file, so that both have it."""

    version: Name
    sha256: Annotated[str, StringConstraints(pattern=DIGEST_PATTERN)]


class BlockingPart(_Frozen):
    """One field (or :data:`NAMES`) seen through one code, such as the Soundex of the family name."""

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


Parts = tuple[BlockingPart, ...]


class BlockingPass(_Frozen):
    """One blocking pass: records that agree on all parts become candidates. Null when a part is missing."""

    name: Name
    parts: Parts = Field(min_length=1, max_length=5)


class BlockingSpec(_Frozen):
    """Which pairs are compared: the mode, all passes, and the limits that keep one crowded value from exploding.

    ``candidates`` says who proposes pairs: equal values of a pass (``blocked``); each of the evidence's filters, for
    a record of the earlier custodian its ``nearest`` of the later one (``top_k``), or all of Dice ``similarity`` and
    more (``threshold_join``). Passes are evidence in each mode. What is said about the mode is left out of the
    canonical form where it is the default, so that protocols from before it keep their fingerprint.

    ``partners_per_record`` bounds what a record asks for: it takes its smallest blocks first, up to so many
    partners, more when it has fewer values (:mod:`linkage_core.linkage_unit.candidate_pairs`).
    """

    candidates: CandidateMode = "blocked"
    nearest: WholeNumber = Field(default=10, ge=1, le=1000)
    similarity: Threshold = 0.56
    partners_per_record: WholeNumber = Field(default=22, ge=1, le=10**6)
    max_block_pairs: WholeNumber = Field(default=200_000, ge=1, le=10**9)
    pair_budget: WholeNumber = Field(default=50_000_000, ge=1, le=10**12)
    passes: tuple[BlockingPass, ...] = Field(min_length=1, max_length=32)

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        document: dict[str, Any] = handler(self)
        for name in ("candidates", "nearest", "similarity"):
            if document.get(name) == type(self).model_fields[name].default:
                del document[name]
        return document

    @model_validator(mode="after")
    def _budget_holds_a_block(self) -> Self:
        if self.max_block_pairs > self.pair_budget:
            raise EntryError(
                f"max_block_pairs = {self.max_block_pairs}", f"at most pair_budget = {self.pair_budget}"
            )
        return self


class FilterGroup(_Frozen):
    """One hardened filter over a group of fields; null when one of them is missing.

    ``field_bits`` positions are shared out over a value's q-grams, at most ``bits_per_q_gram`` each, so that
    the fill stays under control whatever the length of a name. By *diffusion* output bit ``i`` is the XOR of
    ``terms`` keyed positions of the plain filter; ``terms`` is the bandwidth of *fourier_signs*; ``flips`` in
    256 bits flip by *blip*. With a ``salt``, such as "birth_date:year", positions depend on that part too: only
    records that agree on it have filters that look alike. A single field never gets a filter: its values could
    be told by counting.
    """

    name: Name
    fields: tuple[Name, ...] = Field(min_length=2, max_length=4)
    bits: WholeNumber = 512
    bits_per_q_gram: WholeNumber = Field(default=20, ge=1, le=64)
    field_bits: WholeNumber = Field(default=200, ge=1, le=1024)
    hardening: Hardening = "diffusion"
    terms: WholeNumber = Field(default=8, ge=LEAST_TERMS, le=32)
    diffused_bits: WholeNumber = 2048
    flips: WholeNumber = Field(default=13, ge=1, le=127)
    salt: BlockingPart | None = None

    @property
    def sent_bits(self) -> int:
        """How many bits leave the custodian."""
        if self.hardening in ("diffusion", "fourier_signs"):
            return self.diffused_bits
        return {"xor_fold": self.bits // 2, "balancing": 2 * self.bits}.get(self.hardening, self.bits)

    @field_validator("bits", "diffused_bits")
    @classmethod
    def _offered_length(cls, bits: int) -> int:
        if bits not in FILTER_BITS:
            raise EntryError(f"{bits}", f"one of {', '.join(map(str, FILTER_BITS))}")
        return bits

    @model_validator(mode="after")
    def _not_overfull(self) -> Self:
        total = len(self.fields) * self.field_bits
        if total > self.bits:
            # Beyond it more than 1 - 1/e of a filter is set, and even unlike records begin to look alike.
            raise EntryError(f"fields of {total} bits together", f"at most bits = {self.bits}")
        return self


class EvidenceRules(_Frozen):
    """What pairs are judged by, beside the blocking passes, which are evidence too.

    ``tokens`` are lists of parts; a value's rarity band is the number of ``rarity_edges`` (in bits relative
    to the field's mean) that it reaches; two values are *near* when fewer q-grams than ``near_q_grams``
    differ between them.
    """

    rarity_edges: tuple[Edge, ...] = Field(default=(-1.5, 1.5), max_length=7)
    near_q_grams: NearQGrams = 5.0
    tokens: tuple[Annotated[Parts, Field(min_length=1, max_length=5)], ...] = Field(max_length=200)
    filters: tuple[FilterGroup, ...] = Field(max_length=8)

    @field_validator("rarity_edges")
    @classmethod
    def _ascending(cls, edges: tuple[float, ...]) -> tuple[float, ...]:
        if list(edges) != sorted(set(edges)):
            raise EntryError("edges that do not ascend", "each larger than the one before")
        return edges


class DecisionSpec(_Frozen):
    """What is a match: the threshold is chosen each night, so that the links hold ``target_precision``.

    A link below it is a possible match from the probability ``possible`` on. ``resolution`` says how many links
    a record may have to a record of the other custodian: ``one_to_many`` lets one record of the earlier
    custodian have several of the later one. It is left out of the canonical form where it is the default,
    so that protocols from before it keep their fingerprint.
    """

    target_precision: Precision
    possible: Threshold
    resolution: Resolution = "one_to_one"

    @model_serializer(mode="wrap")
    def _without_default(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        document: dict[str, Any] = handler(self)
        if self.resolution == "one_to_one":
            document.pop("resolution", None)
        return document

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.possible > self.target_precision:
            expected = f"at most target_precision = {self.target_precision}"
            raise EntryError(f"possible = {self.possible}", expected)
        return self


class LinkageProtocol(_Frozen):
    """The whole protocol. Build it with :func:`parse_protocol`."""

    format: Literal["nightlink-protocol-1"]
    project: Name
    version: WholeNumber = Field(ge=1, le=10**6)
    key_epoch: Annotated[str, StringConstraints(pattern=EPOCH_PATTERN)]
    normaliser_version: WholeNumber = Field(ge=1, le=1)
    custodians: tuple[Name, ...] = Field(min_length=2, max_length=16)
    fields: tuple[FieldSpec, ...] = Field(min_length=1, max_length=100)
    nickname_table: NicknameTableSpec | None = None
    blocking: BlockingSpec
    evidence: EvidenceRules
    decision: DecisionSpec
    unsafe: Annotated[bool, Field(strict=True)] = False

    @property
    def field_names(self) -> tuple[str, ...]:
        """Field names in the protocol's order."""
        return tuple(field.name for field in self.fields)

    @property
    def pass_names(self) -> tuple[str, ...]:
        """Names of the blocking passes in the protocol's order."""
        return tuple(blocking_pass.name for blocking_pass in self.blocking.passes)

    @property
    def proposer_names(self) -> tuple[str, ...]:
        """Names of what proposes candidate pairs: the blocking passes, or the filters in the other modes."""
        if self.blocking.candidates == "blocked":
            return self.pass_names
        return tuple(group.name for group in self.evidence.filters)

    def field(self, name: str) -> FieldSpec:
        """The field called ``name``; KeyError when the protocol has none."""
        return {field.name: field for field in self.fields}[name]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _refuse_duplicates("field", self.field_names)
        _refuse_duplicates("blocking pass", self.pass_names)
        _refuse_duplicates("custodian", self.custodians)
        _check_required_fields(self)
        _refuse_duplicates("evidence filter", tuple(group.name for group in self.evidence.filters))
        if NAMES in self.field_names:
            raise EntryError(f"a field called {NAMES}", f"another name: {NAMES} means both names, unordered")
        _check_groups(self)
        _check_parts(self)
        if not self.proposer_names:
            found = f"candidates = {self.blocking.candidates} without evidence filters"
            raise EntryError(found, "at least one filter, or candidates = blocked")
        return self


_KNOWN_ENTRIES: dict[tuple[str, ...], Sequence[str]] = {
    (): tuple(LinkageProtocol.model_fields),
    ("nickname_table",): tuple(NicknameTableSpec.model_fields),
    ("fields",): tuple(FieldSpec.model_fields),
    ("blocking",): tuple(BlockingSpec.model_fields),
    ("blocking", "passes"): tuple(BlockingPass.model_fields),
    ("blocking", "passes", "parts"): tuple(BlockingPart.model_fields),
    ("evidence",): tuple(EvidenceRules.model_fields),
    ("evidence", "filters"): tuple(FilterGroup.model_fields),
    ("evidence", "filters", "salt"): tuple(BlockingPart.model_fields),
    ("evidence", "tokens"): tuple(BlockingPart.model_fields),
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


def _check_groups(protocol: LinkageProtocol) -> None:
    for group in protocol.evidence.filters:
        unknown = [name for name in group.fields if name not in protocol.field_names]
        if unknown:
            found = f"the evidence filter {group.name} over {unknown[0]}, which is no field"
            raise EntryError(found, f"one of {', '.join(protocol.field_names)}")
        if len(set(group.fields)) < len(group.fields):
            raise EntryError(f"a field twice in the evidence filter {group.name}", "each field once")
        if group.salt is not None:
            _check_part(protocol, f"the salt of the evidence filter {group.name}", group.salt)
        if group.hardening in UNSAFE_HARDENINGS and not protocol.unsafe:
            found = f"the evidence filter {group.name} with the hardening {group.hardening}, which fell to attacks"
            raise EntryError(found, "diffusion, or unsafe = true, for measurements only")


def _check_parts(protocol: LinkageProtocol) -> None:
    """Passes and tokens are of one kind: keyed values over at least two fields, no two of the same parts."""
    named = [(f"the blocking pass {p.name}", p.parts) for p in protocol.blocking.passes]
    tokens = protocol.evidence.tokens
    named += [(f"the evidence token {number}", parts) for number, parts in enumerate(tokens, start=1)]
    seen: dict[frozenset[tuple[str, str]], str] = {}
    for name, parts in named:
        for part in parts:
            _check_part(protocol, name, part)
        distinct = frozenset((part.field, part.code) for part in parts)
        if len(distinct) < len(parts):
            raise EntryError(f"a part twice in {name}", "each part once")
        _check_breadth(protocol, name, parts)
        if distinct in seen:
            raise EntryError(f"{seen[distinct]} and {name} of the same parts", "one of them")
        seen[distinct] = name


def _check_breadth(protocol: LinkageProtocol, name: str, parts: Parts) -> None:
    """Values of one field alone could be counted, and matched with a list of names or dates by frequency.

    Two parts of an address are a home's: no value of theirs is frequent.
    """
    fields = {part.field for part in parts}
    if len(fields) > 1 or NAMES in fields:
        return
    (field,) = fields
    if len(parts) < 2 or protocol.field(field).kind != "text":
        raise EntryError(
            f"{name} over {field} alone", "parts of at least two fields, or two parts of an address"
        )


def _check_part(protocol: LinkageProtocol, name: str, part: BlockingPart) -> None:
    if part.field not in (*protocol.field_names, NAMES):
        found = f"{name} over {part.field}, which is no field"
        raise EntryError(found, f"one of {', '.join(protocol.field_names)}, {NAMES}")
    if part.code in NICKNAME_CODES and protocol.nickname_table is None:
        found = f"{name} taking {part.code}, but no nickname_table"
        raise EntryError(found, "the table's version and sha256")
    kind = "name" if part.field == NAMES else protocol.field(part.field).kind
    if kind not in BLOCKING_CODES[part.code]:
        found = f"{name} taking {part.code} of {part.field}, a field of kind {kind}"
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


def restrict_protocol(protocol: LinkageProtocol, fields: Sequence[str]) -> LinkageProtocol:
    """The same protocol over some of its fields: what is defined over an absent one is left out.

    Nothing but the list of fields steers it. Raises ProtocolError when what is left is no protocol.
    """
    document = protocol.model_dump(mode="json")
    present = {*fields, NAMES}

    def complete(parts: list[dict[str, str]]) -> bool:
        return all(part["field"] in present for part in parts)

    document["fields"] = [field for field in document["fields"] if field["name"] in present]
    blocking, evidence = document["blocking"], document["evidence"]
    blocking["passes"] = [p for p in blocking["passes"] if complete(p["parts"])]
    evidence["tokens"] = [parts for parts in evidence["tokens"] if complete(parts)]
    evidence["filters"] = [
        group
        for group in evidence["filters"]
        if present.issuperset(group["fields"]) and (group["salt"] is None or complete([group["salt"]]))
    ]
    return protocol_from_document(document)


def canonical_protocol(protocol: LinkageProtocol) -> bytes:
    """RFC 8785 canonical JSON of the protocol, defaults written out."""
    return rfc8785.dumps(protocol.model_dump(mode="json"))


def protocol_fingerprint(protocol: LinkageProtocol) -> str:
    """SHA-256 of :func:`canonical_protocol`, as 64 hex digits."""
    return hashlib.sha256(canonical_protocol(protocol)).hexdigest()
