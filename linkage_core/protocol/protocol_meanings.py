"""What each entry of the linkage protocol means, in one line: for editors and for written files. Zone: protocol."""

from __future__ import annotations

ENTRY_MEANINGS: dict[str, str] = {
    "format": "The version of this file's format.",
    "project": "The linkage project; keys, pseudonyms and links belong to one project.",
    "version": "Raise it with every change, at all parties between the same two nights.",
    "key_epoch": "The epoch of the keys; a new one gives every record a new pseudonym.",
    "normaliser_version": "How values are brought to one form before they are hashed.",
    "custodians": "Two custodians or more, by the names that their settings and their part of the exchange have.",
    "fields": "What is read of a person; given_name, family_name and birth_date are needed.",
    "fields.name": "The field's name, which is the source's column unless the custodian declares another.",
    "fields.kind": "How it is checked and normalised.",
    "fields.q": "Length of the q-grams through which filters see the field.",
    "blocking": "Which pairs are compared at all.",
    "blocking.max_block_pairs": "A value that would propose more pairs than this proposes none.",
    "blocking.pair_budget": "A night that would compare more pairs than this is refused.",
    "blocking.passes": "Pairs that agree on all parts of at least one pass are compared.",
    "blocking.passes.name": "The pass's name, in reports.",
    "blocking.passes.parts": "Fields, whole or through a code (family_name:soundex); null if one is missing.",
    "evidence": "What pairs are judged by, beside the passes.",
    "evidence.rarity_edges": "Edges, in bits, between the bands of common, middling and rare values.",
    "evidence.near_q_grams": "Values that differ in fewer q-grams than this are near.",
    "evidence.tokens": "Keyed numbers over two or more fields: equal ones say that all their parts agree.",
    "evidence.filters": "Diffused filters over a group of fields, which show values that differ by an edit.",
    "evidence.filters.name": "The filter's name, and its column in a delivery.",
    "evidence.filters.fields": "Two to four fields; a single field's values could be told by counting.",
    "evidence.filters.bits": "Bits of the filter before diffusion; they never leave.",
    "evidence.filters.bits_per_q_gram": "At most so many bits for each q-gram.",
    "evidence.filters.field_bits": "Bits for each field, shared out over its q-grams.",
    "evidence.filters.terms": "Bits in each XOR of the diffusion: fewer than 6 can be read back by known attacks.",
    "evidence.filters.diffused_bits": "Bits of the filter that leaves.",
    "decision": "What counts as a match.",
    "decision.target_precision": "The night's threshold is chosen, without truth, so that links hold it.",
    "decision.possible": "Below the threshold, a possible match from this probability on.",
    "decision.resolution": "How many links a record may have to another custodian; optimal: most true links expected.",
}
"""Meaning by path, lists without their numbers. A test demands one for every entry of the model."""
