"""Start the demo's processes so that each of them ends with it, however it ends."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from deployments.demo.data_folder import note_process
from deployments.demo.parties import SystemUser

_PR_SET_PDEATHSIG = 1


@dataclass
class DemoProcesses:
    """The processes of one demo, in the order of their start; :meth:`stop_all` ends them in reverse."""

    folder: Path
    _running: list[tuple[str, subprocess.Popen[bytes]]] = field(default_factory=list)

    def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        cwd: Path,
        user: SystemUser,
    ) -> subprocess.Popen[bytes]:
        """Start ``command`` in a session of its own, its words going to ``logs/<name>.log``."""
        with self.log_path(name).open("ab") as log:
            process = subprocess.Popen(
                command,
                env=dict(environment),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=0o077,
                preexec_fn=_die_with_parent(os.getpid()),
                **user.popen_arguments(),
            )
        note_process(self.folder, process.pid)
        self._running.append((name, process))
        return process

    def log_path(self, name: str) -> Path:
        """Where the words of the process called ``name`` go."""
        return self.folder / "logs" / f"{name}.log"

    def first_dead(self) -> str | None:
        """The name of a process that has ended by itself, if any."""
        return next((name for name, process in self._running if process.poll() is not None), None)

    def stop_all(self, patience_s: float = 15.0) -> None:
        """SIGTERM to each whole group, then SIGKILL to what is left of it."""
        while self._running:
            _, process = self._running.pop()
            _signal_group(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(patience_s)
            # Also when the leader ended well: a flow run that it started may be alive.
            _signal_group(process.pid, signal.SIGKILL)
            process.wait()


def _signal_group(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _die_with_parent(parent: int):  # noqa: ANN202 - a callable for Popen
    """What the child does between fork and exec: ask the kernel for SIGTERM when its parent dies."""
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

    def prepare() -> None:
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

    return prepare
