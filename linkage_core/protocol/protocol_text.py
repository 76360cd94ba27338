"""A linkage protocol written as TOML, complete and commented, to be reviewed and edited. Zone: protocol.

Every entry is written out, defaults too. Reading the text back gives the same protocol and fingerprint.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from linkage_core.protocol.linkage_protocol import LinkageProtocol, protocol_fingerprint
from linkage_core.protocol.protocol_meanings import ENTRY_MEANINGS

SCHEMA_LINE = "#:schema ./linkage_protocol.schema.json"
"""Tells editors (Even Better TOML, taplo) where the JSON Schema lies."""


def protocol_text(protocol: LinkageProtocol, heading: Sequence[str] = ()) -> str:
    """TOML text of ``protocol``; ``heading`` becomes comment lines at its top.

    Entries come in the model's order, single ones before tables, as TOML demands. An entry's meaning stands above
    its first occurrence.
    """
    lines = [SCHEMA_LINE, *(f"# {line}".rstrip() for line in heading)]
    lines.append(f"# Fingerprint: {protocol_fingerprint(protocol)}")
    lines += _table("", protocol.model_dump(mode="json"), set())
    return "\n".join(lines) + "\n"


def _table(path: str, table: dict[str, Any], told: set[str]) -> Iterator[str]:
    """The entries of one table, then the tables below it, each under its header."""
    table = {key: value for key, value in table.items() if value is not None}  # TOML has no null
    below = {key: value for key, value in table.items() if _is_table(value)}
    for key, value in table.items():
        if key not in below:
            yield from _comment(_join(path, key), told)
            yield from _entry(key, value)
    for key, value in below.items():
        inner = _join(path, key)
        yield ""
        yield from _comment(inner, told)
        if isinstance(value, dict):
            yield f"[{inner}]"
            yield from _table(inner, value, told)
            continue
        for number, item in enumerate(value):
            yield from ([""] if number else [])
            yield f"[[{inner}]]"
            yield from _table(inner, item, told)


def _is_table(value: object) -> bool:
    if isinstance(value, dict):
        return not _is_part(value)
    return (
        isinstance(value, list)
        and bool(value)
        and all(_is_table(item) for item in value)
        and not _nested(value)
    )


def _nested(value: list[object]) -> bool:
    return any(isinstance(item, list) for item in value)


def _is_part(value: dict[str, Any]) -> bool:
    return value.keys() == {"field", "code"}


def _entry(key: str, value: object) -> Iterator[str]:
    """``key = value``; a list of lists takes a line for each."""
    if isinstance(value, list) and _nested(value):
        yield f"{key} = ["
        yield from (f"    {_value(item)}," for item in value)
        yield "]"
    else:
        yield f"{key} = {_value(value)}"


def _value(value: object) -> str:
    if isinstance(value, dict):
        field, code = value["field"], value["code"]
        return _value(field if code == "exact" else f"{field}:{code}")
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    # JSON's texts, numbers and truth values are TOML's too, as long as they are ASCII and finite.
    return json.dumps(value, allow_nan=False)


def _comment(path: str, told: set[str]) -> Iterator[str]:
    if path in ENTRY_MEANINGS and path not in told:
        told.add(path)
        yield f"# {ENTRY_MEANINGS[path]}"


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
