"""Slow, obvious twins of the encoder: one record at a time, from the documented definitions, standard library only.

They share no code with the encoder besides the protocol's types. Fast and slow are compared in
``tests/properties/test_encoder_twins.py``.
"""

from __future__ import annotations

import gzip
import hashlib
import hmac
from pathlib import Path

from linkage_core.protocol.linkage_protocol import (
    FieldSpec,
    FilterGroup,
    LinkageProtocol,
    Parts,
    protocol_fingerprint,
)

NICKNAMES = Path(__file__).parents[2] / "linkage_core" / "custodian" / "tables" / "nicknames_us_1.csv.gz"

Record = dict[str, str | None]


def hkdf_sha256(key: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869, without salt."""
    extracted = hmac.digest(bytes(32), key, "sha256")
    output, block, counter = b"", b"", 1
    while len(output) < length:
        block = hmac.digest(extracted, block + info + bytes([counter]), "sha256")
        output, counter = output + block, counter + 1
    return output[:length]


def derived_key(key: bytes, *context: str, length: int = 32) -> bytes:
    """HKDF with the length-prefixed context as info."""
    info = b""
    for part in ("nightlink-1", *context):
        info += len(part.encode()).to_bytes(2, "little") + part.encode()
    return hkdf_sha256(key, info, length)


def protocol_key(
    linkage_key: bytes, protocol: LinkageProtocol, role: str, purpose: str, length: int = 32
) -> bytes:
    """A custodian's key for one role and purpose."""
    fingerprint = protocol_fingerprint(protocol)
    return derived_key(
        linkage_key, protocol.project, protocol.key_epoch, role, purpose, fingerprint, length=length
    )


def q_gram_tokens(value: str, spec: FieldSpec) -> list[int]:
    """The value's distinct q-grams as tokens, ascending."""
    positional = spec.kind == "date"
    pads = 0 if positional else spec.q - 1
    padded = "\x02" * pads + value + "\x03" * pads
    tokens = set()
    for start in range(len(padded) - spec.q + 1):
        gram = padded[start : start + spec.q]
        position = start + 1 if positional else 0
        tokens.add(int.from_bytes(gram.encode("ascii"), "big") + position * 2**32)
    return sorted(tokens)


def token_positions(key: bytes, token: int, count: int, filter_bits: int) -> list[int]:
    """The first ``count`` filter positions of a token."""
    stream = b""
    counter = 0
    while len(stream) < 2 * count:
        stream += hmac.digest(key, bytes([counter]) + token.to_bytes(8, "little"), "sha256")
        counter += 1
    return [int.from_bytes(stream[2 * i : 2 * i + 2], "little") % filter_bits for i in range(count)]


def slow_plain_filter(
    record: Record, group: FilterGroup, protocol: LinkageProtocol, linkage_key: bytes
) -> int | None:
    """A group's filter before diffusion as one integer, bit i is bit i; None when a field is missing."""
    bits = 0
    for name in group.fields:
        value = record.get(name)
        if not value:
            return None
        key = protocol_key(linkage_key, protocol, "filter", f"{group.name}/{name}")
        tokens = q_gram_tokens(value, protocol.field(name))
        for rank, token in enumerate(tokens):
            share = group.field_bits // len(tokens) + (1 if rank < group.field_bits % len(tokens) else 0)
            for position in token_positions(key, token, min(share, group.bits_per_q_gram), group.bits):
                bits |= 1 << position
    return bits


def slow_filter(record: Record, group: FilterGroup, protocol: LinkageProtocol, linkage_key: bytes) -> int:
    """A group's diffused filter; 0 when a field is missing."""
    plain = slow_plain_filter(record, group, protocol, linkage_key)
    if plain is None:
        return 0
    key = protocol_key(linkage_key, protocol, "diffusion", group.name)
    out = 0
    for m in range(group.diffused_bits):
        positions: list[int] = []
        counter = 0
        while len(positions) < group.terms:
            message = m.to_bytes(4, "little") + counter.to_bytes(4, "little")
            digest = hmac.digest(key, message, "sha256")
            for i in range(0, 32, 2):
                position = int.from_bytes(digest[i : i + 2], "little") % group.bits
                if position not in positions and len(positions) < group.terms:
                    positions.append(position)
            counter += 1
        out |= (sum(plain >> position & 1 for position in positions) % 2) << m
    return out


def slow_soundex(name: str) -> str | None:
    """American Soundex: equal codes in a row count once, also across h and w, not across a vowel."""
    groups = {"bfpv": "1", "cgjkqsxz": "2", "dt": "3", "l": "4", "mn": "5", "r": "6"}
    code_of = {letter: code for letters, code in groups.items() for letter in letters}
    letters = [char for char in name if "a" <= char <= "z"]
    if not letters:
        return None
    coded, last = letters[0].upper(), code_of.get(letters[0])
    for letter in letters[1:]:
        code = code_of.get(letter)
        if code is not None and code != last:
            coded += code
        if letter not in "hw":
            last = code
    return coded.ljust(4, "0")[:4]


def slow_code(value: str, code: str) -> str | None:
    """What a blocking code takes from a value."""
    if code == "exact":
        return value
    if code == "soundex":
        return slow_soundex(value)
    if code in ("prefix1", "prefix3"):
        return value[: int(code[-1])]
    if code == "suffix3":
        return value[-3:]
    if code == "house_number":
        return _slow_house_number(value)
    if code == "street_start":
        return _slow_street_start(value)
    if code in ("nickname", "nickname_sound"):
        formal = slow_formal_name(value)
        return formal if code == "nickname" else slow_soundex(formal)
    year, month, day = value[:4], value[4:6], value[6:8]
    return {
        "decade": year[:3],
        "year": year,
        "year_month": year + month,
        "month_day": month + day,
        "year_digit_month_day": year[3] + month + day,
        "year_sorted_day_month": year + min(month, day) + max(month, day),
    }[code]


def _slow_house_number(street: str) -> str | None:
    for word in street.split(" "):
        digits = word[:-1] if word[-1:].isalpha() else word
        if digits.isdigit():
            return digits.lstrip("0") or "0"
    return None


_STREET_WORDS = set(
    """n s e w ne nw se sw st ave rd dr ln ct pl blvd sq ter terr trl pkwy hwy cir cct cres cl gr way
    apt ste""".split()  # noqa: SIM905
)


def _slow_street_start(street: str) -> str | None:
    kept = [word for word in street.split(" ") if word.isalpha() and word not in _STREET_WORDS]
    return "".join(kept)[:4] or None


def slow_formal_name(name: str) -> str:
    """The table's formal name of a nickname, read line by line; the name itself if it has no line."""
    with gzip.open(NICKNAMES, "rt") as lines:
        for line in lines:
            nickname, formal = line.rstrip("\n").split(",")
            if nickname == name:
                return formal
    return name


def slow_part(record: Record, field: str, code: str) -> str | None:
    """What a part takes from a record; both names together are sorted, a line each."""
    if field == "names":
        both = [slow_part(record, name, code) for name in ("given_name", "family_name")]
        return None if None in both else "\n".join(sorted(text for text in both if text is not None))
    value = record.get(field)
    return slow_code(value, code) if value else None


def slow_token(record: Record, parts: Parts, protocol: LinkageProtocol, linkage_key: bytes) -> int:
    """A pass's or token's keyed value; 0 when a part is missing."""
    message, words = b"", []
    for part in parts:
        taken = slow_part(record, part.field, part.code)
        if taken is None:
            return 0
        message += len(taken).to_bytes(2, "little") + taken.encode("ascii")
        words.append(part.field if part.code == "exact" else f"{part.field}:{part.code}")
    key = protocol_key(linkage_key, protocol, "token", "+".join(words))
    return int.from_bytes(hmac.digest(key, message, "sha256")[:8], "little") or 1


def slow_tokens(record: Record, protocol: LinkageProtocol, linkage_key: bytes) -> list[int]:
    """All of a record's: the passes' first."""
    passes = [blocking_pass.parts for blocking_pass in protocol.blocking.passes]
    return [slow_token(record, p, protocol, linkage_key) for p in [*passes, *protocol.evidence.tokens]]


def slow_pseudonym(site_key: bytes, source_id: str, project: str, epoch: str) -> bytes:
    """16 bytes that name a record."""
    key = derived_key(site_key, project, epoch, "record-pseudonym")
    return hmac.new(key, source_id.encode(), hashlib.sha256).digest()[:16]
