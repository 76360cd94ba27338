"""Block: pairs that agree on a keyed blocking value. Zone: linkage_unit."""

from __future__ import annotations

from linkage_core.linkage_unit.candidate_pairs import CandidatePairs, propose_pairs
from linkage_core.protocol.encoded_records import blocking_values
from linkage_core.protocol.evidence_spec import evidence_of
from tasks.linkage_unit.receive import ReceivedDelivery
from tasks.linkage_unit.settings import LinkageUnit
from tasks.protocol.stages import announce, stage


@stage("block records")
def block_records(a: ReceivedDelivery, b: ReceivedDelivery, unit: LinkageUnit) -> CandidatePairs:
    """The union of the protocol's passes, within its pair budget (E-PAIR-BUDGET)."""
    blocking, spec = unit.protocol.blocking, evidence_of(unit.protocol)
    pairs = propose_pairs(
        blocking_values(a.records, spec),
        blocking_values(b.records, spec),
        pass_names=unit.protocol.pass_names,
        partners_per_record=blocking.partners_per_record,
        max_block_pairs=blocking.max_block_pairs,
        pair_budget=blocking.pair_budget,
    )
    announce(f"candidate pairs: {len(pairs.index_a)}, reduction ratio {pairs.reduction_ratio:.6f}")
    return pairs
