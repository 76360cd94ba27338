"""By the server's own catalogue: what each login role can change, and that each way there takes the audit event.

Nothing is listed by hand but the exceptions: a function that is added tomorrow is looked at as well.
"""

from __future__ import annotations

import re

import pytest

from sql.warehouse.login_roles import reviewer_role
from tests.integration.warehouse.test_warehouse_privileges import WITHOUT_EVENT
from tests.integration.warehouse.warehouse_nights import Warehouse

OURS = "p.pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)"
ROLES = (
    "linkage_loader", "hospital_content_loader", "pharmacy_content_loader", "researcher", "another_researcher",
    "auditor", reviewer_role("alice"), reviewer_role("bob"),
)  # fmt: skip
STAGING = {
    "linkage_loader": {"linkage.link_staging", "linkage.entity_staging", "linkage.epoch_staging"},
    "hospital_content_loader": {"content.admission_staging"},
    "pharmacy_content_loader": {"content.dispensing_staging"},
}
"""Tables that a role may write itself: what is staged is served to nobody until a function publishes it."""
_WRITES = re.compile(
    r"\b(INSERT\s+INTO|UPDATE\s+\w|DELETE\s+FROM|TRUNCATE|MERGE\s+INTO|EXECUTE\s+format)", re.I
)


def functions(warehouse: Warehouse) -> dict[str, str]:
    """Name and source of every function of ours; names are not overloaded."""
    rows = warehouse.as_superuser(
        "SELECT p.pronamespace::regnamespace || '.' || p.proname, coalesce(pg_get_function_sqlbody(p.oid), p.prosrc)"
        f" FROM pg_proc AS p WHERE {OURS}"
        " AND p.prolang IN (SELECT oid FROM pg_language WHERE lanname IN ('sql', 'plpgsql'))"
    )
    assert len({name for name, _ in rows}) == len(rows)
    return dict(rows)


def reached(name: str, sources: dict[str, str]) -> set[str]:
    """The function, and all of ours that it calls, directly or not."""
    seen, open_ = set(), [name]
    while open_:
        now = open_.pop()
        seen.add(now)
        words = set(re.findall(r"[a-z]+\.\w+(?=\s*\()", sources[now])) & set(sources)
        open_ += words - seen
    return seen


def writers(warehouse: Warehouse) -> dict[str, bool]:
    """The functions that insert, update or delete, themselves or by what they call; whether each enters an event."""
    sources = functions(warehouse)
    found = {}
    for name in sources:
        all_of_it = " ".join(sources[part] for part in reached(name, sources))
        if _WRITES.search(re.sub(r"--[^\n]*", "", all_of_it)):
            found[name] = "audit.append_event" in reached(name, sources)
    return found


def callable_by(warehouse: Warehouse, role: str) -> dict[str, bool]:
    """What a role may call, and whether it takes an event."""
    rows = warehouse.as_superuser(
        "SELECT p.pronamespace::regnamespace || '.' || p.proname,"
        " coalesce('p_event' = ANY (p.proargnames), false) FROM pg_proc AS p"
        f" WHERE {OURS}"
        f" AND has_function_privilege('{role}', p.oid, 'EXECUTE')"
        f" AND has_schema_privilege('{role}', p.pronamespace, 'USAGE')"
    )
    return dict(rows)


def test_the_search_finds_the_writers(warehouse: Warehouse) -> None:
    """The positive control: those known to write are found, directly and through others; readers are not."""
    found = writers(warehouse)
    assert found["linkage.publish_run"] and found["linkage.erase_record"] and found["review.decide_pair"]
    assert found["content.publish_content"] and found["audit.append_event"]
    assert "linkage.suppressed_records" not in found and "review.open_pairs" not in found


@pytest.mark.parametrize("role", ROLES)
def test_a_role_changes_what_is_kept_with_its_event_or_not_at_all(warehouse: Warehouse, role: str) -> None:
    """Each writing function that the role may call takes an event and enters it, or is excepted with its reason."""
    writing = {
        name: takes for name, takes in callable_by(warehouse, role).items() if name in writers(warehouse)
    }
    enters = writers(warehouse)
    without = {name for name, takes in writing.items() if not (takes and enters[name])}
    assert without <= set(WITHOUT_EVENT), without - set(WITHOUT_EVENT)
    if role in ("linkage_loader", "hospital_content_loader", reviewer_role("alice")):
        assert any(writing.values()), "a role that works here writes something"
    if role in ("researcher", "another_researcher", "auditor"):
        assert not writing


@pytest.mark.parametrize("role", ROLES)
def test_a_role_writes_no_table_itself_but_its_own_staging(warehouse: Warehouse, role: str) -> None:
    """Tables, single columns and sequences, for the role and for PUBLIC."""
    tables = warehouse.as_superuser(
        "SELECT n.nspname || '.' || c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%'"
        " AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
        f" AND (has_table_privilege('{role}', c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER, REFERENCES')"
        f"  OR has_any_column_privilege('{role}', c.oid, 'INSERT, UPDATE, REFERENCES'))"
    )
    assert {name for (name,) in tables} == STAGING.get(role, set())
    creates = warehouse.as_superuser(
        "SELECT n.nspname FROM pg_namespace AS n"
        f" WHERE n.nspname NOT LIKE 'pg\\_%' AND has_schema_privilege('{role}', n.oid, 'CREATE')"
    )
    assert creates == []


def test_the_roles_looked_at_are_all_login_roles(warehouse: Warehouse) -> None:
    """All that may connect here, but the superuser and the owner, who is the administrator (sql/README.md)."""
    rows = warehouse.as_superuser(
        "SELECT rolname FROM pg_roles WHERE rolcanlogin AND NOT rolsuper"
        " AND has_database_privilege(rolname, current_database(), 'CONNECT')"
    )
    assert {name for (name,) in rows} - {"warehouse_owner"} == set(ROLES)
