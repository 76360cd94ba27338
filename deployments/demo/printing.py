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
    console.print(_truth_table(figures))
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


ESTIMATORS = {
    "null_people": "null people, sealed until the links were published",
    "posteriors": "calibrated probabilities, summed",
    "duplicates": "duplicate links",
    "held_out_sex": "sex, held out of the score",
    "canary_pairs": "canary pairs, an upper bound: their errors are made up",
    "recapture": "capture and recapture (a range)",
}
OWN_EXPECTATION = "all matches that the model expects: often too high"


def print_estimates(estimates: list[dict[str, Any]]) -> None:
    """What the night says of itself, before the truth is looked at."""
    table = Table(title="The night's own estimates, before any truth", title_justify="left")
    console = Console(highlight=False)
    console.print()
    console.print(_with_estimates(table, estimates))


def _truth_table(figures: dict[str, Any]) -> Table:
    """The same estimates beside the truth of the matches."""
    matches = figures["quality"]["matches"]
    table = Table(title="The same beside the truth that only this demo knows", title_justify="left")
    return _with_estimates(table, figures["estimates"], {m: matches[m] for m in ("precision", "recall")})


def _with_estimates(
    table: Table, estimates: list[dict[str, Any]], truth: dict[str, float] | None = None
) -> Table:
    for column in (
        "of the matches",
        "estimated by",
        "estimate",
        "95% interval",
        *(["truth"] if truth else []),
    ):
        table.add_column(column, justify="left" if column in ("of the matches", "estimated by") else "right")
    for row in estimates:
        figures = ["-" if row[name] is None else f"{row[name]:.4f}" for name in ("value", "low", "high")]
        interval = "-" if row["low"] is None else f"{figures[1]} - {figures[2]}"
        label = ESTIMATORS.get(row["estimator"], row["estimator"])
        if (row["measure"], row["estimator"]) == ("recall", "posteriors"):
            label = OWN_EXPECTATION
        cells = [row["measure"], label, figures[0], interval]
        table.add_row(*cells, *([f"{truth[row['measure']]:.4f}"] if truth else []))
    return table


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
    table.add_row("links: match (people who do not exist included)", f"{links['match']:,}")
    table.add_row("links: possible match", f"{links['possible_match']:,}")
    scores, model = figures["scores"], figures["model"]
    table.add_row("precision that the model expects of the matches", f"{scores['expected_precision']:.4f}")
    table.add_row("recall that it expects among the links", f"{scores['expected_recall']:.4f}")
    table.add_row("true pairs that it expects in all", f"{model['expected_matches']:,}")
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
