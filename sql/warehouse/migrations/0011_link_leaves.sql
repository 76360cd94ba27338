-- Each link keeps the SHA-256 of its line, from the moment it is opened.
--
-- Notes. The digest of a night says that one of its links was altered; the leaf beside a link says which, unless whoever
-- altered it knew to alter both. Links from before have none. Nothing is read or rewritten.
ALTER TABLE linkage.link ADD COLUMN leaf bytea CHECK (octet_length(leaf) = 32);
COMMENT ON COLUMN linkage.link.leaf IS 'SHA-256 of the link''s line with both custodians, as it was opened; NULL for links from before.';
