-- Admissions and dispensings under record pseudonyms, brought by each custodian's own role, apart from links.
--
-- Notes. Staging has no constraint on purpose: a violated CHECK quotes the row in the server's message. The column
-- loader is filled by the server from the session's login; content roles may not name it in an INSERT or COPY,
-- so no custodian can stage rows for another.
CREATE SCHEMA content;
COMMENT ON SCHEMA content IS 'What the custodians tell about records, under record pseudonyms; the linkage unit cannot read it.';

CREATE TABLE content.custodian (
    custodian   text PRIMARY KEY CHECK (custodian ~ '^[a-z][a-z0-9_]{0,40}$'),
    loader_role name NOT NULL UNIQUE
);
COMMENT ON TABLE content.custodian IS 'Which login role loads which custodian''s content.';

CREATE TABLE content.content_delivery (
    delivery_id    bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    custodian      text        NOT NULL REFERENCES content.custodian,
    run_id         text        NOT NULL CHECK (run_id ~ '^[A-Za-z0-9._-]{1,100}$'),
    as_of          date        NOT NULL CHECK (isfinite(as_of)),
    digest         text        NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
    row_count      bigint      NOT NULL CHECK (row_count >= 0),
    audit_sequence bigint      NOT NULL UNIQUE REFERENCES audit.event,
    loaded_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (custodian, run_id, digest)
);
COMMENT ON TABLE content.content_delivery IS 'One version of a custodian''s content; rows older than the previous version are removed.';

CREATE TABLE content.current_delivery (
    custodian   text   PRIMARY KEY REFERENCES content.custodian,
    delivery_id bigint NOT NULL REFERENCES content.content_delivery
);
COMMENT ON TABLE content.current_delivery IS 'The version of each custodian''s content that readers see.';

CREATE TABLE content.admission (
    delivery_id      bigint NOT NULL REFERENCES content.content_delivery,
    record_pseudonym uuid   NOT NULL,
    admitted         date   NOT NULL,
    discharged       date,
    diagnosis_code   text
);
CREATE INDEX admission_by_record ON content.admission (delivery_id, record_pseudonym);

CREATE TABLE content.dispensing (
    delivery_id      bigint NOT NULL REFERENCES content.content_delivery,
    record_pseudonym uuid   NOT NULL,
    dispensed        date   NOT NULL,
    atc_code         text   NOT NULL,
    quantity         numeric
);
CREATE INDEX dispensing_by_record ON content.dispensing (delivery_id, record_pseudonym, dispensed);

CREATE UNLOGGED TABLE content.admission_staging (
    loader           name NOT NULL DEFAULT session_user,
    record_pseudonym uuid,
    admitted         date,
    discharged       date,
    diagnosis_code   text
);
CREATE UNLOGGED TABLE content.dispensing_staging (
    loader           name NOT NULL DEFAULT session_user,
    record_pseudonym uuid,
    dispensed        date,
    atc_code         text,
    quantity         numeric
);

CREATE TABLE content.diagnosis_group (
    code  text PRIMARY KEY CHECK (code ~ '^[A-Z][0-9][0-9A-Z]$'),
    label text NOT NULL
);
COMMENT ON TABLE content.diagnosis_group IS 'First three characters of an ICD-10 code, and what a reader calls the group.';

INSERT INTO content.diagnosis_group (code, label) VALUES
    ('C81', 'Hodgkin lymphoma'),
    ('E11', 'Type 2 diabetes mellitus'),
    ('F32', 'Depressive episode'),
    ('G35', 'Multiple sclerosis'),
    ('I21', 'Acute myocardial infarction'),
    ('I50', 'Heart failure'),
    ('I63', 'Cerebral infarction'),
    ('J18', 'Pneumonia'),
    ('J44', 'Chronic obstructive pulmonary disease'),
    ('K35', 'Acute appendicitis'),
    ('K80', 'Gallstones'),
    ('S72', 'Fracture of the femur');
