-- Any number of custodians, records with several links where the protocol allows it, and entities.
--
-- Notes. A link names its custodians itself: a run of three links three pairs of them. one_a_record_of_a says that
-- record_a may have one match at custodian_b; the unique indexes hold links to it, so that one-to-one is still kept by
-- the database. The functions whose parameters change are dropped here and made anew by schema/ledger_functions.sql.
ALTER TABLE linkage.link_run ADD COLUMN custodians text[];
ALTER TABLE linkage.link_run ADD COLUMN resolution text NOT NULL DEFAULT 'one_to_one'
    CHECK (resolution IN ('one_to_one', 'optimal_one_to_one', 'one_to_many', 'many_to_one', 'many_to_many'));
UPDATE linkage.link_run SET custodians = ARRAY[custodian_a, custodian_b];
ALTER TABLE linkage.link_run ALTER COLUMN custodians SET NOT NULL;
ALTER TABLE linkage.link_run ADD CHECK (
    cardinality(custodians) BETWEEN 2 AND 16 AND custodians[1] = custodian_a AND custodians[2] = custodian_b);
COMMENT ON COLUMN linkage.link_run.custodians IS 'All custodians, in the protocol''s order; the first two are custodian_a and custodian_b.';
COMMENT ON COLUMN linkage.link_run.resolution IS 'How many links a record may have to another custodian''s records.';

ALTER TABLE linkage.link ADD COLUMN custodian_a text;
ALTER TABLE linkage.link ADD COLUMN custodian_b text;
ALTER TABLE linkage.link ADD COLUMN one_a_record_of_a boolean NOT NULL DEFAULT true;
ALTER TABLE linkage.link ADD COLUMN one_a_record_of_b boolean NOT NULL DEFAULT true;
UPDATE linkage.link AS l SET custodian_a = r.custodian_a, custodian_b = r.custodian_b
  FROM linkage.link_run AS r WHERE r.run_id = l.opened_by_run;
ALTER TABLE linkage.link ALTER COLUMN custodian_a SET NOT NULL;
ALTER TABLE linkage.link ALTER COLUMN custodian_b SET NOT NULL;
ALTER TABLE linkage.link ADD CHECK (custodian_a <> custodian_b);

DROP INDEX linkage.link_open_match_a;
DROP INDEX linkage.link_open_match_b;
CREATE UNIQUE INDEX link_open_match_a ON linkage.link (project, custodian_a, record_a, custodian_b)
    WHERE valid_to = 'infinity' AND decision = 'match' AND one_a_record_of_a;
CREATE UNIQUE INDEX link_open_match_b ON linkage.link (project, custodian_b, record_b, custodian_a)
    WHERE valid_to = 'infinity' AND decision = 'match' AND one_a_record_of_b;

TRUNCATE linkage.link_staging;
ALTER TABLE linkage.link_staging ADD COLUMN custodian_a text NOT NULL;
ALTER TABLE linkage.link_staging ADD COLUMN custodian_b text NOT NULL;

CREATE TABLE linkage.entity_member (
    project       text NOT NULL REFERENCES linkage.project,
    entity_id     uuid NOT NULL,
    custodian     text NOT NULL,
    record        uuid NOT NULL,
    opened_by_run text NOT NULL REFERENCES linkage.link_run,
    closed_by_run text REFERENCES linkage.link_run,
    valid_from    date NOT NULL,
    valid_to      date NOT NULL DEFAULT 'infinity',
    CHECK (valid_from <= valid_to),
    CHECK ((closed_by_run IS NULL) = (valid_to = 'infinity')),
    CONSTRAINT entity_members_do_not_overlap
        EXCLUDE USING gist (project WITH =, record WITH =, daterange(valid_from, valid_to) WITH &&)
);
COMMENT ON TABLE linkage.entity_member IS
    'Which records of three or more custodians are one person; between two custodians a match says it already.';
CREATE UNIQUE INDEX entity_one_a_custodian ON linkage.entity_member (project, entity_id, custodian)
    WHERE valid_to = 'infinity';
CREATE INDEX entity_member_opened_by_run ON linkage.entity_member (opened_by_run);
CREATE INDEX entity_member_closed_by_run ON linkage.entity_member (closed_by_run) WHERE closed_by_run IS NOT NULL;

CREATE UNLOGGED TABLE linkage.entity_staging (
    run_id    text   NOT NULL,
    fence     bigint NOT NULL,
    entity_id uuid   NOT NULL,
    custodian text   NOT NULL,
    record    uuid   NOT NULL,
    PRIMARY KEY (run_id, fence, record)
);
COMMENT ON TABLE linkage.entity_staging IS 'The entities of a run that has not published yet; emptied at the next start.';

DROP FUNCTION IF EXISTS linkage.begin_run(text, text, date, text, text, integer, text, text, text);
DROP FUNCTION IF EXISTS linkage.publish_run(text, bigint, bigint, jsonb, jsonb, text);
