"""A source that answers and stands still: it brings, night after night, what it brought before. Zone: custodian.

An extract that is filled from elsewhere, or a file that somebody puts there, may stop being renewed; everything after
it works as ever. Kept is a digest of the rows under the site's key and the night on which they came first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from linkage_core.errors import NightlinkError
from linkage_core.protocol.derived_keys import derive_key
from tasks.custodian.settings import CustodianSite
from tasks.custodian.spool import RecordSpool
from tasks.protocol.output_files import replace_file
from tasks.protocol.stages import announce, stage

STATE_FILE = "source.json"


@stage("look whether the source stands still")
def still_source(
    identifiers: RecordSpool, content: RecordSpool, night: date, site: CustodianSite
) -> tuple[str, ...]:
    """Warn of a source whose people and content are those of earlier nights, in the log and in the night's report.

    A new key epoch, and another ``batch_rows``, begin the count anew.

    Raises
    ------
    NightlinkError
        E-DQ-STALE for more nights than ``quality.most_still_nights``.
    """
    path, digest = site.settings.state_folder / STATE_FILE, _digest((identifiers, content), site)
    since = _since(path, digest, night)
    replace_file(path, json.dumps({"rows": digest, "since": since.isoformat()}).encode())
    still, quality = (night - since).days, site.settings.quality
    if quality.most_still_nights is not None and still > quality.most_still_nights:
        raise NightlinkError(
            "E-DQ-STALE",
            found=f"the same rows from the source of {site.name} since {since.isoformat()}, {still} nights ago",
            expected=f"a change within {quality.most_still_nights} nights",
            remedy="See why the source is no longer renewed; nothing of this night was delivered.",
        )
    if still < quality.warn_after_still_nights:
        return ()
    told = f"the source has not changed since {since.isoformat()}, {still} nights ago"
    announce(f"WARNING: {told}")
    return (told,)


def _digest(spools: Iterable[RecordSpool], site: CustodianSite) -> str:
    """Keyed: who finds the file must not be able to try rows against it."""
    digest = hashlib.blake2b(
        key=derive_key(site.site_key, ("still-source", site.protocol.project)), digest_size=32
    )
    for spool in spools:
        digest.update(f"{spool.rows} {len(spool.misfits)};".encode())
        for batch in spool:
            digest.update(batch.serialize())
    return digest.hexdigest()


def _since(path: Path, digest: str, night: date) -> date:
    """The night on which these rows came first; tonight where others came before, or nothing is remembered."""
    try:
        kept = json.loads(path.read_bytes())
        since = date.fromisoformat(kept["since"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return night
    return min(since, night) if kept["rows"] == digest else night
