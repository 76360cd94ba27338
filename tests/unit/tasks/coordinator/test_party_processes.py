"""Parties run in processes that see their own settings' path and nothing of ours or of each other."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import psutil
import pytest

from linkage_core.errors import NightlinkError
from tasks.coordinator.party_processes import party_environment, run_parties
from tasks.coordinator.settings import PartySettings

FOREIGN = {
    "PGPASSWORD": "s3cret",
    "PREFECT_API_DATABASE_CONNECTION_URL": "postgresql://s3cret@host/x",
    "PREFECT_API_URL": "http://s3cret",
    "NIGHTLINK_CUSTODIAN_SETTINGS": "/s3cret",
    "NIGHTLINK_LINKAGE_UNIT_SETTINGS": "/s3cret",
    "NIGHTLINK_NIGHT_SETTINGS": "/s3cret",
    "PYTHONPATH": "/s3cret",
    "LD_PRELOAD": "",
    "AWS_SECRET_ACCESS_KEY": "s3cret",
    "LC_ALL": "C",
}
EVERY_PARTY = {
    "HOME", "TMPDIR", "NUMBA_CACHE_DIR", "GX_ANALYTICS_ENABLED", "PATH", "LANG", "PYTHONDONTWRITEBYTECODE",
    "PYTHONUNBUFFERED",
}  # fmt: skip


def _party(home: Path, zone: str = "custodian", name: str = "hospital", **more: object) -> PartySettings:
    home.mkdir(exist_ok=True)
    entries = {"name": name, "zone": zone, "settings_file": home / "settings.toml", "home": home, **more}
    return PartySettings.model_validate(entries)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):  # noqa: ANN201
    """Let a party's process be a shell script in place of the Python that runs its command."""

    def use(script: str) -> None:
        path = tmp_path / "party.sh"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr("sys.executable", str(path))

    return use


@pytest.mark.parametrize(
    ("zone", "variable"),
    [("custodian", "NIGHTLINK_CUSTODIAN_SETTINGS"), ("linkage_unit", "NIGHTLINK_LINKAGE_UNIT_SETTINGS")],
)
def test_a_partys_environment_is_this_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str, variable: str
) -> None:
    for name, value in FOREIGN.items():
        monkeypatch.setenv(name, value)
    environment = party_environment(_party(tmp_path, zone))
    assert set(environment) == EVERY_PARTY | {variable}
    assert environment[variable] == str(tmp_path / "settings.toml")
    assert not any("s3cret" in value for value in environment.values())


def test_the_process_really_sees_only_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scripted) -> None:  # noqa: ANN001
    for name, value in FOREIGN.items():
        monkeypatch.setenv(name, value)
    scripted('env > "$HOME/seen"; echo "$@" > "$HOME/arguments"; umask > "$HOME/umask"; pwd > "$HOME/place"')
    home = tmp_path / "home"
    run_parties([_party(home)], "2026-11-22", 60, lambda line: None)
    seen = dict(line.split("=", 1) for line in (home / "seen").read_text().splitlines())
    assert set(seen) - {"PWD", "OLDPWD", "SHLVL", "_"} == EVERY_PARTY | {"NIGHTLINK_CUSTODIAN_SETTINGS"}
    assert (home / "arguments").read_text() == "-m flows.command_line custodian deliver --as-of 2026-11-22\n"
    assert int((home / "umask").read_text(), 8) == 0o077
    assert stat.S_IMODE((home / "seen").stat().st_mode) == 0o600
    assert (home / "place").read_text().strip() == str(home)


def test_all_parties_end_well_and_their_lines_are_told_by_name(tmp_path: Path, scripted) -> None:  # noqa: ANN001
    scripted("echo one >&2; echo two >&2; echo unseen")
    lines: list[str] = []
    parties = [_party(tmp_path / name, name=name) for name in ("hospital", "pharmacy")]
    run_parties(parties, "2026-11-22", 60, lines.append)
    assert sorted(lines) == ["hospital: one", "hospital: two", "pharmacy: one", "pharmacy: two"]


@pytest.mark.parametrize("code", [1, 2, 137])
def test_a_failed_party_is_named_with_its_exit_code_and_last_line(
    tmp_path: Path, scripted, code: int
) -> None:  # noqa: ANN001
    scripted(f'case "$HOME" in *pharmacy) echo "E-SRC-UNAVAILABLE: x" >&2; echo >&2; exit {code};; esac')
    parties = [_party(tmp_path / name, name=name) for name in ("hospital", "pharmacy")]
    with pytest.raises(NightlinkError) as caught:
        run_parties(parties, "2026-11-22", 60, lambda line: None)
    assert caught.value.code == "E-PARTY-FAILED"
    assert caught.value.found == f"pharmacy ended with exit code {code}: E-SRC-UNAVAILABLE: x"


def test_a_party_that_met_another_run_is_no_failure(tmp_path: Path, scripted) -> None:  # noqa: ANN001
    scripted('case "$HOME" in *pharmacy) echo "E-RUN-LOCKED: x" >&2; exit 3;; esac')
    parties = [_party(tmp_path / name, name=name) for name in ("hospital", "pharmacy")]
    with pytest.raises(NightlinkError, match="E-RUN-LOCKED: found another run at work at pharmacy"):
        run_parties(parties, "2026-11-22", 60, lambda line: None)


def test_every_party_ends_before_a_failure_is_told(tmp_path: Path, scripted) -> None:  # noqa: ANN001
    scripted('case "$HOME" in *hospital) exit 1;; esac; sleep 1; touch "$HOME/ended"')
    parties = [_party(tmp_path / name, name=name) for name in ("hospital", "pharmacy")]
    with pytest.raises(NightlinkError, match="hospital ended with exit code 1: no message"):
        run_parties(parties, "2026-11-22", 60, lambda line: None)
    assert (tmp_path / "pharmacy" / "ended").exists()


@pytest.mark.timeout(60)
def test_a_party_that_does_not_end_is_killed_with_its_children(tmp_path: Path, scripted) -> None:  # noqa: ANN001
    scripted('sleep 300 & echo $! > "$HOME/child"; echo working >&2; trap "" TERM; wait; sleep 300')
    began = time.monotonic()
    with pytest.raises(NightlinkError, match="E-PARTY-FAILED.*-9: E-TIMEOUT: no end within 1 s"):
        run_parties([_party(tmp_path / "home")], "2026-11-22", 1.0, lambda line: None)
    assert time.monotonic() - began < 30
    child = int((tmp_path / "home" / "child").read_text())
    _wait_until(
        lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
    )


def _wait_until(condition) -> None:  # noqa: ANN001
    give_up = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < give_up, "still alive"
        time.sleep(0.05)


def test_a_process_that_cannot_be_started_is_a_failed_party(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "absent"))
    with pytest.raises(NightlinkError, match=r"E-PARTY-FAILED.*could not be started \(No such file"):
        run_parties([_party(tmp_path)], "2026-11-22", 60, lambda line: None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
def test_a_party_with_a_user_runs_as_that_user_alone(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch
) -> None:  # noqa: ANN001
    monkeypatch.setattr("sys.executable", "/usr/bin/id")
    lines: list[str] = []
    home = Path("/nonexistent/home")
    party = PartySettings(
        name="hospital", zone="custodian", settings_file=home, home=home, user=61999, groups=(61998,)
    )
    with pytest.raises(NightlinkError, match="E-PARTY-FAILED"):  # id refuses the words of our command
        run_parties([party], "2026-11-22", 60, lines.append)
    folder = tmp_path_factory.mktemp("x")
    script = Path("/tmp") / f"nightlink-id-{os.getpid()}.sh"
    try:
        script.write_text("#!/bin/sh\nid -u >&2; id -G >&2\n")
        script.chmod(0o755)
        monkeypatch.setattr("sys.executable", str(script))
        lines.clear()
        run_parties([party], "2026-11-22", 60, lines.append)
    finally:
        script.unlink()
    assert lines == ["hospital: 61999", "hospital: 61999 61998"] and folder.exists()


def test_the_real_command_without_settings_fails_with_its_code(tmp_path: Path) -> None:
    lines: list[str] = []
    with pytest.raises(
        NightlinkError, match="E-PARTY-FAILED.*linkage_unit ended with exit code 1: E-SETTINGS"
    ):
        run_parties([_party(tmp_path, "linkage_unit", "linkage_unit")], "2026-11-22", 120, lines.append)
