"""Precision from duplicate links, in a linkage where everybody has at most one match. Zone: linkage_unit.

Were many links a record allowed, some records of one side would get a second one. No person is twice in a file, so
those second links are wrong, and how often they come tells how many wrong ones are among the single links (Blakely
and Salmond 2002, doi:10.1093/ije/31.6.1246). Here: a pair beside a confident link that would be a match itself, were
that link not there, is a duplicate. A wrong pair touches no confidently linked record with chance
(1 - a)(1 - b), a and b being the shares so linked; that turns duplicates into wrong matches.

Trust it where both files are free of duplicates, and where unlinked people have namesakes and relatives in the other
file about as often as linked ones. A file with duplicates shows too low a precision. Where one side may have many
links it speaks of the other alone, and of nothing with ``many_to_many``.
"""

from __future__ import annotations

from linkage_core.linkage_unit.quality.estimate import Estimate, estimate_within, predicted_interval
from linkage_core.linkage_unit.quality.judged_links import JudgedLinks

MOST_PER_DUPLICATE = 10.0


def precision_by_duplicates(judged: JudgedLinks) -> Estimate | None:
    """Precision of the matches; ``basis`` is the number of duplicates.

    None without matches, and where so few records are confidently linked that one duplicate would stand for more
    than :data:`MOST_PER_DUPLICATE` wrong matches, as it always is with ``many_to_many``.

    The interval is that of the wrong matches themselves, not of their mean only: a count predicted from a count.
    """
    matches, duplicates, scale = len(judged.matches), len(judged.rivals.pairs), judged.rivals.scale
    if not matches or scale > MOST_PER_DUPLICATE:
        return None
    fewest, most = predicted_interval(duplicates, scale)
    return estimate_within(
        1.0 - duplicates * scale / matches, 1.0 - most / matches, 1.0 - fewest / matches, duplicates
    )
