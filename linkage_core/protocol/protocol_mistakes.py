"""One sentence for each mistake that one can make in the linkage protocol file. Zone: protocol.

The file holds no record's value, so its entries and values may be quoted: the message names the entry, says
what it holds, and what it should hold.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from linkage_core.errors import ProtocolError

Location = tuple[int | str, ...]
KnownEntries = Mapping[tuple[str, ...], Sequence[str]]

NAME_PATTERN = r"^[a-z][a-z0-9_]{0,39}$"
EPOCH_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$"
DIGEST_PATTERN = r"^[0-9a-f]{64}$"

_SHOWN_CHARACTERS = 60
_PATTERNS_IN_WORDS = {
    NAME_PATTERN: "1 to 40 of a-z, 0-9 and _, a letter first",
    DIGEST_PATTERN: "a SHA-256 as 64 hex digits, lower case",
    EPOCH_PATTERN: "1 to 40 of A-Z, a-z, 0-9, '.', '_' and '-', a letter or digit first",
}
_MODELS_IN_WORDS = {"BlockingPart": "a text such as 'family_name:soundex'"}
_EXPECTED: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "bool_type": lambda _: "true or false",
    "finite_number": lambda _: "a finite number",
    "float_type": lambda _: "a number",
    "greater_than": lambda limits: f"more than {limits['gt']}",
    "greater_than_equal": lambda limits: f"at least {limits['ge']}",
    "int_type": lambda _: "a whole number",
    "less_than": lambda limits: f"less than {limits['lt']}",
    "less_than_equal": lambda limits: f"at most {limits['le']}",
    "literal_error": lambda choice: f"{choice['expected']}",
    "model_attributes_type": lambda _: "a table",
    "model_type": lambda model: _MODELS_IN_WORDS.get(model["class_name"], "a table"),
    "string_pattern_mismatch": lambda rule: _PATTERNS_IN_WORDS[rule["pattern"]],
    "string_type": lambda _: "a text in quotes",
    "too_long": lambda limits: f"at most {limits['max_length']} items",
    "too_short": lambda limits: f"at least {limits['min_length']} items",
    "tuple_type": lambda _: "a list",
}


class EntryError(ValueError):
    """What a validator of the protocol found and expected; becomes a :class:`ProtocolError`."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(f"found {found}; expected {expected}")
        self.found = found
        self.expected = expected


def describe_mistake(
    error: ValidationError,
    document: Mapping[str, Any],
    known_entries: KnownEntries,
) -> ProtocolError:
    """The first mistake of several, but unknown entries before all others: a misspelt one also looks missing.

    Parameters
    ----------
    document : mapping
        What the TOML file held.
    known_entries : KnownEntries
        For each table, by its path without list indices, the entries that it may hold.
    """
    details = error.errors(include_url=False)
    first = min(details, key=lambda detail: detail["type"] != "extra_forbidden")
    found, expected = _found_and_expected(first, document, known_entries)
    return ProtocolError(found=found, expected=expected)


def _found_and_expected(
    detail: ErrorDetails, document: Mapping[str, Any], known_entries: KnownEntries
) -> tuple[str, str]:
    kind, location, context = detail["type"], detail["loc"], detail.get("ctx", {})
    mistake = context.get("error")
    if isinstance(mistake, EntryError):
        return mistake.found + _within(location, document), mistake.expected
    if kind == "missing":
        return _missing(location, document)
    if kind == "extra_forbidden":
        tables = tuple(step for step in location[:-1] if isinstance(step, str))
        return _unknown(location, document, known_entries.get(tables, ()))
    found = f"{_entry(location, document)} = {_show(_look_up(location, document))}"
    in_words = _EXPECTED.get(kind)
    return found, in_words(context) if in_words else detail["msg"].removeprefix("Input should be ")


def _within(location: Location, document: Mapping[str, Any]) -> str:
    return f" in {_entry(location, document)}" if location else ""


def _missing(location: Location, document: Mapping[str, Any]) -> tuple[str, str]:
    parent = _look_up(location[:-1], document)
    if isinstance(location[-1], int):
        return f"{_entry(location[:-1], document)} = {_show(parent)}", "one item more"
    return f"no entry {_entry(location, document)}", "it to be set, as in deployments/linkage_protocol.toml"


def _unknown(location: Location, document: Mapping[str, Any], known: Sequence[str]) -> tuple[str, str]:
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    return f"the unknown entry {_entry(location, document)}{hint}", f"one of {', '.join(known)}"


def _entry(location: Location, document: Mapping[str, Any]) -> str:
    """The entry's path; an item of a list goes by its name, where it has one, or by its number from 1."""
    path = ""
    for depth, step in enumerate(location):
        item = _look_up(location[: depth + 1], document)
        name = item.get("name") if isinstance(step, int) and isinstance(item, dict) else step
        if isinstance(name, int) or not _is_name(name):
            path += f"[{step + 1}]" if isinstance(step, int) else f".{_show(step)}"
        else:
            path += f".{name}"
    return path.removeprefix(".") or "the document"


def _is_name(name: object) -> bool:
    return isinstance(name, str) and re.fullmatch(NAME_PATTERN, name) is not None


def _look_up(location: Location, document: Mapping[str, Any]) -> Any:
    """The value at a location, or the deepest one that there is: parts of a pass are texts until parsed."""
    value: Any = document
    for step in location:
        inside_table = isinstance(value, dict) and step in value
        inside_list = isinstance(value, list) and isinstance(step, int) and step < len(value)
        if not (inside_table or inside_list):
            break
        value = value[step]
    return value


def _show(value: object) -> str:
    """A value as the file would write it, cut short; lists and tables by their size."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, bool):
        return str(value).lower()
    text = ascii(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."
