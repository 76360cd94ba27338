-- Content becomes current with the links of its night, in one transaction.
--
-- Notes. Before, content was served from the moment it was loaded, so that between a custodian's delivery and the
-- publication, and after a night that failed in between, readers saw newer content with older links. Now
-- linkage.publish_run moves the pointers of both custodians together with the links. A night that is delivered
-- anew after a failure may bring content that an earlier attempt had brought, so the same digest may come twice.
ALTER TABLE content.content_delivery DROP CONSTRAINT content_delivery_custodian_run_id_digest_key;
CREATE INDEX content_delivery_of_run ON content.content_delivery (custodian, run_id, delivery_id);
