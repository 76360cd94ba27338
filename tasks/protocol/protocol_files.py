"""The shipped linkage protocol, and protocol files written for review. Zone: protocol."""

from __future__ import annotations

from pathlib import Path

from linkage_core.errors import NightlinkError
from linkage_core.protocol.linkage_protocol import LinkageProtocol
from tasks.protocol.settings_files import read_protocol

SHIPPED_PROTOCOL = Path(__file__).resolve().parents[2] / "deployments" / "linkage_protocol.toml"
"""It is data, read by its place in this installation: no code below ``deployments`` is imported."""


def shipped_protocol() -> LinkageProtocol:
    """The linkage protocol that came with this installation; E-SETTINGS where it was left out."""
    return read_protocol(SHIPPED_PROTOCOL)


def write_new_text(path: Path, text: str) -> None:
    """A new text file in UTF-8 with plain line ends; what is there already is never overwritten (E-OUTPUT)."""
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        raise NightlinkError(
            "E-OUTPUT",
            found=f"{path} cannot be written ({error.strerror})",
            expected="a path that does not exist yet, in a folder that you may write",
            remedy="Choose another path; a protocol in use is never overwritten.",
        ) from None
