-- Who may do what, whole: first everything is taken away, then given. sql/README.md has it as a table.
-- Content loaders, one per custodian, get theirs from content_loader.sql.
DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC, linkage_loader, auditor, researcher', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO linkage_loader, auditor, researcher', current_database());
END
$$;

REVOKE ALL ON SCHEMA warehouse, linkage, content, audit, research FROM PUBLIC, linkage_loader, auditor, researcher;
REVOKE ALL ON ALL TABLES IN SCHEMA warehouse, linkage, content, audit, research
    FROM PUBLIC, linkage_loader, auditor, researcher;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA warehouse, linkage, content, audit, research
    FROM PUBLIC, linkage_loader, auditor, researcher;

-- The linkage unit: reads the ledger and the links, stages, and writes through functions alone.
GRANT USAGE ON SCHEMA warehouse, linkage TO linkage_loader;
GRANT SELECT ON ALL TABLES IN SCHEMA warehouse, linkage TO linkage_loader;
GRANT INSERT, DELETE ON linkage.link_staging, linkage.entity_staging TO linkage_loader;
GRANT EXECUTE ON FUNCTION linkage.begin_run, linkage.count_link_changes, linkage.stage_matches_as_entities,
    linkage.carry_entity_ids, linkage.publish_run, linkage.fail_run TO linkage_loader;

-- The auditor: reads what the audit speaks of, and nothing else.
GRANT USAGE ON SCHEMA warehouse, linkage, audit TO auditor;
GRANT SELECT ON ALL TABLES IN SCHEMA warehouse, audit TO auditor;
GRANT SELECT ON linkage.project, linkage.link_run, linkage.delivery, linkage.run_delivery, linkage.link, linkage.entity_member,
    linkage.entity_change TO auditor;

-- The researcher: the views.
GRANT USAGE ON SCHEMA research TO researcher;
GRANT SELECT ON ALL TABLES IN SCHEMA research TO researcher;
