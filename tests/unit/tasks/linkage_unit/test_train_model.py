"""From labelled pseudonyms to a model, and a night that is judged by it."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from linkage_core.custodian.record_pseudonyms import record_pseudonyms
from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.known_links import HEADER
from linkage_core.linkage_unit.trained_model import read_model
from tasks.linkage_unit.block import block_records, night_job
from tasks.linkage_unit.receive import receive_deliveries
from tasks.linkage_unit.score import score_pairs
from tasks.linkage_unit.settings import NamedModel, load_trained_model
from tasks.linkage_unit.train_model import train_from_labels, write_model_file
from tests.reference.small_world import CUSTODIANS, NIGHT, SmallWorld, few_people


def true_pairs(world: SmallWorld) -> list[tuple[bytes, bytes]]:
    protocol, truth = world.unit.protocol, few_people().truth
    sides = [
        record_pseudonyms(
            world.sites[custodian].site_key, truth[rid], project=protocol.project, epoch=protocol.key_epoch
        )
        for custodian, rid in zip(CUSTODIANS, ("rid_a", "rid_b"), strict=True)
    ]
    return list(zip(*(map(bytes, side) for side in sides), strict=True))


def test_labels_become_a_model_that_judges_a_night(world: SmallWorld, tmp_path: Path) -> None:
    true, labels = true_pairs(world), tmp_path / "labels.csv"
    spelt = [[str(uuid.UUID(bytes=record)) for record in pair] for pair in true]
    lines = [f"hospital,{a},pharmacy,{b},link" for a, b in spelt]
    labels.write_text("\n".join([",".join(HEADER), *lines]))
    model = train_from_labels(NIGHT, labels, "logistic_regression", world.unit)
    assert 0.95 * len(true) <= model.card.matches <= len(true)
    assert model.card.non_matches > model.card.matches, (
        "the other candidates of labelled records are labels too"
    )
    assert not list(world.unit.settings.state_folder.glob("training-*")), (
        "working files of the training stayed"
    )
    said = write_model_file(model, tmp_path / "model.json")
    sha256 = said[0].split('sha256 = "')[1][:64]
    assert read_model((tmp_path / "model.json").read_bytes(), sha256) == model

    named = NamedModel(file=tmp_path / "model.json", sha256=sha256)
    settings = world.unit.settings.model_copy(update={"trained_model": named})
    unit = replace(world.unit, settings=settings, trained=load_trained_model(named, world.unit.protocol))
    a, b = receive_deliveries(NIGHT, unit)
    pairs = block_records(a, b, unit)
    scored = score_pairs(a, b, pairs, unit)
    sides = (a.records.record_pseudonyms[pairs.index_a], b.records.record_pseudonyms[pairs.index_b])
    is_true = np.array([pair in set(true) for pair in zip(*(map(bytes, s) for s in sides), strict=True)])
    assert scored.odds.probability[is_true].mean() > 0.95 > 0.05 > scored.odds.probability[~is_true].mean()
    assert night_job(a, b, unit).digest != night_job(a, b, world.unit).digest, (
        "work of another model would be kept"
    )


def test_a_model_with_another_fingerprint_stops_the_settings(world: SmallWorld, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{}")
    named = NamedModel(file=tmp_path / "model.json", sha256="0" * 64)
    with pytest.raises(NightlinkError, match="E-MATCH-MODEL"):
        load_trained_model(named, world.unit.protocol)
