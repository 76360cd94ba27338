"""`nightlink protocol schema | preset | check | diff`, in this process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.command_line import main
from linkage_core.errors import NightlinkError
from linkage_core.protocol.leaving_columns import leaving_columns
from linkage_core.protocol.linkage_protocol import (
    parse_protocol,
    protocol_fingerprint,
    protocol_from_document,
)
from linkage_core.protocol.protocol_presets import preset_protocol
from linkage_core.protocol.wire_format import part_schema
from tasks.protocol.protocol_files import SHIPPED_PROTOCOL, shipped_protocol


def _run(*words: str | Path) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main(["protocol", *map(str, words)])
    return ended.value.code


def test_check_tells_the_fingerprint_and_what_leaves(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("check", SHIPPED_PROTOCOL) == 0
    told = capsys.readouterr().out
    assert protocol_fingerprint(shipped_protocol()) in told
    assert _run("check", SHIPPED_PROTOCOL, "--json") == 0
    described = json.loads(capsys.readouterr().out)
    assert described["fingerprint"] == protocol_fingerprint(shipped_protocol())
    assert [column["name"] for column in described["leaves"]] == part_schema(shipped_protocol()).names
    assert all(f"  {column['name']} (" in told for column in described["leaves"])


def test_what_is_said_to_leave_is_what_the_wire_format_holds() -> None:
    for preset in ("minimal", "persons"):
        protocol = preset_protocol(shipped_protocol(), preset)
        assert [column.name for column in leaving_columns(protocol)] == part_schema(protocol).names


def test_check_tells_a_mistake_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(SHIPPED_PROTOCOL.read_text().replace("key_epoch", "key_epok", 1))
    assert _run("check", wrong) == 1
    assert "unknown entry key_epok (did you mean key_epoch?)" in capsys.readouterr().err
    assert _run("check", tmp_path / "absent.toml") == 1
    assert capsys.readouterr().err.startswith("E-SETTINGS: ")


def test_diff_names_each_entry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.toml"
    other.write_text("# a comment more\n" + SHIPPED_PROTOCOL.read_text())
    assert _run("diff", SHIPPED_PROTOCOL, other) == 0
    assert "the protocols are the same" in capsys.readouterr().out
    other.write_text(
        SHIPPED_PROTOCOL.read_text().replace("terms = 8", "terms = 10").replace('"2026"', '"2027"')
    )
    assert _run("diff", SHIPPED_PROTOCOL, other) == 4
    assert capsys.readouterr().out.splitlines()[:-1] == [
        "- evidence.filters.given_family.terms = 8",
        "+ evidence.filters.given_family.terms = 10",
        "- key_epoch = 2026",
        "+ key_epoch = 2027",
    ]
    assert _run("preset", "minimal", tmp_path / "minimal.toml") == 0
    assert _run("diff", SHIPPED_PROTOCOL, tmp_path / "minimal.toml") == 4
    told = capsys.readouterr().out
    assert (
        "- fields.phone.kind = phone" in told
        and "- evidence.tokens.[family_name, middle_name] = present" in told
    )
    assert "\n+ " not in told, "nothing was added, only left out"


def test_every_change_of_a_protocol_shows() -> None:
    from linkage_core.protocol.protocol_difference import protocol_difference

    text = SHIPPED_PROTOCOL.read_text()
    changes = [
        ("pair_budget = 100_000_000", "pair_budget = 100_000_001"),
        ("partners_per_record = 22", "partners_per_record = 23"),
        ('sha256 = "9', 'sha256 = "8'),
        ('["hospital", "pharmacy"]', '["gp", "pharmacy"]'),
        ('["hospital", "pharmacy"]', '["pharmacy", "hospital"]'),
        ("[-1.5, 1.5]", "[-1.5]"),
        ("possible = 0.25", "possible = 0.3"),
        ("q = 1", "q = 2"),
        ('name = "both_sounds"', 'name = "both_sounds_2"'),
    ]
    for old, new in changes:
        assert protocol_difference(parse_protocol(text), parse_protocol(text.replace(old, new, 1))), (
            old,
            new,
        )


def test_an_unknown_preset_and_a_protocol_without_its_fields(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("preset", "everything") == 1
    assert "E-INPUT: found no preset of the name 'everything'" in capsys.readouterr().err
    assert _run("preset", "minimal", tmp_path / "minimal.toml") == 0
    assert _run("preset", "persons", "--from", tmp_path / "minimal.toml") == 1
    assert "without the field middle_name, street, city" in capsys.readouterr().err
    with pytest.raises(NightlinkError, match="E-INPUT"):
        preset_protocol(shipped_protocol(), "x")


def test_the_schema_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("schema") == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Nightlink linkage protocol"


def test_another_order_shows_as_an_order() -> None:
    from linkage_core.protocol.protocol_difference import protocol_difference

    shipped = shipped_protocol()
    document = shipped.model_dump(mode="json")
    document["evidence"]["tokens"].reverse()
    turned = protocol_from_document(document)
    lines = protocol_difference(shipped, turned)
    assert [line.split(" = ")[0] for line in lines] == [
        "- evidence.tokens (order)",
        "+ evidence.tokens (order)",
    ]
