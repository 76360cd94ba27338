"""Known answers made with clkhash 0.18.3: keys, positions, tokens, shares, whole records, folded ones."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from linkage_core.custodian.clk_encoder import clk_encoder, encode_clks
from linkage_core.custodian.clk_filters import value_filters
from linkage_core.custodian.clk_hashing import blake_positions, double_hashes
from linkage_core.custodian.clk_keys import derive_clk_keys, secret_check_value
from linkage_core.custodian.clk_tokens import ValueTokens, encode_token, value_tokens
from linkage_core.errors import NightlinkError
from linkage_core.protocol.linkage_schema import ExactComparison, Hashing, Kdf, parse_linkage_schema

VECTORS_FILE = Path(__file__).resolve().parents[4] / "shared" / "vectors" / "clkhash_0_18_3.json"
VECTORS: dict[str, Any] = json.loads(VECTORS_FILE.read_text()) if VECTORS_FILE.exists() else {}

pytestmark = pytest.mark.skipif(not VECTORS, reason="../shared/vectors/clkhash_0_18_3.json is not there")


def _decoded(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def _bits(filters: np.ndarray) -> list[int]:
    return np.flatnonzero(np.unpackbits(filters.view(np.uint8)[0])).tolist()


def _schema_of(comparison: dict[str, Any]) -> str:
    feature = {
        "identifier": "x",
        "format": {"type": "string"},
        "hashing": {"comparison": comparison, "strategy": {"bitsPerToken": 1}},
    }
    return json.dumps({"version": 3, "clkConfig": {"l": 64, "kdf": {"type": "HKDF"}}, "features": [feature]})


def test_key_lists() -> None:
    assert len(VECTORS["hkdf_key_lists"]) >= 12
    for case in VECTORS["hkdf_key_lists"]:
        kdf = Kdf(case["hash"], _decoded(case["salt"]), _decoded(case["info"]), case["key_size"])
        keys = derive_clk_keys(case["secret"], case["n_fields"], kdf)
        assert [[key.hex() for key in pair] for pair in keys] == case["keys"]


def test_blake_hash_positions() -> None:
    for case in VECTORS["blake_hash_token"]:
        token, k = encode_token(case["token"], "utf-8"), case["k"]
        words = blake_positions(bytes.fromhex(case["key_hex"]), [token], np.array([-(-k // 32)], np.int64))
        assert [int(word) % case["l"] for word in words[:k]] == case["indices"]


def test_double_hash_positions() -> None:
    for case in VECTORS["double_hash_token"]:
        keys = tuple(key.encode() for key in case["keys"])
        prevent = case["prevent_singularity"]
        tokens = ValueTokens(np.array([0, 1], np.int64), np.zeros(1, np.int64), (case["token"],))
        hashing = Hashing(ExactComparison(), "doubleHash", prevent, case["k"], None, None)
        assert _bits(value_filters(tokens, hashing, "utf-8", keys, case["l"])) == case["bits"]  # type: ignore[arg-type]
        first, step = double_hashes(keys, [case["token"].encode()], case["l"], prevent_singularity=prevent)  # type: ignore[arg-type]
        assert int(first[0]) in case["bits"] and (step[0] != 0 or len(case["bits"]) == 1)


def test_tokens() -> None:
    for case in VECTORS["tokenize"]:
        hashing = parse_linkage_schema(_schema_of(case["comparison"])).features[0].hashing
        assert hashing is not None
        found = value_tokens([case["value"]], hashing.comparison)
        assert [found.tokens[i] for i in found.token_ids] == case["tokens"]


def test_shares_of_bits_per_feature() -> None:
    """Told by the positions set: with doubleHash of step 1, k positions are k bits in a row."""
    for case in VECTORS["bits_per_feature"]:
        for number, k in enumerate(case["ks"]):
            tokens = ValueTokens(
                np.array([0, case["num_tokens"]], np.int64), np.arange(case["num_tokens"]),
                tuple(f"t{i}" for i in range(case["num_tokens"])),
            )  # fmt: skip
            hashing = Hashing(ExactComparison(), "blakeHash", False, None, case["bitsPerFeature"], None)
            lit = set(_bits(value_filters(tokens, hashing, "utf-8", (b"k", b"k"), 1 << 16)))
            words = blake_positions(b"k", [f"t{number}".encode()], np.array([-(-(k + 1) // 32)], np.int64))
            assert {int(word) for word in words[:k]} <= lit
            assert int(words[k]) not in lit, "nothing beyond its share"


def _clks(document: dict[str, Any]) -> list[str]:
    full = VECTORS["full_record"]
    encoder = clk_encoder(parse_linkage_schema(json.dumps(document)), full["secret"])
    columns = [pa.array(column, pa.string()) for column in zip(*full["records"], strict=True)]
    batch = encode_clks(columns, encoder)
    assert batch.accepted.all()
    return [base64.b64encode(clk.tobytes()).decode() for clk in batch.clks]


def test_whole_records() -> None:
    assert _clks(VECTORS["full_record"]["schema"]) == VECTORS["full_record"]["clks_base64"]


def test_folded_records() -> None:
    for case in VECTORS["full_record_xor_folded"]:
        document = json.loads(json.dumps(VECTORS["full_record"]["schema"]))
        document["clkConfig"] |= {"l": case["l_after_fold"], "xor_folds": case["xor_folds"]}
        assert _clks(document) == case["clks_base64"]


def test_a_secret_must_be_one_and_its_check_value_tells_schema_and_secret() -> None:
    schema = parse_linkage_schema(json.dumps(VECTORS["full_record"]["schema"]))
    with pytest.raises(NightlinkError, match="E-KEY-FILE"):
        clk_encoder(schema, "")
    other = parse_linkage_schema(_schema_of({"type": "exact"}))
    values = {
        secret_check_value("a", schema),
        secret_check_value("b", schema),
        secret_check_value("a", other),
    }
    assert len(values) == 3 and all(len(value) == 8 for value in values)
    assert "a" not in repr(clk_encoder(schema, "a secret phrase").keys[0][:0]) and "keys" not in repr(
        clk_encoder(schema, "a secret phrase")
    )
