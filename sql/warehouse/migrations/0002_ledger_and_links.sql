-- The run ledger, the deliveries that a run used, and the links with their history.
--
-- Notes. btree_gist (contrib, trusted: the database's owner may create it) lets the exclusion constraint compare
-- text and uuid beside a range. A link that a second run of the same day takes back keeps its row with
-- valid_from = valid_to: an empty range overlaps nothing, and the first run's digest can still be reproduced.
CREATE EXTENSION IF NOT EXISTS btree_gist WITH SCHEMA public;

CREATE SCHEMA linkage;
COMMENT ON SCHEMA linkage IS 'Links and the ledger of the runs that made them; written by functions only.';

CREATE TABLE linkage.project (
    project    text   PRIMARY KEY CHECK (project ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    last_fence bigint NOT NULL DEFAULT 0,
    head_run   text,
    head_fence bigint NOT NULL DEFAULT 0,
    CHECK (head_fence <= last_fence)
);
COMMENT ON TABLE linkage.project IS 'One row per linkage project: the last fence handed out, and the run that is served.';

CREATE TABLE linkage.link_run (
    run_id               text        PRIMARY KEY CHECK (run_id ~ '^[A-Za-z0-9._-]{1,100}$'),
    project              text        NOT NULL REFERENCES linkage.project,
    as_of                date        NOT NULL CHECK (isfinite(as_of)),
    custodian_a          text        NOT NULL,
    custodian_b          text        NOT NULL CHECK (custodian_b <> custodian_a),
    fence                bigint      NOT NULL,
    attempts             integer     NOT NULL DEFAULT 1,
    status               text        NOT NULL CHECK (status IN ('running', 'published', 'failed')),
    failure_code         text        CHECK (failure_code ~ '^E-[A-Z-]+$'),
    protocol_version     integer     NOT NULL,
    protocol_fingerprint text        NOT NULL CHECK (protocol_fingerprint ~ '^[0-9a-f]{64}$'),
    key_epoch            text        NOT NULL,
    code_version         text        NOT NULL,
    started_at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at          timestamptz,
    counts               jsonb       NOT NULL DEFAULT '{}',
    links_opened         bigint,
    links_closed         bigint,
    links_kept           bigint,
    audit_sequence       bigint      UNIQUE REFERENCES audit.event,
    audit_event_hash     bytea,
    UNIQUE (project, fence),
    CHECK ((status = 'published') = (links_opened IS NOT NULL AND links_closed IS NOT NULL AND links_kept IS NOT NULL)),
    CHECK (status <> 'published' OR audit_sequence IS NOT NULL),
    CHECK ((status = 'failed') = (failure_code IS NOT NULL)),
    CHECK ((status = 'running') = (finished_at IS NULL))
);
COMMENT ON TABLE linkage.link_run IS 'The ledger: one row per run; Prefect only watches, this table knows.';
COMMENT ON COLUMN linkage.link_run.counts IS 'The nightly summary: counts, rules, digests; never a value of a record.';

ALTER TABLE linkage.project ADD FOREIGN KEY (head_run) REFERENCES linkage.link_run;

CREATE TABLE linkage.delivery (
    manifest_sha256      text        PRIMARY KEY CHECK (manifest_sha256 ~ '^[0-9a-f]{64}$'),
    project              text        NOT NULL REFERENCES linkage.project,
    custodian            text        NOT NULL,
    run_id               text        NOT NULL,
    sequence             bigint      NOT NULL,
    as_of                date        NOT NULL,
    row_count            bigint      NOT NULL CHECK (row_count >= 0),
    protocol_fingerprint text        NOT NULL,
    key_check_value      text        NOT NULL,
    code_version         text        NOT NULL,
    recorded_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (project, custodian, sequence)
);
COMMENT ON TABLE linkage.delivery IS 'Deliveries of encodings that a published run used, by the digest of their manifest.';

CREATE TABLE linkage.run_delivery (
    run_id          text NOT NULL REFERENCES linkage.link_run,
    manifest_sha256 text NOT NULL REFERENCES linkage.delivery,
    PRIMARY KEY (run_id, manifest_sha256)
);
COMMENT ON TABLE linkage.run_delivery IS 'Which run used which deliveries.';

CREATE TABLE linkage.link (
    link_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project       text   NOT NULL REFERENCES linkage.project,
    record_a      uuid   NOT NULL,
    record_b      uuid   NOT NULL,
    decision      text   NOT NULL CHECK (decision IN ('match', 'possible_match')),
    score_band    text   NOT NULL CHECK (score_band ~ '^[01]\.[0-9]{2}-[01]\.[0-9]{2}$'),
    passes_agreed text[] NOT NULL,
    opened_by_run text   NOT NULL REFERENCES linkage.link_run,
    closed_by_run text   REFERENCES linkage.link_run,
    valid_from    date   NOT NULL,
    valid_to      date   NOT NULL DEFAULT 'infinity',
    CHECK (valid_from <= valid_to),
    CHECK ((closed_by_run IS NULL) = (valid_to = 'infinity')),
    CONSTRAINT link_versions_do_not_overlap
        EXCLUDE USING gist (project WITH =, record_a WITH =, record_b WITH =, daterange(valid_from, valid_to) WITH &&)
);
COMMENT ON TABLE linkage.link IS 'Versions of links, valid from a day up to, but not including, another.';

-- I7, kept by the database as well: one open version of a pair, one open match of a record.
CREATE UNIQUE INDEX link_open_pair ON linkage.link (project, record_a, record_b) WHERE valid_to = 'infinity';
CREATE UNIQUE INDEX link_open_match_a ON linkage.link (project, record_a)
    WHERE valid_to = 'infinity' AND decision = 'match';
CREATE UNIQUE INDEX link_open_match_b ON linkage.link (project, record_b)
    WHERE valid_to = 'infinity' AND decision = 'match';
CREATE INDEX link_opened_by_run ON linkage.link (opened_by_run);
CREATE INDEX link_closed_by_run ON linkage.link (closed_by_run) WHERE closed_by_run IS NOT NULL;

-- UNLOGGED: what a crash empties, the run stages again; publish_run counts the rows before it uses them.
CREATE UNLOGGED TABLE linkage.link_staging (
    run_id        text   NOT NULL,
    fence         bigint NOT NULL,
    record_a      uuid   NOT NULL,
    record_b      uuid   NOT NULL,
    decision      text   NOT NULL,
    score_band    text   NOT NULL,
    passes_agreed text[] NOT NULL,
    PRIMARY KEY (run_id, fence, record_a, record_b)
);
COMMENT ON TABLE linkage.link_staging IS 'The link table of a run that has not published yet; emptied at the next start.';
