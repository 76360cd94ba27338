"""What differs between two linkage protocols, entry by entry. Zone: protocol."""

from __future__ import annotations

from typing import Any

from linkage_core.protocol.linkage_protocol import LinkageProtocol

_ORDER = " (order)"


def protocol_difference(first: LinkageProtocol, second: LinkageProtocol) -> tuple[str, ...]:
    """Lines ``- entry = value`` (in the first alone) and ``+ entry = value`` (in the second alone).

    Empty exactly when the fingerprints are equal. Items of lists go by their names, tokens by their parts; the order
    of a list is told where both have the same items. Values are written as the canonical document holds them.
    """
    ours, theirs = _entries(first), _entries(second)
    lines = []
    for entry in sorted({*ours, *theirs}):
        old, new = ours.get(entry, ""), theirs.get(entry, "")
        if old == new or entry.endswith(_ORDER) and sorted(old.split("; ")) != sorted(new.split("; ")):
            continue  # another order that other lines explain
        lines += [f"- {entry} = {old}"] if entry in ours else []
        lines += [f"+ {entry} = {new}"] if entry in theirs else []
    return tuple(lines)


def _entries(protocol: LinkageProtocol) -> dict[str, str]:
    found: dict[str, str] = {}
    _collect("", protocol.model_dump(mode="json"), found)
    return found


def _collect(path: str, value: Any, found: dict[str, str]) -> None:
    if isinstance(value, dict):
        for key, entry in value.items():
            _collect(f"{path}.{key}" if path else key, entry, found)
    elif isinstance(value, list) and value and all(isinstance(i, dict) and "name" in i for i in value):
        found[path + _ORDER] = "; ".join(str(item["name"]) for item in value)
        for item in value:
            _collect(f"{path}.{item['name']}", {k: v for k, v in item.items() if k != "name"}, found)
    elif isinstance(value, list) and any(isinstance(item, list) for item in value):
        found[path + _ORDER] = "; ".join(_words(item) for item in value)
        found.update({f"{path}.{_words(item)}": "present" for item in value})
    else:
        found[path] = _words(value)


def _words(value: Any) -> str:
    if isinstance(value, dict) and value.keys() == {"field", "code"}:
        return str(value["field"]) if value["code"] == "exact" else f"{value['field']}:{value['code']}"
    if isinstance(value, list):
        return f"[{', '.join(map(_words, value))}]"
    return str(value)
