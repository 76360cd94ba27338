"""`nightlink evaluate`: how well two sides with a known truth are linked, over several fresh keys."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from linkage_core.errors import NightlinkError

if TYPE_CHECKING:
    from linkage_core.evaluation.evaluate_linkage import LinkageFigures

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
DEFAULT_PROTOCOL = Path(__file__).resolve().parents[1] / "linkage_protocol.toml"
DATE_FORMATS = ("%Y%m%d", "%Y-%m-%d")


@app.command()
def evaluate(
    folder: Annotated[Path, typer.Argument(help="with a.parquet, b.parquet and truth.parquet")],
    json_file: Annotated[Path, typer.Option("--json", help="write the figures here, as one JSON")],
    protocol_file: Annotated[
        Path, typer.Option("--protocol", help="another linkage protocol")
    ] = DEFAULT_PROTOCOL,
    keys: Annotated[int, typer.Option("--keys", min=1, help="fresh keys to take the mean over")] = 3,
    seed: Annotated[
        int | None, typer.Option("--seed", help="draw the keys from this number; else at random")
    ] = None,
    trained_model: Annotated[
        Path | None, typer.Option("--trained-model", help="judge by this model, as a night may")
    ] = None,
    links_file: Annotated[
        Path | None, typer.Option("--links", help="write the first key's scored pairs here, as Parquet")
    ] = None,
    modes: Annotated[
        bool, typer.Option("--modes", help="also the candidates of every mode, under the first key")
    ] = False,
) -> None:
    """Normalise, encode, block, score and resolve both sides as a night would; then compare with the truth."""
    import time

    from deployments.evaluation.peak_memory import take_peak_mib
    from deployments.evaluation.people_sides import read_people_sides
    from deployments.evaluation.results import figures_document, write_figures, write_links
    from linkage_core.custodian.source_format import SourceFormat
    from linkage_core.evaluation.evaluate_linkage import (
        StageMeter,
        encode_sides,
        link_encoded,
        linkage_figures,
        mode_figures,
    )
    from linkage_core.linkage_unit.trained_model import (
        MOST_MODEL_BYTES,
        model_sha256,
        read_model,
        write_model,
    )
    from linkage_core.protocol.linkage_protocol import protocol_fingerprint
    from tasks.protocol.bounded_files import read_bounded
    from tasks.protocol.settings_files import read_protocol
    from tasks.protocol.stages import coded_errors_only

    for path in (json_file, links_file):
        _refuse_unwritable(path)
    protocol = read_protocol(protocol_file)
    sides = coded_errors_only(read_people_sides)(folder, protocol)
    for note in sides.notes:
        _say(note)
    trained = None if trained_model is None else read_model(read_bounded(trained_model, MOST_MODEL_BYTES))
    figures, by_mode = [], {}
    for number, key in enumerate(linkage_keys(keys, seed)):
        meter = StageMeter(time.perf_counter, take_peak_mib)
        encoded = coded_errors_only(encode_sides)(
            sides.side_a,
            sides.side_b,
            key,
            protocol,
            meter,
            source_format=SourceFormat(date_formats=DATE_FORMATS),
            whole=trained is not None,
        )
        run = coded_errors_only(link_encoded)(encoded, meter, trained)
        figures.append(linkage_figures(run, sides.truth, meter))
        _say(_line(number, figures[-1]))
        if number == 0 and links_file is not None:
            write_links(links_file, run, sides, protocol.decision.possible)
        if number == 0 and modes:
            by_mode = coded_errors_only(mode_figures)(encoded, sides.truth, time.perf_counter)
    about = {
        "protocol": protocol_fingerprint(protocol),
        "target_precision": protocol.decision.target_precision,
        "seed": seed,
        "trained_model": None if trained is None else model_sha256(write_model(trained)),
        "truth_left_out": sides.truth_left_out,
    }
    write_figures(json_file, figures_document(figures, about, sides.notes, by_mode))


def linkage_keys(keys: int, seed: int | None) -> list[bytes]:
    import hashlib
    import secrets

    if seed is None:
        return [secrets.token_bytes(32) for _ in range(keys)]
    return [
        hashlib.sha256(f"nightlink evaluate, seed {seed}, key {k}".encode()).digest() for k in range(keys)
    ]


def _line(number: int, one: LinkageFigures) -> str:
    shown = (
        "ap", "best_f1", "best_f1_at_p98", "r_at_p95", "r_at_p99", "candidate_recall", "output_precision", "output_f1",
    )  # fmt: skip
    figures = ", ".join(f"{name} {getattr(one, name):.4f}" for name in shown)
    refused = "" if one.reached else "; no threshold holds the target: nothing is output"
    return f"key {number + 1}: {figures}, pairs {one.pairs_scored}{refused}"


def _refuse_unwritable(path: Path | None) -> None:
    """Find out now, not when all is computed."""
    if path is None:
        return
    parent = path.resolve().parent
    if path.is_dir() or not parent.is_dir() or not os.access(parent, os.W_OK):
        raise NightlinkError(
            "E-OUTPUT",
            found=f"{path}, which cannot be written",
            expected="a file in a folder that you may write",
            remedy="Give another path.",
        )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
