"""Train a match model on labelled pairs, with scikit-learn (``nightlink[supervised]``). Zone: linkage_unit.

It runs by hand and seldom, never in a night. Equal rows of features are one row with a weight, so that millions of
labelled pairs are some ten thousand rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.pattern_features import evidence_digest, feature_names
from linkage_core.linkage_unit.trained_model import (
    HeldOutFigures,
    LinearScore,
    Method,
    ModelCard,
    TrainedModel,
    TreeScore,
)
from linkage_core.protocol.evidence_spec import evidence_of
from linkage_core.protocol.linkage_protocol import LinkageProtocol, protocol_fingerprint

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

SETTINGS: dict[str, dict[str, float]] = {
    "logistic_regression": {"C": 1.0, "max_iter": 2000},
    "gradient_boosting": {
        "max_iter": 100, "max_leaf_nodes": 15, "learning_rate": 0.1, "min_samples_leaf": 20, "l2_regularization": 1.0,
    },
}  # fmt: skip
HELD_OUT_SHARE = 0.2
LEAST_LABELS = 50
"""Of matches, and of non-matches: fewer teach nothing about some sixty features."""


@dataclass(frozen=True, eq=False)
class LabelledPairs:
    """Pairs whose truth is known.

    Attributes
    ----------
    features : ndarray of float64, shape (rows, features)
        Of :func:`~linkage_core.linkage_unit.pattern_features.pattern_features`.
    of_pair : ndarray of uint32, shape (m,)
        Each pair's row.
    is_match : ndarray of bool, shape (m,)
    weight : ndarray of float64, shape (m,)
        How many of the night's candidates each stands for: 1 where all are labelled (:func:`weigh_sample`).
    person_a, person_b : ndarray of intp, shape (m,)
        Whose records they are, as numbers that a matching pair shares (:func:`number_people`).
    """

    features: Floats
    of_pair: npt.NDArray[np.uint32]
    is_match: Flags
    weight: Floats
    person_a: npt.NDArray[np.intp]
    person_b: npt.NDArray[np.intp]

    def __repr__(self) -> str:
        return f"LabelledPairs({len(self.of_pair)} pairs, {int(self.is_match.sum())} matches)"

    def only(self, kept: Flags) -> LabelledPairs:
        """Some of the pairs."""
        return LabelledPairs(
            self.features,
            self.of_pair[kept],
            self.is_match[kept],
            self.weight[kept],
            self.person_a[kept],
            self.person_b[kept],
        )


def join_labelled(parts: Sequence[LabelledPairs]) -> LabelledPairs:
    """The labelled pairs of several nights or folders; no person of one is a person of another."""
    rows = np.cumsum([0, *(len(part.features) for part in parts)])
    people = np.cumsum([0, *(_most_people(part) for part in parts)])
    return LabelledPairs(
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.of_pair + np.uint32(row) for part, row in zip(parts, rows, strict=False)]),
        np.concatenate([part.is_match for part in parts]),
        np.concatenate([part.weight for part in parts]),
        *(
            np.concatenate([side + first for side, first in zip(sides, people, strict=False)])
            for sides in ([part.person_a for part in parts], [part.person_b for part in parts])
        ),
    )


def weigh_sample(is_match: Flags, expected_matches: float, candidates: int) -> Floats:
    """Weights that make a labelled sample look like all candidates, of which so many are expected to be matches."""
    found = int(is_match.sum())
    others = len(is_match) - found
    weights = (max(candidates - expected_matches, 1.0) / max(others, 1), expected_matches / max(found, 1))
    return np.where(is_match, weights[1], weights[0])


def number_people(
    index_a: npt.NDArray[np.intp], index_b: npt.NDArray[np.intp], is_match: Flags, records_a: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Whose record each is: side A's row, and for records of side B the row of a match, or else a new number."""
    records_b = int(index_b.max(initial=-1)) + 1
    person_of_b = records_a + np.arange(records_b, dtype=np.intp)
    person_of_b[index_b[is_match]] = index_a[is_match]
    return index_a, person_of_b[index_b]


def split_by_person(pairs: LabelledPairs, share: float, seed: int) -> tuple[Flags, Flags]:
    """Which pairs are for training, and which for testing; nobody of the test is in the training.

    A test pair's first record is a test person's, so that matches and non-matches are in the test as they are in
    all; a training pair has no test person on either side. Pairs of neither kind are left out.
    """
    is_test_person = np.random.default_rng(seed).random(_most_people(pairs)) < share
    is_test = is_test_person[pairs.person_a]
    return ~is_test & ~is_test_person[pairs.person_b], is_test


def train_model(
    pairs: LabelledPairs, protocol: LinkageProtocol, method: Method, *, seed: int = 0
) -> TrainedModel:
    """A model of all pairs, with the figures of one that was trained without a fifth of the people.

    Deterministic on one machine: one thread, ``seed`` for the split.

    Raises
    ------
    NightlinkError
        E-INPUT for fewer than 50 matches or non-matches on either side of the split; E-SETTINGS where
        scikit-learn is not installed.
    """
    made_with, features = _scikit_learn(), feature_names(evidence_of(protocol))
    train, test = (pairs.only(kept) for kept in split_by_person(pairs, HELD_OUT_SHARE, seed))
    for part, least in ((train, LEAST_LABELS), (test, 1)):
        _refuse_too_few(part, least)
    held_out = _held_out_figures(_fit(train, method), test)
    linear, trees = _scores(_fit(pairs, method))
    card = ModelCard(
        method=method,
        features=features,
        evidence_sha256=evidence_digest(protocol),
        protocol_fingerprint=protocol_fingerprint(protocol),
        training_sha256=training_digest(pairs),
        matches=int(pairs.is_match.sum()),
        non_matches=int((~pairs.is_match).sum()),
        held_out=held_out,
        settings=SETTINGS[method],
        made_with=made_with,
    )
    return TrainedModel(card=card, linear=linear, trees=trees)


def training_digest(pairs: LabelledPairs) -> str:
    """SHA-256, in hex, of the labelled rows of features, each with its weights, in ascending order of the rows."""
    matches, non_matches = _counts(pairs)
    used = np.flatnonzero(matches + non_matches)
    table = np.column_stack([pairs.features[used], matches[used], non_matches[used]]).astype("<f8")
    order = np.lexsort(table.T[::-1])
    return hashlib.sha256(np.ascontiguousarray(table[order]).tobytes()).hexdigest()


def _most_people(pairs: LabelledPairs) -> int:
    return int(max(pairs.person_a.max(initial=-1), pairs.person_b.max(initial=-1))) + 1


def _counts(pairs: LabelledPairs) -> tuple[Floats, Floats]:
    """The weight of the matches, and of the non-matches, that each row of features has."""
    matches, non_matches = (
        np.bincount(pairs.of_pair[chosen], pairs.weight[chosen], len(pairs.features)).astype(np.float64)
        for chosen in (pairs.is_match, ~pairs.is_match)
    )
    return matches, non_matches


def _fit(pairs: LabelledPairs, method: Method) -> Any:
    """A scikit-learn estimator with a ``decision_function``: the regression in a pipeline with its scaling."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    matches, non_matches = _counts(pairs)
    rows = [np.flatnonzero(counts) for counts in (matches, non_matches)]
    features = pairs.features[np.concatenate(rows)]
    is_match = np.repeat([1, 0], [len(rows[0]), len(rows[1])])
    weight = np.concatenate([matches[rows[0]], non_matches[rows[1]]])
    settings = {name: int(v) if v == int(v) and name != "C" else v for name, v in SETTINGS[method].items()}
    with threadpool_limits(1):
        if method == "logistic_regression":
            estimator = make_pipeline(StandardScaler(), LogisticRegression(**settings))
            return estimator.fit(features, is_match, logisticregression__sample_weight=weight)
        estimator = HistGradientBoostingClassifier(**settings, early_stopping=False, random_state=0)
        return estimator.fit(features, is_match, sample_weight=weight)


def _scores(estimator: Any) -> tuple[LinearScore | None, TreeScore | None]:
    """The fitted numbers; the regression's scaling goes into its coefficients."""
    if hasattr(estimator, "named_steps"):
        scaler, regression = (step for _, step in estimator.steps)
        coefficients = regression.coef_[0] / scaler.scale_
        intercept = regression.intercept_[0] - float(coefficients @ scaler.mean_)
        return LinearScore(intercept=float(intercept), coefficients=tuple(coefficients.tolist())), None
    return None, _tree_score(estimator)


def _tree_score(estimator: Any) -> TreeScore:
    """All trees' nodes, one tree behind the other.

    scikit-learn keeps the trees of its histogram boosting in a private attribute; the locked version's is read, and
    a test holds every prediction to the estimator's own.
    """
    trees = [predictor.nodes for (predictor,) in estimator._predictors]
    sizes = [len(nodes) for nodes in trees]
    roots = np.cumsum([0, *sizes[:-1]])
    nodes = np.concatenate(trees)
    own, first = np.arange(len(nodes)), np.repeat(roots, sizes)
    leaf = nodes["is_leaf"].astype(np.bool_)
    left, right = (np.where(leaf, own, first + nodes[side].astype(np.intp)) for side in ("left", "right"))
    return TreeScore(
        start=float(estimator._baseline_prediction[0, 0]),
        roots=tuple(roots.tolist()),
        feature=tuple(np.where(leaf, 0, nodes["feature_idx"]).tolist()),
        threshold=tuple(np.where(leaf, 0.0, nodes["num_threshold"]).tolist()),
        left=tuple(left.tolist()),
        right=tuple(right.tolist()),
        value=tuple(np.where(leaf, nodes["value"], 0.0).tolist()),
    )


def _held_out_figures(estimator: Any, test: LabelledPairs) -> HeldOutFigures:
    from sklearn.metrics import average_precision_score, log_loss, precision_recall_curve

    is_match = test.is_match.astype(int)
    scores = estimator.decision_function(test.features)[test.of_pair]
    weight = test.weight
    precision, recall, _ = precision_recall_curve(is_match, scores, sample_weight=weight)
    return HeldOutFigures(
        matches=int(is_match.sum()),
        non_matches=int((1 - is_match).sum()),
        average_precision=float(average_precision_score(is_match, scores, sample_weight=weight)),
        recall_at_precision_95=float(recall[precision >= 0.95].max()),
        recall_at_precision_99=float(recall[precision >= 0.99].max()),
        log_loss=float(log_loss(is_match, 1.0 / (1.0 + np.exp(-scores)), sample_weight=weight)),
    )


def _refuse_too_few(part: LabelledPairs, least: int) -> None:
    matches = int(part.is_match.sum())
    if min(matches, len(part.is_match) - matches) < least:
        raise NightlinkError(
            "E-INPUT",
            found=f"{matches} matches and {len(part.is_match) - matches} non-matches to train on or to test with",
            expected=f"at least {least} of each",
            remedy="Label more pairs, of both kinds, before a model is trained.",
        )


def _scikit_learn() -> str:
    try:
        from sklearn import __version__
    except ImportError:
        raise NightlinkError(
            "E-SETTINGS",
            found="no scikit-learn on this machine",
            expected="the extra nightlink[supervised], for training alone",
            remedy="Install it, or train on another machine: a night needs the model's file only.",
        ) from None
    return f"scikit-learn {__version__}"
