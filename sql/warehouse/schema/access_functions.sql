-- Research projects: who asks, what it may see, and its pseudonyms. The login says who; no caller can choose it.

CREATE OR REPLACE FUNCTION access.research_id() RETURNS integer
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT r.research_id FROM access.research_project AS r WHERE r.login_role = session_user
$$;
COMMENT ON FUNCTION access.research_id IS 'The research project of this login; NULL for everybody else.';

CREATE OR REPLACE FUNCTION access.linkage_projects() RETURNS text[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(p.linkage_project ORDER BY p.linkage_project), '{}')
      FROM access.linkage_project AS p WHERE p.research_id = access.research_id()
$$;
COMMENT ON FUNCTION access.linkage_projects IS 'The linkage projects that this login may see through the views.';

CREATE OR REPLACE FUNCTION access.reads_all() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT has_table_privilege(session_user, 'linkage.link', 'SELECT')
$$;
COMMENT ON FUNCTION access.reads_all IS
    'Whether this login may read the tables themselves (loader, auditor, owner): then row-level security hides nothing.';

-- No search path of its own, so that it can be inlined: every name is qualified instead.
CREATE OR REPLACE FUNCTION access.hmac_uuid(p_inner bytea, p_outer bytea, p_message bytea) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT pg_catalog.encode(pg_catalog.substr(pg_catalog.sha256(p_outer OPERATOR(pg_catalog.||)
        pg_catalog.sha256(p_inner OPERATOR(pg_catalog.||) p_message)), 1, 16), 'hex')::pg_catalog.uuid
$$;
COMMENT ON FUNCTION access.hmac_uuid IS 'The first 16 bytes of HMAC-SHA256 (RFC 2104), the key given as its two padded blocks.';

-- As hmac_uuid: no search path of its own.
CREATE OR REPLACE FUNCTION access.whole_number(p_pseudonym uuid) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT (('x' OPERATOR(pg_catalog.||) pg_catalog.substr(pg_catalog.encode(pg_catalog.uuid_send(p_pseudonym), 'hex'), 1, 16))
        ::pg_catalog.bit(64) OPERATOR(pg_catalog.>>) 1)::pg_catalog.int8
$$;
COMMENT ON FUNCTION access.whole_number IS 'The first 63 bits of a pseudonym, as a number from 0.';

CREATE OR REPLACE FUNCTION access.padded_key(p_key bytea, p_pad integer) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT string_agg(set_byte('\x00'::bytea, 0, p_pad # CASE WHEN n < octet_length(p_key) THEN get_byte(p_key, n) ELSE 0 END), '' ORDER BY n)
      FROM generate_series(0, 63) AS n
$$;

CREATE OR REPLACE FUNCTION access.name_run(p_run_id text) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    WITH inside (id) AS (
        SELECT l.record_a FROM linkage.link AS l WHERE l.opened_by_run = p_run_id
        UNION SELECT l.record_b FROM linkage.link AS l WHERE l.opened_by_run = p_run_id
        UNION SELECT m.record FROM linkage.entity_member AS m WHERE m.opened_by_run = p_run_id
        UNION SELECT m.entity_id FROM linkage.entity_member AS m WHERE m.opened_by_run = p_run_id
        UNION SELECT a.record_pseudonym FROM content.admission AS a JOIN content.content_delivery AS d USING (delivery_id)
               WHERE d.run_id = p_run_id
        UNION SELECT a.record_pseudonym FROM content.dispensing AS a JOIN content.content_delivery AS d USING (delivery_id)
               WHERE d.run_id = p_run_id)
    INSERT INTO access.pseudonym (research_id, inside, outside)
    SELECT r.research_id, i.id, access.hmac_uuid(r.inner_block, r.outer_block, uuid_send(i.id))
      FROM linkage.link_run AS run
      JOIN access.linkage_project AS p ON p.linkage_project = run.project
      JOIN access.research_project AS r USING (research_id)
      CROSS JOIN inside AS i
     WHERE run.run_id = p_run_id
       AND NOT EXISTS (SELECT FROM access.pseudonym AS known WHERE known.research_id = r.research_id AND known.inside = i.id)
    ON CONFLICT DO NOTHING
$$;
COMMENT ON FUNCTION access.name_run IS
    'Give what a run brought its pseudonym in each research project that sees it. Nothing is ever served that no run brought.';

CREATE OR REPLACE FUNCTION access.admit_research(p_login_role name, p_linkage_projects text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_key bytea := sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));
BEGIN
    -- The key is drawn where it is used: no statement carries it, so no log has it.
    INSERT INTO access.research_project (login_role, inner_block, outer_block)
    VALUES (p_login_role, access.padded_key(v_key, 54), access.padded_key(v_key, 92)) ON CONFLICT (login_role) DO NOTHING;
    INSERT INTO access.linkage_project (research_id, linkage_project)
    SELECT r.research_id, p FROM access.research_project AS r, unnest(p_linkage_projects) AS p
     WHERE r.login_role = p_login_role ON CONFLICT DO NOTHING;
    PERFORM access.name_run(run.run_id) FROM linkage.link_run AS run
     WHERE run.status = 'published' AND run.project = ANY (p_linkage_projects);
    PERFORM access.grant_research(p_login_role);
END
$$;
COMMENT ON FUNCTION access.admit_research IS 'Admit a login role to linkage projects, as a research project; the owner''s work. Again: adds projects, keeps the key.';

CREATE OR REPLACE FUNCTION access.grant_research(p_login_role name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), p_login_role);
    EXECUTE format('GRANT USAGE ON SCHEMA research TO %I', p_login_role);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA research TO %I', p_login_role);
    EXECUTE format('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA research TO %I', p_login_role);
    -- Called by the views in the reader's name. Schema access stays closed, so nobody can call them by theirs.
    EXECUTE format('GRANT EXECUTE ON FUNCTION access.research_id, access.linkage_projects, access.reads_all, access.hmac_uuid,
        access.whole_number TO %I',
        p_login_role);
END
$$;
