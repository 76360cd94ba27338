"""The CLK encoder and its slow twin agree on generated schemas and records, whatever the batches."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage_core.custodian.clk_encoder import check_records, clk_encoder, encode_clks
from linkage_core.custodian.clk_filters import merge_values
from linkage_core.errors import NightlinkError
from linkage_core.protocol.linkage_schema import parse_linkage_schema
from tests.reference.generated_schemas import generated_records, generated_schema
from tests.reference.slow_clk import slow_clk

SECRET = "a secret phrase"


def _columns(records: list[list[str]]) -> list[pa.Array]:
    return [pa.array(column, pa.string()) for column in zip(*records, strict=True)]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**9), folds=st.sampled_from([0, 0, 1, 3]))
def test_the_same_bits_and_the_same_refusals(seed: int, folds: int) -> None:
    rng = random.Random(seed)
    document = generated_schema(rng, rng.randrange(1, 4))
    records = generated_records(rng, document, 12)
    asked = document | {"clkConfig": document["clkConfig"] | {"xorFolds": folds}}
    schema = parse_linkage_schema(json.dumps(asked), "as-documented")
    batch = encode_clks(_columns(records), clk_encoder(schema, SECRET))
    expected = [slow_clk(record, document, SECRET, folds) for record in records]
    assert batch.accepted.tolist() == [clk is not None for clk in expected]
    assert [clk.tobytes() for clk in batch.clks] == [clk for clk in expected if clk is not None]
    assert set(batch.verdicts.rows.tolist()) == set(np.flatnonzero(~batch.accepted).tolist())
    checked = check_records(_columns(records), schema)
    assert (checked.rows.tolist(), checked.codes) == (batch.verdicts.rows.tolist(), batch.verdicts.codes)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**9), cut=st.integers(1, 19))
def test_a_batch_more_or_less_changes_nothing(seed: int, cut: int) -> None:
    rng = random.Random(seed)
    document = generated_schema(rng)
    records = generated_records(rng, document, 20)
    encoder = clk_encoder(parse_linkage_schema(json.dumps(document)), SECRET)
    whole = encode_clks(_columns(records), encoder).clks
    pieces = [encode_clks(_columns(part), encoder).clks for part in (records[:cut], records[cut:])]
    assert np.array_equal(whole, np.concatenate(pieces))


def _one_text_feature(**format_: Any) -> Any:
    feature = {
        "identifier": "name",
        "format": {"type": "string", **format_},
        "hashing": {"comparison": {"type": "ngram", "n": 2}, "strategy": {"bitsPerToken": 5}},
    }
    document = {"version": 3, "clkConfig": {"l": 256, "kdf": {"type": "HKDF"}}, "features": [feature]}
    return clk_encoder(parse_linkage_schema(json.dumps(document)), SECRET)


@given(value=st.binary(max_size=60))
def test_any_bytes_are_encoded_or_told_by_code(value: bytes) -> None:
    batch = encode_clks([pa.array([value, b"ann"], pa.binary())], _one_text_feature())
    assert batch.accepted[1]
    assert batch.accepted[0] or batch.verdicts.codes == ("R-SURROGATE",)
    assert value.decode("latin-1") not in repr(batch) or len(value) < 4


def test_a_value_beyond_any_length_and_nulls() -> None:
    batch = encode_clks([pa.array(["x" * 10_001, None, ""], pa.string())], _one_text_feature())
    assert batch.accepted.tolist() == [False, True, True]
    assert batch.verdicts.rejected_by_rule == {"R-TOO-LONG": 1}
    assert not batch.clks.any(), "neither nothing nor a null has tokens"


def test_columns_must_fit() -> None:
    text, number = pa.array(["a"]), pa.array([1])
    for columns in ([], [text, text], [number]):
        with pytest.raises(NightlinkError, match="E-INPUT"):
            encode_clks(columns, _one_text_feature())
    with pytest.raises(NightlinkError, match="E-KERNEL-INPUT"):
        merge_values(np.zeros((2, 1), np.uint64), np.zeros((1, 1), np.uint64), np.array([0, 1]))
    assert encode_clks([pa.array([], pa.string())], _one_text_feature()).clks.shape == (0, 32)
