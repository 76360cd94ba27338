"""The linkage unit's night, from the exchange to the warehouse. Zone: linkage_unit."""

from __future__ import annotations

from tasks.linkage_unit.block import block_records
from tasks.linkage_unit.epoch_passage import carry_over_epoch
from tasks.linkage_unit.gate import hold_or_pass
from tasks.linkage_unit.keep import keep_compared_pairs
from tasks.linkage_unit.linked_custodians import (
    LinkedCustodians,
    every_two,
    join_entities,
    matches_are_entities,
)
from tasks.linkage_unit.load import forget_working_files, load_links, night_in_ledger
from tasks.linkage_unit.log_deletions import log_deletions
from tasks.linkage_unit.receipts import compare_with_witnesses, hand_out_receipts
from tasks.linkage_unit.receive import receive_deliveries
from tasks.linkage_unit.report import publish_linkage_report
from tasks.linkage_unit.resolve import resolve_links
from tasks.linkage_unit.review import pairs_to_review, with_reviews
from tasks.linkage_unit.run_chunks import one_chunk_process
from tasks.linkage_unit.score import score_pairs
from tasks.linkage_unit.settings import linkage_unit
from tasks.linkage_unit.summary import summarise_night
from tasks.protocol.nights import night_of
from tasks.protocol.stages import coded_errors_only


@coded_errors_only
def link_and_load(as_of: str | None = None) -> None:
    """Receive, block, score, resolve, load and report; a night that was published already is only reported again."""
    unit = linkage_unit()  # has no key field to fill
    night = night_of(as_of, unit.settings.time_zone)
    with night_in_ledger(night, unit) as run:
        if not run.published_before:
            carry_over_epoch(run, unit)  # the first night of a key epoch, if its custodians say who goes on
            deliveries = receive_deliveries(night, unit, run.erased_of)
            compare_with_witnesses(run, deliveries)
            unit = with_reviews(run, unit)
            linked = []
            with one_chunk_process():
                for a, b in every_two(deliveries):  # hospital and pharmacy; three pairs with a laboratory
                    pairs = block_records(a, b, unit)
                    scored = score_pairs(a, b, pairs, unit)
                    links = resolve_links(a, b, pairs, scored, unit)
                    linked.append(LinkedCustodians(a, b, pairs, scored, links))
            entities = None if matches_are_entities(unit) else join_entities(deliveries, linked, unit)
            summary = summarise_night(night, deliveries, linked, entities, unit)
            summary = hold_or_pass(run, summary, unit)  # until two persons approve
            reviews = pairs_to_review(linked, unit)
            keep_compared_pairs(linked, unit)  # the next night compares only what changed
            load_links(run, deliveries, linked, entities, summary, reviews)  # one transaction, with its event
            log_deletions(run, unit)  # encodings of former epochs, and whatever else is gone
        forget_working_files(unit)
        hand_out_receipts(run, unit)  # the custodians are the audit log's witnesses
        publish_linkage_report(run, unit)
