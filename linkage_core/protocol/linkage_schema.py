"""Linkage schemas of clkhash, versions 1, 2 and 3: read, judged, brought to version 3. Zone: protocol.

The documented format (https://clkhash.readthedocs.io/en/stable/schema.html) is read into frozen types. What
clkhash 0.18.3 accepts is accepted, but for values with which it would hang or break off half-way; each
refusal is E-PROTOCOL and names the entry.

XOR folding
    The format documents ``clkConfig.xorFolds``; clkhash up to 0.18.3 looks for ``xor_folds`` and silently
    ignores the documented entry. The reader of a schema says which of the two is wanted, and the schema
    carries a warning whenever that makes a difference.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import rfc8785

from linkage_core.protocol.linkage_schema_versions import convert_to_version_3
from linkage_core.protocol.schema_entries import SchemaTable, schema_error

XorFolds = Literal["as-clkhash", "as-documented"]
XOR_FOLDS: tuple[XorFolds, ...] = get_args(XorFolds)

ENCODINGS = ("ascii", "utf-8", "utf-16", "utf-32")
DEFAULT_KEY_BYTES = 64
KEYS_A_FEATURE = 2
HKDF_BLOCKS = 255
BLAKE_KEY_BYTES = 64
# Limits of our own: beyond them a schema is a mistake, and its first record would exhaust the machine.
MOST_FILTER_BITS = 1 << 20
MOST_BITS_A_FEATURE = 1 << 16
MOST_RESOLUTION = 10_000
MOST_FRACTIONAL_DIGITS = 300
LONGEST_NGRAM = 100


@dataclass(frozen=True)
class NgramComparison:
    """Neighbouring characters of the value, padded with spaces; with their position if ``positional``."""

    n: int
    positional: bool


@dataclass(frozen=True)
class ExactComparison:
    """The whole value as one token."""


@dataclass(frozen=True)
class NumericComparison:
    """Numbers near the value, on a grid. ``interval`` is the threshold distance in units of the last place."""

    interval: int
    resolution: int
    fractional_precision: int


Comparison = NgramComparison | ExactComparison | NumericComparison


@dataclass(frozen=True)
class StringFormat:
    """Texts, by pattern or by case and length."""

    encoding: str
    case: str = "mixed"
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None


@dataclass(frozen=True)
class IntegerFormat:
    """Whole numbers, hashed without sign +, spaces or leading zeros."""

    minimum: int | None
    maximum: int | None


@dataclass(frozen=True)
class DateFormat:
    """Dates in a strptime format, hashed as %Y%m%d."""

    format: str


@dataclass(frozen=True)
class EnumFormat:
    """One of a list of texts."""

    values: frozenset[str]


Format = StringFormat | IntegerFormat | DateFormat | EnumFormat


@dataclass(frozen=True)
class MissingValue:
    """The text that stands for a missing value, and the text that is hashed in its place."""

    sentinel: str
    replacement: str


@dataclass(frozen=True)
class Hashing:
    """How a feature enters the filter; exactly one of the two strategies is set."""

    comparison: Comparison
    hash: Literal["blakeHash", "doubleHash"]
    prevent_singularity: bool
    bits_per_token: int | None
    bits_per_feature: int | None
    missing: MissingValue | None


@dataclass(frozen=True)
class Feature:
    """One column of the data. An ignored feature has neither format nor hashing, but keys of its own."""

    identifier: str
    format: Format | None = None
    hashing: Hashing | None = None

    @property
    def ignored(self) -> bool:
        """Whether the column stays out of the filter."""
        return self.hashing is None


@dataclass(frozen=True)
class Kdf:
    """HKDF (RFC 5869) with its hash, salt, info and the size of each key in bytes."""

    hash: Literal["SHA256", "SHA512"]
    salt: bytes | None
    info: bytes | None
    key_bytes: int


@dataclass(frozen=True)
class LinkageSchema:
    """A linkage schema. Build it with :func:`parse_linkage_schema`.

    Attributes
    ----------
    bits : int
        Length of a CLK after folding.
    folds : int
        XOR folds that will be done: each halves a filter of ``bits * 2**folds``.
    features : tuple of Feature
        In the order of the data's columns.
    warnings : tuple of str
        What a person should read before trusting the encodings.
    document : mapping
        The schema as a version 3 document.
    """

    bits: int
    folds: int
    kdf: Kdf
    features: tuple[Feature, ...]
    warnings: tuple[str, ...]
    document: Mapping[str, Any] = field(repr=False)

    @property
    def hashed_bits(self) -> int:
        """Length of a filter before folding."""
        return self.bits << self.folds

    @property
    def clk_bytes(self) -> int:
        """Bytes of a serialised CLK; the last byte is filled up with zero bits."""
        return -(-self.bits // 8)


def parse_linkage_schema(text: str, xor_folds: XorFolds = "as-clkhash") -> LinkageSchema:
    """Read a linkage schema of version 1, 2 or 3 from JSON text.

    Parameters
    ----------
    xor_folds : "as-clkhash" or "as-documented"
        Whether ``clkConfig.xorFolds`` is ignored, as clkhash up to 0.18.3 does, or honoured.

    Raises
    ------
    ProtocolError
        E-PROTOCOL for the first mistake, naming its entry.
    """
    document = convert_to_version_3(read_schema_json(text))
    root = SchemaTable("", document)
    config = root.table("clkConfig")
    config.note_unknown(("l", "kdf", "xorFolds", "xor_folds"))
    bits = config.whole("l", 1, MOST_FILTER_BITS)
    folds = _read_folds(config, xor_folds)
    features = tuple(_read_feature(table) for table in root.tables("features"))
    kdf = _read_kdf(config.table("kdf"))
    _check_lengths(bits, folds, features, kdf)
    return LinkageSchema(bits, folds, kdf, features, tuple(root.warnings), document)


def read_schema_json(text: str) -> dict[str, Any]:
    """The document of a linkage schema's JSON text; E-PROTOCOL when it is none."""
    try:
        document = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        raise schema_error("text that is not JSON", "a linkage schema as a JSON object") from None
    if not isinstance(document, dict):
        raise schema_error("JSON that is not an object", "a linkage schema as a JSON object")
    return document


def schema_fingerprint(schema: LinkageSchema) -> str:
    """SHA-256 over RFC 8785 JSON of the version 3 document and of the folds that are done, as 64 hex digits.

    Two custodians whose fingerprints agree encode alike (under the same secret).
    """
    return hashlib.sha256(rfc8785.dumps({"folds": schema.folds, "schema": schema.document})).hexdigest()


def _read_folds(config: SchemaTable, wanted: XorFolds) -> int:
    documented = config.whole("xorFolds", 0, 20, default=0)
    undocumented = config.whole("xor_folds", 0, 20, default=0)
    if config.has("xor_folds"):
        config.warnings.append(
            "clkConfig.xor_folds is not in the documented format, but clkhash up to 0.18.3 reads it"
        )
    if documented == undocumented or not config.has("xorFolds"):
        return undocumented
    if wanted == "as-clkhash":
        config.warnings.append(
            f"clkConfig.xorFolds = {documented} IS IGNORED, as clkhash up to 0.18.3 does: the CLKs are not"
            " folded as the schema says. Both custodians must choose alike; as-documented honours it"
        )
        return undocumented
    if config.has("xor_folds"):
        raise schema_error(
            f"clkConfig.xorFolds = {documented} beside xor_folds = {undocumented}", "one of them"
        )
    config.warnings.append(
        f"clkConfig.xorFolds = {documented} is honoured; clkhash up to 0.18.3 ignores it, so its CLKs differ"
        " from these. Both custodians must choose alike"
    )
    return documented


def _read_kdf(table: SchemaTable) -> Kdf:
    table.choice("type", ("HKDF",))
    table.note_unknown(("type", "hash", "salt", "info", "keySize"))
    hash_name = table.choice("hash", ("SHA256", "SHA512"), "SHA256")
    return Kdf(
        hash="SHA256" if hash_name == "SHA256" else "SHA512",
        salt=_read_base64(table, "salt"),
        info=_read_base64(table, "info"),
        key_bytes=table.whole("keySize", 1, default=DEFAULT_KEY_BYTES),
    )


def _read_base64(table: SchemaTable, name: str) -> bytes | None:
    text = table.optional_text(name)
    if text is None:
        return None
    try:
        return base64.b64decode(text)
    except (binascii.Error, ValueError):
        raise table.wrong(name, "base64") from None


def _read_feature(table: SchemaTable) -> Feature:
    identifier = table.text("identifier")
    if table.flag("ignored"):
        table.refuse_unknown(("identifier", "ignored", "description", "format", "hashing"))
        return Feature(identifier)
    table.note_unknown(("identifier", "ignored", "description", "format", "hashing"))
    return Feature(identifier, _read_format(table.table("format")), _read_hashing(table.table("hashing")))


def _read_format(table: SchemaTable) -> Format:
    kind = table.choice("type", ("string", "integer", "date", "enum"))
    table.optional_text("description")
    if kind == "string":
        return _read_pattern_format(table) if table.has("pattern") else _read_text_format(table)
    if kind == "integer":
        table.refuse_unknown(("type", "minimum", "maximum", "description"))
        return IntegerFormat(table.optional_whole("minimum"), table.optional_whole("maximum"))
    if kind == "date":
        table.refuse_unknown(("type", "format", "description"))
        return DateFormat(table.text("format"))
    table.refuse_unknown(("type", "values", "description"))
    return EnumFormat(frozenset(table.texts("values")))


def _read_text_format(table: SchemaTable) -> StringFormat:
    table.refuse_unknown(("type", "encoding", "case", "minLength", "maxLength", "description"))
    return StringFormat(
        encoding=table.choice("encoding", ENCODINGS, "utf-8"),
        case=table.choice("case", ("upper", "lower", "mixed"), "mixed"),
        min_length=table.optional_whole("minLength", 0),
        max_length=table.optional_whole("maxLength", 1),
    )


def _read_pattern_format(table: SchemaTable) -> StringFormat:
    table.refuse_unknown(("type", "encoding", "pattern", "description"))
    pattern = table.text("pattern")
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        raise table.wrong("pattern", "a regular expression of Python's") from None
    return StringFormat(encoding=table.choice("encoding", ENCODINGS, "utf-8"), pattern=pattern)


def _read_hashing(table: SchemaTable) -> Hashing:
    table.refuse_unknown(("hash", "strategy", "comparison", "missingValue"))
    comparison = _read_comparison(table.table("comparison"))
    per_token, per_feature = _read_strategy(table.table("strategy"))
    name, prevent = "blakeHash", False
    if table.has("hash"):
        hash_table = table.table("hash")
        name = hash_table.choice("type", ("blakeHash", "doubleHash"))
        hash_table.note_unknown(("type", "prevent_singularity"))
        prevent = hash_table.flag("prevent_singularity")
        if name == "blakeHash" and hash_table.has("prevent_singularity"):
            raise hash_table.wrong("prevent_singularity", "the entry with doubleHash only")
    return Hashing(
        comparison=comparison,
        hash="blakeHash" if name == "blakeHash" else "doubleHash",
        prevent_singularity=prevent,
        bits_per_token=per_token,
        bits_per_feature=per_feature,
        missing=_read_missing(table.table("missingValue")) if table.has("missingValue") else None,
    )


def _read_strategy(table: SchemaTable) -> tuple[int | None, int | None]:
    table.refuse_unknown(("bitsPerToken", "bitsPerFeature"))
    if len(table.entries) != 1:
        raise schema_error(
            f"{len(table.entries)} entries in {table.path}", "one of bitsPerToken and bitsPerFeature"
        )
    if table.has("bitsPerToken"):
        return table.whole("bitsPerToken", 1, MOST_BITS_A_FEATURE), None
    return None, table.whole("bitsPerFeature", 1, MOST_BITS_A_FEATURE)


def _read_comparison(table: SchemaTable) -> Comparison:
    kind = table.choice("type", ("ngram", "exact", "numeric"))
    if kind == "ngram":
        table.note_unknown(("type", "n", "positional"))
        return NgramComparison(table.whole("n", 1, LONGEST_NGRAM), table.flag("positional"))
    if kind == "exact":
        table.note_unknown(("type",))
        return ExactComparison()
    table.note_unknown(("type", "thresholdDistance", "resolution", "fractional_precision"))
    threshold = table.number("thresholdDistance")
    if threshold <= 0:
        raise table.wrong("thresholdDistance", "more than 0")
    precision = table.whole("fractional_precision", 0, MOST_FRACTIONAL_DIGITS, default=0)
    return NumericComparison(
        _interval(table, threshold, precision), table.whole("resolution", 1, MOST_RESOLUTION), precision
    )


def _interval(table: SchemaTable, threshold: int | float, precision: int) -> int:
    try:
        interval = int(round(threshold * pow(10, precision)))
    except OverflowError:
        raise table.wrong("thresholdDistance", "a number that is smaller at this precision") from None
    if interval > 10**MOST_FRACTIONAL_DIGITS:
        raise table.wrong("thresholdDistance", "a number that is smaller at this precision")
    if interval == 0:
        raise table.wrong("fractional_precision", "enough digits for the threshold distance")
    return interval


def _read_missing(table: SchemaTable) -> MissingValue:
    table.note_unknown(("sentinel", "replaceWith"))
    sentinel = table.text("sentinel")
    replacement = table.optional_text("replaceWith")
    return MissingValue(sentinel, sentinel if replacement is None else replacement)


def _check_lengths(bits: int, folds: int, features: tuple[Feature, ...], kdf: Kdf) -> None:
    """Refuse what the hash functions cannot do."""
    hashed = bits << folds
    if hashed > MOST_FILTER_BITS:
        raise schema_error(f"filters of {hashed} bits before folding", f"at most {MOST_FILTER_BITS}")
    needed = KEYS_A_FEATURE * kdf.key_bytes * len(features)
    available = HKDF_BLOCKS * (32 if kdf.hash == "SHA256" else 64)
    if needed > available:
        raise schema_error(
            f"{len(features)} features with keys of {kdf.key_bytes} bytes",
            f"at most {available // (KEYS_A_FEATURE * kdf.key_bytes)} features, HKDF's limit with {kdf.hash}",
        )
    for number, feature in enumerate(features, 1):
        if feature.hashing is not None:
            _check_hash(f"features[{number}].hashing.hash", feature.hashing, hashed, kdf)


def _check_hash(path: str, hashing: Hashing, hashed: int, kdf: Kdf) -> None:
    if hashing.hash == "blakeHash" and hashed & (hashed - 1):
        raise schema_error(
            f"{path} = blakeHash with filters of {hashed} bits", "a power of two, or doubleHash"
        )
    if hashing.hash == "blakeHash" and kdf.key_bytes > BLAKE_KEY_BYTES:
        raise schema_error(
            f"{path} = blakeHash with keys of {kdf.key_bytes} bytes",
            f"a keySize of at most {BLAKE_KEY_BYTES}",
        )
    if hashing.prevent_singularity and hashed == 1:
        raise schema_error(f"{path}.prevent_singularity in a filter of one bit", "a longer filter")
