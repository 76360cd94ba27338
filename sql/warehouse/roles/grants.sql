-- Who may do what, whole: first everything is taken away, then given. sql/README.md has it as a table.
-- Content loaders, one per custodian, get theirs from content_loader.sql.
DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC, linkage_loader, auditor', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO linkage_loader, auditor', current_database());
END
$$;

REVOKE ALL ON SCHEMA warehouse, linkage, content, audit, access, review, research, sealed FROM PUBLIC, linkage_loader, auditor;
REVOKE ALL ON ALL TABLES IN SCHEMA warehouse, linkage, content, audit, access, review, research, sealed FROM PUBLIC, linkage_loader, auditor;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA warehouse, linkage, content, audit, access, review, research, sealed FROM PUBLIC, linkage_loader, auditor;

-- The linkage unit: reads the ledger and the links, stages, and writes through functions alone.
GRANT USAGE ON SCHEMA warehouse, linkage TO linkage_loader;
GRANT SELECT ON ALL TABLES IN SCHEMA warehouse, linkage TO linkage_loader;
GRANT INSERT, DELETE ON linkage.link_staging, linkage.entity_staging, linkage.epoch_staging TO linkage_loader;
GRANT EXECUTE ON FUNCTION linkage.begin_run, linkage.count_link_changes, linkage.stage_matches_as_entities,
    linkage.carry_entity_ids, linkage.publish_run, linkage.fail_run, linkage.anyone_suppressed, linkage.suppressed_records, linkage.count_erasure,
    linkage.erase_record, linkage.count_expired, linkage.apply_retention, linkage.set_hold,
    linkage.count_carried_holds,
    linkage.record_deleted_encodings, linkage.hold_night, linkage.queue_pairs, linkage.record_unsealed,
    review.verdicts TO linkage_loader;
GRANT USAGE ON SCHEMA review TO linkage_loader;
GRANT SELECT ON review.approval TO linkage_loader;

-- It signs checkpoints of the log, which need hashes alone.
GRANT USAGE ON SCHEMA audit TO linkage_loader;
GRANT SELECT ON audit.node TO linkage_loader;

-- The auditor: reads what the audit speaks of, and nothing else.
GRANT USAGE ON SCHEMA warehouse, linkage, audit, review, sealed TO auditor;
GRANT SELECT ON ALL TABLES IN SCHEMA warehouse, audit, review, sealed TO auditor;
GRANT SELECT ON linkage.project, linkage.link_run, linkage.delivery, linkage.run_delivery, linkage.link, linkage.entity_member,
    linkage.entity_change, linkage.tombstone, linkage.quality_estimate, linkage.unsealed,
    linkage.deleted_encodings TO auditor;

-- Content loaders that were admitted before they could name people who do not exist.
DO $$
DECLARE
    v_role name;
BEGIN
    FOR v_role IN SELECT c.loader_role FROM content.custodian AS c LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION content.seal_people TO %I', v_role);
    END LOOP;
END
$$;

-- Whoever meets a policy of row-level security calls these.
GRANT EXECUTE ON FUNCTION access.reads_all, access.linkage_projects, access.research_id TO linkage_loader, auditor;

-- Research projects: the views.
SELECT access.grant_research(r.login_role) FROM access.research_project AS r;
