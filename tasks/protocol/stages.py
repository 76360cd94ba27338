"""A stage of the night: a Prefect task inside a flow run, a plain call everywhere else. Zone: protocol.

Whatever goes wrong inside, only a coded error comes out: an exception of a library may quote a record's value,
and Prefect stores messages of exceptions in its database, its logs and its events.
"""

from __future__ import annotations

import errno
import functools
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any, ParamSpec, TypeVar

from linkage_core.errors import NightlinkError

P = ParamSpec("P")
R = TypeVar("R")
_OF_FILES = frozenset(
    getattr(errno, name, None)
    for name in (
        "EACCES", "EPERM", "EROFS", "ENOSPC", "EDQUOT", "EFBIG", "EIO", "ENOENT", "EEXIST", "ENOTDIR", "EISDIR",
        "ENOTEMPTY", "ELOOP", "ENAMETOOLONG", "EMFILE", "ENFILE", "ESTALE",
    )
)  # fmt: skip
"""What a system says of files and folders; of sockets it says other things."""
_CHECKOUT = Path(__file__).resolve().parents[2]


def stage(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function a stage called ``name``, with coded errors and a line of progress at both ends."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        guarded = _announced(name, coded_errors_only(function))
        tasks: list[Any] = []

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            if not inside_flow_run():
                return guarded(*args, **kwargs)
            if not tasks:
                tasks.append(_as_prefect_task(name, guarded))
            return tasks[0](*args, **kwargs)

        return call

    return decorate


def coded_errors_only(function: Callable[P, R]) -> Callable[P, R]:
    """Let nothing but :class:`NightlinkError` out, without cause, context or frames."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except NightlinkError as error:
            failure = error
        except Exception as error:
            failure = unforeseen(error)
        # Raised outside the handler, so that no hidden context travels along.
        failure.__cause__ = failure.__context__ = None
        raise failure.with_traceback(None)

    return call


def unforeseen(error: Exception) -> NightlinkError:
    """The coded error in place of any other: E-FILE where the system refused a file, else E-INTERNAL."""
    if isinstance(error, OSError) and error.errno in _OF_FILES:
        return _refused_file(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    file = PurePath(place.filename).name
    return NightlinkError(
        "E-INTERNAL",
        found=f"an exception of type {type(error).__name__} raised in {file}, line {place.lineno}",
        expected="a stage that ends",
        remedy="The message is withheld, since it may quote a record. Report the type and the place.",
    )


def _refused_file(error: OSError) -> NightlinkError:
    """Its path and the system's own word: paths here are absolute, made of settings, dates and numbers.

    Any other name may be a record's value that somebody took for a file: it is withheld.
    """
    ours = [
        f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(_CHECKOUT)
    ]
    place = f" ({PurePath(ours[-1].filename).name}, line {ours[-1].lineno})" if ours else ""
    path = (
        error.filename
        if isinstance(error.filename, str) and PurePath(error.filename).is_absolute()
        else "a file"
    )
    return NightlinkError(
        "E-FILE",
        found=f"{path}: {error.strerror}{place}",
        expected="files and folders that this party may read and write, with free space",
        remedy="Make room, or mend owner and mode, and start again; what is half-written counts for nothing.",
    )


def _announced(name: str, function: Callable[P, R]) -> Callable[P, R]:
    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        announce(f"{name} started")
        began, began_cpu = time.monotonic(), time.process_time()
        try:
            result = function(*args, **kwargs)
        except NightlinkError as error:
            announce(f"{name} failed {error.code}")
            raise
        seconds, cpu = time.monotonic() - began, time.process_time() - began_cpu
        announce(f"{name} finished in {seconds:.2f} s, {cpu:.2f} s of CPU, peak {peak_memory_mib()} MiB")
        return result

    return call


def announce(line: str) -> None:
    """One plain line of progress, to Prefect's log or standard error: stage, outcome, counts; never a value."""
    if inside_flow_run():
        from prefect.logging import get_run_logger

        get_run_logger().info(line)
    else:
        print(line, file=sys.stderr, flush=True)


def peak_memory_mib() -> int:
    """The largest resident size of this process so far, in MiB; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage would count what the process that started this one held: Linux keeps that across an exec
        found = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(found[0].split()[1]) // 1024 if found else 0
    try:
        import resource
    except ImportError:  # Windows
        return 0
    per_mib = 1024 * 1024 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // per_mib


def inside_flow_run() -> bool:
    """Whether this call happens inside a Prefect flow run."""
    # Nothing imports Prefect here: where it is not loaded there is no flow run.
    if "prefect" not in sys.modules:
        return False
    from prefect.context import FlowRunContext

    return FlowRunContext.get() is not None


def _as_prefect_task(name: str, function: Callable[..., Any]) -> Any:
    from prefect import task
    from prefect.cache_policies import NO_CACHE

    return task(name=name, cache_policy=NO_CACHE, persist_result=False, log_prints=False, task_run_name=name)(
        function
    )
