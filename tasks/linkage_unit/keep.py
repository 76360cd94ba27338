"""Keep: the night's compared pairs, so that the next night compares only what changed. Zone: linkage_unit."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.linkage_unit.block import night_job
from tasks.linkage_unit.kept_comparisons import keep_comparisons
from tasks.linkage_unit.linked_custodians import LinkedCustodians
from tasks.linkage_unit.settings import LinkageUnit
from tasks.protocol.stages import stage


@stage("keep compared pairs")
def keep_compared_pairs(linked: Sequence[LinkedCustodians], unit: LinkageUnit) -> None:
    """Of every two custodians, sealed under the linkage unit's own key; the next night may do without."""
    for two in linked:
        keep_comparisons(night_job(two.a, two.b, unit), two.custodians, unit.storage_key)
