-- What each night said of its own quality; nights that were held, and who let them pass; possible matches for review.
--
-- Notes. Schema review is the reviewers': people with login roles of their own, whose name is the login's. They see no
-- pseudonym and no table, and act through functions alone. A reviewer's words are kept for ever; the latest one counts.
CREATE TABLE linkage.quality_estimate (
    run_id      text   NOT NULL REFERENCES linkage.link_run,
    custodian_a text   NOT NULL,
    custodian_b text   NOT NULL,
    measure     text   NOT NULL CHECK (measure IN ('precision', 'recall')),
    estimator   text   NOT NULL,
    value       double precision CHECK (value BETWEEN 0 AND 1),
    low         double precision CHECK (low BETWEEN 0 AND 1),
    high        double precision CHECK (high BETWEEN 0 AND 1),
    basis       bigint,
    PRIMARY KEY (run_id, custodian_a, custodian_b, measure, estimator)
);
COMMENT ON TABLE linkage.quality_estimate IS 'What a published night said of its own matches, by estimator, with 95% intervals.';

CREATE SCHEMA review;
COMMENT ON SCHEMA review IS 'Held nights and their approvals, possible matches and reviewers'' words; written by functions only.';

CREATE TABLE review.held_night (
    run_id          text        NOT NULL,
    project         text        NOT NULL,
    findings_sha256 text        NOT NULL CHECK (findings_sha256 ~ '^[0-9a-f]{64}$'),
    findings        jsonb       NOT NULL,
    held_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run_id, findings_sha256)
);
COMMENT ON TABLE review.held_night IS 'Nights that were stopped before publication, with the findings that stopped them.';

CREATE TABLE review.approval (
    run_id          text        NOT NULL,
    findings_sha256 text        NOT NULL,
    person          name        NOT NULL,
    reason          text        NOT NULL CHECK (reason ~ '^[a-z][a-z_]{1,40}$'),
    audit_sequence  bigint      NOT NULL UNIQUE REFERENCES audit.event,
    approved_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run_id, findings_sha256, person),
    FOREIGN KEY (run_id, findings_sha256) REFERENCES review.held_night
);
COMMENT ON TABLE review.approval IS 'Who approved a held night; two persons let it pass.';

CREATE TABLE review.pair (
    pair_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project     text    NOT NULL REFERENCES linkage.project,
    custodian_a text    NOT NULL,
    record_a    uuid    NOT NULL,
    custodian_b text    NOT NULL,
    record_b    uuid    NOT NULL,
    score_band  text    NOT NULL,
    evidence    jsonb   NOT NULL,
    last_run    text    NOT NULL,
    queued      boolean NOT NULL DEFAULT true,
    UNIQUE (project, custodian_a, record_a, custodian_b, record_b)
);
COMMENT ON TABLE review.pair IS 'Possible matches with masked evidence: what agrees, how far, how common; never a value.';
COMMENT ON COLUMN review.pair.queued IS 'Whether the last night still thinks it possible.';

CREATE TABLE review.decision (
    decision_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pair_id        bigint      NOT NULL REFERENCES review.pair,
    person         name        NOT NULL,
    verdict        text        NOT NULL CHECK (verdict IN ('link', 'never', 'unsure')),
    reason         text        NOT NULL CHECK (reason ~ '^[a-z][a-z_]{1,40}$'),
    audit_sequence bigint      NOT NULL UNIQUE REFERENCES audit.event,
    decided_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE review.decision IS 'Every word of every reviewer; of a person''s words on a pair the latest counts.';
CREATE INDEX decision_of_pair ON review.decision (pair_id, person, decision_id);
