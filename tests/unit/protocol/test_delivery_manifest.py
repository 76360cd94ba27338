"""Manifests: sealed, opened, and refused for each way in which they can be wrong."""

from __future__ import annotations

import json
import time
from datetime import date

import pytest
import rfc8785
from pydantic import ValidationError

from linkage_core.errors import NightlinkError
from linkage_core.protocol.delivery_manifest import (
    MAX_MANIFEST_BYTES,
    PartEntry,
    canonical_manifest,
    check_manifest,
    check_part,
    check_same_key,
    describe_part,
    is_safe_name,
    manifest_digest,
    open_manifest,
    seal_manifest,
)
from tests.reference.tiny_delivery import (
    OTHER_KEY,
    SIGNING_KEY,
    some_aggregates,
    tiny_manifest,
    tiny_protocol,
)

PUBLIC_KEY = SIGNING_KEY.public_key()
SEALED = seal_manifest(tiny_manifest(), SIGNING_KEY)


def sealed_text(body: bytes) -> bytes:
    """Any bytes at all, signed by the right key: what a malicious custodian could send."""
    signature = SIGNING_KEY.sign(b"nightlink-delivery-3\0" + body).hex().encode()
    return b'{"manifest":' + body + b',"signature":"' + signature + b'"}'


def refusal(data: bytes) -> NightlinkError:
    with pytest.raises(NightlinkError) as caught:
        open_manifest(data, PUBLIC_KEY)
    assert caught.value.__cause__ is None
    return caught.value


def test_what_is_sealed_is_opened_again() -> None:
    assert open_manifest(SEALED, PUBLIC_KEY) == tiny_manifest()
    assert seal_manifest(open_manifest(SEALED, PUBLIC_KEY), SIGNING_KEY) == SEALED


def test_the_wire_form_is_canonical_json_as_a_whole() -> None:
    document = json.loads(SEALED)
    assert list(document) == ["manifest", "signature"]
    assert rfc8785.dumps(document) == SEALED
    assert document["manifest"]["as_of"] == "2026-03-01"


def test_digest_is_over_the_sealed_bytes() -> None:
    assert manifest_digest(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert manifest_digest(SEALED) != manifest_digest(canonical_manifest(tiny_manifest()))


def test_another_signer_is_refused() -> None:
    assert refusal(seal_manifest(tiny_manifest(), OTHER_KEY)).code == "E-DLV-SIGNATURE"


def test_a_signature_over_the_bare_manifest_is_refused() -> None:
    body = canonical_manifest(tiny_manifest())
    bare = SIGNING_KEY.sign(body).hex().encode()
    assert refusal(b'{"manifest":' + body + b',"signature":"' + bare + b'"}').code == "E-DLV-SIGNATURE"


@pytest.mark.parametrize(
    "change",
    [
        {"sequence": 5},
        {"project": "other"},
        {"as_of": date(2026, 3, 2)},
        {"run_id": "night-2026-03-02"},
        {"key_check_value": "0123456789abcdee"},
    ],
)
def test_every_entry_is_under_the_signature(change: dict[str, object]) -> None:
    """A forged entry: the altered manifest, with the signature of the true one."""
    signature = SEALED[-130:]
    forged = b'{"manifest":' + canonical_manifest(tiny_manifest(**change)) + b',"signature":"' + signature
    assert refusal(forged).code == "E-DLV-SIGNATURE"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"not JSON",
        b"[" * 200_000,
        b'{"manifest":' * 10_000,
        SEALED + b"\n",
        b" " + SEALED,
        b"\xef\xbb\xbf" + SEALED,
        SEALED.replace(b'"signature":', b'"signature": '),
        json.dumps(json.loads(SEALED)).encode(),
        SEALED[:-130] + SEALED[-130:].upper(),
        SEALED[: -len(b'"}')] + b'0"}',
        SEALED[: SEALED.index(b',"signature"')] + b"}",
    ],
)
def test_bytes_that_are_no_sealed_manifest_are_refused(data: bytes) -> None:
    assert refusal(data).code == "E-DLV-MANIFEST"


def test_a_huge_manifest_is_refused_unread() -> None:
    error = refusal(b"x" * (MAX_MANIFEST_BYTES + 1))
    assert error.code == "E-DLV-MANIFEST" and "1048577 bytes" in error.found


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 300_000 + b"]" * 300_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"sequence":' + b"9" * 500_000 + b"}",
        b'"' + b"a" * 900_000 + b'"',
        b"\xff\xfe",
        b"",
        b"null",
    ],
    ids=["deep lists", "deep tables", "a long number", "a long text", "not UTF-8", "nothing", "null"],
)
def test_hostile_json_under_a_good_signature_is_refused_quickly(body: bytes) -> None:
    started = time.monotonic()
    assert refusal(sealed_text(body)).code == "E-DLV-MANIFEST"
    assert time.monotonic() - started < 2


GOOD_BODY = json.loads(canonical_manifest(tiny_manifest()))


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("format", "nightlink-delivery-1"),
        ("project", "a/b"),
        ("project", ".."),
        ("run_id", "x" * 101),
        ("run_id", "night\n"),
        ("custodian", ""),
        ("sequence", 0),
        ("sequence", "4"),
        ("sequence", 4.5),
        ("sequence", True),
        ("as_of", "2026-02-30"),
        ("as_of", "2026-03-01T00:00:00"),
        ("as_of", 20260301),
        ("protocol_fingerprint", "A" * 64),
        ("key_check_value", "0123"),
        ("code_version", "0.1 beta"),
        ("row_count", 4),
        ("row_count", -3),
        ("extracted", 6),
        ("rejected", 1),
        ("rejected_by_rule", {"R-NUL": -1}),
        ("rejected_by_rule", {"Jane Doe": 1}),
        ("rejected_by_rule", []),
        ("parts", []),
        ("parts", [{"name": "../part", "rows": 3, "bytes": 1, "sha256": "0" * 64}]),
        ("parts", [{"name": "part", "rows": 3, "bytes": 1, "sha256": "0" * 63}]),
        ("parts", [{"name": "part", "rows": 3, "bytes": 1}]),
        ("parts", 2 * [{"name": "part", "rows": 1, "bytes": 1, "sha256": "0" * 64}]),
        ("parts", [{"name": "part", "rows": rows, "bytes": 1, "sha256": "0" * 64} for rows in (1, 2)]),
        ("expectations", [{"point": "p", "expectation": "e", "success": "yes"}]),
        ("patients", ["Jane Doe"]),
    ],
)
def test_a_wrong_entry_under_a_good_signature_is_refused(entry: str, value: object) -> None:
    error = refusal(sealed_text(rfc8785.dumps({**GOOD_BODY, entry: value})))
    assert error.code == "E-DLV-MANIFEST"
    assert "Jane" not in str(error) and "patients" not in str(error)


@pytest.mark.parametrize("entry", sorted(set(GOOD_BODY)))
def test_a_missing_entry_under_a_good_signature_is_refused(entry: str) -> None:
    body = {key: value for key, value in GOOD_BODY.items() if key != entry}
    assert refusal(sealed_text(rfc8785.dumps(body))).code == "E-DLV-MANIFEST"


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(GOOD_BODY, sort_keys=True).encode(),
        json.dumps(GOOD_BODY, separators=(",", ":")).encode()[:-1] + b',"sequence":4}',
        rfc8785.dumps(GOOD_BODY).replace(b'"sequence":4', b'"sequence":4.0'),
        rfc8785.dumps(GOOD_BODY).replace(b'"sequence":4', b'"sequence":3,"sequence":4'),
        rfc8785.dumps(GOOD_BODY).replace(b'"tiny"', b'"\\u0074iny"'),
    ],
    ids=["spaces", "unsorted", "4.0", "an entry twice", "an escape"],
)
def test_another_spelling_under_a_good_signature_is_refused(body: bytes) -> None:
    assert body != canonical_manifest(tiny_manifest())
    assert refusal(sealed_text(body)).code == "E-DLV-MANIFEST"


def test_wrong_totals_cannot_be_built_and_are_not_quoted() -> None:
    with pytest.raises(ValidationError, match="row_count is not the sum") as caught:
        tiny_manifest(row_count=2)
    assert "hospital" not in str(caught.value)


def test_more_parts_than_fit_are_not_sealed() -> None:
    parts = tuple(
        PartEntry(name=f"part-{i:04}.parquet", rows=0, bytes=10**9, sha256="0" * 64) for i in range(8000)
    )
    manifest = tiny_manifest(parts=parts, row_count=0, extracted=2, aggregates=some_aggregates(0))
    with pytest.raises(NightlinkError, match=r"E-DLV-MANIFEST.*fewer and larger parts"):
        seal_manifest(manifest, SIGNING_KEY)


def test_the_expected_delivery_is_accepted() -> None:
    check_manifest(
        tiny_manifest(),
        project="tiny",
        custodian="hospital",
        run_id="night-2026-03-01",
        protocol=tiny_protocol(),
    )


@pytest.mark.parametrize(
    ("changes", "code", "phrase"),
    [
        ({"project": "other"}, "E-DLV-FOREIGN", "found project other; expected tiny"),
        ({"custodian": "pharmacy"}, "E-DLV-FOREIGN", "found custodian pharmacy; expected hospital"),
        ({"run_id": "night-2026-02-28"}, "E-DLV-FOREIGN", "found run_id night-2026-02-28"),
        ({"protocol_fingerprint": "0" * 64}, "E-PROTOCOL-MISMATCH", "protocol_fingerprint 000"),
        (
            {"protocol_version": 2},
            "E-PROTOCOL-MISMATCH",
            "found protocol_version 2 in the delivery of hospital",
        ),
        ({"key_epoch": "2025"}, "E-KEY-EPOCH", "found the delivery of hospital under the epoch 2025"),
    ],
)
def test_a_foreign_delivery_is_refused(changes: dict[str, object], code: str, phrase: str) -> None:
    with pytest.raises(NightlinkError) as caught:
        check_manifest(
            tiny_manifest(**changes),
            project="tiny",
            custodian="hospital",
            run_id="night-2026-03-01",
            protocol=tiny_protocol(),
        )
    assert caught.value.code == code and phrase in str(caught.value)


def test_a_custodian_outside_the_protocol_is_refused() -> None:
    with pytest.raises(NightlinkError, match="E-DLV-FOREIGN.*the protocol does not name"):
        check_manifest(
            tiny_manifest(custodian="stranger"),
            project="tiny",
            custodian="stranger",
            run_id="night-2026-03-01",
            protocol=tiny_protocol(),
        )


def test_two_keys_are_refused_and_both_named() -> None:
    other = tiny_manifest(custodian="pharmacy", key_check_value="fedcba9876543210")
    check_same_key(tiny_manifest(), tiny_manifest(custodian="pharmacy"))
    with pytest.raises(NightlinkError) as caught:
        check_same_key(tiny_manifest(), other)
    assert caught.value.code == "E-KEY-MISMATCH"
    for word in ("hospital", "0123456789abcdef", "pharmacy", "fedcba9876543210"):
        assert word in str(caught.value)


def test_two_epochs_are_refused() -> None:
    with pytest.raises(NightlinkError, match="E-KEY-MISMATCH.*epoch 2025"):
        check_same_key(tiny_manifest(), tiny_manifest(custodian="pharmacy", key_epoch="2025"))


def test_a_part_must_have_its_size_and_digest() -> None:
    entry = describe_part("part-0000.sealed", 3, b"some bytes")
    check_part(entry, b"some bytes")
    with pytest.raises(
        NightlinkError, match="E-DLV-DIGEST: found part part-0000.sealed with another SHA-256"
    ):
        check_part(entry, b"some bytez")
    with pytest.raises(NightlinkError, match="E-DLV-DIGEST: found 9 bytes in part part-0000.sealed"):
        check_part(entry, b"some byte")


@pytest.mark.parametrize("name", ["a", "part-0000.sealed", "...", "-x", "A" * 100, "0.1_2"])
def test_safe_names(name: str) -> None:
    assert is_safe_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\\b", "a b", "a\n", "\0", "é", "A" * 101, "~", "a:b"]
)
def test_unsafe_names(name: str) -> None:
    assert not is_safe_name(name)


def test_aggregates_over_other_records_are_refused() -> None:
    with pytest.raises(ValidationError, match="aggregates over another number of records"):
        tiny_manifest(aggregates=some_aggregates(4))
