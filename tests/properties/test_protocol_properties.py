"""Properties of the protocol file: whatever it holds, one gets a protocol or a ProtocolError."""

from __future__ import annotations

import copy
import tomllib
from datetime import date, datetime, time
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from linkage_core.errors import ProtocolError
from linkage_core.protocol.linkage_protocol import (
    LinkageProtocol,
    canonical_protocol,
    parse_protocol,
    protocol_fingerprint,
    protocol_from_document,
)
from tests.reference.tiny_delivery import TINY_PROTOCOL_FILE

TEXT = TINY_PROTOCOL_FILE.read_text(encoding="utf-8")
DOCUMENT = tomllib.loads(TEXT)

scalars = st.one_of(
    st.integers(),
    st.floats(),
    st.booleans(),
    st.text(st.characters(codec=None), max_size=50),
    st.just(date(2026, 3, 1)),
    st.just(datetime(2026, 3, 1)),  # noqa: DTZ001
    st.just(time(1, 2)),
)
toml_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=8,
)


def places(value: Any, path: tuple[int | str, ...] = ()) -> list[tuple[int | str, ...]]:
    """The path of every entry and item below ``value``."""
    steps = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    found = [(*path, step) for step in steps]
    return found + [deeper for step in steps for deeper in places(value[step], (*path, step))]


PLACES = places(DOCUMENT)


def parent_of(document: Any, place: tuple[int | str, ...]) -> Any:
    for step in place[:-1]:
        document = document[step]
    return document


def accepted_or_explained(document: dict[str, Any]) -> None:
    try:
        protocol = protocol_from_document(document)
    except ProtocolError as error:
        message = str(error)
        assert error.code == "E-PROTOCOL" and "\n" not in message and len(message) < 1500
        assert "Input should" not in message and "Value error" not in message
    else:
        assert len(protocol_fingerprint(protocol)) == 64
        assert LinkageProtocol.model_validate_json(canonical_protocol(protocol)) == protocol


@given(st.sampled_from(PLACES), toml_values)
@settings(max_examples=500)
def test_any_value_in_any_place(place: tuple[int | str, ...], value: object) -> None:
    document = copy.deepcopy(DOCUMENT)
    parent_of(document, place)[place[-1]] = value
    accepted_or_explained(document)


@given(st.sampled_from(PLACES))
def test_any_place_empty(place: tuple[int | str, ...]) -> None:
    document = copy.deepcopy(DOCUMENT)
    del parent_of(document, place)[place[-1]]
    accepted_or_explained(document)


@given(st.sampled_from([p for p in PLACES if isinstance(p[-1], str)]), st.text(max_size=60), toml_values)
def test_any_further_entry(place: tuple[int | str, ...], name: str, value: object) -> None:
    document = copy.deepcopy(DOCUMENT)
    parent_of(document, place)[name] = value
    accepted_or_explained(document)


@given(st.dictionaries(st.sampled_from(list(DOCUMENT)), toml_values))
def test_any_document(document: dict[str, Any]) -> None:
    accepted_or_explained(document)


@given(st.integers(0, len(TEXT)), st.integers(0, 30), st.text(max_size=20))
@example(0, 0, "\0")
@settings(max_examples=500)
def test_any_edit_of_the_text(position: int, removed: int, added: str) -> None:
    try:
        parse_protocol(TEXT[:position] + added + TEXT[position + removed :])
    except ProtocolError as error:
        assert "\n" not in str(error)


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    try:
        parse_protocol(text)
    except ProtocolError as error:
        assert error.code == "E-PROTOCOL"


@given(st.permutations(TEXT.strip().split("\n\n")[1:]))
def test_the_order_of_tables_does_not_count_unless_it_is_a_list_s(tables: list[str]) -> None:
    """Fields and passes are lists, whose order is part of the protocol; all else may be shuffled."""
    head = TEXT.split("\n\n")[0]
    lists = {mark: [t for t in TEXT.strip().split("\n\n") if t.startswith(mark)] for mark in ("[[f", "[[b")}
    in_order = {mark: iter(items) for mark, items in lists.items()}
    shuffled = [next(in_order[t[:3]]) if t[:3] in in_order else t for t in tables]
    try:
        found = parse_protocol("\n\n".join([head, *shuffled]))
    except ProtocolError as error:  # TOML: [blocking] after [[blocking.passes]] declares it twice
        assert "not TOML" in str(error)
    else:
        assert protocol_fingerprint(found) == protocol_fingerprint(parse_protocol(TEXT))
