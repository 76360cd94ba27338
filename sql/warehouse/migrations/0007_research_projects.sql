-- Who researches which linkage projects, and under which pseudonyms of its own.
--
-- Notes. A research project is a login role. Each has a key of its own, drawn here and kept as the two padded blocks of
-- HMAC-SHA256 (RFC 2104), since PostgreSQL has sha256 and no hmac without an extension. Pseudonyms are stored, not only
-- computed, so that a researcher's own pseudonym can be looked up by an index. The views of schema research are made
-- anew by views/research_v1.sql with these pseudonyms in place of the records' own.
DROP SCHEMA IF EXISTS research CASCADE;

CREATE SCHEMA access;
COMMENT ON SCHEMA access IS 'Research projects, their keys and pseudonyms; readable for the owner alone.';

CREATE TABLE access.research_project (
    research_id integer     GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    login_role  name        NOT NULL UNIQUE,
    inner_block bytea       NOT NULL CHECK (octet_length(inner_block) = 64),
    outer_block bytea       NOT NULL CHECK (octet_length(outer_block) = 64),
    admitted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE access.research_project IS 'One login role each; the two blocks are its pseudonym key, XORed with the pads of HMAC.';

CREATE TABLE access.linkage_project (
    research_id     integer NOT NULL REFERENCES access.research_project,
    linkage_project text    NOT NULL CHECK (linkage_project ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    PRIMARY KEY (research_id, linkage_project)
);
COMMENT ON TABLE access.linkage_project IS 'Which linkage projects a research project sees; one may be named before its first night.';

CREATE TABLE access.pseudonym (
    research_id integer NOT NULL REFERENCES access.research_project,
    inside      uuid    NOT NULL,
    outside     uuid    NOT NULL,
    PRIMARY KEY (research_id, inside),
    UNIQUE (research_id, outside)
);
COMMENT ON TABLE access.pseudonym IS 'inside: a record or an entity, as links name it; outside: what a research project sees in its place.';

ALTER TABLE access.pseudonym ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE linkage.link ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE linkage.link_run ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE linkage.entity_member ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE linkage.entity_change ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

-- What the researchers' questions read: links by record from either side, by band, by days; stays by day of discharge.
CREATE INDEX link_open_b ON linkage.link (project, record_b) WHERE valid_to = 'infinity';
CREATE INDEX link_open_band ON linkage.link (project, decision, score_band, valid_from, custodian_a, custodian_b)
    WHERE valid_to = 'infinity';
CREATE INDEX link_days ON linkage.link (project, valid_from, valid_to, decision, score_band);
CREATE INDEX link_closed ON linkage.link (project, valid_to, closed_because) WHERE valid_to < 'infinity';
CREATE INDEX entity_member_by_entity ON linkage.entity_member (project, entity_id);
CREATE INDEX admission_by_discharge ON content.admission (delivery_id, discharged, diagnosis_code, record_pseudonym);
CREATE INDEX dispensing_by_drug ON content.dispensing (delivery_id, atc_code text_pattern_ops, dispensed, record_pseudonym);
