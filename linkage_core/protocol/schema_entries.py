"""Reading a JSON document entry by entry, with an error or a warning that names the entry. Zone: protocol.

A linkage schema holds no record's value, so its entries and values may be quoted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from linkage_core.errors import ProtocolError

_SHOWN_CHARACTERS = 60
_REMEDY = "Correct the linkage schema."


def schema_error(found: str, expected: str, remedy: str = _REMEDY) -> ProtocolError:
    """E-PROTOCOL about a linkage schema."""
    return ProtocolError(found=found, expected=expected, remedy=remedy)


@dataclass(frozen=True)
class SchemaTable:
    """A table (JSON object) of the document, with its path and the warnings collected so far."""

    path: str
    entries: Mapping[str, object]
    warnings: list[str] = field(default_factory=list, repr=False)

    def has(self, name: str) -> bool:
        """Whether the table has an entry of this name."""
        return name in self.entries

    def refuse_unknown(self, known: Sequence[str]) -> None:
        """E-PROTOCOL for the first entry that is not in ``known``."""
        for name in self.entries:
            if name not in known:
                raise schema_error(f"the unknown entry {self._at(name)}", f"one of {', '.join(known)}")

    def note_unknown(self, known: Sequence[str]) -> None:
        """A warning for each entry that is not in ``known``: the format allows it and nobody reads it."""
        for name in self.entries:
            if name not in known:
                self.warnings.append(f"{self._at(name)} is no entry of the format and has no effect")

    def table(self, name: str) -> SchemaTable:
        """The table in an entry, which must be there."""
        value = self._required(name)
        if not isinstance(value, dict):
            raise self.wrong(name, "a table")
        return SchemaTable(self._at(name), value, self.warnings)

    def tables(self, name: str) -> list[SchemaTable]:
        """The list of tables in an entry, numbered from 1."""
        value = self._required(name)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.wrong(name, "a list of tables")
        return [SchemaTable(f"{self._at(name)}[{i}]", item, self.warnings) for i, item in enumerate(value, 1)]

    def text(self, name: str) -> str:
        """A text, which must be there."""
        value = self._required(name)
        if not isinstance(value, str):
            raise self.wrong(name, "a text in quotes")
        return value

    def optional_text(self, name: str) -> str | None:
        """A text or, without the entry, None."""
        return self.text(name) if self.has(name) else None

    def texts(self, name: str) -> list[str]:
        """A list of texts, which must be there."""
        value = self._required(name)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.wrong(name, "a list of texts")
        return list(value)

    def choice(self, name: str, options: Sequence[str], default: str | None = None) -> str:
        """One of ``options``; without the entry the default, if there is one."""
        if default is not None and not self.has(name):
            return default
        value = self._required(name)
        if not isinstance(value, str) or value not in options:
            raise self.wrong(name, f"one of {', '.join(options)}")
        return value

    def flag(self, name: str) -> bool:
        """True or false; false without the entry."""
        value = self.entries.get(name, False)
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return value

    def whole(
        self, name: str, least: int | None = None, most: int | None = None, default: int | None = None
    ) -> int:
        """A whole number within limits; 20.0 is one, as in JSON Schema."""
        if default is not None and not self.has(name):
            return default
        value = self._required(name)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.wrong(name, "a whole number")
        if least is not None and value < least:
            raise self.wrong(name, f"at least {least}")
        if most is not None and value > most:
            raise self.wrong(name, f"at most {most}")
        return value

    def optional_whole(self, name: str, least: int | None = None) -> int | None:
        """A whole number or, without the entry, None."""
        return self.whole(name, least) if self.has(name) else None

    def number(self, name: str) -> int | float:
        """A finite number, which must be there."""
        value = self._required(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(name, "a number")
        if isinstance(value, float) and not math.isfinite(value):
            raise self.wrong(name, "a finite number")
        return value

    def wrong(self, name: str, expected: str) -> ProtocolError:
        """The error for an entry with a wrong value."""
        return schema_error(f"{self._at(name)} = {_show(self.entries.get(name))}", expected)

    def _required(self, name: str) -> object:
        if name not in self.entries:
            raise schema_error(f"no entry {self._at(name)}", "it to be set")
        return self.entries[name]

    def _at(self, name: str) -> str:
        shown = name if name.isidentifier() and len(name) <= _SHOWN_CHARACTERS else _show(name)
        return f"{self.path}.{shown}" if self.path else shown


def _show(value: object) -> str:
    """A value as the file would write it, cut short; lists and tables by their size."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int) and abs(value) >= 10**_SHOWN_CHARACTERS:
        return "a very long number"  # Python refuses to write numbers of thousands of digits
    shown = ascii(value) if isinstance(value, str) else repr(value)
    return shown if len(shown) <= _SHOWN_CHARACTERS else shown[:_SHOWN_CHARACTERS] + "..."
