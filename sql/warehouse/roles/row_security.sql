-- Rows of a project are for those who were admitted to it. The views run as the owner, whom FORCE ROW LEVEL SECURITY
-- holds to these policies as well; who asks is the login, session_user.
DROP POLICY IF EXISTS by_project ON linkage.link;
CREATE POLICY by_project ON linkage.link
    USING ((SELECT access.reads_all()) OR project = ANY ((SELECT access.linkage_projects())::text[]));
DROP POLICY IF EXISTS by_project ON linkage.link_run;
CREATE POLICY by_project ON linkage.link_run
    USING ((SELECT access.reads_all()) OR project = ANY ((SELECT access.linkage_projects())::text[]));
DROP POLICY IF EXISTS by_project ON linkage.entity_member;
CREATE POLICY by_project ON linkage.entity_member
    USING ((SELECT access.reads_all()) OR project = ANY ((SELECT access.linkage_projects())::text[]));
DROP POLICY IF EXISTS by_project ON linkage.entity_change;
CREATE POLICY by_project ON linkage.entity_change
    USING ((SELECT access.reads_all()) OR project = ANY ((SELECT access.linkage_projects())::text[]));
DROP POLICY IF EXISTS by_project ON access.pseudonym;
CREATE POLICY by_project ON access.pseudonym
    USING ((SELECT access.reads_all()) OR research_id = (SELECT access.research_id()));
