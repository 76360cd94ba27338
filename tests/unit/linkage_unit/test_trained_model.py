"""Trained match models: what scikit-learn said to the bit, and refusals of every other file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from deployments.people_folder import FIELD_OF_COLUMN
from linkage_core.errors import NightlinkError
from linkage_core.evaluation.evaluate_linkage import StageMeter, link_sides, linkage_figures
from linkage_core.evaluation.labelled_people import label_people
from linkage_core.linkage_unit import model_training
from linkage_core.linkage_unit.match_model import MAX_LOG_ODDS
from linkage_core.linkage_unit.model_training import (
    LabelledPairs,
    join_labelled,
    number_people,
    split_by_person,
    train_model,
    weigh_sample,
)
from linkage_core.linkage_unit.pair_patterns import PairPatterns, exact_state
from linkage_core.linkage_unit.pattern_features import evidence_digest, feature_names, pattern_features
from linkage_core.linkage_unit.trained_model import (
    TrainedModel,
    TreeScore,
    check_model,
    log_odds,
    model_sha256,
    read_model,
    write_model,
)
from linkage_core.protocol.encoded_evidence import EvidenceAggregates, FieldAggregate
from linkage_core.protocol.evidence_spec import evidence_of
from linkage_core.protocol.linkage_protocol import restrict_protocol
from tests.reference.small_world import few_people, shipped_protocol
from tests.reference.trained_model_reference import slow_tree_log_odds

METHODS = ("logistic_regression", "gradient_boosting")
KEY = hashlib.sha256(b"a linkage key").digest()
Sides = tuple[pa.RecordBatch, pa.RecordBatch, tuple[np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def sides() -> Sides:
    people = few_people(300)
    rows = [
        {rid: i for i, rid in enumerate(side["rid"].to_pylist())} for side in (people.side_a, people.side_b)
    ]
    truth = [
        np.array([rows[s][rid] for rid in people.truth[f"rid_{side}"].to_pylist()], np.intp)
        for s, side in enumerate("ab")
    ]
    batches = [
        side.rename_columns([FIELD_OF_COLUMN[name] for name in side.column_names])
        .combine_chunks()
        .to_batches()[0]
        for side in (people.side_a, people.side_b)
    ]
    return batches[0], batches[1], (truth[0], truth[1])


@pytest.fixture(scope="module")
def labelled(sides: Sides) -> LabelledPairs:
    return label_people(*sides, KEY, shipped_protocol())


@pytest.fixture(scope="module")
def models(labelled: LabelledPairs) -> dict[str, TrainedModel]:
    return {method: train_model(labelled, shipped_protocol(), method) for method in METHODS}


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(NightlinkError) as error:
        act()
    assert error.value.code == "E-MATCH-MODEL"
    return str(error.value)


def changed(model: TrainedModel, **card: object) -> TrainedModel:
    return model.model_copy(update={"card": model.card.model_copy(update=card)})


@pytest.mark.parametrize("method", METHODS)
def test_predictions_are_those_of_scikit_learn(labelled, models, method):
    estimator = model_training._fit(labelled, method)
    drawn = np.random.default_rng(0).normal(3, 5, (500, labelled.features.shape[1]))
    for rows in (labelled.features, drawn):
        expected, found = estimator.decision_function(rows), log_odds(models[method], rows)
        if method == "gradient_boosting":
            assert np.array_equal(found, expected)
        else:
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-10)


def test_trees_agree_with_their_slow_twin(labelled, models):
    model = models["gradient_boosting"]
    rows = labelled.features[:200]
    assert log_odds(model, rows).tolist() == [slow_tree_log_odds(row.tolist(), model.trees) for row in rows]


@pytest.mark.parametrize("method", METHODS)
def test_a_file_is_read_as_it_was_written_and_trained_to_the_same_bytes(labelled, models, method):
    data = write_model(models[method])
    assert read_model(data, model_sha256(data)) == models[method]
    assert write_model(read_model(data)) == data
    assert write_model(train_model(labelled, shipped_protocol(), method)) == data
    assert json.loads(data)["format"] == "nightlink-trained-model-1"  # numbers, no pickle


def test_a_night_judged_by_it_finds_the_matches(sides, models):
    side_a, side_b, truth = sides
    meter = StageMeter(lambda: 0.0)
    run = link_sides(
        side_a,
        side_b,
        hashlib.sha256(b"another").digest(),
        shipped_protocol(),
        meter,
        trained=models["gradient_boosting"],
    )
    figures = linkage_figures(run, truth, meter)
    assert figures.r_at_p99 > 0.98 and figures.ap > 0.99
    assert figures.reached and figures.output_precision > 0.97
    assert abs(run.model.expected_matches - figures.true_pairs) < 0.03 * figures.true_pairs


def test_half_of_the_matches_gone_move_the_number_expected_and_not_the_model(sides, models):
    """What a share of matches the labelled pairs had is no opinion about tonight's."""
    side_a, side_b, truth = sides
    gone = np.zeros(side_b.num_rows, bool)
    gone[truth[1][::2]] = True
    meter = StageMeter(lambda: 0.0)
    fewer = side_b.filter(pa.array(~gone))
    run = link_sides(side_a, fewer, KEY, shipped_protocol(), meter, trained=models["gradient_boosting"])
    left = len(truth[0]) - int(gone.sum())
    assert abs(run.model.expected_matches - left) < 0.06 * left


def test_another_fingerprint_is_refused(models):
    data = write_model(models["logistic_regression"])
    said = refused(lambda: read_model(data, "0" * 64))
    assert "0" * 12 in said and model_sha256(data)[:12] in said
    refused(lambda: read_model(data[:-1] + b" }", model_sha256(data)))


def test_a_model_of_other_features_is_refused(models):
    model, protocol = models["gradient_boosting"], shipped_protocol()
    check_model(model, protocol)
    fewer = restrict_protocol(protocol, [name for name in protocol.field_names if name != "email"])
    assert "email" in refused(lambda: check_model(model, fewer))
    backwards = changed(model, features=model.card.features[::-1])
    assert "another order" in refused(lambda: check_model(backwards, protocol))


def test_the_same_features_over_other_tokens_are_refused(models):
    protocol = shipped_protocol()
    document = protocol.model_dump(mode="json")
    document["evidence"]["tokens"] = document["evidence"]["tokens"][1:]
    other = type(protocol).model_validate(document)
    assert feature_names(evidence_of(other)) == models["gradient_boosting"].card.features
    assert "trained on the evidence" in refused(lambda: check_model(models["gradient_boosting"], other))


def test_another_epoch_and_target_keep_a_model(models):
    protocol = shipped_protocol()
    document = protocol.model_dump(mode="json")
    document["key_epoch"] = "2031"
    document["decision"]["target_precision"] = 0.95
    later = type(protocol).model_validate(document)
    assert evidence_digest(later) == evidence_digest(protocol)
    check_model(models["logistic_regression"], later)


def test_bytes_that_are_no_model_are_refused_without_a_word_of_them(models):
    document = json.loads(write_model(models["gradient_boosting"]))
    said = [refused(lambda data=data: read_model(data)) for data in (b"", b"\x80\x04secret", b"[]", b"{}")]
    assert not any("secret" in text for text in said)
    trees = document["trees"]
    loops = {**trees, "left": [0] * len(trees["left"]), "right": [0] * len(trees["right"])}
    wrong = [
        {**document, "trees": loops},
        {**document, "trees": {**trees, "feature": [10**6] * len(trees["feature"])}},
        {**document, "trees": {**trees, "value": trees["value"][1:]}},
        {**document, "trees": {**trees, "roots": [len(trees["value"])]}},
        {**document, "trees": None},
        {**document, "linear": {"intercept": 0.0, "coefficients": [0.0]}},
        {**document, "trees": {**trees, "start": float("nan")}},
    ]
    for other in wrong:
        refused(lambda other=other: read_model(json.dumps(other).encode()))


def test_coefficients_are_one_a_feature(models):
    document = json.loads(write_model(models["logistic_regression"]))
    document["linear"]["coefficients"].pop()
    assert "one a feature" in refused(lambda: read_model(json.dumps(document).encode()))


def test_nobody_is_in_training_and_test(labelled):
    train, test = split_by_person(labelled, 0.2, seed=3)
    shown = {*labelled.person_a[train], *labelled.person_b[train]}
    assert not shown & set(labelled.person_a[test].tolist())
    matches = labelled.is_match & test
    assert np.array_equal(labelled.person_a[matches], labelled.person_b[matches])
    assert 0.1 < labelled.is_match[test].sum() / labelled.is_match.sum() < 0.3


def test_a_matched_record_is_of_its_person_in_every_pair():
    a, b = np.array([0, 0, 1, 2], np.intp), np.array([0, 1, 1, 0], np.intp)
    person_a, person_b = number_people(a, b, np.array([False, True, False, False]), 3)
    assert person_a.tolist() == [0, 0, 1, 2] and person_b.tolist() == [3, 0, 0, 3]


def test_joined_folders_have_people_of_their_own(labelled):
    both = join_labelled([labelled, labelled])
    half = len(labelled.of_pair)
    assert both.person_a[half:].min() > both.person_b[:half].max()
    assert np.array_equal(both.features[both.of_pair[half:]], labelled.features[labelled.of_pair])


def test_a_handful_of_labels_trains_nothing(labelled):
    few = labelled.only(np.arange(len(labelled.of_pair)) < 60)
    with pytest.raises(NightlinkError, match="E-INPUT"):
        train_model(few, shipped_protocol(), "logistic_regression")


def test_null_and_rarity_are_told():
    spec = evidence_of(shipped_protocol())
    sides = []
    for commoner in (1.0, 4.0):
        fields = [
            FieldAggregate(
                tuple(np.full(len(spec.level_names(name)), 1 / len(spec.level_names(name)))),
                tuple(commoner * rate for rate in (0.04, 0.01, 0.0025)),
            )
            for name in spec.fields
        ]
        sides.append(EvidenceAggregates(100, tuple(fields), (0.4,) * len(spec.groups)))
    family = spec.fields.index("family_name")
    states = np.zeros((3, len(spec.fields)), np.uint8)
    levels = len(spec.level_names("family_name"))
    states[1, family] = exact_state(levels, 3, 1, 1)  # both commonest
    states[2, family] = exact_state(levels, 3, 3, 3)  # both rarest
    patterns = PairPatterns(states, np.array([2, 1, 0, 1], np.uint32))
    table = pattern_features(patterns, np.array([8.0, 2.0, 0.0, 2.0]), spec, (sides[0], sides[1]))
    column = dict(zip(feature_names(spec), table.T.tolist(), strict=True))
    assert column["family_name=null"] == [1, 0, 0] and column["family_name=exact"] == [0, 1, 1]
    np.testing.assert_allclose(column["family_name:nats"], [0, -np.log(0.08), -np.log(0.005)])
    assert column["nats"] == column["family_name:nats"]
    np.testing.assert_allclose(column["fitted"], [-MAX_LOG_ODDS, np.log(2), np.log(8)])


def test_a_tree_is_walked_at_its_thresholds():
    stump = TreeScore(
        start=1.0, roots=(0,), feature=(1, 0, 0), threshold=(2.0, 0.0, 0.0), left=(1, 1, 2), right=(2, 1, 2),
        value=(0.0, 10.0, 20.0),
    )  # fmt: skip
    assert [slow_tree_log_odds([0.0, x], stump) for x in (2.0, 2.1)] == [11.0, 21.0]


def test_a_labelled_sample_weighs_as_all_candidates_do(labelled):
    weight = weigh_sample(np.array([True, False, False]), 60.0, 1000)
    assert weight.tolist() == [60.0, 470.0, 470.0]
    assert "0x" not in repr(labelled) and f"{int(labelled.is_match.sum())} matches" in repr(labelled)
