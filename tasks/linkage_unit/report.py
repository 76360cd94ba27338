"""Report: the published night as a page and as a Prefect artifact, from the ledger's counts. Zone: linkage_unit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from linkage_core.errors import NightlinkError
from sql.warehouse.ledger import LedgerRun, read_run
from sql.warehouse.sealed import unsealed_of_run
from tasks.linkage_unit.load import NightRun
from tasks.linkage_unit.report_artifact import render_report_artifact
from tasks.linkage_unit.report_page import render_report_page
from tasks.linkage_unit.settings import LinkageUnit
from tasks.linkage_unit.unsealed import with_unsealed
from tasks.protocol.output_files import cannot_write
from tasks.protocol.stages import announce, stage
from tasks.protocol.watched import watched

ARTIFACT_KEY = "linkage-report"


@stage("publish the report")
def publish_linkage_report(run: NightRun, unit: LinkageUnit) -> None:
    """Write ``<run_id>.html`` and, inside a flow run, a Markdown artifact; the same night gives the same bytes."""
    summary = read_summary(run)
    page = unit.settings.reports_folder / f"{run.ledger.run_id}.html"
    _write_whole(page, render_report_page(summary))
    watched("the report", lambda: _put_artifact(summary, run.ledger.run_id))
    announce(f"report: {page}")


def _put_artifact(summary: dict[str, Any], night: str) -> None:
    from prefect.artifacts import create_markdown_artifact

    create_markdown_artifact(
        key=ARTIFACT_KEY,
        markdown=render_report_artifact(summary),
        description=f"Night {night}: counts only, those under 10 suppressed",
    )


def write_held_report(summary: dict[str, Any], unit: LinkageUnit) -> None:
    """``<run_id>.held.html``: the figures of a night that was not published, for who has to approve it."""
    page = unit.settings.reports_folder / f"{summary['run_id']}.held.html"
    _write_whole(page, render_report_page(summary))
    announce(f"report of the held night: {page}")


def read_summary(run: NightRun) -> dict[str, Any]:
    """The night's summary as the ledger holds it, with its publication."""
    ledger = read_run(run.engine, run.ledger.run_id)
    if ledger is None or not ledger.is_published or ledger.audit_event_hash is None:
        raise NightlinkError(
            "E-WH-SCHEMA",
            found="a run that is not published",
            expected="a published run to report on",
            remedy="Run the night again.",
        )
    counts = with_unsealed(dict(ledger.counts), unsealed_of_run(run.engine, run.ledger.run_id))
    return {**counts, "publication": _publication(ledger)}


def _publication(ledger: LedgerRun) -> dict[str, Any]:
    return {
        "links_opened": ledger.links_opened,
        "links_closed": ledger.links_closed,
        "links_kept": ledger.links_kept,
        "audit_sequence": ledger.audit_sequence,
        "audit_event_hash": (ledger.audit_event_hash or b"").hex(),
        "link_table_digest": ledger.counts["link_table_digest"],
    }


def _write_whole(path: Path, text: str) -> None:
    """E-OUTPUT where there is no room for the page; the night is published all the same, and no half page stays."""
    partial = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.rename(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        failure = cannot_write(path, error)
    else:
        return
    raise failure
