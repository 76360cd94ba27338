-- People who do not exist, for estimates that nobody can tune: who they are, and what became of them.
--
-- Notes. Custodians tell the pseudonyms of their null people and canaries under their content roles, so that the linkage
-- unit cannot read them. The transaction that publishes a night takes everything of theirs out of the links; what is
-- left are leaves, as of erased rows (0009), so that the night's digests can still be reproduced, and the pseudonyms of
-- people who do not exist. No pseudonym of a real record is kept here: there is nothing to erase.
CREATE SCHEMA sealed;
COMMENT ON SCHEMA sealed IS 'Null people and canary pairs: readable for the owner and the auditor alone.';

CREATE TABLE sealed.person (
    custodian text    NOT NULL REFERENCES content.custodian,
    run_id    text    NOT NULL CHECK (run_id ~ '^[A-Za-z0-9._-]{1,100}$'),
    record    uuid    NOT NULL,
    canary    integer CHECK (canary >= 0),
    PRIMARY KEY (run_id, custodian, record),
    UNIQUE (run_id, custodian, canary)
);
COMMENT ON TABLE sealed.person IS 'The people that a custodian''s delivery of a night has and who do not exist.';
COMMENT ON COLUMN sealed.person.canary IS 'The number of the pair, the same at both custodians; NULL for a null person, who has nobody to be linked to.';

CREATE TABLE sealed.link (
    run_id     text   NOT NULL REFERENCES linkage.link_run,
    project    text   NOT NULL REFERENCES linkage.project,
    of_a       text   NOT NULL,
    of_b       text   NOT NULL,
    decision   text   NOT NULL,
    leaf       bytea  NOT NULL CHECK (octet_length(leaf) = 32),
    leaf_named bytea  NOT NULL CHECK (octet_length(leaf_named) = 32),
    sealed_a   uuid,
    sealed_b   uuid,
    CHECK (sealed_a IS NOT NULL OR sealed_b IS NOT NULL)
);
COMMENT ON COLUMN sealed.link.of_a IS 'The custodian of the link''s first record; of_b that of its second.';
COMMENT ON TABLE sealed.link IS 'Links with a person who does not exist, as leaves of their night''s digest; of the two records only those that do not exist are named.';
CREATE INDEX sealed_link_of_run ON sealed.link (run_id);

CREATE TABLE sealed.member (
    run_id  text  NOT NULL REFERENCES linkage.link_run,
    project text  NOT NULL REFERENCES linkage.project,
    leaf    bytea NOT NULL CHECK (octet_length(leaf) = 32)
);
COMMENT ON TABLE sealed.member IS 'Members of entities that such a link made, as leaves of their night''s digest.';
CREATE INDEX sealed_member_of_run ON sealed.member (run_id);

CREATE TABLE linkage.unsealed (
    run_id         text   NOT NULL REFERENCES linkage.link_run,
    custodian_a    text   NOT NULL,
    custodian_b    text   NOT NULL,
    sealed_a       bigint NOT NULL,
    sealed_b       bigint NOT NULL,
    null_a         bigint NOT NULL,
    null_b         bigint NOT NULL,
    null_matched_a bigint NOT NULL,
    null_matched_b bigint NOT NULL,
    canary_pairs   bigint NOT NULL,
    canary_matches bigint NOT NULL,
    matches_left   bigint NOT NULL,
    PRIMARY KEY (run_id, custodian_a, custodian_b)
);
COMMENT ON TABLE linkage.unsealed IS
    'What was counted when a published night was unsealed: people who do not exist on each side, those of them that were matched with a real record, and the matches of real records.';
