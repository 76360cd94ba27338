"""Tokens from two custodians' files to project tokens at the linkage unit, by the commands that people run."""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.command_line import main
from linkage_core.custodian.token_forms import choose_definitions
from linkage_core.protocol.key_files import KeyRole, format_key_file
from linkage_core.protocol.linkage_protocol import parse_protocol
from linkage_core.protocol.transfer_keys import agreement_public_hex
from tasks.custodian import encode
from tasks.protocol.token_files import read_token_file, write_token_file

PROTOCOL_FILE = Path(__file__).resolve().parents[3] / "deployments" / "linkage_protocol.toml"
PROTOCOL = parse_protocol(PROTOCOL_FILE.read_text(encoding="utf-8"))
NAMES = [definition.name for definition in choose_definitions(PROTOCOL)]
SIDES = ("a", "b")


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(word) for word in words])
    return int(caught.value.code or 0)


def key(word: str) -> bytes:
    return hashlib.sha256(f"tokens {word}".encode()).digest()


def write_key(path: Path, role: KeyRole, word: str) -> None:
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(format_key_file(role, key(word)))


def site_command(folder: Path, side: str, output: Path) -> list[object]:
    keys = ["--key-file", folder / "linkage.key", "--site-key-file", folder / f"site-{side}.key"]
    return [
        "custodian",
        "tokens",
        "--protocol",
        folder / "protocol.toml",
        *keys,
        folder / f"{side}.csv",
        output,
    ]


def transfer_command(folder: Path, side: str, source: Path, output: Path) -> list[object]:
    return [
        "custodian", "transfer-tokens", "--protocol", folder / "protocol.toml",
        "--site-key-file", folder / f"site-{side}.key", "--transfer-key-file", folder / f"transfer-{side}.key",
        "--linkage-unit-public-key", agreement_public_hex(key("unit")), source, output,
    ]  # fmt: skip


def receive_command(folder: Path, side: str, source: Path, output: Path) -> list[object]:
    return [
        "linkage-unit", "receive-tokens", "--protocol", folder / "protocol.toml",
        "--encryption-key-file", folder / "unit.key", "--tokens-key-file", folder / "tokens.key",
        "--transfer-public-key", agreement_public_hex(key(f"transfer {side}")), source, output,
    ]  # fmt: skip


def make_folder(folder: Path) -> Path:
    """Keys of all parties and 200 people a side, 120 of them in both; the protocol."""
    shutil.copy(PROTOCOL_FILE, folder / "protocol.toml")
    write_key(folder / "linkage.key", "linkage", "linkage")
    write_key(folder / "unit.key", "linkage_unit_encryption", "unit")
    write_key(folder / "tokens.key", "linkage_unit_tokens", "project tokens")
    for side in SIDES:
        write_key(folder / f"site-{side}.key", "site", f"site {side}")
        write_key(folder / f"transfer-{side}.key", "transfer", f"transfer {side}")
    files = [folder / f"{side}.csv" for side in SIDES]
    assert run("custodian", "generate", files[0], "--people", 200, "--other", files[1]) == 0
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All forms of both sides' tokens, in Parquet: site-, transfer- and project-a.parquet, and so on."""
    folder = make_folder(tmp_path_factory.mktemp("tokens"))
    for side in SIDES:
        site, transfer, project = (
            folder / f"{form}-{side}.parquet" for form in ("site", "transfer", "project")
        )
        assert run(*site_command(folder, side, site)) in (0, 4)
        assert run(*transfer_command(folder, side, site, transfer)) == 0
        assert run(*receive_command(folder, side, transfer, project)) == 0
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "tokens")
    return tmp_path / "tokens"


def values(path: Path) -> dict[str, list[bytes | None]]:
    return {name: pq.read_table(path)[name].to_pylist() for name in NAMES}


def distinct(path: Path) -> set[bytes]:
    return {value for column in values(path).values() for value in column if value is not None}


def test_the_same_persons_tokens_differ_at_two_sites_and_agree_as_project_tokens(made: Path) -> None:
    forms = {
        form: [distinct(made / f"{form}-{s}.parquet") for s in SIDES]
        for form in ("site", "transfer", "project")
    }
    assert not forms["site"][0] & forms["site"][1]
    assert not forms["transfer"][0] & forms["transfer"][1]
    common = forms["project"][0] & forms["project"][1]
    assert len(common) > 200
    assert all(not forms["site"][s] & forms["transfer"][s] for s in (0, 1))
    # Not even a piece of a token: no 8 bytes of one site's files lie in the other's.
    pieces = [
        {v[i : i + 8] for v in forms["transfer"][s] | forms["site"][s] for i in range(25)} for s in (0, 1)
    ]
    assert not pieces[0] & pieces[1]


def test_null_stays_null_in_every_form(made: Path) -> None:
    for side in SIDES:
        tables = [values(made / f"{form}-{side}.parquet") for form in ("site", "transfer", "project")]
        nulls = [{name: [v is None for v in column] for name, column in table.items()} for table in tables]
        assert nulls[0] == nulls[1] == nulls[2]
        missing = [sum(column) for column in nulls[0].values()]
        assert sum(missing) > 0 and min(missing) < 200
        with (made / f"{side}.csv").open() as file:
            without = sum(not row["phone"] for row in csv.DictReader(file))
        assert without and missing[NAMES.index("birth_date+phone")] >= without


def test_equal_inputs_give_equal_files_and_csv_says_the_same_as_parquet(folder: Path) -> None:
    for side in SIDES:
        again, site = folder / f"again-{side}.parquet", folder / f"site-{side}.csv"
        assert run(*site_command(folder, side, again)) in (0, 4)
        assert again.read_bytes() == (folder / f"site-{side}.parquet").read_bytes()
        assert run(*site_command(folder, side, site)) in (0, 4)
        transfer, project = folder / f"transfer-{side}.csv", folder / f"project-{side}.csv"
        assert run(*transfer_command(folder, side, site, transfer)) == 0
        assert run(*receive_command(folder, side, transfer, project)) == 0
        with project.open() as file:
            rows = list(csv.DictReader(file))
        for name, column in values(folder / f"project-{side}.parquet").items():
            assert [base64.b64decode(row[name]) if row[name] else None for row in rows] == column
        for path in (site, transfer, project):
            assert path.stat().st_mode & 0o777 == 0o600


def test_the_order_of_the_input_does_not_show(folder: Path) -> None:
    lines = (folder / "a.csv").read_text().splitlines()
    (folder / "a.csv").write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    assert run(*site_command(folder, "a", folder / "reversed.parquet")) in (0, 4)
    assert (folder / "reversed.parquet").read_bytes() == (folder / "site-a.parquet").read_bytes()


def test_agreement_is_true_false_or_null(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["linkage-unit", "compare-tokens", "--protocol", folder / "protocol.toml"]
    files = [folder / f"project-{side}.parquet" for side in SIDES]
    assert run(*command, *files, folder / "pairs.parquet") == 0
    pairs = pq.read_table(folder / "pairs.parquet")
    assert f"{len(pairs)} pairs written" in capsys.readouterr().out
    assert 80 < len(pairs) < 2000
    sides = [read_token_file(path, 16, NAMES) for path in files]
    row_of = [{row.tobytes(): i for i, row in enumerate(table.pseudonyms)} for table in sides]
    seen = set()
    for pair in pairs.to_pylist():
        i, j = (row_of[s][pair[f"pseudonym_{side}"]] for s, side in enumerate(SIDES))
        for column_a, column_b in zip(sides[0].columns, sides[1].columns, strict=True):
            both = column_a.present[i] and column_b.present[j]
            expected = bool(np.array_equal(column_a.values[i], column_b.values[j])) if both else None
            assert pair[column_a.definition] is expected
            seen.add(expected)
    assert seen == {True, False, None}

    assert run(*command, *files, folder / "pairs.csv") == 0
    with (folder / "pairs.csv").open() as file:
        rows = list(csv.DictReader(file))
    words = {True: "true", False: "false", None: ""}
    assert [row[NAMES[0]] for row in rows] == [words[value] for value in pairs[NAMES[0]].to_pylist()]
    assert run(*command, "--max-pairs", 5, *files, folder / "few.csv") == 1
    assert "E-PAIR-BUDGET" in capsys.readouterr().err and not (folder / "few.csv").exists()


def test_tokens_of_two_projects_epochs_or_units_cannot_be_joined(folder: Path) -> None:
    own = distinct(folder / "project-a.parquet")
    for old, new in [
        ('project = "discharge_followup"', 'project = "another"'),
        ('epoch = "2026"', 'epoch = "2027"'),
    ]:
        other = folder / new.split('"')[1]
        shutil.copytree(folder, other, ignore=shutil.ignore_patterns("another", "2027", "*.parquet"))
        text = (folder / "protocol.toml").read_text()
        assert old in text
        (other / "protocol.toml").write_text(text.replace(old, new))
        site, transfer, project = (other / f"{form}-a.parquet" for form in ("site", "transfer", "project"))
        assert run(*site_command(other, "a", site)) in (0, 4)
        assert run(*transfer_command(other, "a", site, transfer)) == 0
        assert run(*receive_command(other, "a", transfer, project)) == 0
        for form in ("site", "transfer", "project"):
            assert not distinct(other / f"{form}-a.parquet") & distinct(folder / f"{form}-a.parquet")
    (folder / "tokens.key").unlink()
    write_key(folder / "tokens.key", "linkage_unit_tokens", "another unit's project tokens")
    assert run(*receive_command(folder, "a", folder / "transfer-a.parquet", folder / "other.parquet")) == 0
    assert not distinct(folder / "other.parquet") & own


def _other_protocol(folder: Path) -> None:
    path = folder / "protocol.toml"
    path.write_text(path.read_text().replace('project = "discharge_followup"', 'project = "another"'))


def _swap_columns(folder: Path) -> None:
    path = folder / "transfer-a.parquet"
    table = pq.read_table(path)
    names = table.column_names
    pq.write_table(table.rename_columns([names[0], names[2], names[1], *names[3:]]), path)


def _alter(folder: Path) -> None:
    table = read_token_file(folder / "transfer-a.parquet", 32, NAMES)
    table.columns[2].values[np.flatnonzero(table.columns[2].present)[0], 31] ^= 1
    write_token_file(folder / "transfer-a.parquet", table)


def _rekey(name: str, role: KeyRole) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        write_key(folder / name, role, "a stranger's")

    return change


UNOPENED: dict[str, tuple[Callable[[Path], object], str]] = {
    "site form": (lambda f: shutil.copy(f / "site-a.parquet", f / "transfer-a.parquet"), "E-TOKEN-SEAL"),
    "the other custodian's": (
        lambda f: shutil.copy(f / "transfer-b.parquet", f / "transfer-a.parquet"),
        "E-TOKEN-SEAL",
    ),
    "project tokens": (lambda f: shutil.copy(f / "project-a.parquet", f / "transfer-a.parquet"), "E-INPUT"),
    "another project": (_other_protocol, "E-TOKEN-SEAL"),
    "columns swapped": (_swap_columns, "E-TOKEN-SEAL"),
    "one bit": (_alter, "E-TOKEN-SEAL"),
    "another unit's key": (_rekey("unit.key", "linkage_unit_encryption"), "E-TOKEN-SEAL"),
    "a custodian's key": (_rekey("unit.key", "transfer"), "E-ZONE"),
    "the linkage key": (_rekey("tokens.key", "linkage"), "E-ZONE"),
    "the unit's other key": (_rekey("tokens.key", "linkage_unit_encryption"), "E-KEY-FILE"),
    "a cut file": (
        lambda f: (f / "transfer-a.parquet").write_bytes((f / "transfer-a.parquet").read_bytes()[:-1]),
        "E-INPUT",
    ),
    "no file": (lambda f: (f / "transfer-a.parquet").unlink(), "E-INPUT"),
}


@pytest.mark.parametrize("kind", UNOPENED)
def test_the_linkage_unit_refuses_what_was_not_sealed_to_it_in_this_project(
    folder: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    spoil, code = UNOPENED[kind]
    spoil(folder)
    capsys.readouterr()
    assert run(*receive_command(folder, "a", folder / "transfer-a.parquet", folder / "new.parquet")) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"{code}: ")
    assert not (folder / "new.parquet").exists()


@pytest.mark.parametrize(
    ("name", "role", "code"),
    [
        ("site-a.key", "site", "E-TOKEN-SEAL"),
        ("site-a.key", "linkage", "E-KEY-FILE"),
        ("site-a.key", "linkage_unit_tokens", "E-ZONE"),
        ("transfer-a.key", "linkage_unit_encryption", "E-ZONE"),
    ],
)
def test_a_custodian_sends_only_its_own_tokens_under_its_own_keys(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, role: KeyRole, code: str
) -> None:
    _rekey(name, role)(folder)
    capsys.readouterr()
    assert run(*transfer_command(folder, "a", folder / "site-a.parquet", folder / "new.parquet")) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"{code}: ")
    assert not (folder / "new.parquet").exists()


def _csv_file(folder: Path, header: list[str], row: list[str]) -> Path:
    path = folder / "in.csv"
    path.write_text(",".join(header) + "\n" + ",".join(row) + "\n")
    return path


GOOD_ROW = ["ab" * 16, base64.b64encode(bytes(32)).decode()]


@pytest.mark.parametrize(
    ("header", "row"),
    [
        (["record_pseudonym", "family_name"], GOOD_ROW),
        (["pseudonym", NAMES[0]], GOOD_ROW),
        (["record_pseudonym"], GOOD_ROW[:1]),
        (["record_pseudonym", NAMES[0], NAMES[0]], [*GOOD_ROW, GOOD_ROW[1]]),
        (["record_pseudonym", NAMES[0]], ["", GOOD_ROW[1]]),
        (["record_pseudonym", NAMES[0]], ["ab" * 15, GOOD_ROW[1]]),
        (["record_pseudonym", NAMES[0]], [GOOD_ROW[0], "Zaphod42"]),
        (["record_pseudonym", NAMES[0]], [GOOD_ROW[0], "Zäphod42"]),
        (["record_pseudonym", NAMES[0]], [*GOOD_ROW, "x"]),
        (["record_pseudonym", NAMES[0]], [f"{GOOD_ROW[0]},{GOOD_ROW[1]}\n{GOOD_ROW[0]}", GOOD_ROW[1]]),
    ],
)
def test_a_file_of_another_shape_is_refused_without_its_content(
    folder: Path, capsys: pytest.CaptureFixture[str], header: list[str], row: list[str]
) -> None:
    path = _csv_file(folder, header, row)
    capsys.readouterr()
    assert run(*receive_command(folder, "a", path, folder / "new.csv")) == 1
    told = capsys.readouterr().err
    assert told.splitlines()[-1].startswith("E-INPUT: ")
    assert not any(word in told for word in ("Zaphod", "phod42", *GOOD_ROW))


def test_a_parquet_file_of_another_shape_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pseudonym = pa.array([bytes(16)], pa.binary(16))
    for column in (pa.array([bytes(31)], pa.binary(31)), pa.array(["x"]), pa.array([bytes(32)])):
        pq.write_table(pa.table({"record_pseudonym": pseudonym, NAMES[0]: column}), folder / "in.parquet")
        assert run(*receive_command(folder, "a", folder / "in.parquet", folder / "new.parquet")) == 1
        assert "E-INPUT" in capsys.readouterr().err
    nothing = pa.array([None], pa.binary(16))
    pq.write_table(
        pa.table({"record_pseudonym": nothing, NAMES[0]: pa.array([bytes(32)], pa.binary(32))}),
        folder / "in.parquet",
    )
    assert run(*receive_command(folder, "a", folder / "in.parquet", folder / "new.parquet")) == 1


def test_definitions_are_the_protocols(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = folder / "chosen.csv"
    chosen = ["--definition", NAMES[1], "--definition", NAMES[0]]
    assert run(*site_command(folder, "a", output), *chosen) in (0, 4)
    assert output.read_text().splitlines()[0] == f"record_pseudonym,{NAMES[1]},{NAMES[0]}"
    for wrong in (["--definition", "family_name"], [*chosen, "--definition", NAMES[0]]):
        assert run(*site_command(folder, "a", folder / "x.csv"), *wrong) == 1
        assert "E-INPUT" in capsys.readouterr().err
    assert run(*site_command(folder, "a", folder / "x.json")) == 1
    report = (folder / "chosen.report.txt").read_text()
    assert "site form" in report and NAMES[1] in report and "bits are set" not in report
    assert "phone: checked, and not used" in report


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_tokens_are_made_bucket_by_bucket_and_are_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    whole, divided = folder / f"whole.{ending}", folder / f"divided.{ending}"
    assert run(*site_command(folder, "a", whole)) in (0, 4)
    monkeypatch.setattr(encode, "PART_ROWS", 40)
    assert run(*site_command(folder, "a", divided)) in (0, 4)
    if ending == "csv":
        assert divided.read_bytes() == whole.read_bytes()
    else:
        assert pq.ParquetFile(divided).num_row_groups == 5
        assert pq.read_table(divided).equals(pq.read_table(whole))
    assert not list(folder.glob(".nightlink-*"))


def test_an_empty_file_of_people_gives_an_empty_file_of_tokens(folder: Path) -> None:
    (folder / "a.csv").write_text((folder / "a.csv").read_text().splitlines()[0] + "\n")
    site, transfer, project = (folder / f"empty-{form}.parquet" for form in ("site", "transfer", "project"))
    assert run(*site_command(folder, "a", site)) == 0
    assert run(*transfer_command(folder, "a", site, transfer)) == 0
    assert run(*receive_command(folder, "a", transfer, project)) == 0
    pairs = folder / "pairs.csv"
    command = ["linkage-unit", "compare-tokens", "--protocol", folder / "protocol.toml"]
    assert run(*command, project, folder / "project-b.parquet", pairs) == 0
    assert len(pairs.read_text().splitlines()) == 1


def test_files_of_other_definitions_are_not_compared(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = read_token_file(folder / "project-b.parquet", 16, NAMES)
    write_token_file(folder / "fewer.parquet", type(table)(table.pseudonyms, table.columns[1:]))
    command = ["linkage-unit", "compare-tokens", "--protocol", folder / "protocol.toml"]
    assert run(*command, folder / "project-a.parquet", folder / "fewer.parquet", folder / "pairs.csv") == 1
    assert "two token files of other definitions" in capsys.readouterr().err
