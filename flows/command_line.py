"""The `nightlink` command line: one door, and each command is imported only when it is called.

A command lives in its own zone's folder; where that folder is missing (a linkage unit's machine has no custodian's
code) the command says so, and the others work.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

from linkage_core.errors import NightlinkError

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("deployments.demo.command", "a whole night on real parts, on this machine"),
    "run": ("flows.coordinator.run_command", "one night without Prefect, each party in a process of its own"),
    "catch-up": ("flows.linkage_unit.catch_up", "link the nights that were missed, in their order"),
    "evaluate": ("deployments.evaluation.command", "how well two sides with a known truth are linked"),
    "train-model": ("deployments.evaluation.train_command", "a match model from sides with a known truth"),
    "custodian": (
        "flows.custodian.commands",
        "encode a file of people, or deliver a night; make and compare keys",
    ),
    "protocol": ("flows.protocol.commands", "make, check and compare the document that all parties agree on"),
    "prefect": (
        "flows.coordinator.prefect_commands",
        "what a Prefect server has to know: work pools, automations, retention",
    ),
    "linkage-unit": (
        "flows.linkage_unit.commands",
        "link a night's deliveries and load the links; make keys",
    ),
    "warehouse": (
        "flows.linkage_unit.warehouse_commands",
        "create or migrate the warehouse; ask the researcher's question",
    ),
    "review": (
        "flows.linkage_unit.review_commands",
        "judge possible matches without identifiers; approve a night that was held",
    ),
    "retention": (
        "flows.linkage_unit.retention_commands",
        "erase records, apply retention periods, set legal holds",
    ),
    "audit": ("flows.linkage_unit.audit_commands", "verify the audit log and the link table"),
}


def main(arguments: list[str] | None = None) -> None:
    """Run one command. Exit codes: 0 done, 1 failed with a code, 2 wrong usage, 3 another run is at work."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a column's name may hold letters that a Windows code page lacks
            stream.reconfigure(errors="backslashreplace")
    words = sys.argv[1:] if arguments is None else arguments
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        raise SystemExit(0 if words else 2)
    if words[0] not in COMMANDS:
        print(f"nightlink: there is no command {words[0]!r}\n\n{_overview()}", file=sys.stderr)
        raise SystemExit(2)
    raise SystemExit(_run(_load(words[0]), words))


def _overview() -> str:
    rows = [f"  {name:<14}{summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(["usage: nightlink COMMAND [--help]", "", *rows])


def _load(name: str) -> Callable[..., Any]:
    module = COMMANDS[name][0]
    try:
        application: Callable[..., Any] = importlib.import_module(module).app
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] not in (
            "flows",
            "tasks",
            "deployments",
            "sql",
            "linkage_core",
        ):
            print(
                f"nightlink {name}: the package {error.name} is not installed on this machine",
                file=sys.stderr,
            )
        else:
            print(
                f"nightlink {name}: this machine's installation is without that zone's code", file=sys.stderr
            )
        raise SystemExit(2) from None
    return application


def _run(application: Callable[..., Any], words: list[str]) -> int:
    try:
        result = application(words[1:], prog_name=f"nightlink {words[0]}", standalone_mode=False)
    except NightlinkError as error:
        print(str(error), file=sys.stderr)
        return 3 if error.code == "E-RUN-LOCKED" else 1
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        return _usage_error(error)
    return result if isinstance(result, int) else 0


def _usage_error(error: Exception) -> int:
    import typer

    # typer brings a click of its own, so that `click.ClickException` is another class; all have this shape.
    if hasattr(error, "show") and isinstance(getattr(error, "exit_code", None), int):
        error.show()
        return int(error.exit_code)
    if isinstance(error, typer.Abort):
        return 130
    # Any other message may quote a record; type and place suffice for a report.
    from tasks.protocol.stages import unforeseen

    print(str(unforeseen(error)), file=sys.stderr)
    return 1


if __name__ == "__main__":
    main()
