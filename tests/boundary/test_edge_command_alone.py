"""The custodian's command on a plain machine: no Prefect, no pandas, no Unix, and help at once."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

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
PLAIN_MACHINE = f"""\
import sys

class NotInstalled:  # None in sys.modules would make pyarrow take pandas for installed
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {(*MISSING, *UNIX_ONLY)!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, NotInstalled())
for name in {UNIX_ONLY!r}:
    sys.modules.pop(name, None)
import os
for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_DIRECTORY", "O_CLOEXEC"):
    if hasattr(os, name):
        delattr(os, name)
from flows.command_line import main
main(sys.argv[1:])
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
