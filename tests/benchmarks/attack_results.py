"""Results of attacks as they are found, in a file, so that a run that was broken off goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from hashlib import sha256
from inspect import getsource
from pathlib import Path
from types import FunctionType

from linkage_core.evaluation.attacks.attack_outcome import AttackOutcome

Figures = Sequence[float]


class FoundResults:
    """Figures by what they depend on; every new one is written at once.

    What a figure depends on is said by its key: the encoding's own bits (:func:`digest_of`), the attack's
    source text, the people, counts, the seed. So a change of code or data asks anew for what it touches and
    for nothing else. Two processes need a file each.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._figures: dict[str, list[float]] = json.loads(path.read_text()) if path.exists() else {}

    def figures(self, key: Sequence[object], work: Callable[[], Figures]) -> list[float]:
        """The figures of this key, found before or now."""
        name = " | ".join(map(str, key))
        if name not in self._figures:
            self._figures[name] = [float(figure) for figure in work()]
            self._save()
        return self._figures[name]

    def outcome(self, key: Sequence[object], work: Callable[[], AttackOutcome]) -> AttackOutcome:
        """The outcome of this key, found before or now."""

        def counts() -> Figures:
            found = work()
            return found.right, found.targets, found.guesses

        right, targets, guesses = self.figures(key, counts)
        return AttackOutcome(int(right), int(targets), int(guesses))

    def _save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_suffix(".partial")
        beside.write_text(json.dumps(self._figures, indent=0, sort_keys=True))
        beside.replace(self.path)


def digest_of(*parts: bytes) -> str:
    """A short digest of bytes."""
    hashed = sha256()
    for part in parts:
        hashed.update(len(part).to_bytes(8, "little") + part)
    return hashed.hexdigest()[:12]


def source_digest(*attacks: FunctionType) -> str:
    """A short digest of the source text of the modules that hold these functions."""
    modules = {attack.__module__: attack for attack in attacks}
    texts = [getsource(__import__(name, fromlist=["_"])) for name in sorted(modules)]
    return digest_of(*(text.encode() for text in texts))
