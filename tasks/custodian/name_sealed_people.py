"""Name sealed people: which pseudonyms are nobody's, to the warehouse and past the linkage unit. Zone: custodian."""

from __future__ import annotations

import hashlib
import json
import uuid
from datetime import date

from linkage_core.audit.audit_events import PeopleSealed, canonical_event
from linkage_core.custodian.record_pseudonyms import record_pseudonyms
from linkage_core.custodian.sealed_people import SealedPeople
from linkage_core.custodian.text_columns import SOURCE_ID
from tasks.custodian.encode import EncodedDelivery
from tasks.custodian.settings import CustodianSite
from tasks.protocol.code_version import code_version
from tasks.protocol.settings_files import read_secret
from tasks.protocol.stages import announce, stage


@stage("name sealed people")
def name_sealed_people(encoded: EncodedDelivery, night: date, site: CustodianSite) -> None:
    """Tell the warehouse under the content role who of tonight's people does not exist; again changes nothing."""
    url_file = site.settings.warehouse_content_url_file
    if encoded.sealed is None or url_file is None:
        announce("there are none")
        return
    # Here, since a custodian without content needs neither a driver nor a warehouse.
    from sql.engine import make_engine
    from sql.warehouse.sealed import name_sealed_people as name_people

    engine = make_engine(
        read_secret(url_file), deadline_s=site.settings.source.deadline_s, application_name="nightlink sealed"
    )
    people = _named(encoded.sealed, site)
    event = PeopleSealed(
        run_id=night.isoformat(),
        project=site.protocol.project,
        as_of=night,
        custodian=site.name,
        people=len(people),
        people_sha256=hashlib.sha256(json.dumps(people).encode()).hexdigest(),
        code_version=code_version(),
    )
    name_people(engine, run_id=night.isoformat(), as_of=night, people=people, event=canonical_event(event))
    announce(f"people named: {len(people)}")


def _named(sealed: SealedPeople, site: CustodianSite) -> list[tuple[str, int | None]]:
    """Pseudonym and canary number of each, in the order of pseudonyms."""
    pseudonyms = record_pseudonyms(
        site.site_key,
        sealed.records.column(SOURCE_ID),
        project=site.protocol.project,
        epoch=site.protocol.key_epoch,
    )
    names = [str(uuid.UUID(bytes=pseudonym.tobytes())) for pseudonym in pseudonyms]
    return sorted(zip(names, sealed.canaries, strict=True), key=lambda person: person[0])
