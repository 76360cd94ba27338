"""Print the demo's figures for a person."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from sql.servers import find_binaries


def print_figures(figures: dict[str, Any]) -> None:
    """Custodians, candidates, links, quality against the truth, the researcher's answer, addresses."""
    console = Console(highlight=False)
    console.print()
    console.print(_custodian_table(figures["custodians"]))
    console.print(_links_table(figures))
    console.print(_answer_table(figures))
    console.print(_stage_table(figures))
    console.print(f"separation: {figures['separation']}")
    console.print(f"audit: event {figures['audit']['sequence']}, {figures['audit']['event_hash'][:16]}...")
    console.print(f"Prefect UI: {figures['prefect_ui']}", soft_wrap=True)
    console.print(f"report: {figures['report']}", soft_wrap=True)
    console.print(
        f"ask the warehouse yourself: {find_binaries()}/psql $(cat {figures['folder']}/researcher.url)",
        soft_wrap=True,
    )
    console.print(
        f"verify it: nightlink audit verify --url-file {figures['folder']}/auditor.url", soft_wrap=True
    )
    console.print(
        f"without Prefect: nightlink run --as-of {figures['as_of']} --parties {figures['night_settings']}",
        soft_wrap=True,
    )


def _custodian_table(custodians: dict[str, Any]) -> Table:
    table = Table(title="Rows by custodian", title_justify="left")
    for column in ("custodian", "extracted", "rejected", "by rule", "delivered"):
        table.add_column(column, justify="left" if column in ("custodian", "by rule") else "right")
    for name, counts in custodians.items():
        rules = ", ".join(f"{rule} {count}" for rule, count in counts["rejected_by_rule"].items()) or "none"
        table.add_row(
            name, f"{counts['extracted']:,}", f"{counts['rejected']:,}", rules, f"{counts['delivered']:,}"
        )
    return table


def _links_table(figures: dict[str, Any]) -> Table:
    candidates, links, quality = figures["candidates"], figures["links"], figures["quality"]
    table = Table(
        title="Linkage, and the truth that only this demo knows", title_justify="left", show_header=False
    )
    table.add_column()
    table.add_column(justify="right")
    table.add_row("pairs scored", f"{candidates['pairs']:,} of {candidates['all_pairs']:,}")
    table.add_row("reduction ratio", f"{candidates['reduction_ratio']:.6f}")
    table.add_row("links: match", f"{links['match']:,}")
    table.add_row("links: possible match", f"{links['possible_match']:,}")
    scores, model = figures["scores"], figures["model"]
    table.add_row("the night's own estimate of the matches' precision", f"{scores['expected_precision']:.4f}")
    table.add_row("the night's own estimate of their recall among links", f"{scores['expected_recall']:.4f}")
    table.add_row("the night's own estimate of all true pairs", f"{model['expected_matches']:,}")
    for name, label in (("matches", "matches"), ("matches_and_possible", "with possible matches")):
        q = quality[name]
        table.add_row(
            f"{label}: precision / recall / F1", f"{q['precision']:.4f} / {q['recall']:.4f} / {q['f1']:.4f}"
        )
    table.add_row("true pairs", f"{quality['matches']['true_pairs']:,}")
    return table


def _answer_table(figures: dict[str, Any]) -> Table:
    first, last = figures["answer_period"]
    table = Table(
        title=f"Discharged {first} to {last}: filled a prescription within 30 days (SQL, role researcher)",
        title_justify="left",
    )
    for column in ("diagnosis group", "patients", "followed up", "share", "95% interval", "true share"):
        table.add_column(column, justify="left" if column == "diagnosis group" else "right")
    for row in figures["answer"]:
        label = f"{row['diagnosis_group']} {row['diagnosis']}"
        if row["suppressed"]:
            table.add_row(label, "<10", "-", "-", "-", "-")
            continue
        table.add_row(
            label,
            f"{row['discharged_patients']:,}",
            f"{row['followed_up']:,}",
            f"{row['share']:.3f}",
            f"{row['share_low']:.3f} - {row['share_high']:.3f}",
            f"{row['true_share']:.3f}",
        )
    return table


def _stage_table(figures: dict[str, Any]) -> Table:
    table = Table(title="Wall time by stage, in seconds, and peak memory", title_justify="left")
    for column in ("party", "stage", "s"):
        table.add_column(column, justify="right" if column == "s" else "left")
    for party, stages in figures["seconds"].items():
        for stage, seconds in stages.items():
            table.add_row(party, stage, f"{seconds:.2f}")
        if party in figures["peak_mib"]:
            table.add_row(party, "peak memory", f"{figures['peak_mib'][party]} MiB")
    return table
