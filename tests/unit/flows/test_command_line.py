"""The `nightlink` command: exit codes, words on wrong usage, and nothing heavy imported before it is needed."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from flows import command_line
from flows.command_line import COMMANDS, main
from linkage_core.errors import NightlinkError

PLANTED = "Zaphod Beeblebrox"
HEAVY = [
    "prefect", "great_expectations", "pandas", "numpy", "numba", "pyarrow", "sqlalchemy", "psycopg2", "pydantic",
    "typer", "click", "rich", "cryptography",
]  # fmt: skip


def _exit_code(*words: str) -> int | str | None:
    with pytest.raises(SystemExit) as caught:
        main(list(words))
    return caught.value.code


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch):  # noqa: ANN201
    """A command called `try` that does what it is told."""

    def use(action) -> None:  # noqa: ANN001
        monkeypatch.setitem(COMMANDS, "try", ("flows.command_line", "a test's"))
        monkeypatch.setattr(command_line, "_load", lambda name: lambda words, **_: action(words))

    return use


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_lists_every_command(capsys: pytest.CaptureFixture[str], word: str) -> None:
    assert _exit_code(word) == 0
    printed = capsys.readouterr().out
    assert all(f"  {name} " in printed and summary in printed for name, (_, summary) in COMMANDS.items())


def test_no_command_and_an_unknown_one_are_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert _exit_code() == 2
    assert "usage: nightlink COMMAND" in capsys.readouterr().out
    assert _exit_code("fly") == 2
    printed = capsys.readouterr()
    assert "there is no command 'fly'" in printed.err and "usage:" in printed.err and printed.out == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_tells_its_usage(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert importlib.util.find_spec(COMMANDS[name][0]) is not None
    assert _exit_code(name, "--help") == 0
    assert f"nightlink {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (NightlinkError("E-INPUT", found="x", expected="y", remedy="z"), 1),
        (NightlinkError("E-RUN-LOCKED", found="x", expected="y", remedy="z"), 3),
        (KeyboardInterrupt(), 130),
        (SystemExit(5), 5),
        (typer.Abort(), 130),
        (typer.BadParameter("x"), 2),
        (SystemExit("words"), 1),
        (ValueError(PLANTED), 1),
    ],
)
def test_exit_codes_of_failures(
    command, capsys: pytest.CaptureFixture[str], failure: BaseException, code: int
) -> None:  # noqa: ANN001
    def fail(words: list[str]) -> None:
        raise failure

    command(fail)
    assert _exit_code("try") == code
    assert PLANTED not in "".join(capsys.readouterr())


def test_an_unforeseen_error_is_told_by_type_and_no_traceback(
    command, capsys: pytest.CaptureFixture[str]
) -> None:  # noqa: ANN001
    command(lambda words: {}[PLANTED])
    assert _exit_code("try") == 1
    told = capsys.readouterr().err
    place = r"E-INTERNAL: found an exception of type KeyError raised in test_command_line\.py, line \d+; expected .*"
    assert re.fullmatch(place, told.rstrip("\n")) and PLANTED not in told


@pytest.mark.parametrize(("result", "code"), [(None, 0), (0, 0), (4, 4), ("text", 0)])
def test_exit_codes_of_results(command, result: object, code: int) -> None:  # noqa: ANN001
    seen: list[str] = []

    def act(words: list[str]) -> object:
        seen.extend(words)
        return result

    command(act)
    assert _exit_code("try", "a", "--b") == code
    assert seen == ["a", "--b"]


@pytest.mark.parametrize("words", [["run"], ["run", "--as-of"], ["run", "--no-such"], ["custodian", "fly"]])
def test_wrong_options_are_wrong_usage(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert _exit_code(*words) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_night_that_is_no_date_or_has_no_settings_fails_with_a_code(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert _exit_code("run", "--as-of", "tomorrow") == 1
    assert "E-INPUT" in capsys.readouterr().err
    assert _exit_code("run", "--as-of", "2026-11-22", "--parties", str(tmp_path / "absent.toml")) == 1
    assert "E-SETTINGS" in capsys.readouterr().err


def test_a_missing_zone_and_a_missing_package_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(COMMANDS, "gone", ("flows.no_such_zone.commands", "x"))
    assert _exit_code("gone") == 2
    assert "without that zone's code" in capsys.readouterr().err
    (tmp_path / "needy_commands.py").write_text("import a_package_that_nobody_has\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(COMMANDS, "needy", ("needy_commands", "x"))
    assert _exit_code("needy") == 2
    assert "the package a_package_that_nobody_has is not installed" in capsys.readouterr().err


def test_help_and_wrong_usage_import_nothing_heavy() -> None:
    code = (
        "import sys\nfrom flows.command_line import main\n"
        "for words in (['--help'], ['fly'], []):\n"
        "    try: main(words)\n    except SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert outcome.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", ["run", "custodian", "linkage-unit", "prefect"])
def test_a_commands_help_imports_neither_prefect_nor_great_expectations(name: str) -> None:
    code = (
        f"import sys\nfrom flows.command_line import main\ntry: main([{name!r}, '--help'])\n"
        "except SystemExit: pass\n"
        "print([n for n in ('prefect', 'great_expectations', 'pandas', 'numba') if n in sys.modules], file=sys.stderr)"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert outcome.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("party", "role", "file_role", "printed_lines"),
    [
        ("custodian", "linkage", "linkage", 0),
        ("custodian", "site", "site", 0),
        ("custodian", "signing", "signing", 2),
        ("custodian", "transfer", "transfer", 2),
        ("linkage-unit", "encryption", "linkage_unit_encryption", 2),
        ("linkage-unit", "tokens", "linkage_unit_tokens", 0),
        ("linkage-unit", "linkage_unit_signing", "linkage_unit_signing", 2),
    ],
)
def test_a_key_is_made_once_for_its_owner_alone(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    party: str,
    role: str,
    file_role: str,
    printed_lines: int,
) -> None:
    path = tmp_path / "x.key"
    assert _exit_code(party, "keygen", "--role", role, "--out", str(path)) == 0
    printed, text = capsys.readouterr().out, path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert f'role = "{file_role}"' in text
    assert len(printed.splitlines()) == printed_lines
    assert printed.startswith("public key: ") or not printed
    assert not any(line.split('"')[1] in printed for line in text.splitlines() if line.startswith("key "))
    assert _exit_code(party, "keygen", "--role", role, "--out", str(path)) == 1
    assert "E-KEY-FILE" in capsys.readouterr().err and path.read_text() == text


def test_a_key_is_made_for_its_epoch(tmp_path: Path) -> None:
    path = tmp_path / "x.key"
    command = ["custodian", "keygen", "--role", "linkage", "--out", str(path)]
    assert _exit_code(*command, "--epoch", "no epoch") == 1
    assert _exit_code(*command, "--epoch", "2027") == 0
    assert 'epoch = "2027"' in path.read_text()
    other = ["custodian", "keygen", "--role", "signing", "--out", str(tmp_path / "y.key")]
    assert _exit_code(*other, "--epoch", "2027") == 2
    assert not (tmp_path / "y.key").exists()


@pytest.mark.parametrize(
    ("party", "role"),
    [
        ("custodian", "master"),
        ("custodian", "linkage_unit_encryption"),
        ("linkage-unit", "linkage"),
        ("linkage-unit", "transfer"),
    ],
)
def test_a_key_of_an_unknown_or_anothers_role_leaves_no_file_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], party: str, role: str
) -> None:
    path = tmp_path / "x.key"
    assert _exit_code(party, "keygen", "--role", role, "--out", str(path)) == 1
    assert "E-KEY-FILE" in capsys.readouterr().err
    assert not path.exists()
