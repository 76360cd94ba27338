"""Block: pairs that agree on a keyed blocking value. Zone: linkage_unit."""

from __future__ import annotations

from linkage_core.linkage_unit.candidate_pairs import CandidatePairs, propose_pairs
from tasks.linkage_unit.receive import ReceivedDelivery
from tasks.linkage_unit.settings import LinkageUnit
from tasks.protocol.stages import announce, stage


@stage("block records")
def block_records(a: ReceivedDelivery, b: ReceivedDelivery, unit: LinkageUnit) -> CandidatePairs:
    """The union of the protocol's passes, within its pair budget (E-PAIR-BUDGET)."""
    blocking = unit.protocol.blocking
    pairs = propose_pairs(
        a.records.blocking_values,
        b.records.blocking_values,
        pass_names=unit.protocol.pass_names,
        partners_per_record=blocking.partners_per_record,
        max_block_pairs=blocking.max_block_pairs,
        pair_budget=blocking.pair_budget,
    )
    announce(f"candidate pairs: {len(pairs.index_a)}, reduction ratio {pairs.reduction_ratio:.6f}")
    return pairs
