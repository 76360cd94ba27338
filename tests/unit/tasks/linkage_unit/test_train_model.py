"""From labelled pseudonyms to a model, and a night that is judged by it."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flows.command_line import main
from linkage_core.custodian.record_pseudonyms import record_pseudonyms
from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.known_links import HEADER
from linkage_core.linkage_unit.trained_model import read_model
from tasks.linkage_unit import settings, train_model
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
    changed = world.unit.settings.model_copy(update={"trained_model": named})
    unit = replace(world.unit, settings=changed, trained=load_trained_model(named, world.unit.protocol))
    a, b = receive_deliveries(NIGHT, unit)
    pairs = block_records(a, b, unit)
    scored = score_pairs(a, b, pairs, unit)
    sides = (a.records.record_pseudonyms[pairs.index_a], b.records.record_pseudonyms[pairs.index_b])
    is_true = np.array([pair in set(true) for pair in zip(*(map(bytes, s) for s in sides), strict=True)])
    assert scored.odds.probability[is_true].mean() > 0.95 > 0.05 > scored.odds.probability[~is_true].mean()
    assert night_job(a, b, unit).digest != night_job(a, b, world.unit).digest, (
        "work of another model would be kept"
    )


def write_labels(world: SmallWorld, path: Path) -> list[list[str]]:
    spelt = [[str(uuid.UUID(bytes=record)) for record in pair] for pair in true_pairs(world)]
    path.write_text("\n".join([",".join(HEADER), *(f"hospital,{a},pharmacy,{b},link" for a, b in spelt)]))
    return spelt


def test_nothing_is_learnt_of_erased_people(world: SmallWorld, tmp_path: Path) -> None:
    """A tenth of the labelled people was erased since: neither they nor their other candidates are labels."""
    labels = tmp_path / "labels.csv"
    spelt = write_labels(world, labels)
    gone = {record for pair in spelt[::10] for record in pair}
    whole = train_from_labels(NIGHT, labels, "logistic_regression", world.unit)
    rest = train_from_labels(
        NIGHT, labels, "logistic_regression", world.unit, lambda _, records: gone & set(records)
    )
    assert rest.card.matches <= whole.card.matches - 0.8 * len(spelt[::10])
    assert rest.card.non_matches < whole.card.non_matches
    assert rest.card.training_sha256 != whole.card.training_sha256


def test_the_command_prints_the_models_entry_for_the_settings(
    world: SmallWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the deliveries of the night that is named; and a file that cannot be is refused with its code."""
    labels, out = tmp_path / "labels.csv", tmp_path / "model.json"
    write_labels(world, labels)
    asked = []
    monkeypatch.setattr(settings, "linkage_unit", lambda: world.unit)
    monkeypatch.setattr(train_model, "erased_in_warehouse", lambda unit: asked.append(unit))
    words = ["linkage-unit", "train-model", str(labels), str(out), "--as-of", NIGHT.isoformat()]

    assert run(*words, "--method", "logistic_regression") == 0
    said = capsys.readouterr().out
    sha256 = said.split('sha256 = "')[1][:64]
    model = read_model(out.read_bytes(), sha256)
    assert model.card.method == "logistic_regression"
    assert f"logistic_regression of {model.card.matches} matches" in said
    assert asked == [world.unit], "the warehouse was not asked who was erased"

    labels.write_text("\n".join([",".join(HEADER), *labels.read_text().splitlines()[1:9]]))
    assert run(*words) == 1
    assert "E-INPUT" in capsys.readouterr().err
    assert run(*words[:-1], "2026-11-23") != 0
    assert "E-DLV-MISSING" in capsys.readouterr().err


def run(*words: str) -> int:
    """`nightlink WORDS`; its exit code."""
    with pytest.raises(SystemExit) as end:
        main(list(words))
    return int(end.value.code or 0)


def test_a_model_with_another_fingerprint_stops_the_settings(world: SmallWorld, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{}")
    named = NamedModel(file=tmp_path / "model.json", sha256="0" * 64)
    with pytest.raises(NightlinkError, match="E-MATCH-MODEL"):
        load_trained_model(named, world.unit.protocol)
