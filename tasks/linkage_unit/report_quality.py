"""The night's quality arranged for a reader: estimates, subgroups, method, findings. Zone: linkage unit.

After GUILD (Gilbert 2018, doi:10.1093/pubmed/fdx037) and RECORD 6.3 and 12.3 (Benchimol 2015,
doi:10.1371/journal.pmed.1001885): how was linked, how good is it, for whom is it worse. Pure; parts may be missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .report_wording import NOT_RECORDED, ratio, safe_text, share, suppress_small

ESTIMATORS = {
    "null_people": (
        "Null people, sealed until the links were published",
        "how often people who do not exist were matched; it says little of relatives",
    ),
    "posteriors": (
        "Posterior sums, bootstrapped by household",
        "the model's probabilities, calibrated by rivals of sure links",
    ),
    "duplicates": ("Duplicate links", "second links that records would get; files without duplicates"),
    "held_out_sex": (
        "Sex, held out of the score",
        "how often links disagree on sex; both sides must give it, errors in it must be independent",
    ),
}
"""Estimator: its name, and what it rests on."""


def estimate_rows(summary: Mapping[str, Any]) -> list[tuple[str, str, list[str]]]:
    """(estimator, what it rests on, [precision, from, to, counted on]); custodians are named with three or more."""
    found = summary.get("quality", [])
    rows = []
    for two in found:
        between = "" if len(found) < 2 else " · " + " and ".join(map(safe_text, two.get("custodians", [])))
        for name, estimate in two.get("precision", {}).items():
            title, rests_on = ESTIMATORS.get(name, (safe_text(name), ""))
            figures = [ratio(estimate.get(figure)) for figure in ("value", "low", "high")]
            rows.append((title + between, rests_on, [*figures, suppress_small(estimate.get("basis"))]))
    return rows


def recall_sentences(summary: Mapping[str, Any]) -> list[str]:
    """What is known of matches that were missed, between each two custodians; short, or an artifact would cut them."""
    sentences = []
    for two in summary.get("quality", []):
        sentences.append(
            f"Of all matches that the model expects, {ratio(two.get('recall'))} were found; often too high."
        )
        known = two.get("recall_range")
        if known:
            sentences.append(
                f"Passes that share no field, taken two by two as capture and recapture, put recall between "
                f"{ratio(known.get('low'))} and {ratio(known.get('high'))}; that tends to be too high."
            )
        canaries = two.get("canary_recall")
        if canaries:
            sentences += [
                f"Of {suppress_small(canaries.get('basis'))} canary pairs, sealed until the links were published, "
                f"a share of {ratio(canaries.get('value'))} was found (95%: {ratio(canaries.get('low'))} to "
                f"{ratio(canaries.get('high'))}).",
                "Their errors are made up, and were fewer than real ones wherever that was measured: take it for an "
                "upper bound of the recall, and for how recall changes from night to night.",
            ]
    for two in summary.get("unsealed", []):
        sentences += _taken_out(two)
    return sentences


def _taken_out(counts: Mapping[str, Any]) -> list[str]:
    people = [int(counts.get("sealed_a", 0)), int(counts.get("sealed_b", 0))]
    names = [safe_text(counts.get("custodian_a")), safe_text(counts.get("custodian_b"))]
    return [
        f"Counted, and taken out before anybody could see them: {suppress_small(people[0])} people of {names[0]} and "
        f"{suppress_small(people[1])} of {names[1]} who do not exist (null people and canary pairs), with their links.",
        f"{suppress_small(counts.get('matches_left'))} matches of real records were published. Pictures, bands, passes "
        "and subgroups of this report still count the others, too.",
    ]


def subgroup_tables(summary: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, list[str]]]]]:
    """(custodian, its rows (subgroup, [records, in a match, share, from, to])); small counts suppressed."""
    tables = []
    for two in summary.get("quality", []):
        between = " and ".join(map(safe_text, two.get("custodians", [])))
        for custodian, groups in two.get("subgroups", {}).items():
            rows = [
                (
                    f"{safe_text(g['feature'])}: {safe_text(g['group'])}".replace("_", " "),
                    _subgroup_figures(g),
                )
                for g in groups
            ]
            title = f"Records of {safe_text(custodian)}"
            tables.append((title if len(summary["quality"]) < 2 else f"{title} ({between})", rows))
    return tables


def _subgroup_figures(group: Mapping[str, Any]) -> list[str]:
    shown = share(group.get("linked"), group.get("records"))
    limits = [NOT_RECORDED] * 2 if shown == NOT_RECORDED else [ratio(group["low"]), ratio(group["high"])]
    return [suppress_small(group.get("records")), suppress_small(group.get("linked")), shown, *limits]


def method_rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How records were linked."""
    method = summary.get("method")
    if not method:
        return []
    return [
        ("Fields", ", ".join(safe_text(name).replace("_", " ") for name in method.get("fields", []))),
        (
            "Encoding",
            f"{method.get('tokens')} keyed tokens over two or more fields and {len(method.get('filters', []))} "
            "diffused Bloom filters over pairs of fields; the linkage unit has no key and sees no value",
        ),
        (
            "Pairs compared",
            f"those that agree on at least one of {method.get('passes')} keyed blocking passes",
        ),
        (
            "Decision",
            "Fellegi-Sunter model fitted by EM on this night's pairs, with competition between candidates; "
            f"threshold chosen without truth for a precision of {ratio(method.get('target_precision'))}",
        ),
        ("Links a record may have", safe_text(method.get("resolution")).replace("_", " ")),
        ("Clerical review", _review_words(summary.get("review"))),
    ]


def _review_words(review: Mapping[str, Any] | None) -> str:
    if not review:
        return "none is recorded"
    agreement = review.get("kappa")
    told = "two reviewers' agreement is not known yet"
    if agreement is not None:
        twice = suppress_small(review.get("judged_twice"))
        told = f"two reviewers' agreement: Cohen's kappa {agreement:.2f} over {twice} pairs"
    return f"{suppress_small(review.get('decided'))} pairs decided by reviewers; {told}"


def finding_sentences(summary: Mapping[str, Any]) -> list[str]:
    """Why the night was held, and who let it pass."""
    told = [safe_text(finding.get("sentence")) for finding in summary.get("findings", [])]
    approval = summary.get("approval")
    if approval:
        told.append(
            "Published all the same, by approval of "
            + " and ".join(map(safe_text, approval["persons"]))
            + "."
        )
    return told
