"""The folder for machines without internet: built, installed without a network, and used on a file of people."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.wheelhouse.build import HERE, PLATFORMS, SCRIPTS, build_wheelhouse
from tests.unit.flows.test_custodian_edge import GOOD, SCHEMA, SECRET, _theirs, _write_csv

NO_NETWORK = ["unshare", "--net"]


def _may_unshare() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*NO_NETWORK, "true"], capture_output=True, check=False).returncode == 0


def _alone(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run without a network, and without anything of this environment that could stand in for one."""
    environment = {"PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": str(folder), "PYTHON": sys.executable}
    return subprocess.run(
        [*NO_NETWORK, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def test_the_scripts_are_there_and_name_what_the_folder_holds() -> None:
    for name in SCRIPTS:
        assert (HERE / name).is_file()
    for name in ("install.sh", "install.cmd"):
        text = (HERE / name).read_text(encoding="utf-8")
        for word in (
            "--no-index",
            "--require-hashes",
            "--find-links wheels",
            "-r requirements.txt",
            "PIP_CONFIG_FILE",
        ):
            assert word in text, f"{name} without {word}"
    assert set(PLATFORMS) == {"linux_x86_64", "win_amd64"}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not _may_unshare(), reason="this system does not let a process give up its network")
def test_it_installs_and_encodes_without_a_network(tmp_path: Path) -> None:
    house = build_wheelhouse(tmp_path / "house", "linux_x86_64")
    for line in (house / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((house / name).read_bytes()).hexdigest() == digest
    wheels = {path.name.split("-")[0].lower() for path in (house / "wheels").iterdir()}
    assert {"nightlink", "numba", "pyarrow"} <= wheels and not {
        "prefect",
        "great_expectations",
        "pandas",
    } & wheels

    reached = _alone(
        [sys.executable, "-c", "import socket; socket.create_connection(('127.0.0.1', 9), 1)"], tmp_path
    )
    assert reached.returncode != 0 and "Network is unreachable" in reached.stderr, (
        "there is no network, as planned"
    )
    installed = _alone(["sh", str(house / "install.sh"), str(tmp_path / "it")], tmp_path)
    assert installed.returncode == 0, installed.stdout + installed.stderr

    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    (tmp_path / "key").write_text(SECRET)
    (tmp_path / "key").chmod(0o600)
    _write_csv(tmp_path / "in.csv", GOOD)
    words = ["custodian", "encode", "--schema", "schema.json", "--key-file", "key", "in.csv", "out.json"]
    encoded = _alone([str(tmp_path / "it" / "bin" / "nightlink"), *words], tmp_path)
    assert encoded.returncode == 0, encoded.stderr
    assert (tmp_path / "out.json").read_text() == _theirs(GOOD)
    checked = _alone(
        [
            str(tmp_path / "it" / "bin" / "nightlink"),
            "protocol",
            "check",
            str(house / "linkage_protocol.toml"),
        ],
        tmp_path,
    )
    assert checked.returncode == 0, checked.stderr

    wheel = next((house / "wheels").glob("anyascii*"))
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    altered = _alone(["sh", str(house / "install.sh"), str(tmp_path / "other")], tmp_path)
    assert altered.returncode != 0 and "HASH" in altered.stderr.upper()
