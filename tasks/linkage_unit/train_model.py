"""Train a match model on labelled pairs of a night's deliveries. Zone: linkage_unit."""

from __future__ import annotations

from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from linkage_core.linkage_unit.candidate_pairs import CandidatePairs
from linkage_core.linkage_unit.known_links import KnownLinks, parse_known_links, place_known_links
from linkage_core.linkage_unit.link_selection import LIMITS
from linkage_core.linkage_unit.model_training import (
    LabelledPairs,
    join_labelled,
    number_people,
    train_model,
    weigh_sample,
)
from linkage_core.linkage_unit.pattern_features import pattern_features
from linkage_core.linkage_unit.trained_model import Method, TrainedModel, model_sha256, write_model
from sql.engine import make_engine
from sql.warehouse.erasure import anyone_suppressed, suppressed_records
from tasks.linkage_unit.block import chunk_limits, night_job
from tasks.linkage_unit.chunk_stages import (
    candidates_of,
    model_of,
    patterns_of_job,
    stages_of_pairs,
)
from tasks.linkage_unit.current_records import ErasedOf
from tasks.linkage_unit.linked_custodians import every_two
from tasks.linkage_unit.receive import ReceivedDelivery, receive_deliveries
from tasks.linkage_unit.run_chunks import run_chunks
from tasks.linkage_unit.scratch_state import scratch_state
from tasks.linkage_unit.settings import MOST_KNOWN_LINKS_BYTES, LinkageUnit
from tasks.protocol.bounded_files import read_bounded
from tasks.protocol.output_files import whole_file
from tasks.protocol.stages import announce, stage

Indices = npt.NDArray[np.intp]


@stage("train a match model")
def train_from_labels(
    night: date, labels_file: Path, method: Method, unit: LinkageUnit, erased_of: ErasedOf | None = None
) -> TrainedModel:
    """A model of the labelled pairs among the candidates of a night's deliveries.

    Labels are a file of known links; of records that ``erased_of`` names nothing is learnt. Working files go to a
    folder of their own in ``state_folder``, so that a night at work keeps its own.

    Raises
    ------
    NightlinkError
        As receiving, blocking and :func:`~linkage_core.linkage_unit.model_training.train_model` do; E-KNOWN-LINKS.
    """
    labels = parse_known_links(read_bounded(labels_file, MOST_KNOWN_LINKS_BYTES))
    with scratch_state(unit, "training") as own:
        two_by_two = every_two(receive_deliveries(night, own, erased_of))
        pairs = join_labelled([_labelled_pairs(a, b, labels, own) for a, b in two_by_two])
    announce(f"labelled pairs: {int(pairs.is_match.sum())} matches, {int((~pairs.is_match).sum())} others")
    return train_model(pairs, unit.protocol, method)


def erased_in_warehouse(unit: LinkageUnit) -> ErasedOf | None:
    """Tells which records were erased; None where nobody was. E-WH-UNAVAILABLE: nobody is trained on unasked."""
    engine = make_engine(
        unit.warehouse_url,
        deadline_s=unit.settings.warehouse_deadline_s,
        application_name="nightlink training",
    )
    return partial(suppressed_records, engine) if anyone_suppressed(engine) else None


def write_model_file(model: TrainedModel, path: Path) -> list[str]:
    """Write the file; what to say of it, its entry for the settings first."""
    data = write_model(model)
    with whole_file(path) as file:
        file.write(data)
    card, held_out = model.card, model.card.held_out
    return [
        f'trained_model = {{ file = "{path}", sha256 = "{model_sha256(data)}" }}',
        f"{card.method} of {card.matches} matches and {card.non_matches} other pairs, by {card.made_with}",
        f"on the fifth of the people that a first training was not shown ({held_out.matches} matches, pair by pair): "
        f"average precision {held_out.average_precision:.4f}, recall at precision .95 "
        f"{held_out.recall_at_precision_95:.4f}, at .99 {held_out.recall_at_precision_99:.4f}",
    ]


def _labelled_pairs(
    a: ReceivedDelivery, b: ReceivedDelivery, labels: KnownLinks, unit: LinkageUnit
) -> LabelledPairs:
    job = night_job(a, b, unit)
    stages = [*stages_of_pairs(job), ("patterns", job.chunks), ("model", 1)]
    run_chunks(job, stages, chunk_limits(unit))
    pairs, patterns, (model, odds) = candidates_of(job), patterns_of_job(job), model_of(job)
    at, is_match = _labelled_candidates(a, b, pairs, labels, unit)
    # of all candidates, so that a record has one person whatever part of its pairs is labelled
    all_matches = np.zeros(len(pairs.index_a), np.bool_)
    all_matches[at[is_match]] = True
    person_a, person_b = number_people(pairs.index_a, pairs.index_b, all_matches, len(a.records))
    aggregates = (a.manifest.aggregates, b.manifest.aggregates)
    features = pattern_features(patterns, odds.odds, job.spec, aggregates)
    weight = weigh_sample(is_match, model.expected_matches * model.candidate_share, len(pairs.index_a))
    return LabelledPairs(features, patterns.of_pair[at], is_match, weight, person_a[at], person_b[at])


def _labelled_candidates(
    a: ReceivedDelivery, b: ReceivedDelivery, pairs: CandidatePairs, labels: KnownLinks, unit: LinkageUnit
) -> tuple[Indices, npt.NDArray[np.bool_]]:
    """Positions of the candidates that the labels tell of, and whether each is a match.

    Where a record may have one link only, the other candidates of a labelled link are none: they are labelled too.
    Labelled pairs that no pass proposes have no comparison vector, and are left out.
    """
    limits = LIMITS[unit.protocol.decision.resolution]
    custodians = (a.manifest.custodian, b.manifest.custodian)
    pseudonyms = (a.records.record_pseudonyms, b.records.record_pseudonyms)
    placed = place_known_links(labels, custodians, pseudonyms, limits)
    width = len(b.records)
    number = pairs.index_a * width + pairs.index_b
    is_match = np.isin(number, placed.link_a * width + placed.link_b)
    is_none = np.isin(number, placed.never_a * width + placed.never_b)
    if limits.one_a_record_of_a:
        is_none |= np.isin(pairs.index_a, placed.link_a) & ~is_match
    if limits.one_a_record_of_b:
        is_none |= np.isin(pairs.index_b, placed.link_b) & ~is_match
    at = np.flatnonzero(is_match | is_none)
    return at, is_match[at]
