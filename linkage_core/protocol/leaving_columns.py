"""What a delivery under a protocol holds, column by column, in words for a person who must agree. Zone: protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from linkage_core.protocol.linkage_protocol import Hardening, LinkageProtocol

_HARDENED: Mapping[Hardening, str] = {
    "diffusion": "diffused",
    "fourier_signs": "signs of Fourier features",
    "blip": "with flipped bits",
    "balancing": "balanced",
    "xor_fold": "folded",
    "rule_90": "by Rule 90",
    "none": "plain",
}


@dataclass(frozen=True)
class LeavingColumn:
    """A column of what leaves."""

    name: str
    type: str
    meaning: str


def leaving_columns(protocol: LinkageProtocol) -> tuple[LeavingColumn, ...]:
    """The columns of the wire format, in its order."""
    passes, tokens = len(protocol.blocking.passes), len(protocol.evidence.tokens)
    bands = f"one of {len(protocol.evidence.rarity_edges) + 1} bands a field, or missing"
    sex = "as normalised, readable" if "sex" in protocol.field_names else "missing throughout"
    return (
        LeavingColumn("record_pseudonym", "16 bytes", "names the row under the site's own key"),
        LeavingColumn(
            "tokens",
            f"{passes + tokens} keyed 64-bit numbers",
            f"each of two or more fields together, or missing; {passes} of them propose pairs",
        ),
        *(
            LeavingColumn(
                f"filter_{group.name}",
                f"{group.sent_bits} bits",
                f"{_HARDENED[group.hardening]}, of {', '.join(group.fields)}",
            )
            for group in protocol.evidence.filters
        ),
        LeavingColumn("rarity", bands, "how common the row's value is, not the value"),
        LeavingColumn("sex", "1 byte", sex),
    )
