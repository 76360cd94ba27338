"""Graph matching without a key: people are recognised by how similar they are to one another.

The attacker encodes its own list under a key of its own with the same parameters. Similarities among encodings
do not depend on the key (much), so both files are the same graph up to names: Vidanage, Christen, Ranbaduge,
Schnell 2020, "A graph matching attack on privacy-preserving record linkage" (doi:10.1145/3340531.3411931);
Schaefer, Armknecht, Heng 2024, "R+R: Revisiting graph matching attacks on privacy-preserving record linkage"
(doi:10.1109/ACSAC63791.2024.00068).

This is a light form, a smoke test and not the certificate: nodes are first matched by the profile of their own
sorted similarities; confident mutual matches become seeds; every node is then described by its similarity to
the seeds, and so on, 12 times. Spectral starts (Umeyama 1988, doi:10.1109/34.6778) were tried and found
weaker than profiles. On diffusion with t = 2 to 4 this form finds almost nothing where the full attack, with
node embeddings, finds half and more (PRIVACY, the table of t): its silence there proves nothing. Given some
known people as seeds from the beginning, it needs no start, and becomes the stronger test.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from linkage_core.evaluation.attacks.attack_outcome import AttackOutcome
from linkage_core.evaluation.attacks.encoded_people import EncodedPeople, similarity_matrix

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]

ITERATIONS = 12
PROFILE_NEIGHBOURS = 128
PROFILE_QUANTILES = 64
FIRST_SEED_SHARE, LAST_SEED_SHARE = 0.02, 0.5
MOST_SEEDS = 800
"""More seeds cost time and bring nothing."""


def graph_matching_light(
    victim: EncodedPeople,
    attacker: EncodedPeople,
    true_entry: Rows,
    value_class: npt.NDArray[np.int64],
    known: tuple[Rows, Rows] | None = None,
) -> AttackOutcome:
    """Match the victim's records to the attacker's list by structure alone, or from known people on.

    Parameters
    ----------
    victim, attacker : EncodedPeople
        Encoded alike, under unrelated keys.
    true_entry : ndarray of intp, shape (victims,)
        Each record's row in the attacker's list, -1 when not in it; used for counting only.
    value_class : ndarray of int64, shape (attackers,)
        Equal for entries of equal values.
    known : tuple of ndarray of intp, optional
        Rows of the victim and of the list whose connection the attacker knows: seeds in every iteration. They
        are not counted as targets.
    """
    known_v, known_a = known if known is not None else (np.empty(0, np.intp), np.empty(0, np.intp))
    graph_v, graph_a = _neighbourhoods(victim), _neighbourhoods(attacker)
    if len(known_v):
        affinity = _seed_affinity(graph_v[:, known_v], graph_a[:, known_a])
    else:
        affinity = _profile_affinity(graph_v, graph_a)
    for share in np.linspace(FIRST_SEED_SHARE, LAST_SEED_SHARE, ITERATIONS).tolist():
        seeds_v, seeds_a = _confident_mutual_matches(affinity, share)
        seeds_v, seeds_a = np.append(known_v, seeds_v), np.append(known_a, seeds_a)
        affinity = _seed_affinity(graph_v[:, seeds_v], graph_a[:, seeds_a])
    is_target = true_entry >= 0
    is_target[known_v] = False
    return _count(np.argmax(affinity, axis=1), true_entry, value_class, is_target)


def _count(
    guessed: Rows, true_entry: Rows, value_class: npt.NDArray[np.int64], is_target: npt.NDArray[np.bool_]
) -> AttackOutcome:
    right = value_class[guessed[is_target]] == value_class[true_entry[is_target]]
    return AttackOutcome(int(np.count_nonzero(right)), len(right), len(right))


def _neighbourhoods(people: EncodedPeople) -> Floats:
    """All similarities, standardised by their own mean and spread; a node's own is the mean (0.0)."""
    similarity = similarity_matrix(people, people)
    np.fill_diagonal(similarity, similarity.mean())
    similarity -= similarity.mean()
    similarity /= similarity.std()
    np.fill_diagonal(similarity, 0.0)
    return similarity


def _profile_affinity(graph_v: Floats, graph_a: Floats) -> Floats:
    """Nearness of profiles: a node's largest similarities, and the quantiles of all."""
    profiles = [_profiles(graph) for graph in (graph_v, graph_a)]
    both = np.concatenate(profiles)
    centre, spread = both.mean(axis=0), both.std(axis=0) + np.float32(1e-6)
    x, y = ((p - centre) / spread for p in profiles)
    affinity: Floats = x @ y.T - ((x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1)[None, :]) / 2
    return affinity


def _profiles(graph: Floats) -> Floats:
    ordered = np.sort(graph, axis=1)
    most = min(PROFILE_NEIGHBOURS, graph.shape[1])
    places = np.linspace(0, graph.shape[1] - 1, PROFILE_QUANTILES).astype(np.intp)
    return np.concatenate([ordered[:, -most:], ordered[:, places]], axis=1)


def _confident_mutual_matches(affinity: Floats, share: float) -> tuple[Rows, Rows]:
    """Pairs that are each other's best, those first whose second best is farthest; at most ``share`` of all."""
    best_a = np.argmax(affinity, axis=1)
    best_v = np.argmax(affinity, axis=0)
    rows = np.flatnonzero(best_v[best_a] == np.arange(len(best_a)))
    runner_up = np.partition(affinity[rows], -2, axis=1)[:, -2]
    margin = affinity[rows, best_a[rows]] - runner_up
    most = min(MOST_SEEDS, max(int(share * len(affinity)), 2))
    kept = rows[np.argsort(-margin, kind="stable")[:most]]
    return kept, best_a[kept]


def _seed_affinity(to_seeds_v: Floats, to_seeds_a: Floats) -> Floats:
    """Cosine of the nodes' similarities to the seeds, as deviations from each seed's mean."""
    x, y = (_unit_rows(s - s.mean(axis=0)) for s in (to_seeds_v, to_seeds_a))
    affinity: Floats = x @ y.T
    return affinity


def _unit_rows(rows: Floats) -> Floats:
    unit: Floats = rows / (np.linalg.norm(rows, axis=1, keepdims=True) + np.float32(1e-6))
    return unit
