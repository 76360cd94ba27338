"""The JSON Schema for editors: what lies beside the protocol is what is generated, and it judges as the parser does.

The documents are those of ``test_protocol_mistakes.py``: each mistake there must be one here, unless a JSON Schema
cannot say it. Those are listed with the reason, and the list is held to the truth too.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from flows.command_line import main
from linkage_core.protocol.linkage_protocol import LinkageProtocol, parse_protocol, restrict_protocol
from linkage_core.protocol.protocol_meanings import ENTRY_MEANINGS
from linkage_core.protocol.protocol_presets import PRESETS, preset_protocol
from linkage_core.protocol.protocol_schema import protocol_json_schema, protocol_json_schema_text
from linkage_core.protocol.protocol_text import SCHEMA_LINE, protocol_text
from tests.spec.test_protocol_mistakes import GOOD, MISTAKES, _spoil

DEPLOYMENTS = Path(__file__).resolve().parents[2] / "deployments"

NAMES_TWICE = "a JSON Schema cannot compare one entry of two items"
DECLARED = "a JSON Schema cannot compare a name here with names declared elsewhere"
LIMITS = "a JSON Schema cannot compare two numbers of a document"
NOT_JSON = "JSON has no such number; an editor shows none of it"
BEYOND_JSON_SCHEMA = {
    "normaliser 1.0": "1.0 is a whole number in JSON Schema",
    "a pass name twice": NAMES_TWICE,
    "a filter name twice": NAMES_TWICE,
    "a part twice": "sex and sex:exact are the same to the parser alone",
    "a pass again": NAMES_TWICE,
    "a pass as a token": NAMES_TWICE,
    "an undeclared field": DECLARED,
    "a token of an absent field": DECLARED,
    "a filter of an absent field": DECLARED,
    "Soundex of a date": DECLARED,
    "nicknames of a date": DECLARED,
    "no nickname table": DECLARED,
    "a date as a name": DECLARED,
    "a code of another kind": DECLARED,
    "two codes of one field": NAMES_TWICE,
    "a hardening that fell": DECLARED,
    "an absent field as salt": DECLARED,
    "a salt of another kind": DECLARED,
    "a block over the budget": LIMITS,
    "an overfull filter": LIMITS,
    "thresholds crossed": LIMITS,
    "edges that fall": LIMITS,
    "an edge that is no number": NOT_JSON,
    "a threshold that is no number": NOT_JSON,
}


@cache
def _validator() -> Draft7Validator:
    return Draft7Validator(protocol_json_schema())


def _complaints(text: str) -> list[str]:
    document = json.loads(json.dumps(tomllib.loads(text), default=date.isoformat))
    return [error.message for error in _validator().iter_errors(document)]


def test_the_schema_beside_the_protocol_is_the_generated_one() -> None:
    """`nightlink protocol schema` prints it; put what it prints there after a change of the model."""
    stored = (DEPLOYMENTS / "linkage_protocol.schema.json").read_text(encoding="utf-8")
    assert stored == protocol_json_schema_text()


def test_it_is_a_json_schema_that_editors_find() -> None:
    Draft7Validator.check_schema(protocol_json_schema())
    assert "$ref" not in protocol_json_schema_text()
    shipped = (DEPLOYMENTS / "linkage_protocol.toml").read_text(encoding="utf-8")
    assert shipped.startswith(SCHEMA_LINE + "\n")
    assert (DEPLOYMENTS / SCHEMA_LINE.removeprefix("#:schema ")).exists()


def _paths(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    for node in (schema, schema.get("items", {})):
        for name, entry in node.get("properties", {}).items():
            inner = f"{path}.{name}" if path else name
            yield inner
            yield from _paths(entry, inner)


def test_every_entry_has_its_meaning_and_no_meaning_is_left_over() -> None:
    assert set(_paths(protocol_json_schema())) == set(ENTRY_MEANINGS)
    assert all(re.fullmatch(r"[A-Z].{10,110}\.", meaning) for meaning in ENTRY_MEANINGS.values())


def test_good_protocols_are_good() -> None:
    assert _complaints(GOOD) == []
    for preset in PRESETS:
        assert _complaints(protocol_text(preset_protocol(parse_protocol(GOOD), preset))) == []


# Text that is not TOML is the editor's own affair.
@pytest.mark.parametrize(
    ("case", "text"), [(row[0], _spoil(*row[1:3])) for row in MISTAKES], ids=lambda x: x[:30]
)
def test_a_mistake_is_a_mistake_to_both(case: str, text: str) -> None:
    try:
        complaints = _complaints(text)
    except (ValueError, RecursionError):
        return
    assert bool(complaints) != (case in BEYOND_JSON_SCHEMA), complaints or "the schema takes it for good"


def test_the_list_of_what_it_cannot_say_names_mistakes_of_the_table() -> None:
    assert set(BEYOND_JSON_SCHEMA) <= {row[0] for row in MISTAKES}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_the_shipped_protocol_over_fewer_fields(
    preset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = preset_protocol(parse_protocol(GOOD), preset)
    assert made == restrict_protocol(parse_protocol(GOOD), PRESETS[preset])
    with pytest.raises(SystemExit) as ended:
        main(["protocol", "preset", preset, str(tmp_path / "p.toml")])
    assert ended.value.code == 0
    text = (tmp_path / "p.toml").read_text(encoding="utf-8")
    assert parse_protocol(text) == made
    comments = [line for line in text.splitlines() if line.startswith("# ")]
    assert len(comments) > 30 and all(len(line) <= 120 for line in comments)
    with pytest.raises(SystemExit) as ended:
        main(["protocol", "preset", preset, str(tmp_path / "p.toml")])
    assert ended.value.code == 1
    assert "E-OUTPUT" in capsys.readouterr().err


def test_a_protocol_written_and_read_again_is_the_same() -> None:
    assert parse_protocol(protocol_text(parse_protocol(GOOD))) == parse_protocol(GOOD)
    document = parse_protocol(GOOD).model_dump(mode="json")
    document["evidence"] |= {"tokens": [], "filters": []}
    bare = LinkageProtocol.model_validate(document)
    assert parse_protocol(protocol_text(bare)) == bare
