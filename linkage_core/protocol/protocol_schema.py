"""A JSON Schema of the linkage protocol file, for editors: names, allowed values and meanings while typing.

Zone: protocol. It is generated from the model in ``linkage_protocol.py``, so that there is nothing to keep in step;
what a JSON Schema cannot say (a field that is used but not declared, two passes of the same parts) only
:func:`parse_protocol` tells. Draft 7 without references, since editors of TOML know no later one for certain.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from linkage_core.protocol.linkage_protocol import (
    BLOCKING_CODES,
    FILTER_BITS,
    NAMES,
    REQUIRED_FIELDS,
    LinkageProtocol,
)
from linkage_core.protocol.protocol_meanings import ENTRY_MEANINGS
from linkage_core.protocol.protocol_mistakes import NAME_PATTERN

SCHEMA_DRAFT = "http://json-schema.org/draft-07/schema#"
SCHEMA_TITLE = "Nightlink linkage protocol"

Node = dict[str, Any]


def protocol_json_schema() -> Node:
    """The JSON Schema; a new, independent document at each call."""
    generated = LinkageProtocol.model_json_schema()
    schema: Node = _plain(generated, generated.pop("$defs"), "")
    return {"$schema": SCHEMA_DRAFT, **schema, "title": SCHEMA_TITLE}


def protocol_json_schema_text() -> str:
    """The JSON Schema as it lies beside the protocol, ending in a line break."""
    return json.dumps(protocol_json_schema(), indent=2, sort_keys=True) + "\n"


def _plain(node: Any, definitions: Node, path: str) -> Any:
    """References resolved, titles dropped, and the rules and meanings that belong to ``path`` added."""
    if isinstance(node, list):
        return [_plain(item, definitions, path) for item in node]
    if not isinstance(node, dict):
        return node
    if {"type": "null"} in node.get("anyOf", ()):  # may be absent; TOML has no null
        (present,) = (choice for choice in node["anyOf"] if choice != {"type": "null"})
        return _plain(present, definitions, path)
    if "$ref" in node:
        name = str(node["$ref"]).rpartition("/")[2]
        if name == "BlockingPart":
            return _part()
        return _plain({**definitions[name], **_without(node, "$ref")}, definitions, path)
    kept = {
        key: _plain(value, definitions, path)
        for key, value in _without(node, "title", "description", "properties", "prefixItems").items()
    }
    if "prefixItems" in node:  # of one kind throughout, which draft 7 writes as the items of any place
        kept["items"] = _plain(node["prefixItems"][0], definitions, path)
    if "properties" in node:
        kept["properties"] = {
            name: _plain(entry, definitions, f"{path}.{name}" if path else name)
            for name, entry in node["properties"].items()
        }
        _describe(kept["properties"], path)
    return kept


def _describe(properties: Node, path: str) -> None:
    for name, entry in properties.items():
        full = f"{path}.{name}" if path else name
        if full in ENTRY_MEANINGS:
            entry["description"] = ENTRY_MEANINGS[full]
        if full in _MORE_RULES:
            entry.update(_MORE_RULES[full]())


def _without(node: Node, *keys: str) -> Node:
    return {key: value for key, value in node.items() if key not in keys}


def _part() -> Node:
    """A part is a text such as ``family_name:soundex``; a table of field and code is understood too."""
    codes = "|".join(BLOCKING_CODES)
    name = NAME_PATTERN.removesuffix("$")
    return {
        "anyOf": [
            {"type": "string", "pattern": f"{name}(:({codes}))?$"},
            {
                "type": "object",
                "properties": {
                    "field": {"type": "string", "pattern": NAME_PATTERN},
                    "code": {"enum": list(BLOCKING_CODES)},
                },
                "required": ["field", "code"],
                "additionalProperties": False,
            },
        ]
    }


def _two_fields() -> Node:
    """One part alone must be that of both names: a value over a single field could be counted."""
    both_names = {"type": "string", "pattern": f"^{NAMES}(:|$)"}
    table = {"type": "object", "properties": {"field": {"const": NAMES}}}
    return {"uniqueItems": True, "anyOf": [{"minItems": 2}, {"items": {"anyOf": [both_names, table]}}]}


def _tokens() -> Node:
    token = {"type": "array", "items": _part(), "minItems": 1, "maxItems": 5, **_two_fields()}
    return {"items": token, "uniqueItems": True}


def _required_fields() -> Node:
    return {
        "allOf": [
            {
                "contains": {
                    "type": "object",
                    "properties": {"name": {"const": name}, "kind": {"const": kind}},
                    "required": ["name", "kind"],
                }
            }
            for name, kind in REQUIRED_FIELDS.items()
        ]
    }


_MORE_RULES: dict[str, Callable[[], Node]] = {
    "custodians": lambda: {"uniqueItems": True},
    "fields": _required_fields,
    "fields.name": lambda: {"not": {"const": NAMES}},
    "blocking.passes.parts": _two_fields,
    "evidence.rarity_edges": lambda: {"uniqueItems": True},
    "evidence.tokens": _tokens,
    "evidence.filters.fields": lambda: {"uniqueItems": True},
    "evidence.filters.bits": lambda: {"enum": list(FILTER_BITS)},
    "evidence.filters.diffused_bits": lambda: {"enum": list(FILTER_BITS)},
}
"""What validators of the model check and a JSON Schema can say too."""
