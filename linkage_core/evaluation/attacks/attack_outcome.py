"""What an attack achieved, in the one form that every attack answers with."""

from __future__ import annotations

from dataclasses import dataclass

from linkage_core.evaluation.attacks.success_interval import clopper_pearson


@dataclass(frozen=True)
class AttackOutcome:
    """Counts of one run of one attack.

    Attributes
    ----------
    right : int
        Targets whose value the attacker named rightly. Of records with identical values, any will do.
    targets : int
        Targets that could have been named: those whose true value is in the attacker's list.
    guesses : int
        Targets for which the attack named anything at all; ``right / guesses`` is its precision.
    """

    right: int
    targets: int
    guesses: int

    @property
    def success(self) -> float:
        """``right / targets``, 0.0 without targets."""
        return self.right / self.targets if self.targets else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """95% Clopper-Pearson interval of :attr:`success`."""
        return clopper_pearson(self.right, self.targets)


def worst_of(outcomes: list[AttackOutcome]) -> AttackOutcome:
    """The run that succeeded most (the first of equals): success is often bimodal over seeds, and one
    attacker may try them all.
    """
    return max(outcomes, key=lambda outcome: outcome.success)
