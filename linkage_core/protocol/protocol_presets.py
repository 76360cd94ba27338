"""Protocols to start from: the shipped one over fewer fields. Zone: protocol.

A preset is a list of fields and nothing else: its passes, tokens and filters are those of the shipped protocol that
are defined over these fields, so that there is one reviewed list and not four.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from linkage_core.errors import NightlinkError
from linkage_core.protocol.linkage_protocol import LinkageProtocol, restrict_protocol

_PERSON = ("given_name", "middle_name", "family_name", "birth_date", "sex")
_ADDRESS = ("street", "city", "postcode")

PRESETS: Mapping[str, tuple[str, ...]] = {
    "persons": (*_PERSON, *_ADDRESS),
    "persons-phone": (*_PERSON, *_ADDRESS, "phone", "email"),
    "minimal": ("given_name", "family_name", "birth_date", "sex", "postcode"),
}
"""Fields of each preset: people with an address; with telephone and e-mail as well; the least that links."""

PRESET_MEANINGS: Mapping[str, str] = {
    "persons": "persons with name, birth date, sex and address",
    "persons-phone": "persons with name, birth date, sex, address, telephone and e-mail",
    "minimal": "given and family name, birth date, sex and postcode",
}


def preset_protocol(shipped: LinkageProtocol, name: str) -> LinkageProtocol:
    """The preset ``name`` of a protocol.

    Raises
    ------
    NightlinkError
        E-INPUT for a name that is no preset, or when the protocol lacks one of its fields.
    """
    if name not in PRESETS:
        raise NightlinkError(
            "E-INPUT",
            found=f"no preset of the name {ascii(name[:40])}",
            expected=f"one of {', '.join(PRESETS)}",
            remedy="Choose one; a field that a source lacks may stay empty.",
        )
    missing = [field for field in PRESETS[name] if field not in shipped.field_names]
    if missing:
        raise NightlinkError(
            "E-INPUT",
            found=f"a protocol without the field {', '.join(missing)}",
            expected=f"every field of the preset {name}",
            remedy="Start from the shipped deployments/linkage_protocol.toml.",
        )
    return restrict_protocol(shipped, PRESETS[name])


def preset_heading(name: str) -> Sequence[str]:
    """Comment lines that say where a preset's file came from, and what is left to do."""
    return (
        f"Preset {name}: {PRESET_MEANINGS[name]}.",
        f"Made by `nightlink protocol preset {name}` out of the shipped linkage protocol.",
        "Before the first night: name the project and the custodians, agree on it, give all parties this very file,",
        "and compare the fingerprint that `nightlink protocol check FILE` prints. Comments and order do not count.",
    )
