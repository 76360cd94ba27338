"""A custodian's night, from its own database to the exchange. Zone: custodian."""

from __future__ import annotations

from tasks.custodian.deliver import already_delivered, deliver_encodings
from tasks.custodian.deliver_content import deliver_content
from tasks.custodian.encode import add_sealed_people, encode_identifiers
from tasks.custodian.extract import extract_content, extract_identifiers, open_source
from tasks.custodian.name_sealed_people import name_sealed_people
from tasks.custodian.night_folder import night_folder
from tasks.custodian.normalise import normalise_identifiers
from tasks.custodian.report_delivery import report_delivery
from tasks.custodian.settings import custodian_site
from tasks.custodian.still_source import still_source
from tasks.custodian.validate import validate_identifiers
from tasks.custodian.witness import take_receipts
from tasks.protocol.nights import night_of
from tasks.protocol.stages import coded_errors_only


@coded_errors_only
def encode_and_deliver(as_of: str | None = None) -> None:
    """Extract, validate, normalise, encode, deliver; a night that was delivered already is left as it is."""
    site = custodian_site()  # the key and the database exist only here
    night = night_of(as_of, site.settings.time_zone)
    with night_folder(site.settings.state_folder) as folder:
        take_receipts(site)  # what the linkage unit's audit log was; nothing is delivered to one that forked
        if already_delivered(night, site):
            return
        with open_source(site) as snapshot:
            identifiers = extract_identifiers(snapshot, site, folder)
            content = extract_content(snapshot, site, folder)
        still = still_source(identifiers, content, night, site)  # one that answers, and is no longer renewed
        validated = validate_identifiers(identifiers, night, site, folder)
        normalised = normalise_identifiers(validated, night, site, folder)
        encoded = encode_identifiers(normalised, site, folder)
        encoded = add_sealed_people(encoded, site)  # null people and canaries: who they are ...
        deliver_content(content, night, site)
        name_sealed_people(encoded, night, site)  # ... the warehouse learns, the linkage unit does not
        deliver_encodings(encoded, night, site)  # part by part, the manifest last
        report_delivery(night, site, encoded.sealed, still)  # what left, and what did not; it stays here
