"""A custodian's night as far as it goes without leaving anything in the exchange. Zone: custodian."""

from __future__ import annotations

from tasks.custodian.extract import extract_content, extract_identifiers, open_source
from tasks.custodian.night_folder import night_folder
from tasks.custodian.normalise import normalise_identifiers
from tasks.custodian.report_delivery import report_dry_run
from tasks.custodian.settings import custodian_site
from tasks.custodian.validate import validate_identifiers
from tasks.protocol.nights import night_of
from tasks.protocol.stages import coded_errors_only


@coded_errors_only
def try_night(as_of: str | None = None) -> None:
    """Read settings, keys, protocol and source, judge every row, and say what would be delivered."""
    site = custodian_site()
    night = night_of(as_of, site.settings.time_zone)
    with night_folder(site.settings.state_folder) as folder:
        with open_source(site) as snapshot:
            identifiers = extract_identifiers(snapshot, site, folder)
            extract_content(snapshot, site, folder)
        validated = validate_identifiers(identifiers, night, site, folder)
        normalise_identifiers(validated, night, site, folder)
        report_dry_run(validated, night, site)
