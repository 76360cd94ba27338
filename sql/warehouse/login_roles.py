"""Set up a warehouse on a server: login roles, the database, and who loads whose content.

Zone: protocol (an administrator's work, done once). Passwords are arguments; the server is sent their SCRAM verifiers,
so that none reaches its log or its statistics.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial

import psycopg2.extensions
from psycopg2 import sql as composed
from sqlalchemy import Engine, text

from linkage_core.errors import NightlinkError
from sql.engine import driver_connection, driver_cursor, make_engine
from sql.statements import load_statements, read_sql
from sql.warehouse.content import CONTENT_TABLES
from sql.warehouse.migrate import apply_migrations, run_script
from sql.warehouse.transactions import warehouse_errors, warehouse_transaction

OWNER = "warehouse_owner"
LINKAGE_LOADER = "linkage_loader"
AUDITOR = "auditor"
RESEARCHER = "researcher"
FIXED_ROLES = (OWNER, LINKAGE_LOADER, AUDITOR, RESEARCHER)

_RESEARCH_ROLE = re.compile(r"([a-z][a-z0-9_]{0,40}_)?researcher")
_CUSTODIAN = re.compile(r"[a-z][a-z0-9_]{0,40}")
_role_statements = partial(load_statements, "sql.warehouse", "roles/login_roles.sql")
_content_statements = partial(load_statements, "sql.warehouse", "roles/content_loader.sql")


def content_role(custodian: str) -> str:
    """The name of a custodian's content role, such as ``hospital_content_loader``."""
    if _CUSTODIAN.fullmatch(custodian) is None:
        raise _wrong_name("custodian's name", "a to z, digits and _, 41 characters at most")
    return f"{custodian}_content_loader"


def is_research_role(role: str) -> bool:
    """Whether a role's name is a research project's: ``researcher``, or ``<name>_researcher``."""
    return _RESEARCH_ROLE.fullmatch(role) is not None


def reviewer_role(person: str) -> str:
    """The login role of a reviewer, such as ``alice_reviewer``: the name under which it decides and approves."""
    if _CUSTODIAN.fullmatch(person) is None:
        raise _wrong_name("reviewer's name", "a to z, digits and _, 41 characters at most")
    return f"{person}_reviewer"


def create_login_roles(admin_engine: Engine, passwords: Mapping[str, str]) -> None:
    """Create roles that are missing, and set the password and attributes of all that are named.

    Parameters
    ----------
    admin_engine : Engine
        A superuser, or a role with CREATEROLE, in any database of the server.
    passwords : mapping of str to str
        By role: those of :data:`FIXED_ROLES`, any ``<custodian>_content_loader``, any ``<name>_researcher``.

    Raises
    ------
    NightlinkError
        E-INPUT for another role's name.
    """
    for role in passwords:
        if role in FIXED_ROLES or is_research_role(role):
            continue
        if role.endswith("_reviewer") and reviewer_role(role.removesuffix("_reviewer")) == role:
            continue
        if content_role(role.removesuffix("_content_loader")) != role:
            known = ", ".join(FIXED_ROLES)
            raise _wrong_name(
                "role", f"{known}, <custodian>_content_loader, <name>_researcher or <person>_reviewer"
            )
    for role, password in passwords.items():
        _create_login_role(admin_engine, role, password)


def create_database(admin_engine: Engine, database: str) -> None:
    """Create the warehouse's database, owned by ``warehouse_owner``, unless it exists."""
    doing = "creating the warehouse's database"
    outside_transaction = admin_engine.execution_options(isolation_level="AUTOCOMMIT")
    with warehouse_errors(doing), outside_transaction.connect() as connection:
        if connection.execute(text(_role_statements()["database_exists"]), {"database": database}).scalar():
            return
        statement = composed.SQL(_role_statements()["create_database"]).format(
            database=composed.Identifier(database), owner=composed.Identifier(OWNER)
        )
        driver_cursor(connection).execute(statement)


def close_server_functions(admin_engine: Engine) -> None:
    """Take from PUBLIC what a reader must not call (advisory locks, large objects); needs a superuser.

    ``admin_engine`` is connected to the warehouse's database. On a server without superusers leave it out: then
    a researcher could hold up a night by holding its lock, and nothing worse.
    """
    with warehouse_transaction(admin_engine, doing="closing server functions") as connection:
        run_script(connection, read_sql("sql.warehouse", "roles/close_server_functions.sql"))


def admit_content_loader(owner_engine: Engine, custodian: str, tables: Sequence[str]) -> None:
    """Let a custodian's content role load these tables; its login role must exist, the schema be migrated.

    Parameters
    ----------
    owner_engine : Engine
        As ``warehouse_owner``.
    tables : sequence of str
        ``admission``, ``dispensing`` or both. Tables admitted earlier are not taken back.
    """
    if not tables or set(tables) - set(CONTENT_TABLES):
        raise _wrong_name("list of content tables", f"one or more of {', '.join(CONTENT_TABLES)}")
    role = content_role(custodian)
    names = {
        "role": composed.Identifier(role),
        "role_name": composed.Literal(role),
        "custodian": composed.Literal(custodian),
    }
    statements = ["admit_content_loader", "admit_to_database", *(f"admit_to_{table}" for table in tables)]
    with warehouse_transaction(owner_engine, doing="admitting a content loader") as connection:
        names["database"] = composed.Identifier(driver_connection(connection).info.dbname)
        for statement in statements:
            script = composed.SQL(_content_statements()[statement])
            driver_cursor(connection).execute(script.format(**names))


def admit_research(owner_engine: Engine, role: str, linkage_projects: Sequence[str]) -> None:
    """Let a research project's login role see linkage projects; the role must exist, the schema be migrated.

    Its pseudonym key is drawn in the database when it is first admitted, and never leaves it. Projects admitted
    earlier are not taken back.

    Parameters
    ----------
    owner_engine : Engine
        As ``warehouse_owner``.
    linkage_projects : sequence of str
        Names as in linkage protocols; one may not have run yet.
    """
    if not is_research_role(role):
        raise _wrong_name("research role", "researcher or <name>_researcher")
    with warehouse_transaction(owner_engine, doing="admitting a research project") as connection:
        parameters = {"role": role, "linkage_projects": list(linkage_projects)}
        connection.execute(text(_role_statements()["admit_research"]), parameters)


def admit_reviewer(owner_engine: Engine, person: str) -> None:
    """Let a person's login role review pairs and approve held nights; it must exist, the schema be migrated."""
    names = {"role": composed.Identifier(reviewer_role(person))}
    with warehouse_transaction(owner_engine, doing="admitting a reviewer") as connection:
        names["database"] = composed.Identifier(driver_connection(connection).info.dbname)
        script = composed.SQL(load_statements("sql.warehouse", "roles/reviewer.sql")["admit_reviewer"])
        driver_cursor(connection).execute(script.format(**names))


def install_warehouse(
    admin_url: str,
    database: str,
    passwords: Mapping[str, str],
    content_tables: Mapping[str, Sequence[str]],
    research: Mapping[str, Sequence[str]],
    reviewers: Sequence[str] = (),
    *,
    deadline_s: float = 60.0,
) -> dict[str, str]:
    """Do all of it: roles, database, schema, content loaders. Safe to run again, also to bring it up to date.

    Parameters
    ----------
    admin_url : str
        A superuser's URL of the server, in any database.
    database : str
        The warehouse's database.
    passwords : mapping of str to str
        By role: all of :data:`FIXED_ROLES`, the content role of each custodian of ``content_tables``, the roles of
        ``research`` and those of ``reviewers``.
    content_tables : mapping of str to sequence of str
        By custodian, such as ``{"hospital": ["admission"], "pharmacy": ["dispensing"]}``.
    research : mapping of str to sequence of str
        By login role the linkage projects that it sees, such as ``{"researcher": ["discharge_followup"]}``.
    reviewers : sequence of str
        Persons; each has a login role of its own (:func:`reviewer_role`).

    Returns
    -------
    dict of str to str
        Each role's URL of the warehouse, password included: a secret.
    """
    wanted = {*FIXED_ROLES, *map(content_role, content_tables), *research, *map(reviewer_role, reviewers)}
    if set(passwords) != wanted:
        raise _wrong_name("set of passwords", f"one for each of {', '.join(sorted(wanted))}")
    admin = make_engine(admin_url, deadline_s=deadline_s, application_name="nightlink-install")
    create_login_roles(admin, passwords)
    create_database(admin, database)
    place = admin.url.set(database=database, drivername="postgresql")
    urls = {
        role: place.set(username=role, password=password).render_as_string(hide_password=False)
        for role, password in passwords.items()
    }
    owner = make_engine(urls[OWNER], deadline_s=deadline_s, application_name="nightlink-migrate")
    close_server_functions(make_engine(place, deadline_s=deadline_s, application_name="nightlink-install"))
    apply_migrations(owner)
    for custodian, tables in content_tables.items():
        admit_content_loader(owner, custodian, tables)
    for role, linkage_projects in research.items():
        admit_research(owner, role, linkage_projects)
    for person in reviewers:
        admit_reviewer(owner, person)
    return urls


def _create_login_role(admin_engine: Engine, role: str, password: str) -> None:
    with warehouse_transaction(admin_engine, doing="creating a login role") as connection:
        exists = connection.execute(text(_role_statements()["role_exists"]), {"role": role}).scalar()
        names = {
            "role": composed.Identifier(role),
            "verifier": composed.Literal(
                psycopg2.extensions.encrypt_password(
                    password, role, scope=driver_connection(connection), algorithm="scram-sha-256"
                )
            ),
        }
        wanted = [] if exists else ["create_role"]
        wanted += ["set_login", "settle_researcher"] if is_research_role(role) else ["set_login"]
        for statement in wanted:
            driver_cursor(connection).execute(composed.SQL(_role_statements()[statement]).format(**names))


def _wrong_name(what: str, expected: str) -> NightlinkError:
    return NightlinkError(
        "E-INPUT", found=f"another {what}", expected=expected, remedy="Correct the warehouse's settings."
    )
