"""Linkage schemas of versions 1 and 2, rewritten as version 3. Zone: protocol.

Version 1 gives each feature a weight, which scales the ``k`` of the whole schema; a weight of 0 means that the
feature is ignored. Version 2 has a strategy for each feature. Version 3 names the comparison.
"""

from __future__ import annotations

import copy
from typing import Any

from linkage_core.protocol.schema_entries import SchemaTable, schema_error

LATEST_VERSION = 3


def convert_to_version_3(document: dict[str, Any]) -> dict[str, Any]:
    """The document as version 3; the argument is left as it is.

    Raises
    ------
    ProtocolError
        E-PROTOCOL for an unknown version, or an entry without which it cannot be rewritten.
    """
    root = SchemaTable("", document)
    version = root.whole("version")
    if version not in (1, 2, LATEST_VERSION):
        raise root.wrong("version", "1, 2 or 3")
    converted = copy.deepcopy(document)
    if version == 1:
        converted = _from_version_1(SchemaTable("", converted))
    if version <= 2:
        converted = _from_version_2(SchemaTable("", converted))
    return converted


def _from_version_1(root: SchemaTable) -> dict[str, Any]:
    config = root.table("clkConfig")
    per_token = config.whole("k", 1)
    hash_table = dict(config.table("hash").entries)
    kept = ("l", "kdf", "xorFolds", "xor_folds")
    return {
        "version": 2,
        "clkConfig": {name: config.entries[name] for name in kept if config.has(name)},
        "features": [
            _feature_from_version_1(feature, per_token, hash_table) for feature in root.tables("features")
        ],
    }


def _feature_from_version_1(
    feature: SchemaTable, per_token: int, hash_table: dict[str, Any]
) -> dict[str, Any]:
    entries = dict(feature.entries)
    if feature.flag("ignored"):
        return entries
    hashing = feature.table("hashing")
    weight = hashing.number("weight") if hashing.has("weight") else 1
    if weight < 0:
        raise hashing.wrong("weight", "at least 0")
    if weight == 0:
        return {"identifier": feature.text("identifier"), "ignored": True}
    rewritten = {name: value for name, value in hashing.entries.items() if name != "weight"}
    # Python's round, half to even, as clkhash has it: 20 x 0.125 is 2 and 20 x 0.175 is 4.
    rewritten |= {"strategy": {"k": int(round(weight * per_token))}, "hash": dict(hash_table)}
    return entries | {"hashing": rewritten}


def _from_version_2(root: SchemaTable) -> dict[str, Any]:
    features = [_feature_from_version_2(feature) for feature in root.tables("features")]
    return dict(root.entries) | {"version": LATEST_VERSION, "features": features}


def _feature_from_version_2(feature: SchemaTable) -> dict[str, Any]:
    entries = dict(feature.entries)
    if feature.flag("ignored"):
        return entries
    hashing = feature.table("hashing")
    rewritten = {
        name: value for name, value in hashing.entries.items() if name not in ("ngram", "positional")
    }
    rewritten["strategy"] = _strategy_from_version_2(hashing.table("strategy"))
    rewritten["comparison"] = {
        "type": "ngram",
        "n": hashing.whole("ngram", 1),
        "positional": hashing.flag("positional"),
    }
    return entries | {"hashing": rewritten}


def _strategy_from_version_2(strategy: SchemaTable) -> dict[str, Any]:
    names = {"k": "bitsPerToken", "numBits": "bitsPerFeature"}
    if sum(strategy.has(name) for name in names) != 1:
        raise schema_error(f"{strategy.path} without, or with both, of k and numBits", "one of them")
    name = "k" if strategy.has("k") else "numBits"
    return {names[name]: strategy.whole(name, 1)}
