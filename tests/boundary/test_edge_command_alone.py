"""The custodian's command on a plain machine: no Prefect, no pandas, no Unix, and help at once."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from linkage_core.audit.signatures import public_key_hex, signing_key_from_seed
from linkage_core.protocol.key_files import format_key_file
from tasks.linkage_unit.receive import _open
from tasks.protocol.exchange import complete_deliveries
from tests.reference.small_world import NIGHT, UNIT_PUBLIC_KEY, few_people, key, make_unit
from tests.unit.flows.test_custodian_edge import GOOD, SCHEMA, SECRET, _theirs, _write_csv

ROOT = Path(__file__).resolve().parents[2]
MISSING = (
    "prefect",
    "great_expectations",
    "pandas",
    "fastapi",
    "asyncpg",
    "jinja2",
    "sqlalchemy",
    "psycopg2",
)
UNIX_ONLY = ("fcntl", "resource", "pwd", "grp", "termios")
UNIX_ONLY_OF_OS = (
    "O_NOFOLLOW", "O_NONBLOCK", "O_DIRECTORY", "O_CLOEXEC", "geteuid", "getuid", "getgid", "getegid", "fchmod",
    "fchown", "chown", "fork", "forkpty", "setsid", "getpgid", "sched_getaffinity", "mkfifo", "statvfs",
    "posix_spawn",
)  # fmt: skip
PLAIN_MACHINE = f"""\
import subprocess  # it takes the name of a system from msvcrt
import sys

class NotInstalled:  # None in sys.modules would make pyarrow take pandas for installed
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {(*MISSING, *UNIX_ONLY)!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, NotInstalled())
for name in {UNIX_ONLY!r}:
    sys.modules.pop(name, None)
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in {MISSING!r} else find_spec(name, package)
import os, pathlib, types
for name in {UNIX_ONLY_OF_OS!r}:
    if hasattr(os, name):
        delattr(os, name)
# Windows does not rename over what is there, and opens files as text unless told otherwise.
os.O_BINARY, rename = 0, os.rename
def rename_to_nothing(source, target, **_):
    if os.path.exists(target):
        raise FileExistsError(183, "Cannot create a file when that file already exists", str(target))
    rename(source, target)
os.rename = rename_to_nothing
pathlib.Path.rename = lambda path, target: rename_to_nothing(path, target)
locked = []
msvcrt = types.ModuleType("msvcrt")  # of which this is all that is used
msvcrt.LK_NBLCK, msvcrt.locking = 2, lambda descriptor, mode, size: locked.append((mode, size))
sys.modules["msvcrt"] = msvcrt
from flows.command_line import main
import itertools
words = iter(sys.argv[1:])
while command := list(itertools.takewhile(lambda word: word != "then", words)):
    try:
        main(command)
    except SystemExit as end:
        print("ended with", end.code, file=sys.stderr)
        if end.code:
            raise
"""
HELP_CPU_S = 0.5


def _python(code: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)


def test_it_encodes_without_what_a_plain_machine_lacks(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    (tmp_path / "key").write_text(SECRET)
    (tmp_path / "key").chmod(0o600)
    _write_csv(tmp_path / "in.csv", GOOD)
    files = ["--schema", tmp_path / "schema.json", "--key-file", tmp_path / "key", tmp_path / "in.csv"]
    done = _python(PLAIN_MACHINE, "custodian", "encode", *files, tmp_path / "out.json")
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "out.json").read_text() == _theirs(GOOD)


def _clinic(folder: Path) -> Path:
    """A clinic with a file of people and the settings of the example."""
    (folder / "secrets").mkdir(mode=0o700)
    for role in ("linkage", "site", "signing", "transfer"):
        path = folder / "secrets" / f"{role}.key"
        path.write_text(format_key_file(role, key("transfer hospital" if role == "transfer" else role)))
        path.chmod(0o600)
    shutil.copy(ROOT / "deployments" / "linkage_protocol.toml", folder)
    example = (ROOT / "deployments" / "settings" / "clinic_files.toml").read_text(encoding="utf-8")
    (folder / "settings.toml").write_text(
        example.replace("PUBLIC-KEY", UNIT_PUBLIC_KEY).replace("UNIT-SIGNING-KEY", UNIT_PUBLIC_KEY),
        encoding="utf-8",
    )
    people = few_people().side_a.select(["rid", "first", "last", "dob"]).to_pylist()
    header = "Patient Nr;First name;Last name;Date of birth;Note\r\n"
    rows = [f'{p["rid"]};{p["first"]}é;{p["last"]};{_turned(p["dob"])};"a\nb"\r\n' for p in people]
    (folder / "people.csv").write_text(header + "".join(rows) + "x;torn\r\n", encoding="cp1252", newline="")
    return folder / "settings.toml"


def _turned(day: str | None) -> str:
    return f"{day[6:]}/{day[4:6]}/{day[:4]}" if day else ""


def test_one_command_delivers_a_file_of_people_and_the_linkage_unit_takes_it(tmp_path: Path) -> None:
    settings = _clinic(tmp_path)
    words = ["custodian", "deliver", "--settings", settings, "--as-of", NIGHT.isoformat()]
    tomorrow = [*words[:-1], "2026-11-23"]  # over yesterday's last_sequence
    done = _python(PLAIN_MACHINE, *words, "--dry-run", "then", *words, "then", *words, "then", *tomorrow)
    assert done.returncode == 0, done.stderr[-2000:]
    tried, delivered, again, _, _ = done.stderr.split("ended with 0\n")
    assert "nothing was delivered" in tried and "cannot be checked on this system" in tried
    assert "verdict: 150 of 151 rows delivered, 1 rejected" in delivered
    assert "already delivered as sequence 1" in again
    assert "Traceback" not in done.stderr
    assert (tmp_path / "state" / "last_sequence").read_text() == "2\n"
    _look_at_what_was_delivered(tmp_path)


def _look_at_what_was_delivered(folder: Path) -> None:
    signer = public_key_hex(signing_key_from_seed(key("signing")))
    unit = make_unit(folder, custodian_public_keys={"hospital": signer, "pharmacy": signer})
    (delivery,) = complete_deliveries(folder / "exchange", "hospital", NIGHT.isoformat())
    manifest = _open(delivery, unit).manifest
    assert (manifest.extracted, manifest.row_count, manifest.rejected_by_rule) == (151, 150, {"R-COLUMNS": 1})
    assert {count.point for count in manifest.expectations} == {"raw_extract", "normalised"}
    report = json.loads((folder / "state" / "reports" / f"{NIGHT}.json").read_text(encoding="utf-8"))
    parts = {part.name: part.sha256 for part in manifest.parts}
    assert {file["name"]: file["sha256"] for file in report["leaves"] if file["name"] in parts} == parts
    assert (folder / "state" / "quarantine" / f"{NIGHT}.csv").read_text().splitlines()[1:] == [
        "151,,,R-COLUMNS"
    ]
    names = [p["last"] for p in few_people().side_a.to_pylist() if len(p["last"] or "") > 5]
    left = [path.read_bytes().lower() for path in (folder / "exchange").rglob("*") if path.is_file()]
    left += [path.read_bytes().lower() for path in (folder / "state").rglob("*") if path.is_file()]
    assert left and not [name for name in names for data in left if name.encode() in data]


@pytest.mark.parametrize("command", [[], ["encode"], ["describe"], ["verify-key"], ["generate"]])
def test_help_answers_at_once(command: list[str]) -> None:
    code = "from flows.command_line import main; import sys; main(sys.argv[1:])"
    _python(code, "custodian", *command, "--help")  # bytecode
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = _python(code, "custodian", *command, "--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < HELP_CPU_S


def test_help_imports_nothing_heavy() -> None:
    heavy = ("numpy", "numba", "pyarrow", "cryptography", "sqlalchemy", "prefect", "pandas")
    code = (
        "import sys, contextlib, io\nfrom flows.command_line import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    main(['custodian', 'encode', '--help'])\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    assert _python(code).stdout.strip() == "[]"
