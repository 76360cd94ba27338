-- The first night of a key epoch: which records go on under another pseudonym, as their custodians say.
--
-- Notes. The pairs are there from the night's beginning to its publication, which uses and deletes them: they tie two
-- epochs together, and nothing else here does. UNLOGGED: after a crash the night begins anew and stages them again.
CREATE UNLOGGED TABLE linkage.epoch_staging (
    run_id        text   NOT NULL,
    fence         bigint NOT NULL,
    custodian     text   NOT NULL,
    record        uuid   NOT NULL,
    former_record uuid   NOT NULL,
    PRIMARY KEY (run_id, fence, custodian, record),
    UNIQUE (run_id, fence, custodian, former_record)
);
CREATE INDEX epoch_staging_of_record ON linkage.epoch_staging (custodian, record);
COMMENT ON TABLE linkage.epoch_staging IS
    'Records of a new key epoch and the pseudonym that each had before; emptied by the publication, or at the next start.';
