"""What a trained model reads of a pattern: levels, how common what agrees is, what the fitted model says.

Zone: linkage_unit. A feature depends on a pattern and on the night, never on a record, so that a night's millions of
pairs have some ten thousand rows. Null is a level of its own. The surprise of an agreement is measured against this
night's custodians, and the log-odds are those of the model that was fitted on this night's own pairs: a trained model
learns where that one errs, not what a name is or how many matches a night has.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import rfc8785

from linkage_core.linkage_unit.comparison_vectors import NULL_LEVEL
from linkage_core.linkage_unit.match_model import MAX_LOG_ODDS, random_rates, rarity_of_bands
from linkage_core.linkage_unit.pair_patterns import PairPatterns, States, states_of_field
from linkage_core.protocol.encoded_evidence import EvidenceAggregates
from linkage_core.protocol.evidence_spec import SEX, EvidenceSpec
from linkage_core.protocol.linkage_protocol import LinkageProtocol

Floats = npt.NDArray[np.float64]


def feature_names(spec: EvidenceSpec) -> tuple[str, ...]:
    """Names of the features, in their order.

    Of each field: ``field=level`` for each level and ``field=null``, then ``field:nats``; then ``nats``, ``fitted``.
    """
    names = []
    for name in spec.fields:
        names += [f"{name}={level}" for level in (*spec.level_names(name), "null")]
        names.append(f"{name}:nats")
    return (*names, "nats", "fitted")


def pattern_features(
    patterns: PairPatterns,
    odds: Floats,
    spec: EvidenceSpec,
    aggregates: tuple[EvidenceAggregates, EvidenceAggregates],
) -> Floats:
    """Features of patterns.

    Parameters
    ----------
    patterns : PairPatterns
    odds : ndarray of float64, shape (m,)
        Each pair's, before competition, of :func:`~linkage_core.linkage_unit.match_model.fit_patterns`; alike for
        all pairs of a pattern.
    aggregates : two EvidenceAggregates
        Published by the two custodians.

    Returns
    -------
    ndarray of float64, shape (patterns, len(feature_names(spec))), C-contiguous
        1.0 at each field's level, 0.0 at its others; ``field:nats`` is the surprise -log u that random people agree
        so, for exact values by the mean of the two records' rarity bands, and 0.0 for null; ``nats`` is the sum over
        the fields, the *collision score*: low where many namesakes agree as well; ``fitted`` is the logarithm of the
        odds.
    """
    states, random, columns = patterns.states, random_rates(spec, aggregates), []
    total = np.zeros(len(states))
    for f, name in enumerate(spec.fields):
        levels = levels_of_states(states, spec, f)
        count = len(random[name])
        columns += [(levels == level).astype(np.float64) for level in (*range(count), NULL_LEVEL)]
        nats = _surprise_of_states(spec, aggregates, f, random[name])[states[:, f]]
        columns.append(nats)
        total += nats
    fitted = np.zeros(len(states))
    fitted[patterns.of_pair] = np.log(np.maximum(odds, np.exp(-MAX_LOG_ODDS)))
    return np.ascontiguousarray(np.column_stack([*columns, total, fitted]))


def levels_of_states(states: States, spec: EvidenceSpec, f: int) -> npt.NDArray[np.int8]:
    """The level of field ``f`` in each pattern, -1 for null: int8, shape (patterns,)."""
    count = len(spec.level_names(spec.fields[f]))
    exact = states_of_field(count, len(spec.rarity_edges) + 1) - count
    levels = np.concatenate([[NULL_LEVEL], np.arange(1, count), np.zeros(exact)]).astype(np.int8)
    found: npt.NDArray[np.int8] = levels[states[:, f]]
    return found


def evidence_digest(protocol: LinkageProtocol) -> str:
    """SHA-256, in hex, of all that gives a comparison vector its meaning: fields, passes, tokens, filters.

    Key epochs, thresholds and custodians' names change the protocol's fingerprint but not this.
    """
    document = protocol.model_dump(mode="json")
    kept = {name: document[name] for name in ("fields", "normaliser_version", "nickname_table", "evidence")}
    return hashlib.sha256(rfc8785.dumps({**kept, "passes": document["blocking"]["passes"]})).hexdigest()


def _surprise_of_states(
    spec: EvidenceSpec, aggregates: tuple[EvidenceAggregates, EvidenceAggregates], f: int, random: Floats
) -> Floats:
    """Nats of each state of a field (:func:`~linkage_core.linkage_unit.pair_patterns.exact_state`)."""
    bands, count = len(spec.rarity_edges) + 1, len(random)
    exact = np.arange(states_of_field(count, bands) - count)
    rarity = np.zeros(len(exact))
    if spec.fields[f] != SEX:
        side_a, side_b = (rarity_of_bands(side, f, float(random[0])) for side in aggregates)
        rarity = (side_a[exact // (bands + 1)] + side_b[exact % (bands + 1)]) / 2
    surprise = -np.log(random)
    return np.concatenate([[0.0], surprise[1:], surprise[0] + rarity])
