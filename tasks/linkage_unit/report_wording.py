"""How figures and foreign text may appear in a report: small counts suppressed, text made inert.

Zone: linkage unit. A count of people under ten may single someone out, and names of custodians, rules or
columns come from settings that others write; none reaches a page or an artifact but through these functions.
"""

from __future__ import annotations

import re
import unicodedata

SMALLEST_SHOWN = 10
NOT_RECORDED = "–"
MAX_TEXT = 200
_FORMULA_LEADS = ("=", "+", "-", "@")
_MARKDOWN_ACTIVE = re.compile(r"[!-/:-@\[-`{-~]")
_KEPT_PLAIN = frozenset("%,/-;'")
_HTML_REFERENCES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


def suppress_small(count: int | None) -> str:
    """A count as shown to a reader: ``<10`` for 1 to 9, else with thousands separators; a dash for None."""
    if count is None:
        return NOT_RECORDED
    return f"<{SMALLEST_SHOWN}" if 0 < count < SMALLEST_SHOWN else f"{count:,}"


def drawn_count(count: int) -> int:
    """The count that a bar may be drawn for: 1 to 9 become 10, so that no length gives a small count away."""
    return SMALLEST_SHOWN if 0 < count < SMALLEST_SHOWN else count


def share(part: int | None, whole: int | None) -> str:
    """``part`` of ``whole`` as a percentage; a dash where either is missing, or too small to be shown.

    The remainder counts too: 99 of 100 would tell that one is left.
    """
    if part is None or not whole:
        return NOT_RECORDED
    if 0 < part < SMALLEST_SHOWN or 0 < whole - part < SMALLEST_SHOWN:
        return NOT_RECORDED
    return f"{100 * part / whole:.1f}%"


def ratio(value: float | None) -> str:
    """A ratio in [0, 1] as a percentage with two decimals, cut and not rounded: 99.999% is not 100%."""
    return NOT_RECORDED if value is None else f"{int(value * 10_000 + 1e-9) / 100:.2f}%"


def safe_text(value: object) -> str:
    """One line of inert text: no control, format or lone surrogate characters, no leading formula character.

    A leading ``= + - @`` gets an apostrophe, since tables are pasted into spreadsheets. Escaping for HTML or
    Markdown comes after this. None becomes a dash; more than ``MAX_TEXT`` characters end in an ellipsis.
    """
    if value is None or value == "":
        return NOT_RECORDED
    text = "".join("\ufffd" if unicodedata.category(c)[0] in "CZ" and c != " " else c for c in str(value))
    text = text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
    return "'" + text if text.lstrip().startswith(_FORMULA_LEADS) else text


def markdown_text(value: object) -> str:
    """``safe_text`` in which no character acts on Markdown, on a table's cells or on HTML.

    ASCII punctuation gets a backslash, which also keeps a bare address from becoming a link; a full stop between
    digits cannot begin one and stays. The four characters of HTML become named references: one of the
    orchestrator's two pages shows numeric ones as they are written.
    """
    return _MARKDOWN_ACTIVE.sub(_inert, safe_text(value))


def _inert(match: re.Match[str]) -> str:
    character, text, at = match[0], match.string, match.start()
    between_digits = text[at - 1 : at].isdigit() and text[at + 1 : at + 2].isdigit()
    if character in _KEPT_PLAIN or (character == "." and between_digits):
        return character
    return _HTML_REFERENCES.get(character, "\\" + character)
