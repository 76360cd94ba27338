"""Linkage schemas: one sentence for each mistake, naming its entry; versions; XOR folds; warnings."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from linkage_core.errors import NightlinkError
from linkage_core.protocol.linkage_schema import (
    DateFormat,
    EnumFormat,
    IntegerFormat,
    NgramComparison,
    NumericComparison,
    StringFormat,
    parse_linkage_schema,
    schema_fingerprint,
)

SCHEMA: dict[str, Any] = {
    "version": 3,
    "clkConfig": {"l": 1024, "kdf": {"type": "HKDF", "salt": "YWJj", "keySize": 64}},
    "features": [
        {"identifier": "id", "ignored": True},
        {
            "identifier": "name",
            "format": {"type": "string", "case": "lower", "minLength": 1, "maxLength": 30},
            "hashing": {
                "comparison": {"type": "ngram", "n": 2},
                "strategy": {"bitsPerFeature": 200},
                "hash": {"type": "doubleHash", "prevent_singularity": True},
                "missingValue": {"sentinel": "", "replaceWith": "-"},
            },
        },
        {
            "identifier": "height",
            "format": {"type": "integer", "minimum": 0, "maximum": 300.0},
            "hashing": {
                "comparison": {"type": "numeric", "thresholdDistance": 2.5, "resolution": 4, "fractional_precision": 1},
                "strategy": {"bitsPerToken": 20},
            },
        },
    ],
}  # fmt: skip


def _changed(change: Callable[[dict[str, Any]], object]) -> str:
    document = copy.deepcopy(SCHEMA)
    change(document)
    return json.dumps(document)


def _name(document: dict[str, Any]) -> dict[str, Any]:
    return document["features"][1]


def _hashing(document: dict[str, Any]) -> dict[str, Any]:
    return document["features"][1]["hashing"]


def test_what_is_read() -> None:
    schema = parse_linkage_schema("\ufeff" + json.dumps(SCHEMA))
    assert (schema.bits, schema.folds, schema.clk_bytes, schema.kdf.salt) == (1024, 0, 128, b"abc")
    assert [feature.ignored for feature in schema.features] == [True, False, False]
    name, height = schema.features[1], schema.features[2]
    assert name.format == StringFormat("utf-8", "lower", 1, 30) and name.hashing and height.hashing
    assert (
        name.hashing.comparison == NgramComparison(2, positional=False) and name.hashing.prevent_singularity
    )
    assert name.hashing.missing and name.hashing.missing.replacement == "-"
    assert height.format == IntegerFormat(0, 300) and height.hashing.hash == "blakeHash"
    assert height.hashing.comparison == NumericComparison(interval=25, resolution=4, fractional_precision=1)
    assert schema.warnings == ()


MISTAKES: dict[str, Callable[[dict[str, Any]], object]] = {
    "version = 4": lambda d: d.update(version=4),
    "version = true": lambda d: d.update(version=True),
    "no entry version": lambda d: d.pop("version"),
    "no entry clkConfig.l": lambda d: d["clkConfig"].pop("l"),
    "clkConfig.l = 0": lambda d: d["clkConfig"].update(l=0),
    "clkConfig.l = 1.5": lambda d: d["clkConfig"].update(l=1.5),
    "clkConfig = a list of 0": lambda d: d.update(clkConfig=[]),
    "clkConfig.kdf.type = 'PBKDF2'": lambda d: d["clkConfig"]["kdf"].update(type="PBKDF2"),
    "clkConfig.kdf.hash = 'MD5'": lambda d: d["clkConfig"]["kdf"].update(hash="MD5"),
    "clkConfig.kdf.salt = 'a'": lambda d: d["clkConfig"]["kdf"].update(salt="a"),
    "clkConfig.kdf.keySize = 0": lambda d: d["clkConfig"]["kdf"].update(keySize=0),
    "clkConfig.xorFolds = -1": lambda d: d["clkConfig"].update(xorFolds=-1),
    "features = null": lambda d: d.update(features=None),
    "the unknown entry features[1].ignore": lambda d: d["features"][0].update(ignore=1),
    "features[2].identifier = 3": lambda d: _name(d).update(identifier=3),
    "features[2].ignored = 'no'": lambda d: _name(d).update(ignored="no"),
    "no entry features[2].hashing": lambda d: _name(d).pop("hashing"),
    "features[2].format.type = 'float'": lambda d: _name(d)["format"].update(type="float"),
    "features[2].format.case = 'Upper'": lambda d: _name(d)["format"].update(case="Upper"),
    "features[2].format.encoding = 'latin-1'": lambda d: _name(d)["format"].update(encoding="latin-1"),
    "the unknown entry features[2].format.min": lambda d: _name(d)["format"].update(min=1),
    "the unknown entry features[2].format.case": lambda d: _name(d)["format"].update(pattern="a"),
    "features[2].format.pattern = '('": lambda d: _name(d).update(format={"type": "string", "pattern": "("}),
    "features[2].format.values = 'm'": lambda d: _name(d).update(format={"type": "enum", "values": "m"}),
    "no entry features[2].format.format": lambda d: _name(d).update(format={"type": "date"}),
    "features[2].hashing.hash.type = 'sha1'": lambda d: _hashing(d)["hash"].update(type="sha1"),
    "hash.prevent_singularity = true": lambda d: _hashing(d)["hash"].update(type="blakeHash"),
    "2 entries in features[2].hashing.strategy": lambda d: _hashing(d)["strategy"].update(bitsPerToken=1),
    "strategy.bitsPerFeature = 0": lambda d: _hashing(d)["strategy"].update(bitsPerFeature=0),
    "the unknown entry features[2].hashing.strategy.k": lambda d: _hashing(d).update(strategy={"k": 20}),
    "the unknown entry features[2].hashing.weight": lambda d: _hashing(d).update(weight=1),
    "comparison.n = 0": lambda d: _hashing(d)["comparison"].update(n=0),
    "comparison.type = 'cosine'": lambda d: _hashing(d)["comparison"].update(type="cosine"),
    "no entry features[2].hashing.missingValue.sentinel": lambda d: _hashing(d).update(missingValue={}),
    "thresholdDistance = 0": lambda d: d["features"][2]["hashing"]["comparison"].update(thresholdDistance=0),
    "thresholdDistance = '2'": lambda d: d["features"][2]["hashing"]["comparison"].update(thresholdDistance="2"),
    "fractional_precision = 0": lambda d: d["features"][2]["hashing"]["comparison"].update(
        thresholdDistance=0.2, fractional_precision=0
    ),
    "thresholdDistance = 1e+300": lambda d: d["features"][2]["hashing"]["comparison"].update(
        thresholdDistance=1e300, fractional_precision=200
    ),
    "blakeHash with filters of 1000 bits": lambda d: d["clkConfig"].update(l=1000),
    "blakeHash with keys of 65 bytes": lambda d: d["clkConfig"]["kdf"].update(keySize=65),
    "64 features with keys of 64 bytes": lambda d: d.update(
        features=[{"identifier": "x", "ignored": True}] * 64
    ),
    "prevent_singularity in a filter of one bit": lambda d: d["clkConfig"].update(l=1),
    "filters of 2097152 bits": lambda d: d["clkConfig"].update(l=1 << 20, xor_folds=1),
}  # fmt: skip


@pytest.mark.parametrize("found", MISTAKES)
def test_a_mistake_is_named(found: str) -> None:
    with pytest.raises(NightlinkError) as caught:
        parse_linkage_schema(_changed(MISTAKES[found]), "as-documented")
    assert caught.value.code == "E-PROTOCOL"
    assert found in caught.value.found


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "[" * 100_000])
def test_text_that_is_no_schema(text: str) -> None:
    with pytest.raises(NightlinkError, match="E-PROTOCOL"):
        parse_linkage_schema(text)


def test_formats() -> None:
    date = parse_linkage_schema(_changed(lambda d: _name(d).update(format={"type": "date", "format": "%Y"})))
    assert date.features[1].format == DateFormat("%Y")
    enum = parse_linkage_schema(_changed(lambda d: _name(d).update(format={"type": "enum", "values": ["m"]})))
    assert enum.features[1].format == EnumFormat(frozenset({"m"}))


def test_version_1_becomes_version_3() -> None:
    old = {
        "version": 1,
        "clkConfig": {"l": 1024, "k": 20, "hash": {"type": "doubleHash"}, "kdf": {"type": "HKDF"}, "xorFolds": 1},
        "features": [
            {"identifier": "id", "ignored": True},
            {"identifier": "a", "format": {"type": "string"}, "hashing": {"ngram": 2, "weight": 0}},
            {"identifier": "b", "format": {"type": "string"},
             "hashing": {"ngram": 1, "positional": True, "weight": 0.125, "missingValue": {"sentinel": ""}}},
        ],
    }  # fmt: skip
    schema = parse_linkage_schema(json.dumps(old), "as-documented")
    assert (schema.document["version"], schema.folds) == (3, 1)
    assert [feature.ignored for feature in schema.features] == [True, True, False]
    hashing = schema.features[2].hashing
    assert hashing and hashing.hash == "doubleHash" and hashing.bits_per_token == 2, "2.5 rounds to even"
    assert hashing.comparison == NgramComparison(1, positional=True)
    again = parse_linkage_schema(json.dumps(schema.document), "as-documented")
    assert schema_fingerprint(again) == schema_fingerprint(schema)
    old["features"][2]["hashing"]["weight"] = 0.01  # type: ignore[index]
    with pytest.raises(NightlinkError, match=r"features\[3\].hashing.strategy.k = 0"):
        parse_linkage_schema(json.dumps(old))
    old["features"][2]["hashing"]["weight"] = -1  # type: ignore[index]
    with pytest.raises(NightlinkError, match=r"weight = -1"):
        parse_linkage_schema(json.dumps(old))


@pytest.mark.parametrize(
    ("strategy", "expected"), [({"k": 7}, (7, None)), ({"numBits": 70}, (None, 70)), ({}, None)]
)
def test_version_2_becomes_version_3(
    strategy: dict[str, int], expected: tuple[int | None, int | None] | None
) -> None:
    feature = {"identifier": "a", "format": {"type": "string"}, "hashing": {"ngram": 2, "strategy": strategy}}
    ignored = {"identifier": "id", "ignored": True}
    old = {"version": 2, "clkConfig": SCHEMA["clkConfig"], "features": [feature, ignored]}
    if expected is None:
        with pytest.raises(NightlinkError, match="k and numBits"):
            parse_linkage_schema(json.dumps(old))
        return
    hashing = parse_linkage_schema(json.dumps(old)).features[0].hashing
    assert hashing and (hashing.bits_per_token, hashing.bits_per_feature) == expected


def test_folds_by_the_switch_and_the_warnings() -> None:
    text = _changed(lambda d: d["clkConfig"].update(xorFolds=2))
    ignoring, honouring = (parse_linkage_schema(text, way) for way in ("as-clkhash", "as-documented"))
    assert (ignoring.folds, honouring.folds, honouring.hashed_bits) == (0, 2, 4096)
    assert "IS IGNORED" in ignoring.warnings[0] and "is honoured" in honouring.warnings[0]
    assert schema_fingerprint(ignoring) != schema_fingerprint(honouring)
    for way in ("as-clkhash", "as-documented"):
        other = parse_linkage_schema(_changed(lambda d: d["clkConfig"].update(xor_folds=2)), way)
        assert other.folds == 2 and "not in the documented format" in other.warnings[0]
    both = _changed(lambda d: d["clkConfig"].update(xorFolds=2, xor_folds=1))
    assert parse_linkage_schema(both, "as-clkhash").folds == 1
    with pytest.raises(NightlinkError, match="one of them"):
        parse_linkage_schema(both, "as-documented")
    assert parse_linkage_schema(_changed(lambda d: d["clkConfig"].update(xorFolds=0))).warnings == ()


def test_entries_that_nobody_reads_are_warned_of() -> None:
    text = _changed(lambda d: _hashing(d)["comparison"].update(postional=True))
    assert parse_linkage_schema(text).warnings == (
        "features[2].hashing.comparison.postional is no entry of the format and has no effect",
    )
