"""Start each party in a process and an environment of its own. Zone: coordinator."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from linkage_core.errors import NightlinkError
from tasks.coordinator.settings import PartySettings
from tasks.protocol.code_version import code_version
from tasks.protocol.zones import SETTINGS_VARIABLE

PARTY_COMMANDS = {"custodian": ("custodian", "deliver"), "linkage_unit": ("linkage-unit", "link")}

NOT_STARTED = 126
"""The exit code of a party whose process could not be started, as shells use it."""

_LOCKED = 3
"""The exit code of E-RUN-LOCKED (flows/command_line.py)."""

Announce = Callable[[str], None]


@dataclass(frozen=True)
class PartyOutcome:
    """How a party's process ended."""

    party: str
    exit_code: int
    last_line: str


def party_environment(party: PartySettings) -> dict[str, str]:
    """Everything that a party's process sees: its settings file's path, and nothing of ours or of the others."""
    return {
        SETTINGS_VARIABLE[party.zone]: str(party.settings_file),
        "HOME": str(party.home),
        "TMPDIR": str(party.home),  # Prefect keeps run files there, closed to the other users
        "NUMBA_CACHE_DIR": str(
            party.home / "numba" / code_version()
        ),  # numba overlooks changes in imported code
        "GX_ANALYTICS_ENABLED": "false",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }


def run_parties(parties: Sequence[PartySettings], as_of: str, deadline_s: float, announce: Announce) -> None:
    """Run parties at the same time and wait for all.

    Raises
    ------
    NightlinkError
        E-PARTY-FAILED naming every party that failed and its code, after all of them ended; E-TIMEOUT counts
        as a failure of the party that was killed for it. E-RUN-LOCKED when another run was at work at each of
        those that failed: then nothing is wrong.
    """
    with ThreadPoolExecutor(len(parties)) as pool:
        outcomes = list(pool.map(lambda party: _run_party(party, as_of, deadline_s, announce), parties))
    failed = [outcome for outcome in outcomes if outcome.exit_code != 0]
    if failed and all(outcome.exit_code == _LOCKED for outcome in failed):
        raise NightlinkError(
            "E-RUN-LOCKED",
            found=f"another run at work at {', '.join(outcome.party for outcome in failed)}",
            expected="one run of a night at a time",
            remedy="Wait for it to end; this one changed nothing.",
            transient=True,
        )
    if failed:
        raise NightlinkError(
            "E-PARTY-FAILED",
            found="; ".join(f"{o.party} ended with exit code {o.exit_code}: {o.last_line}" for o in failed),
            expected="every party to end well",
            remedy="Mend what that party's message says and run the same night again.",
        )


def _run_party(party: PartySettings, as_of: str, deadline_s: float, announce: Announce) -> PartyOutcome:
    try:
        process = _start_party(party, as_of)
    except OSError as error:
        return PartyOutcome(party.name, NOT_STARTED, f"its process could not be started ({error.strerror})")
    return _follow_party(party, process, deadline_s, announce)


def _start_party(party: PartySettings, as_of: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "flows.command_line", *PARTY_COMMANDS[party.zone], "--as-of", as_of],
        env=party_environment(party),
        cwd=party.home if party.home.is_dir() else Path("/"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        umask=0o077,
        start_new_session=True,
        **_other_user(party),
    )


def _follow_party(
    party: PartySettings, process: subprocess.Popen[str], deadline_s: float, announce: Announce
) -> PartyOutcome:
    alarm = threading.Timer(deadline_s, _kill_group, [process.pid])
    alarm.start()
    last_line = "no message"
    try:
        for line in process.stderr or ():
            last_line = line.strip() or last_line
            announce(f"{party.name}: {line.rstrip()}")
        exit_code = process.wait()
    finally:
        timed_out = not alarm.is_alive()
        alarm.cancel()
        _kill_group(process.pid)
    if exit_code == -signal.SIGKILL and timed_out:
        last_line = f"E-TIMEOUT: no end within {deadline_s:.0f} s"
    return PartyOutcome(party.name, exit_code, last_line)


def _other_user(party: PartySettings) -> dict[str, object]:
    if party.user is None or party.user == os.geteuid():
        return {}
    return {"user": party.user, "group": party.user, "extra_groups": list(party.groups)}


def _kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
