"""A state folder of its own for work beside a night, so that the night keeps its files. Zone: linkage_unit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from linkage_core.errors import NightlinkError
from tasks.linkage_unit.settings import LinkageUnit


@contextmanager
def scratch_state(unit: LinkageUnit, purpose: str) -> Iterator[LinkageUnit]:
    """The unit, without its trained model, over an empty state folder that is gone in the end; E-CHUNK-FILE."""
    try:
        unit.settings.state_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = TemporaryDirectory(prefix=f"{purpose}-", dir=unit.settings.state_folder)
    except OSError as error:
        raise NightlinkError(
            "E-CHUNK-FILE",
            found=f"a state_folder that cannot be written ({error.strerror})",
            expected="room for working files",
            remedy="Correct state_folder in the settings.",
        ) from None
    with folder as state:
        settings = unit.settings.model_copy(update={"state_folder": Path(state)})
        yield replace(unit, settings=settings, trained=None)
