"""Attacks on what leaves a custodian: what an adversary who is not given the key can learn all the same.

Every attack is a pure function over arrays that answers with an
:class:`~linkage_core.evaluation.attacks.attack_outcome.AttackOutcome`. None of them shows that an encoding is
secure; together they say what the attacks that we ran could do. The *positive control* belongs to each figure:
an attack that does not break plain Bloom filters is broken itself.
"""
