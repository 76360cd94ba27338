-- Erasure: tombstones in place of links, a keyed list of who must not come back, and holds that forbid it.
--
-- Notes. A tombstone keeps the SHA-256 of a row's line, which is a leaf of its nights' digests, and the fences of the
-- nights whose tables held it: those nights can still be verified, and no pseudonym is left. Pseudonyms have 128 random
-- bits, so that a leaf can be compared with a row one has, and not searched for. leaf_named is the leaf in nights of
-- more than two custodians, whose lines name the two. The list and the holds have HMACs under a key drawn here.
CREATE TABLE linkage.tombstone (
    project     text   NOT NULL REFERENCES linkage.project,
    kind        text   NOT NULL CHECK (kind IN ('link', 'member')),
    leaf        bytea  NOT NULL CHECK (octet_length(leaf) = 32),
    leaf_named  bytea  NOT NULL CHECK (octet_length(leaf_named) = 32),
    from_fence  bigint NOT NULL,
    until_fence bigint NOT NULL,
    CHECK (from_fence <= until_fence)
);
COMMENT ON TABLE linkage.tombstone IS
    'What is left of an erased or expired link or entity member: its leaf in the digests of nights with from_fence <= fence < until_fence.';
CREATE INDEX tombstone_of_project ON linkage.tombstone (project, kind, from_fence, until_fence);

CREATE TABLE access.suppression_key (
    only_one    boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    inner_block bytea   NOT NULL CHECK (octet_length(inner_block) = 64),
    outer_block bytea   NOT NULL CHECK (octet_length(outer_block) = 64)
);
COMMENT ON TABLE access.suppression_key IS 'The key of suppression entries and holds, as the two padded blocks of HMAC-SHA256; drawn when first needed.';

CREATE TABLE access.suppression (
    tag uuid PRIMARY KEY
);
COMMENT ON TABLE access.suppression IS 'Records that were erased and must not come back, as keyed tags; no date, no project: nothing else is kept of them.';

CREATE TABLE access.legal_hold (
    project text NOT NULL REFERENCES linkage.project,
    tag     uuid,
    UNIQUE NULLS NOT DISTINCT (project, tag)
);
COMMENT ON TABLE access.legal_hold IS 'Records (keyed tags), or with NULL whole projects, that may be neither erased nor expired until the hold is lifted.';

-- Erasure looks for a record on either side of every version of a link.
CREATE INDEX link_by_a ON linkage.link (project, record_a);
CREATE INDEX link_by_b ON linkage.link (project, record_b);
