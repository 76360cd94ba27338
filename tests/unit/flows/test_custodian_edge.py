"""`nightlink custodian encode | validate | describe | verify-key | generate | convert-schema`, in this process."""

from __future__ import annotations

import base64
import csv
import datetime as dt
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.command_line import main
from linkage_core.protocol.linkage_protocol import parse_protocol
from linkage_core.protocol.wire_format import read_part
from tests.reference.slow_clk import slow_clk

ROOT = Path(__file__).resolve().parents[3]
PROTOCOL = ROOT / "deployments" / "linkage_protocol.toml"
PLANTED = "Beeblebrox"
SECRET = "horse staple"
SCHEMA: dict[str, Any] = {
    "version": 3,
    "clkConfig": {"l": 1024, "kdf": {"type": "HKDF", "salt": "YWJj"}},
    "features": [
        {"identifier": "id", "ignored": True},
        {
            "identifier": "name",
            "format": {"type": "string", "minLength": 1},
            "hashing": {"comparison": {"type": "ngram", "n": 2}, "strategy": {"bitsPerFeature": 200}},
        },
        {
            "identifier": "born",
            "format": {"type": "date", "format": "%d/%m/%Y"},
            "hashing": {
                "comparison": {"type": "ngram", "n": 1, "positional": True},
                "strategy": {"bitsPerToken": 10},
            },
        },
    ],
}
GOOD = [["1", "Zoë Smith", "07/03/1980"], ["2", "O'Brien,\nPat", "29/02/2000"], ["3", "x", "31/12/1999"]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    (tmp_path / "key").write_text(f"  {SECRET}\n")
    (tmp_path / "key").chmod(0o600)
    _write_csv(tmp_path / "in.csv", GOOD)
    return tmp_path


def _write_csv(
    path: Path, rows: list[list[str]], encoding: str = "utf-8", delimiter: str = ",", header: bool = True
) -> None:
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows(([["id", "name", "born"]] if header else []) + rows)


def _run(*words: str | Path) -> int | str | None:
    with pytest.raises(SystemExit) as caught:
        main(["custodian", *map(str, words)])
    return caught.value.code


def _encode(
    folder: Path, *words: str | Path, source: str = "in.csv", output: str = "out.json"
) -> int | str | None:
    files = ("--schema", folder / "schema.json", "--key-file", folder / "key")
    return _run("encode", *files, *words, folder / source, folder / output)


def _theirs(rows: list[list[str]]) -> str:
    """What clkhash's own command writes."""
    clks = [slow_clk(row, SCHEMA, SECRET) for row in rows]
    return json.dumps({"clks": [base64.b64encode(clk).decode() for clk in clks if clk is not None]})


def test_the_file_that_clkhash_would_write(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _encode(folder) == 0
    assert (folder / "out.json").read_text() == _theirs(GOOD)
    assert "verdict: 3 of 3 rows are sound; written" in capsys.readouterr().out
    assert sorted(path.name for path in folder.iterdir()) == [
        "in.csv", "key", "out.json", "out.reasons.csv", "out.report.json", "out.report.txt", "schema.json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("encoding", "delimiter", "header", "words"),
    [
        ("utf-8-sig", ",", True, []),
        ("cp1252", ";", True, ["--encoding", "cp1252", "--delimiter", ";"]),
        ("utf-8", "\t", False, ["--delimiter", "tab", "--header", "none"]),
        ("utf-16", ",", True, ["--encoding", "utf-16"]),
    ],
)
def test_the_same_however_the_file_is_written(
    folder: Path, encoding: str, delimiter: str, header: bool, words: list[str]
) -> None:
    _write_csv(folder / "in.csv", GOOD, encoding, delimiter, header)
    assert _encode(folder, *words) == 0
    assert (folder / "out.json").read_text() == _theirs(GOOD)


def test_the_same_from_parquet_by_name(folder: Path) -> None:
    columns = dict(zip(["id", "name", "born"], zip(*GOOD, strict=True), strict=True))
    pq.write_table(
        pa.table({"born": columns["born"], "more": [1, 2, 3], "name": columns["name"]}), folder / "in.parquet"
    )
    assert _encode(folder, source="in.parquet") == 0
    assert (folder / "out.json").read_text() == _theirs(GOOD)
    pq.write_table(pa.table({"born": columns["born"]}), folder / "in.parquet")
    assert _encode(folder, source="in.parquet") == 1
    pq.write_table(pa.table({"born": [1.5], "name": ["x"]}), folder / "in.parquet")
    assert _encode(folder, source="in.parquet") == 1
    (folder / "in.parquet").write_bytes(b"PAR1 and nothing else")
    assert _encode(folder, source="in.parquet") == 1


def test_thirty_percent_rubbish(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(4)
    rubbish = [["9", "", "01/01/2000"], ["9", PLANTED, "30/02/2000"], ["9", PLANTED], ["9", PLANTED, "1/2/3", "x"],
               ["9", PLANTED, "0\0"]]  # fmt: skip
    rows = [rng.choice(rubbish) if rng.random() < 0.3 else rng.choice(GOOD) for _ in range(3000)]
    bad = [number for number, row in enumerate(rows, 1) if row not in GOOD]
    _write_csv(folder / "in.csv", rows)
    assert _encode(folder) == 4
    assert (folder / "out.json").read_text() == _theirs([row for row in rows if row in GOOD])
    reasons = list(csv.DictReader((folder / "out.reasons.csv").open()))
    assert [int(reason["row_number"]) for reason in reasons] == bad
    lines = (folder / "in.csv").read_bytes().decode().split("\n")
    for reason in reasons[:50]:
        line = lines[int(reason["first_line"]) - 1]
        assert line.startswith("9,"), "the lines named are the rubbish's"
    numbers = [int(row["row_number"]) for row in csv.DictReader((folder / "out.rows.csv").open())]
    assert sorted(numbers + bad) == list(range(1, 3001))
    told = capsys.readouterr()
    assert f"verdict: {3000 - len(bad)} of 3000 rows are sound, {len(bad)} rejected" in told.out
    left = [path.read_text() for path in folder.glob("out.*")] + [told.out, told.err]
    assert not any(PLANTED in text for text in left)


def test_mostly_rubbish_is_refused_and_leaves_the_reasons(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _write_csv(folder / "in.csv", [GOOD[0], ["2", PLANTED, "x"], ["3", PLANTED, "y"]])
    assert _encode(folder) == 1
    told = "E-DQ-REJECTS: found 2 of 3 rows rejected (R-DATE-FORMAT 2: a value is no date in the feature's format)"
    assert told in capsys.readouterr().err
    assert not (folder / "out.json").exists() and (folder / "out.reasons.csv").exists()
    assert _encode(folder, "--max-reject-share", "1") == 4


def test_a_dry_run_writes_nothing_and_describe_tells_the_digest(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import hashlib

    before = sorted(folder.iterdir())
    files = ("--schema", folder / "schema.json", "--key-file", folder / "key", folder / "in.csv")
    assert _run("encode", *files, "--dry-run") == 0
    assert _run("describe", *files) == 0
    text = capsys.readouterr().out
    assert _run("describe", *files, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert sorted(folder.iterdir()) == before
    digest = hashlib.sha256(_theirs(GOOD).encode()).hexdigest()
    assert report["leaves"][0]["sha256"] == digest and digest in text
    assert report["leaves"][0]["bytes"] == len(_theirs(GOOD)) and not report["written"]
    assert {column["name"]: column["use"] for column in report["source_columns"]} == {
        "id": "ignored",
        "name": "hashed into the filter, 2-grams by blakeHash",
        "born": "hashed into the filter, positional 1-grams by blakeHash",
    }
    assert "WHAT DOES NOT LEAVE" in text and "nothing was written" in text and "Zoë" not in text


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda f: (f / "key").chmod(0o644), "E-KEY-FILE"),
        (lambda f: (f / "key").unlink(), "E-KEY-FILE"),
        (lambda f: (f / "key").write_text(" \n"), "E-KEY-FILE"),
        (lambda f: (f / "schema.json").unlink(), "E-SETTINGS"),
        (lambda f: (f / "schema.json").write_text("{"), "E-PROTOCOL"),
        (lambda f: (f / "in.csv").unlink(), "E-INPUT"),
        (lambda f: _write_csv(f / "in.csv", [[PLANTED, "b", "c"]], header=False), "another name in column 1"),
        (lambda f: (f / "in.csv").write_text("id,name\n"), "a header of 2 columns"),
    ],
)
def test_what_is_refused(folder: Path, change: Any, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    change(folder)
    assert _encode(folder) == 1
    printed = capsys.readouterr()
    assert told in printed.err and PLANTED not in printed.err + printed.out
    assert not (folder / "out.json").exists()


@pytest.mark.parametrize("name", ["in.csv", "key", "schema.json"])
def test_no_output_takes_the_place_of_an_input(folder: Path, name: str) -> None:
    before = (folder / name).read_bytes()
    assert _encode(folder, output=name) == 1
    assert (folder / name).read_bytes() == before


def test_yesterdays_output_stays_when_writing_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "out.json").write_text("yesterday's")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tasks.protocol.output_files.os.fsync", full)
    assert _encode(folder) == 1
    assert (folder / "out.json").read_text() == "yesterday's"
    assert not list(folder.glob(".*partial"))


@pytest.mark.parametrize(
    "words",
    [
        ["encode", "in.csv", "out.json"],
        ["encode", "--schema", "s", "--protocol", "p", "in.csv", "out.json"],
        ["encode", "--schema", "s", "--date-format", "%Y", "in.csv", "out.json"],
        ["encode", "--schema", "s", "--key-file", "k", "in.csv"],
        ["encode", "--schema", "s", "--header", "perhaps", "in.csv", "out.json"],
        ["verify-key", "--schema", "s"],
        ["verify-key", "--schema", "s", "--protocol", "p", "--key-file", "k"],
    ],
)
def test_wrong_usage(words: list[str]) -> None:
    assert _run(*words) == 2


def test_xor_folds_are_warned_of_and_switched(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folded = SCHEMA | {"clkConfig": SCHEMA["clkConfig"] | {"xorFolds": 1}}
    (folder / "schema.json").write_text(json.dumps(folded))
    assert _encode(folder) == 0
    assert "IS IGNORED" in capsys.readouterr().err
    assert (folder / "out.json").read_text() == _theirs(GOOD)
    assert _encode(folder, "--xor-folds", "as-documented") == 0
    assert "is honoured" in capsys.readouterr().err
    assert json.loads((folder / "out.json").read_text())["clks"] == [
        base64.b64encode(slow_clk(row, SCHEMA, SECRET, 1) or b"").decode() for row in GOOD
    ]


def test_convert_schema(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = {"version": 2, "clkConfig": SCHEMA["clkConfig"], "features": [
        {"identifier": "a", "format": {"type": "string"}, "hashing": {"ngram": 2, "strategy": {"k": 5}}}]}  # fmt: skip
    (folder / "old.json").write_text(json.dumps(old))
    assert _run("convert-schema", folder / "old.json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["version"] == 3 and printed["features"][0]["hashing"]["strategy"] == {"bitsPerToken": 5}
    assert _run("convert-schema", folder / "old.json", folder / "new.json") == 0
    assert json.loads((folder / "new.json").read_text()) == printed


@pytest.mark.parametrize("command", ["encode", "describe"])
@pytest.mark.parametrize("rules", ["--schema", "--protocol"])
def test_a_missing_key_file_is_told_by_its_option(
    folder: Path, command: str, rules: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "people.csv").write_text("source_id,given_name,family_name,birth_date\n1,ann,lee,2000-01-02\n")
    file = folder / "schema.json" if rules == "--schema" else PROTOCOL
    source = folder / ("in.csv" if rules == "--schema" else "people.csv")
    output = [folder / "out"] if command == "encode" else []
    assert _run(command, rules, file, source, *output) == 1
    assert "E-KEY-FILE: found no key file; expected --" in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_validate_needs_no_key(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write_csv(folder / "in.csv", [*GOOD, ["4", "", "01/01/2000"]])
    reasons = folder / "why.csv"
    assert _run("validate", "--schema", folder / "schema.json", folder / "in.csv", "--reasons", reasons) == 4
    assert "verdict: 3 of 4 rows are sound, 1 rejected; nothing encoded" in capsys.readouterr().out
    assert reasons.read_text().splitlines()[1:] == ["4,6,6,name,R-LENGTH"]


def _keys(folder: Path) -> list[str | Path]:
    for role in ("linkage", "site"):
        assert _run("keygen", "--role", role, "--out", folder / f"{role}.key") == 0
    return [
        "--protocol",
        PROTOCOL,
        "--key-file",
        folder / "linkage.key",
        "--site-key-file",
        folder / "site.key",
    ]


def test_nightlinks_own_encoding(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = _keys(folder)
    made = [folder / name for name in ("a.csv", "b.csv", "truth.csv")]
    assert _run("generate", made[0], "--people", "300", "--other", made[1], "--truth", made[2]) == 0
    with made[0].open("a") as file:
        file.write(f"bad,{PLANTED},,{PLANTED},19800230\n")
    assert _run("encode", *keys, made[0], folder / "a.parquet") == 4
    report = json.loads((folder / "a.report.json").read_text())
    assert report["rows_encoded"] + report["rows_rejected"] == report["rows_read"] == 301
    protocol = parse_protocol(PROTOCOL.read_text())
    records = read_part((folder / "a.parquet").read_bytes(), protocol, report["rows_encoded"])
    assert records.evidence.tokens.any(axis=1).all()
    assert {c["name"] for c in report["source_columns"]} >= {"source_id", "given_name", "birth_date"}
    assert _run("validate", "--protocol", PROTOCOL, made[1]) in (0, 4)
    assert _run("validate", "--protocol", PROTOCOL, made[0], "--date-format", "%d.%m.%Y") == 1
    assert _run("describe", *keys, made[0]) == 4
    assert "WHAT WOULD LEAVE" in capsys.readouterr().out


def test_a_column_that_was_emptied_is_warned_of(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A Parquet file's dates read as YYYY-MM-DD: another declaration with an emptying rule empties them all."""
    _run("keygen", "--role", "linkage", "--out", folder / "linkage.key")
    _run("keygen", "--role", "site", "--out", folder / "site.key")
    columns = {name: ["a", "b", "c"] for name in ("source_id", "given_name", "family_name")}
    days = pa.array([dt.date(2000, 1, day) for day in (1, 2, 3)])
    pq.write_table(pa.table(columns | {"birth_date": days}), folder / "people.parquet")
    (folder / "format.toml").write_text('emptying_rules = ["R-DATE-FORMAT"]')
    keys = [
        "--protocol",
        PROTOCOL,
        "--key-file",
        folder / "linkage.key",
        "--site-key-file",
        folder / "site.key",
    ]
    words = [*keys, "--source-format", folder / "format.toml", folder / "people.parquet"]
    for command, ending in (("encode", "out.parquet"), ("tokens", "tokens.csv")):
        capsys.readouterr()
        assert _run(command, *words, folder / ending) == 0
        warning = "birth_date is missing in 3 of the 3 encoded rows"
        assert capsys.readouterr().err.count(warning) == 1
        assert warning in (folder / ending).with_suffix(".report.txt").read_text()
    assert _run(*("encode", *words, folder / "right.parquet", "--date-format", "%Y-%m-%d")) == 0
    assert "is missing in" not in capsys.readouterr().err


def test_columns_of_other_names_and_dates_as_declared(folder: Path) -> None:
    keys = _keys(folder)
    (folder / "in.csv").write_text(
        "Nr;GIVEN;Last;DOB;shoe size\n1;Ann;Lee;07/03/1980;38\n2;Bo;Ng;31/12/1999;40\n"
    )
    names = ["source_id=Nr", "given_name=GIVEN", "family_name=Last", "birth_date=DOB"]
    words = [word for name in names for word in ("--column", name)]
    words += ["--delimiter", ";", "--date-format", "%d/%m/%Y"]
    assert _run("encode", *keys, *words, folder / "in.csv", folder / "out.parquet") == 0
    report = json.loads((folder / "out.report.json").read_text())
    assert {"name": "shoe size", "use": "not read", "missing": None} in report["source_columns"]
    (folder / "format.toml").write_text('date_formats = ["%d/%m/%Y"]\n')
    others = [word for word in words if word not in ("--date-format", "%d/%m/%Y")]
    again = ["--source-format", folder / "format.toml", folder / "in.csv", folder / "again.parquet"]
    assert _run("encode", *keys, *others, *again) == 0
    assert (folder / "again.parquet").read_bytes() == (folder / "out.parquet").read_bytes()
    assert _run("encode", *keys, *others, "--column", "sex", *again) == 1
    assert _run("encode", *keys, *others, "--column", "sex=Sex", *again) == 1
    assert _run("encode", *keys, *others, "--as-of", "today", *again) == 1
    (folder / "format.toml").write_text("shape = 1\n")
    assert _run("encode", *keys, *others, *again) == 1


def test_two_sides_compare_their_keys(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _keys(folder)
    for rules in (["--protocol", PROTOCOL, "--key-file", folder / "linkage.key"],
                  ["--schema", folder / "schema.json", "--key-file", folder / "key"]):  # fmt: skip
        capsys.readouterr()
        assert _run("verify-key", *rules) == 0
        told = capsys.readouterr().out
        spoken = told.split("read it out as: ")[1].splitlines()[0]
        assert SECRET not in told
        assert _run("verify-key", *rules, "--theirs", spoken.upper()) == 0
        assert "the values agree" in capsys.readouterr().out
        assert _run("verify-key", *rules, "--theirs", "0000") == 1
        assert "E-KEY-MISMATCH" in capsys.readouterr().err
