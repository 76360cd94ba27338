-- Why a link version ended, and entities whose ids outlive a night, with what became of them.
--
-- Notes. Between two custodians a match is an entity too, so that a person keeps one id whatever becomes of the link.
-- Ids are carried over by linkage.carry_entity_ids. What ended before this migration has the reason 'unrecorded'.
-- An update of every closed row, once; links have no other index on the new column.
ALTER TABLE linkage.link ADD COLUMN closed_because text
    CHECK (closed_because IN ('superseded', 'relinked', 'withdrawn', 'unrecorded'));
UPDATE linkage.link SET closed_because = 'unrecorded' WHERE valid_to < 'infinity';
ALTER TABLE linkage.link ADD CHECK ((closed_because IS NULL) = (valid_to = 'infinity'));
COMMENT ON COLUMN linkage.link.closed_because IS
    'superseded: the pair stays linked, on other evidence; relinked: a record of it is linked to another one; withdrawn: neither.';

CREATE TABLE linkage.entity_change (
    project         text NOT NULL REFERENCES linkage.project,
    run_id          text NOT NULL REFERENCES linkage.link_run,
    as_of           date NOT NULL,
    entity_id       uuid NOT NULL,
    change          text NOT NULL CHECK (change IN ('merged_into', 'split_from', 'dissolved')),
    other_entity_id uuid,
    CHECK ((other_entity_id IS NULL) = (change = 'dissolved')),
    UNIQUE NULLS NOT DISTINCT (run_id, entity_id, change, other_entity_id)
);
COMMENT ON TABLE linkage.entity_change IS
    'What became of entities other than gaining or losing a record: insert-only, written by the run that publishes it.';
CREATE INDEX entity_change_of_entity ON linkage.entity_change (project, entity_id);

CREATE INDEX entity_member_open_entity ON linkage.entity_member (project, entity_id) WHERE valid_to = 'infinity';
COMMENT ON TABLE linkage.entity_member IS 'Which records are one person, from when to when; one record of each custodian.';
COMMENT ON COLUMN linkage.entity_staging.entity_id IS
    'Any id that tells the night''s entities apart, until linkage.carry_entity_ids gives each its lasting one.';
