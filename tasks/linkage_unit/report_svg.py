"""The few SVG shapes that the report's pictures are built of, escaped and rounded the same on every machine.

Zone: linkage unit. Colours are CSS classes that the page (or the artifact) defines, so that one drawing
serves light, dark and paper.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape


def element(tag: str, *children: str, **attributes: object) -> Markup:
    """An element with all values escaped. In names ``_`` stands for ``-``, and one at the end is dropped."""
    words = [f'{name.rstrip("_").replace("_", "-")}="{escape(number(v))}"' for name, v in attributes.items()]
    opening = Markup(" ".join([tag, *words]))  # noqa: S704 - names are ours, values were escaped
    return Markup("<{}>{}</{}>").format(opening, Markup("").join(children), tag)


def picture(
    name: str, width: float, height: float, title: str, text: str, parts: Sequence[Markup], margin: int = 0
) -> Markup:
    """An ``svg`` that a screen reader announces by title and description; ``name`` makes their ids unique."""
    return element(
        "svg",
        element("title", title, id=f"{name}-title"),
        element("desc", text, id=f"{name}-desc"),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"{-margin} {-margin} {number(width + 2 * margin)} {number(height + 2 * margin)}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
    )


def text(x: float, y: float, words: str, kind: str, anchor: str) -> Markup:
    """A line of text; ``anchor`` is start, middle or end."""
    return element("text", words, class_=kind, x=x, y=y, text_anchor=anchor)


def rect(
    kind: str, x: float, y: float, width: float, height: float, rx: float = 0, title: str = ""
) -> Markup:
    """A rectangle, with a title that shows under the pointer where one is given."""
    children = [element("title", title)] if title else []
    return element(
        "rect", *children, class_=kind, x=x, y=y, width=max(width, 0), height=max(height, 0), rx=rx
    )


def line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    """A straight line."""
    return element("line", class_=kind, x1=x1, y1=y1, x2=x2, y2=y2)


def path(d: str, kind: str) -> Markup:
    """A line of the flow, given as path data."""
    return element("path", class_=f"flow {kind}", d=d)


def curve(start: tuple[float, float], end: tuple[float, float], kind: str, downwards: bool = False) -> Markup:
    """A smooth line that leaves and arrives level (or upright, when it runs ``downwards``)."""
    (x1, y1), (x2, y2) = start, end
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    bends = (x1, y, x2, y) if downwards else (x, y1, x, y2)
    words = " ".join(str(number(v)) for v in (*bends, x2, y2))
    return path(f"M{number(x1)} {number(y1)}C{words}", kind)


def fitted(words: str, characters: int) -> str:
    """Text cut to a number of characters, since SVG does not wrap."""
    return words if len(words) <= characters else words[: characters - 1] + "…"


def number(value: object) -> object:
    """Floats with two decimals at most; anything else unchanged."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value
